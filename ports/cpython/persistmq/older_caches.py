"""Reading the caches of persistmq 0.1.4: ``database.sq3``, and ``persistmq_cache_*.pkl``, one pickle for each message.

What it had cached it would have given to paho as it was: text as UTF-8, numbers as text, NULL as nothing.
"""

import io
import logging
import os
import pickle
import sqlite3
import stat
from collections.abc import Callable, Iterator
from typing import Any

from persistmq_core.limits import REMAINING_LENGTH_MAX
from persistmq_core.spool import check_message

logger = logging.getLogger("persistmq")

Message = tuple[str, object, int, bool]  # topic, payload, QoS, retain (0.1.4 never did)

DATABASE = "database.sq3"
SIDE_FILES = (DATABASE + "-journal", DATABASE + "-wal", DATABASE + "-shm")
_PICKLE = ("persistmq_cache_", ".pkl")
_PICKLE_BYTES_MAX = REMAINING_LENGTH_MAX + 1000
BATCH_BYTES = 1 << 18
BATCH_MESSAGES = 1000
_SELECT = "SELECT id, topic, payload, qos FROM messages WHERE id > ? ORDER BY id"
_STEPS = 5000  # by one row, behind a bad page; then in steps that double
_ROWS_MAX = 100_000  # beyond the last one that reads, where the last one of all does not


def names(path: str) -> list[str]:
    """Of what 0.1.4 left in the directory: pickles by their time, then the database and what belongs to it."""
    pickles = []
    others = []
    with os.scandir(path) as entries:
        for entry in entries:
            if is_pickle(entry.name) and entry.is_file(follow_symlinks=False):
                pickles.append((entry.stat().st_mtime_ns, entry.name))
            elif entry.name in (DATABASE, *SIDE_FILES):
                others.append(entry.name)
    return [name for _, name in sorted(pickles)] + sorted(others)


def is_pickle(name: str) -> bool:
    """Whether a file is called as 0.1.4 calls a message."""
    return name.startswith(_PICKLE[0]) and name.endswith(_PICKLE[1])


# --- pickles ---


def read_pickle(path: str) -> Message:
    """Raises ValueError for what is no message of 0.1.4 or cannot be sent, OSError. Nothing in it is executed."""
    if os.stat(path).st_size > _PICKLE_BYTES_MAX:
        raise ValueError("it is too large for a message")
    with open(path, "rb") as file:
        content = file.read()
    try:
        found = _PlainUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # noqa: BLE001 - a broken pickle may raise nearly anything
        raise ValueError("%s: %s" % (type(error).__name__, error)) from error
    if type(found) is not dict or not {"topic", "payload", "qos"} <= set(found):
        raise ValueError("it is no message")
    return _message(found["topic"], found["payload"], found["qos"])


class _PlainUnpickler(pickle.Unpickler):
    """For numbers, text, bytes and containers of these, which need no name to be looked up."""

    def find_class(self, module_name: str, global_name: str) -> Callable[..., object]:
        if (module_name, global_name) != ("builtins", "bytearray"):
            raise pickle.UnpicklingError("it wants %s.%s" % (module_name, global_name))

        # Another one each time, and not the type: bytearray(10**12) would be made, too.
        def as_bytearray(content: object = b"") -> bytearray:
            if type(content) is not bytes:
                raise pickle.UnpicklingError("a bytearray of %s" % type(content).__name__)
            return bytearray(content)

        return as_bytearray


def _message(topic: object, payload: object, qos: object) -> Message:
    """Raises ValueError if it cannot be published."""
    if type(payload) not in (str, bytes, bytearray, int, float, bool, type(None)):
        raise ValueError("its payload is of type %s" % type(payload).__name__)
    try:
        check_message(topic, payload, qos)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(str(error)) from error
    return topic, payload, qos, False  # type: ignore[return-value]


# --- the database ---


class InUse(Exception):
    """Another process has the database."""


class Database:
    """``database.sq3``, locked for writing by others until ``close``. ``report(id, reason)`` is called for what cannot
    be sent.

    Raises InUse, ValueError if it is no database of 0.1.4, OSError if it cannot be opened.
    """

    def __init__(self, path: str, wait_s: float, report: Callable[[int, str], object]) -> None:
        self.lost = 0  # rows that do not read, about
        self._report = report
        # Not sqlite3's own URI form, in which some characters of a path mean something.
        self._connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
        self._connection.text_factory = bytes
        try:
            self._begin()
        except BaseException as failure:
            self._connection.close()
            if isinstance(failure, sqlite3.Error):
                raise _as_error(failure, path) from failure
            raise
        status = os.stat(path)
        # 0.1.4 has changed it since, if this differs. Opening it may have, too, but only once.
        self.fingerprint = [status.st_size, status.st_mtime_ns]

    def _begin(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA trusted_schema = OFF")
        execute("PRAGMA cell_size_check = ON")
        execute("PRAGMA journal_mode = DELETE").fetchall()  # one file only
        execute("BEGIN IMMEDIATE")
        tables = execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        self._is_empty = tables == 0  # 0.1.4 was killed before it had made its table
        if not self._is_empty:
            kinds = execute("SELECT type FROM sqlite_master WHERE name = 'messages'").fetchall()
            if kinds != [(b"table",)]:
                raise ValueError("it has no table of messages")
            execute("EXPLAIN " + _SELECT, (0,))  # whether it has these columns

    def batch(self, after: int, taken: "set[int]") -> "list[tuple[int, Message]]":
        """The next messages behind the row ``after``, but those ``taken``; none at the end."""
        if self._is_empty:
            return []
        while True:
            found: list[tuple[int, Message]] = []
            size = 0
            try:
                for number, topic, payload, qos in self._rows(after):
                    after = number
                    if number in taken:
                        continue
                    try:
                        message = _message(_text(topic), payload, qos)
                    except ValueError as error:
                        self._report(number, str(error))
                        continue
                    found.append((number, message))
                    size += len(payload) if isinstance(payload, bytes) else 0
                    if size >= BATCH_BYTES or len(found) >= BATCH_MESSAGES:
                        break
            except sqlite3.Error as error:
                if found:
                    return found  # and then what is behind the bad place
                logger.debug("row %d and some behind it do not read: %s", after + 1, error)
                following = self._behind(after)
                if following is None:
                    self.lost += 1  # at least
                    return found
                self.lost += following - after - 1
                after = following - 1
                continue
            return found

    def _rows(self, after: int) -> "Iterator[tuple[int, Any, Any, Any]]":
        return self._connection.execute(_SELECT, (after,))

    def _behind(self, after: int) -> int | None:
        """The next row that reads, behind the one that follows ``after`` and does not."""
        try:
            last: int = self._connection.execute("SELECT max(id) FROM messages").fetchone()[0] or after
        except sqlite3.Error:
            last = after + _ROWS_MAX
        skipped = after + 1
        step = 1
        while skipped < last:
            try:
                row = self._connection.execute(_SELECT + " LIMIT 1", (skipped,)).fetchone()
                return None if row is None else int(row[0])
            except sqlite3.Error:
                skipped += step
                step = 1 if skipped < after + _STEPS else 2 * step
        return None

    def close(self) -> None:
        """Give the database free."""
        self._connection.close()


def user_of(path: str) -> int:
    """A process that has this file open, 0 if none is seen. 0.1.4 keeps no lock, and its worker may outlive it."""
    own = os.getpid()
    try:
        wanted = os.stat(path)
        pids = filter(str.isdigit, os.listdir("/proc"))
    except OSError:
        return 0
    for pid in pids:
        folder = "/proc/%s/fd/" % pid
        if int(pid) == own:
            continue
        try:
            for fd in os.listdir(folder):
                if os.readlink(folder + fd).endswith(DATABASE) and os.path.samestat(os.stat(folder + fd), wanted):
                    return int(pid)
        except OSError:
            continue  # another user's, or gone
    return 0


def is_plain_file(path: str) -> bool:
    """No folder, link, FIFO."""
    return stat.S_ISREG(os.lstat(path).st_mode)


def _text(topic: object) -> object:
    if not isinstance(topic, bytes):
        return topic
    return topic.decode()  # raises UnicodeDecodeError, which is a ValueError


def _as_error(error: sqlite3.Error, path: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return InUse("another process has locked it")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
        return ValueError(str(error))
    return OSError(0, str(error), path)
