"""The cache as one SQLite database, ``cache.sqlite3``: the promises of ``Store``, kept by its transactions.

What is appended makes a transaction that stays open until it is synced: then it is committed, which with a write-ahead
log (WAL) is one sync. What the other side replaces or removes meanwhile is committed with it. Reading has a connection
of its own and does not wait for that.
"""

import ctypes
import errno
import logging
import os
import sqlite3
import threading
import time
import weakref
from contextlib import suppress
from types import TracebackType

from persistmq_core.contracts import Store
from persistmq_core.errors import FormatError

from . import directory
from .directory import DATABASE, NEW_DATABASE
from .sqlite_pieces import (
    DAMAGE,
    DELETE,
    FILE_BYTES_MAX,
    INSERT,
    NEWER_TABLE,
    NUMBERS_MAX,
    PAGE_BYTES,
    PIECE_BYTES,
    SELECT,
    SELECT_LAST,
    SELECT_NEXT,
    SIDE_FILES,
    TABLE,
    Damaged,
    as_os_error,
    connect,
    create,
    name_key,
    piece_key,
    primary_code,
)
from .sqlite_salvage import copy_what_reads

logger = logging.getLogger("persistmq")

_WAL_PAGES = 256  # before they are brought into the database: 1 MiB
_WAL_BYTES_KEPT = 4 << 20
# On a disk that is full of our messages they can only be removed if there is room to write that down: in the WAL, and
# for what it holds in the database.
_RESERVE_BYTES = 2 << 20
# A database does not shrink by itself. It is written anew when so much is free in it, and so little is not.
_FREE_PAGES_MAX = 16384
_USED_PAGES_FEW = 4096
# At the start; what fails so often then counts as damaged.
_TRIES = 5
_TRY_AGAIN_S = 0.2
_GAP = b"\xff"  # what reads for a piece that is lost: not zero, and no frame's marker


class _File:
    __slots__ = ("number", "size")

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size


class SqliteStore(Store):
    """A database in the directory ``path``, which is made if it is not there.

    A database that is damaged is moved to ``quarantine/``, and what can be read of it is taken over into a new one.
    Raises what FileStore raises, and FormatError for a database of a newer layout, which is left untouched.

    One thread may append and sync while others do everything else. One process only: while one hangs in a transaction
    the other could not write.
    """

    cache_type = "sqlite"

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._database_path = self.path + "/" + DATABASE
        self._is_closed = False
        # Reentrant: a signal handler may come back here on a thread that has it.
        self._lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._identity = (0, 0)  # device and inode of what was opened
        self._is_damaged = False
        self._files: dict[str, _File] = {}
        self._is_stale = False  # what this knows of the files
        self._unsynced: set[str] = set()  # appended to in the transaction that is open
        self._lost: dict[str, OSError] = {}  # appended to in one that failed, and not synced since
        self._tail_of = ""  # the file whose last piece, if it is not full, is
        self._tail = b""
        self._free_pages = 0
        directory.make(self.path)
        self._open()
        _stores.add(self)

    def list(self, folder: str) -> "list[str]":
        return [name for name in tuple(self._files) if name.startswith(folder + "/")]

    def size(self, name: str) -> int:
        return self._find(name).size

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        file = self._find(name)
        wanted = buffer[: max(0, min(len(buffer), file.size - offset))]
        with self._read_lock:
            count = self._read(self._reader, file, offset, wanted)
        # What is not committed only the writing connection sees. The core does not ask for it while a commit is under
        # way, and so this need not wait for one.
        if count < len(wanted) and name in self._unsynced and self._lock.acquire(blocking=False):
            try:
                count = self._read(self._writer, file, offset, wanted)
            finally:
                self._lock.release()
        return count

    def append(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        rest = memoryview(view).cast("B")
        with self._lock, _Writing(self, name) as writer:
            self._check_room(writer, len(rest))
            file = self._files.get(name) or self._create(writer, name)
            if file.size + len(rest) > FILE_BYTES_MAX:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
            self._unsynced.add(name)
            self._write(writer, name, file, rest)

    def sync(self, name: str) -> None:
        with self._lock:
            lost = self._lost.pop(name, None)
            if lost is not None:
                raise lost
            self._find(name)
            if name in self._unsynced:
                with _Writing(self, name) as writer:
                    writer.execute("COMMIT")
            self._unsynced.clear()
            if not self._is_in_place():
                # Somebody cleared the directory under us. To say "durable" now would be a lie.
                self._disconnect()
                raise FileNotFoundError(errno.ENOENT, "removed while it was being written", self._database_path)

    def replace(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        with self._lock, _Writing(self) as writer:
            file = self._files.get(name) or self._create(writer, name)
            writer.execute(DELETE, (piece_key(file.number, 0), name_key(file.number + 1)))
            file.size = 0
            self._tail_of = ""
            self._write(writer, name, file, memoryview(view).cast("B"))
            self._commit(writer)

    def move(self, name: str, new_name: str) -> None:
        with self._lock:
            file = self._find(name)
            if new_name in self._files:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name)
            with _Writing(self) as writer:
                writer.execute(INSERT, (name_key(file.number), new_name.encode()))
                self._commit(writer)
            self._files[new_name] = self._files.pop(name)
            self._tail_of = ""

    def remove(self, name: str) -> None:
        with self._lock:
            file = self._find(name)
            with _Writing(self) as writer:
                writer.execute(DELETE, (name_key(file.number), name_key(file.number + 1)))
                self._commit(writer)
            self._files.pop(name, None)
            self._lost.pop(name, None)
            self._tail_of = ""
            with suppress(sqlite3.Error):  # it was removed; how large the database is does not matter to the caller
                self._give_space_back(writer)

    def free_bytes(self) -> int:
        # Without a lock: it is asked in publish(), which may be a signal handler's.
        return max(0, self._device_bytes() + self._free_pages * PAGE_BYTES - _RESERVE_BYTES)

    def close(self) -> None:
        """Close the database. A second call does nothing; any other call then raises OSError (EBADF)."""
        with self._lock:
            self._is_closed = True
            self._disconnect()

    # --- pieces ---

    def _find(self, name: str) -> _File:
        self._check_open()
        file = self._files.get(name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return file

    def _create(self, writer: sqlite3.Connection, name: str) -> _File:
        taken = {file.number for file in self._files.values()}
        number = max(taken, default=0) + 1
        if number >= NUMBERS_MAX:  # after many years
            number = next(number for number in range(1, NUMBERS_MAX) if number not in taken)
        writer.execute(INSERT, (name_key(number), name.encode()))
        file = self._files[name] = _File(number, 0)
        return file

    def _write(self, writer: sqlite3.Connection, name: str, file: _File, rest: memoryview) -> None:
        """Add ``rest`` at the end, in the transaction that is open."""
        start = file.size - file.size % PIECE_BYTES
        tail = self._tail if name == self._tail_of else self._last_piece(writer, file, start)
        self._tail_of = ""
        while rest:
            if not tail:
                self._free_pages = max(0, self._free_pages - 1)
            part = rest[: PIECE_BYTES - len(tail)]
            tail = b"".join((tail, part))
            writer.execute(INSERT, (piece_key(file.number, start), tail))
            file.size += len(part)
            rest = rest[len(part) :]
            if len(tail) == PIECE_BYTES:
                start, tail = file.size, b""
        self._tail, self._tail_of = tail, name

    def _last_piece(self, writer: sqlite3.Connection, file: _File, start: int) -> bytes:
        piece = bytearray(file.size - start)
        self._read(writer, file, start, memoryview(piece))
        return bytes(piece)

    def _read(
        self, connection: "sqlite3.Connection | None", file: _File, offset: int, buffer: memoryview
    ) -> int:
        """Fill the buffer as far as there are pieces."""
        keys = (
            piece_key(file.number, offset - offset % PIECE_BYTES),
            piece_key(file.number, offset + len(buffer)),
        )
        try:
            rows = self._opened(connection).execute(SELECT, keys).fetchall() if buffer else []
        except sqlite3.Error as error:
            if primary_code(error) in DAMAGE:
                self._is_damaged = True  # the next write replaces it, and then more may read
            raise as_os_error(error, self._database_path, reading=True) from error
        end = 0
        for key, content in rows:
            if type(content) is not bytes:
                continue  # a damaged row
            at = key - piece_key(file.number, offset)
            if at > end:
                buffer[end:at] = _GAP * (at - end)
            part = memoryview(content)[max(0, -at) : len(buffer) - at]
            end = max(at, 0) + len(part)
            buffer[max(at, 0) : end] = part
        return end

    # --- transactions ---

    def _commit(self, writer: sqlite3.Connection) -> None:
        writer.execute("COMMIT")
        self._unsynced.clear()

    def _begin(self) -> sqlite3.Connection:
        self._check_open()
        if self._writer is None or self._is_damaged:
            self._open()
        writer = self._opened(self._writer)
        if self._is_stale:
            self._load(writer)
        if not writer.in_transaction:
            writer.execute("BEGIN IMMEDIATE")
        return writer

    def _failed(self, failure: BaseException, name: str) -> OSError:
        """A write of ``name`` did not come to its end: it is undone, with all that was appended and not yet synced."""
        if isinstance(failure, sqlite3.Error):
            self._is_damaged = self._is_damaged or primary_code(failure) in DAMAGE
            error = as_os_error(failure, self._database_path)
        else:
            error = failure if isinstance(failure, OSError) else OSError(errno.EINTR, "a write was interrupted")
        self._is_stale = True
        self._tail_of = ""
        self._unsynced.discard(name)
        self._lost |= dict.fromkeys(self._unsynced, error)
        self._unsynced.clear()
        with suppress(sqlite3.Error):  # then the next write begins with it
            if self._writer is not None:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                self._load(self._writer)
                self._count_free_pages(self._writer)
        return error

    def _check_room(self, writer: sqlite3.Connection, count: int) -> None:
        if self._device_bytes() >= _RESERVE_BYTES + 2 * count:
            return
        self._count_free_pages(writer)
        if count > min(self._free_pages * PIECE_BYTES, _WAL_BYTES_KEPT // 2):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._database_path)

    def _device_bytes(self) -> int:
        figures = os.statvfs(self.path)
        return figures.f_bavail * figures.f_frsize

    def _give_space_back(self, writer: sqlite3.Connection) -> None:
        self._count_free_pages(writer)
        if self._free_pages > _FREE_PAGES_MAX:
            pages = writer.execute("PRAGMA page_count").fetchone()[0]
            if pages - self._free_pages <= _USED_PAGES_FEW:
                writer.execute("VACUUM")
                writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._count_free_pages(writer)

    def _count_free_pages(self, writer: sqlite3.Connection) -> None:
        self._free_pages = writer.execute("PRAGMA freelist_count").fetchone()[0]

    # --- the database ---

    def _open(self) -> None:
        with self._read_lock:
            self._disconnect()
            try:
                self._clear_up()
                if self._is_damaged or not self._try_to_connect():
                    self._disconnect()
                    self._start_anew()
                    self._connect()
            except BaseException as failure:
                self._disconnect()
                if isinstance(failure, sqlite3.Error):
                    raise as_os_error(failure, self._database_path) from failure
                raise

    def _try_to_connect(self) -> bool:
        """False if the database is damaged."""
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                self._connect()
                return True
            except sqlite3.Error as error:
                code = primary_code(error)
                if code in DAMAGE:
                    return False
                if code != sqlite3.SQLITE_IOERR:
                    raise
            self._disconnect()
            if tries_left:
                time.sleep(_TRY_AGAIN_S)
        return False

    def _connect(self) -> None:
        fd = os.open(self._database_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, directory.FILE_MODE)
        status = os.fstat(fd)
        os.close(fd)  # before SQLite has it: its locks go with any descriptor that is closed
        self._identity = (status.st_dev, status.st_ino)
        self._writer = writer = connect(self._database_path)
        tables = [row[0].decode(errors="replace") for row in writer.execute("SELECT name FROM sqlite_master")]
        if not tables:
            create(writer)
        elif tables != [TABLE]:
            if tables[0].startswith(NEWER_TABLE):
                words = "the database %s has the table %s; this program reads %s"
                raise FormatError(words % (self._database_path, tables[0], TABLE))
            raise Damaged("it has not the table that it should have")
        if writer.execute("PRAGMA journal_mode = WAL").fetchone()[0] != b"wal":
            words = 'SQLite cannot share memory on this file system: use cache_type="flat"'
            raise OSError(errno.ENOTSUP, words, self._database_path)
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute("PRAGMA wal_autocheckpoint = %d" % _WAL_PAGES)
        writer.execute("PRAGMA journal_size_limit = %d" % _WAL_BYTES_KEPT)
        self._load(writer)
        self._count_free_pages(writer)
        self._reader = connect(self._database_path)
        self._reader.execute("PRAGMA query_only = ON")
        self._is_damaged = False
        directory.sync_folder(self.path)

    def _load(self, writer: sqlite3.Connection) -> None:
        """What files there are: two look-ups for each."""
        files = {}
        row = writer.execute(SELECT_NEXT, (0,)).fetchone()
        while row is not None:
            number = row[0] >> 32
            last_key, last = writer.execute(SELECT_LAST, (name_key(number + 1),)).fetchone()
            if row[0] != name_key(number) or type(row[1]) is not bytes or type(last) is not bytes:
                raise Damaged("a file has no name, or no end")
            size = last_key - piece_key(number, 0) + len(last) if last_key > row[0] else 0
            files[row[1].decode(errors="replace")] = _File(number, size)
            row = writer.execute(SELECT_NEXT, (name_key(number + 1),)).fetchone()
        self._files = files
        self._is_stale = False

    def _clear_up(self) -> None:
        """Bring to its end what was cut short when a damaged database was replaced."""
        for name in (DATABASE, NEW_DATABASE):
            for ending in ("", *SIDE_FILES):
                directory.clear_for_file(self.path, name + ending)
        new_path = self.path + "/" + NEW_DATABASE
        if os.path.exists(self._database_path):
            for ending in ("", *SIDE_FILES):
                with suppress(FileNotFoundError):
                    os.unlink(new_path + ending)  # it is not whole
            return
        for ending in SIDE_FILES:  # of the one that is gone: they would be taken for the new one's
            if os.path.exists(self._database_path + ending):
                directory.set_aside(self.path, DATABASE + ending)
        if os.path.exists(new_path):
            os.rename(new_path, self._database_path)
            directory.sync_folder(self.path)

    def _start_anew(self) -> None:
        """Put another database in the place of the damaged one, with what reads of that; it is kept."""
        pieces, pages = copy_what_reads(self._database_path, self.path + "/" + NEW_DATABASE)
        directory.sync_folder(self.path)
        aside = directory.set_aside(self.path, DATABASE, SIDE_FILES)
        self._clear_up()
        words = "the database %s was damaged: %d pieces are in a new one, %d pages did not read; it is kept as %s"
        logger.error(words, self._database_path, pieces, pages, aside)

    def _is_in_place(self) -> bool:
        try:
            status = os.stat(self._database_path)
            os.stat(self._database_path + SIDE_FILES[0])
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _disconnect(self) -> None:
        with self._read_lock:
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()
        # Last, so that the write-ahead log goes with it.
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise OSError(errno.EBADF, "the store is closed", self._database_path)

    def _opened(self, connection: "sqlite3.Connection | None") -> sqlite3.Connection:
        if connection is None:
            self._check_open()
            raise OSError(errno.EAGAIN, "the database could not be opened again", self._database_path)
        return connection

    def _forget_in_child(self) -> None:
        """Let the connections be as they are, for ever: closing them here would undo what the parent is writing."""
        for connection in (self._writer, self._reader):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._writer = self._reader = None
        self._is_closed = True


class _Writing:
    """A write, in the transaction that is open or a new one. If it fails all of that is undone.

    ``name``: of the file that is appended to or synced; who does that is told by the error itself.
    """

    def __init__(self, store: SqliteStore, name: str = "") -> None:
        self._store = store
        self._name = name

    def __enter__(self) -> sqlite3.Connection:
        try:
            return self._store._begin()
        except sqlite3.Error as failure:
            raise self._store._failed(failure, self._name) from failure

    def __exit__(
        self, kind: "type[BaseException] | None", failure: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        if failure is None:
            return
        error = self._store._failed(failure, self._name)
        if isinstance(failure, sqlite3.Error):
            raise error from failure


_stores: "weakref.WeakSet[SqliteStore]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for store in tuple(_stores):
        store._forget_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
