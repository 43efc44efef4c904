"""The write-list store with a window to look through, so that the laws need not copy the disk at every step."""

from tests.support.stored_file import StoredFile
from tests.support.write_list_store import WriteListStore


class Disk(WriteListStore):
    """``watch(call, name, argument)`` is called before each call of the program counts."""

    def __init__(self) -> None:
        super().__init__()
        self.watch = None
        self.reads = None  # set to {}: name -> how many reads

    def _begin(self, call: str, name: str, argument: "object" = b"") -> "tuple[int, int] | None":
        if self.watch is not None:
            self.watch(call, name, argument)
        if self.reads is not None and call == "read":
            self.reads[name] = self.reads.get(name, 0) + 1
        return super()._begin(call, name, argument)

    def names(self, folder: str) -> "list[str]":
        """Names that begin with ``folder``, sorted (MicroPython's dictionaries have no order)."""
        return sorted([name for name in self._files if name.startswith(folder)])

    def content(self, name: str) -> "bytearray | None":
        """The bytes themselves: to look at, not to keep."""
        file = self._files.get(name)
        return None if file is None else file.content

    def peep(self, call: "object", *arguments: object) -> object:
        """``call(disk, ...)`` reads, and nobody notices."""
        watch, steps, crash_at = self.watch, self.steps, self.crash_at
        self.watch = self.crash_at = None
        found = call(self, *arguments)
        self.watch, self.steps, self.crash_at = watch, steps, crash_at
        return found

    def is_quiet(self) -> bool:
        """No write, name or removal waits for a sync: a power cut now would change nothing."""
        files = list(self._files.values())
        return not (self._removed or [file for file in files if file.waiting or not file.named])

    def interrupt(self, call: str, name: str, argument: "object", fate: str) -> None:
        """As if the power had failed inside this call; ``power_up`` follows."""
        self._interrupted = (call, name, argument if isinstance(argument, str) else bytes(argument))
        self.crash_fate = fate

    def copy(self) -> "Disk":
        """Another disk with the same bytes, the same of them waiting, and the same capacity; orders are not copied."""
        other = Disk()
        other.capacity_bytes = self.capacity_bytes
        other.steps = self.steps
        other._removed = [(name, _copy_of(file)) for name, file in self._removed]
        other._files = {name: _copy_of(self._files[name]) for name in self._files}
        return other


def _copy_of(file: StoredFile) -> StoredFile:
    other = StoredFile(file.content, file.named)
    other.waiting = list(file.waiting)
    other.failed = file.failed
    other._doubtful = file._doubtful
    return other
