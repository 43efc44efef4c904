"""The cache directory as a ``Store``: files that are appended to, synced, and replaced in place.

``persistmq_core/contracts.py`` says what each call promises; here is how Linux is made to keep it.
"""

import errno
import os
import stat
import threading

from persistmq_core.contracts import Store

from . import directory
from .directory import FILE_MODE, FOLDER_MODE, sync_folder

_FOLDERS = ("journal", "payloads", "dead", "quarantine")
_CHECKPOINTS = ("checkpoint.0", "checkpoint.1")
# O_NONBLOCK: a FIFO under one of our names gives an error and does not hang; regular files do not know it.
# O_NOFOLLOW: a link under one of our names does not lead a write out of the cache.
_OPEN_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
# The size is metadata that fdatasync does write, so nothing is lost by it; some systems do not have it.
_sync_bytes = getattr(os, "fdatasync", os.fsync)


class FileStore(Store):
    """Files under the directory ``path``, which is made if it is not there.

    Whatever stands where a file or folder of the cache belongs and is none is moved to ``quarantine/``, not removed.
    Raises NotADirectoryError if ``path`` is a file, PermissionError if it cannot be written to, else OSError.

    One thread may append to the journal and sync it while others do everything else: the two have a file descriptor
    each. Payloads may be appended to by any number of threads, one for each.
    """

    cache_type = "flat"

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self.path = os.path.abspath(os.fspath(path))  # the working directory may change later
        self._is_closed = False
        # Of the appending thread. Only the one flag is written by the other side, in remove and move.
        self._append_name = ""
        self._append_fd = -1
        self._append_name_is_gone = False
        self._append_name_is_durable = False
        # Of everybody else.
        self._read_lock = threading.Lock()
        self._read_name = ""
        self._read_fd = -1
        self._kept: dict[str, int] = {}  # descriptors of checkpoints, whose names are durable by this object's doing
        self._make_folders()

    def list(self, folder: str) -> "list[str]":
        try:
            with os.scandir(self._full(folder)) as entries:
                return [folder + "/" + entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def size(self, name: str) -> int:
        return os.stat(self._full(name), follow_symlinks=False).st_size

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        with self._read_lock:
            if name != self._read_name:
                self._forget_read()
                self._read_fd = self._open(name, os.O_RDONLY)
                self._read_name = name
            count = 0
            while count < len(buffer):
                got = os.preadv(self._read_fd, [buffer[count:]], offset + count)
                if got == 0:
                    break
                count += got
            return count

    def append(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        if name.startswith("payloads/"):  # in large pieces, and by several threads: no descriptor is kept
            fd = self._open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                _write_all(fd, view)
            finally:
                os.close(fd)
            return
        if name != self._append_name or self._append_name_is_gone:
            self._forget_append()
            self._append_fd = self._open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self._append_name = name
        _write_all(self._append_fd, view)

    def sync(self, name: str) -> None:
        if name != self._append_name:
            self._sync_other(name)
            return
        _sync_bytes(self._append_fd)
        if os.fstat(self._append_fd).st_nlink == 0:
            # Somebody cleared the directory under us. To say "durable" now would be a lie.
            self._forget_append()
            raise FileNotFoundError(errno.ENOENT, "removed while it was being written", self._full(name))
        if not self._append_name_is_durable:
            self._sync_folder_of(name)
            self._append_name_is_durable = True

    def replace(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        # In place, and not by a new file and a rename: that costs a second sync and a journal commit of the file
        # system for each checkpoint. The core keeps two and knows a torn one.
        fd = self._kept.get(name, -1)
        if fd >= 0 and os.fstat(fd).st_nlink == 0:  # somebody cleared the directory under us
            self._forget_kept(name)
            fd = -1
        if fd >= 0:
            _overwrite(fd, view)
            return
        fd = self._open(name, os.O_RDWR | os.O_CREAT)
        try:
            _overwrite(fd, view)
            self._sync_folder_of(name)
        except BaseException:
            os.close(fd)
            raise
        if name in _CHECKPOINTS:
            self._kept[name] = fd
        else:
            os.close(fd)

    def move(self, name: str, new_name: str) -> None:
        new_path = self._full(new_name)
        os.makedirs(os.path.dirname(new_path), FOLDER_MODE, exist_ok=True)
        if os.path.lexists(new_path):
            # rename would overwrite it, and what lies in quarantine is the only copy.
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_path)
        os.rename(self._full(name), new_path)
        self._forget(name)
        self._sync_folder_of(new_name)
        self._sync_folder_of(name)

    def remove(self, name: str) -> None:
        os.unlink(self._full(name))
        self._forget(name)

    def free_bytes(self) -> int:
        figures = os.statvfs(self.path)
        return figures.f_bavail * figures.f_frsize  # not f_bfree: the reserve is the superuser's

    def close(self) -> None:
        """Close the files. A second call does nothing; any other call then raises OSError (EBADF) or works."""
        self._is_closed = True
        self._forget_append()
        for name in _CHECKPOINTS:
            self._forget_kept(name)
        with self._read_lock:
            self._forget_read()

    def _full(self, name: str) -> str:
        return self.path + "/" + name

    def _open(self, name: str, flags: int) -> int:
        if self._is_closed:
            raise OSError(errno.EBADF, "the store is closed", self._full(name))
        fd = os.open(self._full(name), flags | _OPEN_FLAGS, FILE_MODE)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", self._full(name))
        return fd

    def _forget(self, name: str) -> None:
        """``name`` is no longer the file that a descriptor or a note of ours is about."""
        self._forget_kept(name)
        if name == self._append_name:
            # Only told: closing it here could pull the descriptor away under the thread that writes to it.
            self._append_name_is_gone = True
        with self._read_lock:
            if name == self._read_name:
                self._forget_read()

    def _forget_append(self) -> None:
        # Forgotten first: a signal that ends this half way must not leave a number that is closed twice.
        fd, self._append_fd = self._append_fd, -1
        if fd >= 0:
            os.close(fd)
        self._append_name = ""
        self._append_name_is_gone = False
        self._append_name_is_durable = False

    def _forget_kept(self, name: str) -> None:
        fd = self._kept.pop(name, -1)
        if fd >= 0:
            os.close(fd)

    def _forget_read(self) -> None:
        fd, self._read_fd = self._read_fd, -1
        if fd >= 0:
            os.close(fd)
        self._read_name = ""

    def _sync_other(self, name: str) -> None:
        fd = self._open(name, os.O_RDONLY)
        try:
            _sync_bytes(fd)
        finally:
            os.close(fd)
        self._sync_folder_of(name)

    def _sync_folder_of(self, name: str) -> None:
        sync_folder(os.path.dirname(self._full(name)))

    def _make_folders(self) -> None:
        directory.make(self.path)
        for name in _FOLDERS:
            directory.make_folder(self.path, name)
        for name in _CHECKPOINTS:
            directory.clear_for_file(self.path, name)
        for folder in ("journal", "payloads", "dead"):
            # A folder named like the next segment would make each append fail, for ever.
            with os.scandir(self._full(folder)) as entries:
                odd = [entry.name for entry in entries if not entry.is_file(follow_symlinks=False)]
            for name in odd:
                directory.clear_for_file(self.path, folder + "/" + name)
        sync_folder(self.path)


def _write_all(fd: int, view: "bytes | bytearray | memoryview") -> None:
    rest = memoryview(view)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _overwrite(fd: int, view: "bytes | bytearray | memoryview") -> None:
    rest = memoryview(view)
    offset = 0
    while rest:
        count = os.pwrite(fd, rest, offset)
        offset += count
        rest = rest[count:]
    if os.fstat(fd).st_size > offset:
        os.ftruncate(fd, offset)
    _sync_bytes(fd)
