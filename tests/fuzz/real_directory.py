"""A damaged cache as files on this machine's disk, under the CPython port's own store."""

import shutil
from pathlib import Path
from types import TracebackType

from persistmq.store import FileStore

from tests.support.write_list_store import EIO

from .mutations import Damaged


class UnreadableFiles(FileStore):
    """Some ranges of some files raise EIO; they do so under the files' new names too."""

    def __init__(self, path: Path, unreadable: list[tuple[str, int, int]]) -> None:
        self._unreadable = unreadable
        super().__init__(path)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        count = super().read(name, offset, buffer)
        for bad_name, start, end in self._unreadable:
            if count and bad_name == name and offset < end and start < offset + count:
                raise OSError(EIO, "read of " + name)
        return count

    def move(self, name: str, new_name: str) -> None:
        super().move(name, new_name)
        self._unreadable = [(new_name if bad == name else bad, start, end) for bad, start, end in self._unreadable]

    def remove(self, name: str) -> None:
        super().remove(name)
        self._unreadable = [place for place in self._unreadable if place[0] != name]


class RealDirectory:
    """``path`` with all that is in it, for a ``with`` block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: FileStore | None = None

    def lay(self, damaged: Damaged) -> FileStore:
        for name, content in damaged.files.items():
            (self._path / name).parent.mkdir(parents=True, exist_ok=True)
            (self._path / name).write_bytes(content)
        for name in damaged.directories:
            if name not in damaged.files:
                (self._path / name).mkdir(parents=True, exist_ok=True)
        self._store = UnreadableFiles(self._path, damaged.unreadable)
        return self._store

    def __enter__(self) -> "RealDirectory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            self._store.close()
        shutil.rmtree(self._path)
