"""The one table of a cache in SQLite, its keys, and what SQLite's errors mean.

The content of a file is in pieces of 4000 bytes, a piece to a page of the database; their key is the file's number with
the offset. The first key of a number has the file's name. So what a bad page can take is one piece, or one name.
"""

import errno
import os
import sqlite3

SIDE_FILES = ("-wal", "-shm", "-journal")
TABLE = "pieces"
NEWER_TABLE = "pieces_"  # what another layout would be called: a name is not made by damage, as a number is
PAGE_BYTES = 4096
PIECE_BYTES = 4000  # with the head of its row it fills a page
NUMBERS_MAX = 1 << 31
FILE_BYTES_MAX = (1 << 32) - 2

_BUSY_S = 5.0  # for somebody who looks at the database with other programs
_ROW_BYTES_MAX = 1 << 16  # whatever a damaged row says of itself

INSERT = "INSERT OR REPLACE INTO pieces VALUES (?, ?)"
SELECT = "SELECT id, bytes FROM pieces WHERE id >= ? AND id < ? ORDER BY id"
SELECT_NEXT = "SELECT id, bytes FROM pieces WHERE id >= ? ORDER BY id LIMIT 1"
SELECT_LAST = "SELECT id, bytes FROM pieces WHERE id < ? ORDER BY id DESC LIMIT 1"
DELETE = "DELETE FROM pieces WHERE id >= ? AND id < ?"

DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_ERRNOS = {
    sqlite3.SQLITE_CORRUPT: errno.EBADMSG,
    sqlite3.SQLITE_NOTADB: errno.EBADMSG,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_TOOBIG: errno.EFBIG,
    sqlite3.SQLITE_IOERR_NOMEM: errno.ENOMEM,
}
# SQLITE_IOERR of these is about the bytes. Any other passes, or comes from a write.
_READING = (
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)


class Damaged(sqlite3.DatabaseError):
    """Not what this program writes, whatever SQLite thinks of it."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def name_key(number: int) -> int:
    """Of the row with the name of file ``number``."""
    return number << 32


def piece_key(number: int, offset: int) -> int:
    """Of the piece that begins at ``offset``."""
    return (number << 32) + 1 + offset


def connect(path: str) -> sqlite3.Connection:
    """Open the database, without a transaction of Python's. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.text_factory = bytes  # a damaged row may say that it is text
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _ROW_BYTES_MAX)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA secure_delete = OFF")  # else what is removed is written once more
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Make an empty database ours, in one transaction."""
    connection.execute("PRAGMA page_size = %d" % PAGE_BYTES)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE pieces (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)")
    connection.execute("COMMIT")


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's code without its details; 0 for an error of Python's module."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def as_os_error(error: sqlite3.Error, path: str, reading: bool = False) -> OSError:
    """What the core is told. Only for bytes that do not read is it one of UNREADABLE_ERRNOS, if it was ``reading``."""
    code = getattr(error, "sqlite_errorcode", 0)
    number = _ERRNOS.get(code) or _ERRNOS.get(code & 0xFF, errno.EAGAIN)
    if reading and number == errno.EIO and code not in _READING:
        number = errno.EAGAIN
    words = os.strerror(number) if number == errno.ENOSPC else str(error)
    return OSError(number, words, path)

