"""How much the cache may hold: messages, bytes of journal, and what must stay free on the device."""

from .contracts import Store
from .errors import CacheFull
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

    def check(self, count: int, wanted_bytes: int) -> None:
        """Is there room for ``count`` more, ``wanted_bytes`` in all? Raises CacheFull, or ValueError if never."""
        if self._messages_max and count > self._messages_max:
            raise ValueError("%d messages at once, cache_messages_max is %d" % (count, self._messages_max))
        if self._bytes_max and wanted_bytes + HEADER_BYTES > self._bytes_max:
            raise ValueError("%d bytes at once, cache_bytes_max is %d" % (wanted_bytes, self._bytes_max))
        unwritten_bytes = self._unwritten_bytes()
        waiting, messages, lacking_bytes = self._over(count, wanted_bytes, unwritten_bytes)
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
            words = "less than %d bytes are free, as free_bytes_min says" % self._free_bytes_min
            raise _full(words, count, wanted_bytes)
        self._spare_bytes -= wanted_bytes

    def lacks(self, count: int, wanted_bytes: int) -> "tuple[int, int]":
        """How many messages and how many bytes must go before there is room; none where it is 0 or less."""
        unwritten_bytes = self._unwritten_bytes()
        waiting, messages, lacking_bytes = self._over(count, wanted_bytes, unwritten_bytes)
        if messages > 0:
            messages += self._messages_max // _SLACK
        if waiting <= 0:
            lacking_bytes = 0  # the file that grows goes as well, see check()
        return messages, max(lacking_bytes, self._lacks_free(wanted_bytes, unwritten_bytes))

    def _held_bytes(self) -> int:
        return sum([lane.held_bytes() for lane in self._lanes])

    def _unwritten_bytes(self) -> int:
        return sum([lane.spool.unwritten_bytes() for lane in self._lanes])

    def _over(self, count: int, wanted_bytes: int, unwritten_bytes: int) -> "tuple[int, int, int]":
        """Messages that wait, and how far they and the bytes would go beyond their bounds."""
        waiting = sum([lane.waiting() for lane in self._lanes])
        messages = waiting + count - self._messages_max if self._messages_max else 0
        if not self._bytes_max:
            return waiting, messages, 0
        # A new file may have to be begun for it.
        return waiting, messages, self._held_bytes() + unwritten_bytes + wanted_bytes + HEADER_BYTES - self._bytes_max

    def _lacks_free(self, wanted_bytes: int, unwritten_bytes: int) -> int:
        if not self._free_bytes_min or wanted_bytes <= self._spare_bytes:
            return 0
        spare = self._store.free_bytes() - self._free_bytes_min - unwritten_bytes - wanted_bytes
        self._spare_bytes = max(0, spare // 2)  # before it is asked again: others write to the device, too
        return max(0, -spare)


def _full(words: str, count: int, wanted_bytes: int) -> CacheFull:
    full = CacheFull(_ENOSPC, words)
    full.count = count
    full.wanted_bytes = wanted_bytes
    return full
