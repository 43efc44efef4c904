"""The cache directory as a ``Store`` on littlefs.

``persistmq_core/contracts.py`` says what each call promises; here is how littlefs keeps it: what was flushed survives,
what was not is gone, and a file that is written and closed has its old content or its new one.
"""

import os

from persistmq_core.contracts import Store
from persistmq_core.limits import const

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from typing import BinaryIO

_FILE = const(0x8000)  # of os.ilistdir and os.stat
_PAYLOADS = "payloads/"
_ENOENT = const(2)
_ENOMEM = const(12)
_ENOTDIR = const(20)


class FileStore(Store):
    """Files under the directory ``path``, which is made if it is not there.

    Raises ValueError if the directory lies on FAT, where power loss takes what was synced; else OSError.
    """

    def __init__(self, path: str) -> None:
        from .directory import prepare  # noqa: PLC0415 - needed once

        self.path = path = path.rstrip("/") or "/"
        prepare(path)
        self._append_name = ""
        self._append_file = None
        self._append_bytes = 0
        self._read_name = ""
        self._read_file = None
        self._kept = {}  # name -> file: the checkpoints, written again and again

    def list(self, folder: str) -> "list[str]":
        try:
            return [folder + "/" + entry[0] for entry in os.ilistdir(self._full(folder)) if entry[1] == _FILE]
        except OSError as failure:
            if failure.errno in (_ENOENT, _ENOTDIR):
                return []
            raise

    def size(self, name: str) -> int:
        if name == self._append_name:
            return self._append_bytes  # os.stat knows what was synced only
        return os.stat(self._full(name))[6]

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        file = self._append_file
        if name != self._append_name:
            if name != self._read_name:
                self._close_read()
                self._read_file = self._open(name, "rb")
                self._read_name = name
            file = self._read_file
        file.seek(offset)
        return file.readinto(buffer)

    def append(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        # The handle stays open: closing and opening it again would read the folder and the last block each time. What
        # grows is read through it as well: each sync moves the last block, and another handle would go on reading the
        # old one, which may be given to another file.
        if name != self._append_name:
            self._forget(name)
            self._close_append()
            if name.startswith(_PAYLOADS):
                from .directory import make_folders  # noqa: PLC0415 - few boards have such

                make_folders(self._full(_PAYLOADS[:-1]))  # not before it is needed: a folder costs two blocks
            self._append_file = self._open(name, "a+b")
            self._append_bytes = self._append_file.seek(0, 2)
            self._append_name = name
        try:
            self._append_file.write(view)
        except OSError:
            self._close_append()  # littlefs syncs nothing more through a handle that failed
            raise
        self._append_bytes += len(view)

    def sync(self, name: str) -> None:
        if name != self._append_name:
            return  # it was closed, and so synced
        try:
            self._append_file.flush()
        except OSError:
            self._close_append()
            raise

    def replace(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        # Rewrite and flush is atomic, and costs 0.03 erases for what littlefs keeps inline. A checkpoint's handle stays
        # open; it cannot make the file shorter.
        file = self._kept.get(name)
        if file is None or file.seek(0, 2) != len(view):
            self._forget(name)
            file = self._open(name, "wb")
            self._kept[name] = file
        file.seek(0)
        try:
            file.write(view)
            file.flush()
        except OSError:
            self._forget(name)
            raise
        if "/" in name:
            self._forget(name)

    def move(self, name: str, new_name: str) -> None:
        self._forget(name)
        os.rename(self._full(name), self._full(new_name))

    def remove(self, name: str) -> None:
        self._forget(name)
        os.remove(self._full(name))

    def free_bytes(self) -> int:
        return max(0, self._free_blocks()) * os.statvfs(self.path)[0]

    def close(self) -> None:
        """Close the files. Any other call opens them again."""
        self._close_append()
        self._close_read()
        for name in list(self._kept):
            self._forget(name)

    def _full(self, name: str) -> str:
        return self.path + "/" + name

    def _open(self, name: str, mode: str) -> "BinaryIO":
        try:
            return open(self._full(name), mode)
        except MemoryError:
            raise OSError(_ENOMEM, "no memory for a file handle") from None

    def _free_blocks(self) -> int:
        # littlefs counts some blocks twice: a flash that is nearly full has less than none, which is a large number
        # where it is not taken for a signed one.
        figures = os.statvfs(self.path)
        return figures[4] if figures[4] <= figures[2] else figures[4] - (1 << 32)

    def _forget(self, name: str) -> None:
        if name == self._append_name:
            self._close_append()
        if name == self._read_name:
            self._close_read()
        _close(self._kept.pop(name, None))

    def _close_append(self) -> None:
        file = self._append_file
        self._append_file = None
        self._append_name = ""
        _close(file)

    def _close_read(self) -> None:
        file = self._read_file
        self._read_file = None
        self._read_name = ""
        if file is not None:
            file.close()


def _close(file: "BinaryIO | None") -> None:
    if file is not None:
        try:
            file.close()
        except OSError:
            pass  # what was synced stays, what was not has been reported
