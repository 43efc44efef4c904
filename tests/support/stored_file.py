"""One file of the write-list store: its bytes, and which of them wait for a sync."""

from . import power_loss


class StoredFile:
    """Made empty and without a durable name, as by a first append."""

    def __init__(self, content: "bytes | bytearray | memoryview" = b"", named: bool = False) -> None:
        self.content = bytearray(content)
        self.named = named  # the name itself is durable
        self.waiting = []  # (start, end) of each unsynced write, ascending
        self.failed = ""  # the call that failed on this file: PORTING.md says the caller leaves it alone then
        self._doubtful = 0  # so many waiting writes saw a sync fail

    def append(self, view: "bytes | bytearray | memoryview") -> None:
        """Add a write that waits."""
        start = len(self.content)
        self.content += view
        if len(view):
            self.waiting.append((start, len(self.content)))

    def sync(self) -> None:
        """Nothing waits any more, but for writes whose sync has failed once: their pages count as clean."""
        self.waiting = self.waiting[: self._doubtful]

    def sync_failed(self) -> None:
        """What waits now stays readable and is never saved by a later sync."""
        self.failed = "sync"
        self._doubtful = len(self.waiting)

    def synced_bytes(self) -> int:
        """How many bytes at the beginning survive a power cut, if the name does."""
        return self.waiting[0][0] if self.waiting else len(self.content)

    def lose_power(self, rng: "object", fate: "str | None") -> None:
        """Let ``power_loss`` happen to what waits."""
        fates = power_loss.choose(len(self.waiting), rng, fate)
        self.content = power_loss.surviving(self.content, self.waiting, fates, rng)

    def settle(self) -> None:
        """As a program finds it that starts now: all of it is on the disk."""
        self.named = True
        self.waiting = []
        self.failed = ""
        self._doubtful = 0

    def torn_replace(self, new: bytes, rng: "object") -> bytearray:
        """What a replace that was cut in the middle leaves: neither this content nor the new."""
        count = rng.below(len(new) + 1)
        kind = rng.below(4)
        if kind == 0:
            return bytearray(new[:count])
        if kind == 1:  # overwritten in place, and broken off
            return bytearray(new[:count]) + self.content[count:]
        if kind == 2:
            return rng.garbage(len(new))
        return bytearray()
