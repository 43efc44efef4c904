"""A cache with so many segments that a start does not look at them all: the reader sees to names and sizes, later.

A name says which numbers a segment has, unless somebody renamed or replaced it. ``recovery`` has looked at both ends.
"""

from .contracts import Store
from .errors import is_unreadable
from .journal import JournalReader
from .recovery import ENDS, put_right, size_of
from .segment import read_header


class ManySegmentsReader(JournalReader):
    """Believes the name of a segment when its header says the same. ``segments``: (first number, name), in order."""

    def __init__(self, store: Store, cache_id: int, read_bytes: int, segments: "list[tuple[int, str]]") -> None:
        super().__init__(store, cache_id, read_bytes)
        self._segments = segments
        self._unsized = [name for _, name in segments[ENDS:-ENDS]]  # names of those whose sizes nobody knows yet
        self._is_sure = False
        self._found_bytes = 0

    def found_bytes(self) -> int:
        """For any thread: whoever needs it first looks, and two come to the same, for none was removed before that."""
        total = 0
        for name in self._unsized:
            try:
                total += max(0, size_of(self._store, name))
            except OSError:
                if self._unsized:
                    raise
        if self._unsized:
            self._found_bytes = total
            self._unsized = []
        return self._found_bytes

    def _header(self, index: int) -> "tuple[int, int, int] | None":
        header = super()._header(index)
        self._believe(index, header)
        return header

    def _believe(self, index: int, header: "tuple[int, int, int] | None") -> None:
        if header is not None and (header[0] != self._segments[index][0] or header[2] != self._cache_id):
            self._put_right()

    def _gap_before(self, index: int, skipped: int) -> int:
        if not self._is_sure:
            self._put_right()  # what is missing may have another name
        return super()._gap_before(index, skipped)

    def _remove(self, index: int) -> None:
        if not self._is_sure:
            header = None
            try:
                header = read_header(self._store, self._segments[index][1])
            except OSError as failure:
                if not is_unreadable(failure):
                    raise
            self._believe(index, header)
        self.found_bytes()
        super()._remove(index)

    def _mark_damaged(self) -> None:
        if self._noted:  # a name may change
            self.found_bytes()
        super()._mark_damaged()

    def _put_right(self) -> None:
        """Give all segments their own names. Raises OSError if one had another: then look again."""
        self.found_bytes()
        renamed = put_right(self._store, self._cache_id)
        self._is_sure = True
        if renamed:
            self._look_again()
            raise OSError("segments of the journal had wrong names")
