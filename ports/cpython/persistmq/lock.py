"""One user of a cache directory at a time: two clients on one journal would send everything twice."""

import errno
import fcntl
import os
import threading
from types import TracebackType

from persistmq_core.errors import PersistError

_LOCK_NAME = "lock"


class CacheInUse(PersistError):
    """The cache directory ``path`` is another client's. ``pid`` is the holder's process, 0 if it is not known."""

    def __init__(self, path: str, pid: int) -> None:
        self.path = path
        self.pid = pid
        if pid == os.getpid():
            holder = "by another client in this process (%d)" % pid
        elif pid:
            holder = "by process %d" % pid
        else:
            holder = "by another process"
        super().__init__("the cache %s is in use %s" % (path, holder))


class CacheLock:
    """The right to use the cache directory ``path`` (made if it is absent), held from construction to ``release``.

    A record lock on the file ``lock`` there: it goes with the process however that ends, and a process forked by the
    holder does not have it, so that a crashed holder's children do not keep it. Record locks do not exclude their own
    process, so a register of the directories held in this process does that.

    Nothing else in this process may open and close that file: closing any descriptor of it gives the lock away.
    The file is never removed: whoever waits on a removed file would share the cache with whoever made the next.

    Raises CacheInUse if somebody has it, OSError if the directory or the file cannot be opened.
    """

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._fd = -1
        try:
            os.makedirs(self.path, 0o750, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, "the cache path is not a directory", self.path) from None
        status = os.stat(self.path)
        # By number and not by name: one directory may have many names.
        self._key = (status.st_dev, status.st_ino)
        with _held.guard:
            if self._key in _held.locks:
                raise CacheInUse(self.path, os.getpid())
            self._fd = self._take()
            _held.locks[self._key] = self

    @property
    def is_held(self) -> bool:
        """Whether this object, in this process, has the lock. In a forked child it is False."""
        return self._fd >= 0

    def release(self) -> None:
        """Give the directory free. A second call, or one in a forked child, does nothing."""
        with _held.guard:
            if self._fd < 0:
                return
            _held.locks.pop(self._key, None)
            fd, self._fd = self._fd, -1
            os.close(fd)  # and with it the record lock

    def __enter__(self) -> "CacheLock":
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self.release()

    def _take(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(os.path.join(self.path, _LOCK_NAME), flags, 0o640)
        is_ours = False
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            # Read through the same descriptor: see the class about a second one.
            raise CacheInUse(self.path, _read_pid(fd)) from None
        finally:
            if not is_ours:
                os.close(fd)
        _write_pid(fd)
        return fd

    def _forget_in_child(self) -> None:
        # The child has the descriptor and not the lock; closing it here takes nothing from the parent.
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class _Register:
    """The locks that this process holds."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.locks: dict[tuple[int, int], CacheLock] = {}

    def forget_in_child(self) -> None:
        self.guard = threading.Lock()  # another thread may have had it at the fork, and it is not here to free it
        locks, self.locks = self.locks, {}
        for lock in locks.values():
            lock._forget_in_child()


_held = _Register()
os.register_at_fork(after_in_child=_held.forget_in_child)


def _read_pid(fd: int) -> int:
    # Between the lock and the number there is a moment in which the file has none, or a former holder's.
    try:
        return int(os.pread(fd, 20, 0).decode("ascii"))
    except ValueError:  # UnicodeDecodeError is one too
        return 0


def _write_pid(fd: int) -> None:
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except OSError:
        pass  # a full disk must not keep a client from sending, and so from freeing space; the number is a courtesy
