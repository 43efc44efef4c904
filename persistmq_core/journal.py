"""The files of records. One side appends (Journal), the other reads and reclaims (JournalReader).

They share nothing but the files and three numbers that the reader is told: up to where records are durable, which
segment still grows, and how many numbers were skipped. So they can be two threads, two processes, or one task on a
board.
"""

from .contracts import Store
from .errors import is_unreadable
from .limits import READ_BYTES, READS_BEFORE_DAMAGED, const
from .record import Record
from .segment import (
    HEADER_BYTES,
    JOURNAL,
    RECORD,
    SegmentReader,
    encode_header,
    parse_name,
    quarantine,
    read_header,
    segment_name,
)

# What JournalReader.peek() found.
NOTHING = const(0)
MESSAGE = const(1)
GAP = const(2)


class Journal:
    """The appending side.

    ``end_seq``, ``active_seq`` and ``skipped`` move at commit only, ``end_seq`` last: so another thread reads it first.
    """

    def __init__(self, store: Store, segment_bytes_max: int, cache_id: int) -> None:
        self.end_seq = 0  # records before it are durable
        self.active_seq = 0  # first sequence number of the segment that grows, 0 while there is none
        self.skipped = 0  # sequence numbers below end_seq that are no accepted message
        self.appended_bytes = 0  # to all segments, since the cache was opened, and what was there
        # Of messages whose payload has a file, for who removes these; None: nobody here does.
        self.payload_seqs: list[int] | None = None
        self._store = store
        self._segment_bytes_max = segment_bytes_max
        self._cache_id = cache_id
        self._name = ""  # of the segment that grows; "" when it is sealed
        self._rolls = self._rolls_wanted = 0  # how often a new one was begun because of a limit, and is to be
        self._bytes = 0
        self._written = (0, 0)  # active_seq and skipped as they will be at commit
        self._litter = ""  # a new segment of which nothing is committed: if that failed it is to be removed
        self._untouched = ""  # the segment to which the last write should have gone, if it failed and left nothing

    def resume(self, end_seq: int, skipped: int, name: str, first_seq: int, size: int, held_bytes: int = 0) -> None:
        """Go on where recovery found the end. ``name`` is "" if the last segment must not grow."""
        self.appended_bytes = held_bytes
        self.end_seq = end_seq
        self.skipped = skipped
        self._name = name
        self.active_seq = first_seq
        self._bytes = size
        self._written = (first_seq, skipped)

    def write(
        self,
        frames: "bytes | bytearray",
        first_seq: int,
        more: "list[bytes | bytearray | memoryview] | list[bytes] | tuple[bytes, ...]" = (),
    ) -> None:
        """Append ``frames``, and ``more`` one by one, which are whole frames together, and sync them all once.

        On OSError the segment is sealed and nothing of it counts.
        """
        self._discard(self._litter)
        added = len(frames)
        for piece in more:
            added += len(piece)
        grown = self._bytes + added
        has_room = grown <= self._segment_bytes_max or self._bytes == HEADER_BYTES
        rolls = self._rolls_wanted
        name = active = self._name  # read once: another thread may seal it
        if not (active and has_room and self._rolls == rolls):
            self._rolls = rolls
            # Numbers of an aborted batch are never used again (its frames may be in the sealed segment).
            name = segment_name(first_seq, self._cache_id)
            header = encode_header(first_seq, self.skipped + first_seq - self.end_seq, self._cache_id)
            try:
                frames = header + frames
            except MemoryError:  # not in one piece: a board's heap has holes
                frames, more = header, [frames] + list(more)
            added += HEADER_BYTES
            grown = added
        self._untouched = ""
        self._name = ""  # sealed, unless all goes well: also if a signal ends this half way
        if name != active:
            self._litter = name
        try:
            self._store.append(name, frames)
            for piece in more:
                self._store.append(name, piece)
            self._store.sync(name)
        except OSError:
            try:
                self._discard(self._litter)
                if not self._litter and name == active:
                    size = self._store.size(name)
                    self.appended_bytes += size - self._bytes
                    if size == self._bytes:
                        self._untouched = name
            except OSError:
                pass  # and again before the next one is made
            raise
        if name != active:
            self._written = (first_seq, self.skipped + first_seq - self.end_seq)
        self._bytes = grown
        self.appended_bytes += added
        self._name = name

    def limit(self, segment_bytes_max: int, rolls: bool) -> None:
        """Of segments from now on; ``rolls``: what comes next begins one. By the reading side."""
        self._segment_bytes_max = segment_bytes_max
        self._rolls_wanted += rolls

    def seal(self) -> None:
        """What comes next begins a new segment."""
        self._name = ""

    def unseal(self) -> bool:
        """After a write that failed: go on in the same segment, if nothing at all of it stands there.

        Then its numbers may be given again. Else a full flash would be full of segments with one message each.
        """
        self._name = self._untouched
        return bool(self._name)

    def commit(self, end_seq: int) -> None:
        """What was written is durable: the reading side may have it."""
        self._litter = ""
        self.active_seq, self.skipped = self._written
        self.end_seq = end_seq

    def follow(self, end_seq: int, active_seq: int, skipped: int) -> None:
        """Somebody else appends, in another process, and has committed this: for the reading side there."""
        self.active_seq, self.skipped = active_seq, skipped
        self.end_seq = end_seq

    def _discard(self, name: str) -> None:
        # A new segment of which nothing was accepted. If it comes back after a power cut, the headers that follow say
        # that its numbers do not count.
        if name and name in self._store.list(JOURNAL):
            self._store.remove(name)
        self._litter = ""


class JournalReader:
    """The reading side: records in order, gaps named, damage kept for quarantine, finished segments reclaimed."""

    def __init__(self, store: Store, cache_id: int, read_bytes: int = READ_BYTES) -> None:
        self.record = Record()  # after MESSAGE: it
        self.gap_end = 0  # after GAP: the next number that can be read
        self.gap_skipped = 0  # skipped numbers below gap_end, as the journal counts them
        self.damaged_bytes = 0  # found since the start
        self.reclaimed_bytes = 0  # of the segments that were removed since the start
        self._store = store
        self._cache_id = cache_id
        self._read_bytes = read_bytes
        self._buffer: memoryview | None = None  # of the readers, one after the other
        self._segments: list[tuple[int, str]] = []  # (first seq, name), in order
        self._reader: SegmentReader | None = None
        self._index = 0  # of the segment being read
        self._limit = 0  # numbers from here on do not count in it; 0 while it grows
        self._noted: dict[int, int] = {}  # first number of a segment -> of its damage, already in damaged_bytes
        self.failures = 0  # how often in a row peek() failed for one number
        self._failed_seq = 0  # that number
        self._giving_up = False
        self._unreadable: list[int] = []  # first numbers of segments that hold bytes given up as unreadable

    def found_bytes(self) -> int:
        """Of segments whose sizes were not looked at when the cache was opened."""
        return 0

    def rewind(self) -> None:
        """The next peek() may ask for an earlier number, and finds nothing half read."""
        self._reader = None
        self.record.let_go()

    def gives_up(self, seq: int) -> bool:
        """The next peek() for ``seq`` takes bytes that do not read for damaged ones: reading them failed too often."""
        return seq == self._failed_seq and self.failures >= READS_BEFORE_DAMAGED

    def peek(self, seq: int, end_seq: int, active_seq: int, skipped: int) -> int:
        """Look for the record ``seq``: MESSAGE (see ``record``), GAP (it is not there; see ``gap_end``) or NOTHING yet.

        The other arguments are the journal's. Numbers asked for must not fall without rewind(). Raises OSError; then it
        may be asked again. Whatever else ends it, rewind() comes first.
        """
        # Nearly always it follows what was read last: then nothing else needs to be looked at. With one local name more
        # MicroPython would take memory from the heap for each call, as it does for ``_seek``.
        if (
            self._reader is not None
            and seq == self._reader.end_seq
            and seq < end_seq
            and (seq < self._limit or (self._limit == 0 and self._reader.first_seq == active_seq))
            and self._reader.next_in_buffer()
        ):
            return MESSAGE
        return self._seek(seq, end_seq, active_seq, skipped)

    def _seek(self, seq: int, end_seq: int, active_seq: int, skipped: int) -> int:
        self._giving_up = self.gives_up(seq)
        try:
            found = self._peek(seq, end_seq, active_seq, skipped)
        except OSError as failure:
            self._look_again()
            if is_unreadable(failure):
                self.failures = self.failures + 1 if seq == self._failed_seq else 1
                self._failed_seq = seq
            raise
        if seq == self._failed_seq:
            self.failures = 0
        return found

    def _look_again(self) -> None:
        # A segment that was being made and failed may be gone by now, another may have a new name.
        self._segments = []
        self._index = 0
        self.rewind()

    def _peek(self, seq: int, end_seq: int, active_seq: int, skipped: int) -> int:
        while seq < end_seq:
            reader = self._reader
            if reader is None:
                self._enter(seq, active_seq)
                if self._reader is None:
                    return self._gap(end_seq, skipped)
                continue
            reader.reads_around = self._giving_up or reader.first_seq in self._unreadable
            if self._limit == 0 and reader.first_seq != active_seq:
                self._seal()
                if self._reader is None:
                    continue  # the file is gone: another reader was done with it
            if seq < reader.first_seq:
                return self._gap_before(self._index, skipped)
            limit = self._limit or end_seq
            while (reader.record is None or reader.record.seq < seq) and reader.end_seq < limit:
                found = reader.next()
                if reader.unreadable_end:
                    self._give_up(reader.first_seq)
                if reader.damaged_bytes:
                    self._note_damage(reader.damaged_bytes)
                if found != RECORD:
                    break
            if reader.record is not None and seq <= reader.record.seq < limit:
                if reader.record.seq == seq:
                    return MESSAGE
                return self._gap(reader.record.seq, 0)  # inside a segment numbers are contiguous: all of these are lost
            if seq < limit:
                self._note_damage(reader.damaged_bytes + reader.tail_bytes)
            if self._index + 1 == len(self._segments):
                return self._gap(end_seq, skipped)
            if seq < self._segments[self._index + 1][0]:
                return self._gap_before(self._index + 1, skipped)
            self._reader = None
        return NOTHING

    def _gap(self, gap_end: int, gap_skipped: int) -> int:
        self.gap_end = gap_end
        self.gap_skipped = gap_skipped
        return GAP

    def _gap_before(self, index: int, skipped: int) -> int:
        """Numbers are missing before a segment. If its header does not read, the next that does bounds the skipped."""
        gap_end = self._segments[index][0]
        while index < len(self._segments):
            header = self._header(index)
            if header:
                return self._gap(gap_end, header[1])
            index += 1
        return self._gap(gap_end, skipped)

    def _header(self, index: int) -> "tuple[int, int, int] | None":
        first_seq, name = self._segments[index]
        may_give_up = self._giving_up or first_seq in self._unreadable
        # More hangs on it than on a record, and this may be the first time that it fails.
        for _ in range(READS_BEFORE_DAMAGED):
            try:
                return read_header(self._store, name)
            except OSError as failure:
                if not may_give_up or not is_unreadable(failure):
                    raise
        self._give_up(first_seq)
        return None

    def _give_up(self, first_seq: int) -> None:
        # Remembered, so that each new connection does not wait for the same place again.
        if first_seq not in self._unreadable:
            self._unreadable.append(first_seq)

    def could_reclaim(self, cursor: int) -> bool:
        """Some segment would go if this cursor were durable."""
        segments = self._segments
        return len(segments) > 1 and segments[1][0] <= cursor

    def reclaim(self, durable_cursor: int, first_seq: int = 0, end_seq: int = 0) -> None:
        """Remove the segments that are wholly behind the durable cursor, or between the other two numbers.

        Those with damage go to quarantine. One that cannot be removed keeps none of the others: the first failure is
        raised at the end.
        """
        if not self._segments:
            self._list()
        failure = None
        index = 0
        while index + 1 < len(self._segments):
            first, next_first = self._segments[index][0], self._segments[index + 1][0]
            if next_first <= durable_cursor or (first_seq <= first and next_first <= end_seq):
                try:
                    self._remove(index)
                except OSError as error:
                    failure = failure or error
                    index += 1
            elif first >= end_seq:
                break
            else:
                index += 1
        if failure is not None:
            self._look_again()
            raise failure

    def _remove(self, index: int) -> None:
        first_seq, name = self._segments[index]
        try:
            size = self._store.size(name)
        except OSError:
            size = 0  # not even that reads
        if name.endswith(".bad") or first_seq in self._noted:
            quarantine(self._store, name)
        else:
            self._store.remove(name)
        self.reclaimed_bytes += size
        self._segments.pop(index)
        self._noted.pop(first_seq, None)
        if first_seq in self._unreadable:
            self._unreadable.remove(first_seq)
        if index == self._index:
            self._reader = None
        elif index < self._index:
            self._index -= 1

    def runs(self, seq: int, end_seq: int, active_seq: int, skipped: int) -> "list[tuple[int, int, int, int, int]]":
        """What the segments hold from ``seq`` on. The other arguments are the journal's.

        (first number, end, next first number, skipped numbers below that, bytes; 0 of the one that grows). Numbers from
        the end to the next first one were skipped; where a header does not read, nobody knows of any. Raises OSError.
        """
        self._list()
        found = []
        next_head: tuple[int, int, int] | None = None
        for index in range(len(self._segments)):
            first_seq, name = self._segments[index]
            head = next_head
            if first_seq == active_seq:
                if seq < end_seq:
                    end = _end_of(first_seq, head or self._header(index), end_seq, skipped)
                    found.append((first_seq, end, end_seq, skipped, 0))
                break
            if index + 1 == len(self._segments):
                break  # of this one nothing counts yet
            next_head = None
            next_first = self._segments[index + 1][0]
            if next_first <= seq:
                continue
            next_head = self._header(index + 1)
            next_skipped = next_head[1] if next_head else -1
            end = _end_of(first_seq, head or self._header(index), next_first, next_skipped)
            found.append((first_seq, end, next_first, next_skipped, self._store.size(name)))
        return found

    def _list(self) -> None:
        found = []
        for name in self._store.list(JOURNAL):
            parsed = parse_name(name)
            if parsed is not None and parsed[1] == self._cache_id:
                found.append((parsed[0], name))
        found.sort()
        self._segments = found
        if self._reader is not None:
            for index, (first_seq, _) in enumerate(found):
                if first_seq == self._reader.first_seq:
                    self._index = index
                    return
            self._reader = None

    def _enter(self, seq: int, active_seq: int) -> None:
        """Open the segment that should hold ``seq``, or else the first one."""
        if not self._segments or self._segments[-1][0] != active_seq:
            self._list()
        if not self._segments:
            return
        index = 0
        while index + 1 < len(self._segments) and self._segments[index + 1][0] <= seq:
            index += 1
        first_seq, name = self._segments[index]
        cache_id, read_bytes = self._cache_id, self._read_bytes
        reader = SegmentReader(self._store, name, first_seq, cache_id, read_bytes, self._buffer, self.record)
        self._buffer = reader.buffer
        self._reader = reader
        self._index = index
        self._limit = 0
        if first_seq != active_seq:
            self._seal()

    def _seal(self) -> None:
        """The segment being read no longer grows: find the first number that does not count in it.

        Behind that stand only frames of a batch that was aborted; the next header says how many.
        """
        if self._index + 1 >= len(self._segments):
            self._list()
        if self._reader is None or self._index + 1 >= len(self._segments):
            return
        next_head = self._header(self._index + 1)
        next_skipped = next_head[1] if next_head else -1
        first_seq, next_first = self._segments[self._index][0], self._segments[self._index + 1][0]
        self._limit = _end_of(first_seq, self._header(self._index), next_first, next_skipped)
        self._mark_damaged()

    def _note_damage(self, count: int) -> None:
        """``count`` bytes of the segment being read are damaged, those already noted included."""
        first_seq = self._segments[self._index][0]
        noted = self._noted.get(first_seq, 0)
        if count > noted:
            self.damaged_bytes += count - noted
            self._noted[first_seq] = count
            self._mark_damaged()

    def _mark_damaged(self) -> None:
        # A segment is kept whole for its damaged bytes. The mark is in its name, so that it outlives a restart; one
        # that still grows keeps its name until it is sealed.
        first_seq, name = self._segments[self._index]
        if self._reader is not None and self._limit and first_seq in self._noted and not name.endswith(".bad"):
            marked = segment_name(first_seq, self._cache_id, "bad")
            self._store.move(name, marked)
            self._segments[self._index] = (first_seq, marked)
            self._reader.name = marked


def _end_of(first_seq: int, head: "tuple[int, int, int] | None", next_first: int, next_skipped: int) -> int:
    """The first number that does not count in a segment that no longer grows; ``next_skipped``: -1 if nobody knows."""
    if head is None or next_skipped < 0:
        return next_first
    return max(first_seq, next_first - max(0, next_skipped - head[1]))
