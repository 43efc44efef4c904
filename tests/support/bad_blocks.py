"""A disk of which some places cannot be read, for ever or until it is repaired."""

from .write_list_store import EIO, WriteListStore


class BadBlockStore(WriteListStore):
    """``spoil`` makes a range of a file unreadable; it stays so under the file's new names, as the blocks do."""

    def __init__(self) -> None:
        WriteListStore.__init__(self)
        self.errno = EIO
        self.reads_failed = 0
        self._bad = {}  # name -> [(start, end)]

    def spoil(self, name: str, start: int, end: "int | None" = None) -> None:
        """Bytes ``start`` to ``end`` (None: however long it grows) do not read."""
        self._bad.setdefault(name, []).append((start, 1 << 60 if end is None else end))

    def repair(self) -> None:
        self._bad = {}

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        count = WriteListStore.read(self, name, offset, buffer)
        for start, end in self._bad.get(name, ()):
            if count and offset < end and start < offset + count:
                self.reads_failed += 1
                raise OSError(self.errno, "read of " + name)
        return count

    def move(self, name: str, new_name: str) -> None:
        WriteListStore.move(self, name, new_name)
        if name in self._bad:
            self._bad[new_name] = self._bad.pop(name)

    def remove(self, name: str) -> None:
        WriteListStore.remove(self, name)
        self._bad.pop(name, None)
