"""How much the cache may hold: messages, bytes of journal, and what must stay free on the device."""

from .contracts import Store
from .errors import CacheFull, StoreError
from .lane import Lane
from .limits import const
from .segment import HEADER_BYTES
from .spool import Bounds

_ENOSPC = const(28)
_SLACK = const(100)  # a hundredth goes beyond what must, so that not every publish() costs an eviction


class Room(Bounds):
    """Asked by the publishing side before a message is staged, in whichever lane. A bound of 0 is none.

    Bytes are those of the journal's files. A file goes when all of it is settled: until then settled messages count.
    """

    def __init__(
        self, store: Store, lanes: "list[Lane]", bytes_max: int, messages_max: int, free_bytes_min: int
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._bytes_max = bytes_max
        self._messages_max = messages_max
        self._free_bytes_min = free_bytes_min
        self._spare_bytes = 0  # may be written before the device is asked again

    def reserve(self, count: int, wanted_bytes: int) -> None:
        """Keep room for ``count`` more, ``wanted_bytes`` in all. Raises CacheFull, or ValueError if never."""
        if self._messages_max and count > self._messages_max:
            raise ValueError("%d messages at once, cache_messages_max is %d" % (count, self._messages_max))
        if self._bytes_max and wanted_bytes + HEADER_BYTES > self._bytes_max:
            raise ValueError("%d bytes at once, cache_bytes_max is %d" % (wanted_bytes, self._bytes_max))
        unwritten_bytes = self._unwritten_bytes()
        waiting = self._waiting()
        messages = self._messages_over(waiting + count)
        lacking_bytes = self._bytes_over(unwritten_bytes + wanted_bytes)
        if messages > 0:
            words = "%d messages wait, cache_messages_max is %d" % (waiting, self._messages_max)
            raise _full(words, count, wanted_bytes)
        if lacking_bytes > 0:
            if waiting > 0:
                words = "the cache holds %d bytes, cache_bytes_max is %d" % (self._held_bytes(), self._bytes_max)
                raise _full(words, count, wanted_bytes)
            for lane in self._lanes:
                lane.journal.seal()  # all of it is settled: the file that grows can go, too
        if self._lacks_free(wanted_bytes, unwritten_bytes):
            found = (self._free_bytes(), self._free_bytes_min, unwritten_bytes + wanted_bytes)
            raise _full("%d bytes are free, free_bytes_min is %d: no room for %d" % found, count, wanted_bytes)
        self._spare_bytes -= wanted_bytes

    def lacks(self, count: int, wanted_bytes: int) -> "tuple[int, int]":
        """How many messages and how many bytes must go before there is room; none where it is 0 or less."""
        unwritten_bytes = self._unwritten_bytes()
        waiting = self._waiting()
        messages = self._messages_over(waiting + count)
        lacking_bytes = self._bytes_over(unwritten_bytes + wanted_bytes)
        if messages > 0:
            messages += self._messages_max // _SLACK
        if waiting <= 0:
            lacking_bytes = 0  # the file that grows goes as well, see reserve()
        return messages, max(lacking_bytes, self._lacks_free(wanted_bytes, unwritten_bytes))

    # Loops, and no lists: this is asked for each message of a board.

    def _held_bytes(self) -> int:
        held_bytes = 0
        for lane in self._lanes:
            held_bytes += lane.held_bytes()
        return held_bytes

    def _unwritten_bytes(self) -> int:
        unwritten_bytes = 0
        for lane in self._lanes:
            unwritten_bytes += lane.spool.unwritten_bytes()
        return unwritten_bytes

    def _waiting(self) -> int:
        waiting = 0
        for lane in self._lanes:
            waiting += lane.waiting()
        return waiting

    def _messages_over(self, messages: int) -> int:
        """How many of them would be beyond the bound."""
        return messages - self._messages_max if self._messages_max else 0

    def _bytes_over(self, more_bytes: int) -> int:
        """How many bytes would be beyond the bound, if a new file has to be begun for them."""
        return self._held_bytes() + more_bytes + HEADER_BYTES - self._bytes_max if self._bytes_max else 0

    def _lacks_free(self, wanted_bytes: int, unwritten_bytes: int) -> int:
        if not self._free_bytes_min or wanted_bytes <= self._spare_bytes:
            return 0
        spare = self._free_bytes() - self._free_bytes_min - unwritten_bytes - wanted_bytes
        self._spare_bytes = max(0, spare // 2)  # before it is asked again: others write to the device, too
        return max(0, -spare)

    def _free_bytes(self) -> int:
        try:
            return self._store.free_bytes()
        except OSError as failure:
            words = "nobody knows how much is free: %s" % failure
            raise StoreError(failure.args[0] if failure.args else 0, words)  # noqa: B904 - portable


def _full(words: str, count: int, wanted_bytes: int) -> CacheFull:
    full = CacheFull(_ENOSPC, words)
    full.count = count
    full.wanted_bytes = wanted_bytes
    return full
