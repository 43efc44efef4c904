"""What kinds of cache there are, and which one lies in a directory."""

import logging
import os
from typing import TYPE_CHECKING, TypeAlias

from .directory import DATABASE, NEW_DATABASE
from .store import FileStore

if TYPE_CHECKING:
    from .sqlite_store import SqliteStore

OpenStore: TypeAlias = "FileStore | SqliteStore"

logger = logging.getLogger("persistmq")

FLAT = "flat"
SQLITE = "sqlite"
_NAMES = {FLAT: FLAT, SQLITE: SQLITE, "pickle": FLAT, "sq3": SQLITE}  # the latter two are of 0.1.4
_FLAT_NAMES = ("journal", "dead", "checkpoint.0", "checkpoint.1")
_SQLITE_NAMES = (DATABASE, NEW_DATABASE)


def known_type(cache_type: object) -> str:
    """FLAT or SQLITE; "" for None. Raises ValueError for what is no name of either."""
    if cache_type is None:
        return ""
    if not isinstance(cache_type, str) or cache_type not in _NAMES:
        words = "cache_type must be one of %s (or 0.1.4's names of them, 'pickle' and 'sq3'), not %r"
        raise ValueError(words % ("'flat', 'sqlite'", cache_type))
    return _NAMES[cache_type]


def open_store(path: "str | os.PathLike[str]", wanted: str, for_worker: bool) -> OpenStore:
    """The store of the cache that lies there; of type ``wanted`` (FLAT or SQLITE; "": FLAT) if there is none.

    What waits in a cache is delivered, whatever its type: so it is opened as what it is, and a warning says so.
    ``for_worker``: another process delivers. Raises ValueError if there are two caches, or a worker cannot have it;
    OSError, FormatError (left untouched).
    """
    found = _type_of_cache(os.path.abspath(path)) or wanted or FLAT
    if wanted and found != wanted:
        words = 'the cache %s was made with cache_type="%s" and stays so; "%s" is for a new one, in an empty directory'
        logger.warning(words, path, found, wanted)
    if found == FLAT:
        return FileStore(path)
    if for_worker:
        raise ValueError('worker="process" needs a cache of cache_type "flat": %s is a database' % path)
    from .sqlite_store import SqliteStore  # noqa: PLC0415 - not everybody's Python has sqlite3, nor needs it

    return SqliteStore(path)


def _type_of_cache(path: str) -> str:
    """ "" if there is none."""
    is_flat = any(_holds_something(path + "/" + name) for name in _FLAT_NAMES)
    is_sqlite = any(_holds_something(path + "/" + name) for name in _SQLITE_NAMES)
    if is_flat and is_sqlite:
        words = (
            "%s holds two caches, files (journal/, dead/, checkpoint.*) and a database (cache.sqlite3*): move one of "
            "them to a directory of its own, and have it delivered from there"
        )
        raise ValueError(words % path)
    return FLAT if is_flat else SQLITE if is_sqlite else ""


def _holds_something(path: str) -> bool:
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            return next(entries, None) is not None
    return os.path.isfile(path)
