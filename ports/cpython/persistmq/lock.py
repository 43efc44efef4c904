"""One user of a cache directory at a time: two clients on one journal would send everything twice.

The right has two parts, two bytes of the file ``lock``: to publish, which is the application's, and to deliver, which
the application keeps or leaves to a worker process. An application that begins takes both, so that nobody else is at
work while it looks through the cache. A worker may outlive its application: it is asked to end then.
"""

import errno
import fcntl
import os
import signal
import struct
import threading
import time
from types import TracebackType

from persistmq_core.errors import PersistError

_LOCK_NAME = "lock"
_PUBLISHING = 0
_DELIVERING = 1
_TAKE_OVER_S = 10.0  # for a worker that was asked to end: it ends at once, unless its disk hangs
_LOOK_AGAIN_S = 0.02
_FLOCK = struct.Struct("hhqqi")  # struct flock of <fcntl.h>: type, whence, start, length, pid


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

    A worker whose application is gone is asked to end (SIGTERM) and waited for, ``take_over_s`` seconds at most.
    Raises CacheInUse if somebody has the cache, OSError if the directory or the file cannot be opened.
    """

    def __init__(self, path: "str | os.PathLike[str]", take_over_s: float = _TAKE_OVER_S) -> None:
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
            _held.locks[self._key] = self
        try:
            self._fd = self._take(take_over_s)
        except BaseException:
            _held.locks.pop(self._key, None)
            raise

    @property
    def is_held(self) -> bool:
        """Whether this object, in this process, has the lock. In a forked child it is False."""
        return self._fd >= 0

    def leave_delivering(self) -> None:
        """Give the right to deliver to a worker, which takes it by a DeliveryLock."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _DELIVERING)

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

    def _take(self, take_over_s: float) -> int:
        fd = _open(self.path)
        try:
            if not _take_part(fd, _PUBLISHING):
                # Read through the same descriptor: see the class about a second one.
                raise CacheInUse(self.path, _read_pid(fd))
            if not _take_part(fd, _DELIVERING):
                # Who delivers and does not publish is a worker, and who published is gone.
                pid = _holder(fd, _DELIVERING)
                _ask_to_end(pid)
                if not _wait_for_part(fd, _DELIVERING, take_over_s):
                    raise CacheInUse(self.path, max(0, pid))
        except BaseException:
            os.close(fd)
            raise
        _write_pid(fd)
        return fd

    def _forget_in_child(self) -> None:
        # The child has the descriptor and not the lock; closing it here takes nothing from the parent.
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class DeliveryLock:
    """A worker's part, in a process of its own: the right to deliver what another process publishes.

    Waits ``wait_s`` seconds for a former worker to end. Raises CacheInUse, OSError.
    """

    def __init__(self, path: str, wait_s: float) -> None:
        self._fd = _open(path)
        if not _wait_for_part(self._fd, _DELIVERING, wait_s):
            pid = _holder(self._fd, _DELIVERING)
            os.close(self._fd)
            raise CacheInUse(path, max(0, pid))

    def has_publisher(self) -> bool:
        """Whether there is an application, this worker's or a new one. While this is held no other one begins."""
        return _holder(self._fd, _PUBLISHING) != 0

    def release(self) -> None:
        """Give the right away."""
        os.close(self._fd)


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


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(os.path.join(path, _LOCK_NAME), flags, 0o640)


def _take_part(fd: int, part: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, part)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        return False
    return True


def _wait_for_part(fd: int, part: int, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while not _take_part(fd, part):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_AGAIN_S)
    return True


def _holder(fd: int, part: int) -> int:
    """The process that has this part; 0 if there is none, -1 if it cannot be seen from here (another container's)."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, part, 1, 0)
    kind, _, start, length, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    if kind == fcntl.F_UNLCK:
        return 0
    # Both parts of one process are one lock. Else this is not the struct that it is taken for, and the pid is none.
    return pid if pid > 0 and 0 <= start <= part < start + length <= 2 else -1


def _ask_to_end(pid: int) -> None:
    if pid > 0:
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError:
            pass  # it has ended meanwhile, or is another user's: then it is waited for


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
