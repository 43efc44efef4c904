"""A process that dies at a given one of its calls to the file system, by a kill or by a power cut.

``DyingOs(cut, folder, power_cut).install()`` in a child process: the call number ``cut`` that changes something below
``folder`` is its last one; of a write half is done. A power cut also takes back what was not synced: bytes of files and
names in folders. (SQLite's own calls are not seen. Its statements that change something are calls here, and a database
is what it is when the process is killed.)
"""

import os
import sqlite3
from collections.abc import Callable
from typing import Any

from persistmq import sqlite_store, store

DEAD = 9  # exit status
_CALLS = ("open", "write", "pwrite", "ftruncate", "fsync", "fdatasync", "rename", "unlink", "rmdir", "mkdir")


class DyingOs:
    def __init__(self, cut: int, folder: str, power_cut: bool) -> None:
        self._left = cut
        self._folder = os.path.realpath(folder)
        self._power_cut = power_cut
        self._is_over = False
        # What a power cut takes back: the synced content of files that were written to since, and steps that undo what
        # was done to names, each with the folders that have to be synced for it.
        self._synced: dict[str, bytes] = {}
        self._steps: list[tuple[set[str], Callable[[], object]]] = []
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in _CALLS}

    def install(self) -> None:
        for name in self._real:
            setattr(os, name, getattr(self, "_" + name))
        store._sync_bytes = self._fdatasync
        connect = sqlite_store.connect
        sqlite_store.connect = lambda path: _DyingConnection(connect(path), self)  # type: ignore[assignment]

    def step(self) -> bool:
        """One more call; True if it is the last."""
        self._left -= 1
        return self._left < 0

    def die(self) -> None:
        if self._power_cut:
            for _, undo in reversed(self._steps):
                undo()
            for path, content in self._synced.items():
                if os.path.exists(path):
                    self._put(path, content)
        os._exit(DEAD)

    # --- calls ---

    def _open(self, path: Any, flags: int, *rest: Any, **options: Any) -> int:
        full = self._full(path)
        if full is None or options or not flags & (os.O_CREAT | os.O_TRUNC):
            return int(self._real["open"](path, flags, *rest, **options))
        if self.step():
            self.die()
        was_there = os.path.lexists(full)
        if was_there and flags & os.O_TRUNC:
            self._remember(full)
        fd = int(self._real["open"](path, flags, *rest))
        if not was_there:
            self._steps.append(({os.path.dirname(full)}, lambda: os.path.lexists(full) and self._real["unlink"](full)))
        return fd

    def _write(self, fd: int, content: Any) -> int:
        return self._written(fd, content, lambda part: self._real["write"](fd, part))

    def _pwrite(self, fd: int, content: Any, offset: int) -> int:
        return self._written(fd, content, lambda part: self._real["pwrite"](fd, part, offset))

    def _written(self, fd: int, content: Any, call: Callable[[Any], int]) -> int:
        path = self._path(fd)
        if path is None:
            return call(content)
        self._remember(path)
        if self.step():
            call(memoryview(content)[: len(content) // 2])
            self.die()
        return call(content)

    def _ftruncate(self, fd: int, size: int) -> None:
        path = self._path(fd)
        if path is not None:
            self._remember(path)
            if self.step():
                self.die()
        self._real["ftruncate"](fd, size)

    def _fsync(self, fd: int) -> None:
        path = self._path(fd)
        if path is not None and self.step():
            self.die()
        self._real["fsync"](fd)
        if path is None:
            return
        self._synced.pop(path, None)
        for folders, _ in self._steps:
            folders.discard(path)
        self._steps = [step for step in self._steps if step[0]]

    _fdatasync = _fsync

    def _rename(self, old: Any, new: Any) -> None:
        old_path, new_path = self._full(old), self._full(new)
        if old_path is None or new_path is None:
            self._real["rename"](old, new)
            return
        if self.step():
            self.die()
        was = self._content(new_path)
        self._real["rename"](old_path, new_path)
        self._synced.pop(new_path, None)
        if old_path in self._synced:
            self._synced[new_path] = self._synced.pop(old_path)

        def undo() -> None:
            if os.path.lexists(new_path):
                self._real["rename"](new_path, old_path)
                if was is not None:
                    self._put(new_path, was)

        self._steps.append(({os.path.dirname(old_path), os.path.dirname(new_path)}, undo))

    def _unlink(self, path: Any, **options: Any) -> None:
        full = self._full(path)
        if full is None or options:
            self._real["unlink"](path, **options)
            return
        if self.step():
            self.die()
        content = self._synced.pop(full, self._content(full)) or b""
        self._real["unlink"](full)
        self._steps.append(({os.path.dirname(full)}, lambda: self._put(full, content)))

    def _mkdir(self, path: Any, *rest: Any, **options: Any) -> None:
        self._folder_call("mkdir", path, *rest, **options)

    def _rmdir(self, path: Any, **options: Any) -> None:
        self._folder_call("rmdir", path, **options)

    def _folder_call(self, name: str, path: Any, *rest: Any, **options: Any) -> None:
        if self._full(path) is not None and self.step():
            self.die()
        self._real[name](path, *rest, **options)

    # --- files ---

    def _full(self, path: Any) -> str | None:
        """None for what is not below the folder, or not to be cut."""
        if not isinstance(path, (str, os.PathLike)):
            return None
        full = os.path.join(os.path.realpath(os.path.dirname(os.fspath(path))), os.path.basename(os.fspath(path)))
        return full if full.startswith(self._folder + "/") or full == self._folder else None

    def _path(self, fd: int) -> str | None:
        return self._full(os.readlink("/proc/self/fd/%d" % fd)) if fd > 2 else None

    def _content(self, path: str) -> bytes | None:
        if not os.path.isfile(path):
            return None
        fd = self._real["open"](path, os.O_RDONLY)
        try:
            return os.read(fd, 1 << 28)
        finally:
            os.close(fd)

    def _remember(self, path: str) -> None:
        if path not in self._synced:
            self._synced[path] = self._content(path) or b""

    def _put(self, path: str, content: bytes) -> None:
        fd = self._real["open"](path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        self._real["write"](fd, content)
        os.close(fd)


class _DyingConnection:
    def __init__(self, connection: sqlite3.Connection, dying: DyingOs) -> None:
        self._connection = connection
        self._dying = dying

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        if statement.startswith(("INSERT", "DELETE", "COMMIT", "CREATE")) and self._dying.step():
            self._dying.die()
        return self._connection.execute(statement, *arguments)
