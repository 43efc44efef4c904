"""The cache directory: it is made and checked, and what stands in the way there is moved aside, never removed."""

import errno
import os
import stat
from collections.abc import Sequence

FILE_MODE = 0o640  # messages may be confidential: the group may read them, for inspection; nobody else
FOLDER_MODE = 0o750
QUARANTINE = "quarantine"
DATABASE = "cache.sqlite3"  # of a cache in SQLite; there is nothing else in the directory then
NEW_DATABASE = DATABASE + ".new"  # made of what could be read of one that is damaged


def make(path: str) -> None:
    """The directory ``path`` (absolute), durably, with a place for what must be moved aside.

    Raises NotADirectoryError if ``path`` is a file, PermissionError if it cannot be written to, else OSError.
    """
    missing = []
    folder = path
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, "the cache path is not a directory", folder)
    if missing:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.makedirs(path, FOLDER_MODE, exist_ok=True)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "the cache directory cannot be read and written", path)
    make_folder(path, QUARANTINE)
    for folder in missing:
        sync_folder(os.path.dirname(folder))


def make_folder(path: str, name: str) -> None:
    """The folder ``name`` in the cache; the caller makes it durable."""
    # It may be a link to one (an operator's wish); a file may not.
    if os.path.lexists(path + "/" + name) and not os.path.isdir(path + "/" + name):
        set_aside(path, name)
    os.makedirs(path + "/" + name, FOLDER_MODE, exist_ok=True)


def clear_for_file(path: str, name: str) -> None:
    """Move what stands at ``name`` to quarantine if it is no regular file."""
    if os.path.lexists(path + "/" + name) and not stat.S_ISREG(os.lstat(path + "/" + name).st_mode):
        set_aside(path, name)


def set_aside(path: str, name: str, endings: Sequence[str] = ()) -> str:
    """Move ``name`` to quarantine, durably, and with it what has its name and one of ``endings``.

    Returns its name there.
    """
    old_path = path + "/" + name
    if name == QUARANTINE:
        aside = _free_name(old_path + ".was")
        os.rename(old_path, aside)
        os.makedirs(old_path, FOLDER_MODE)
        old_path = aside
    folder = path + "/" + QUARANTINE
    os.makedirs(folder, FOLDER_MODE, exist_ok=True)
    new_path = _free_name(folder + "/" + os.path.basename(name))
    os.rename(old_path, new_path)
    for ending in endings:
        if os.path.lexists(old_path + ending):
            os.rename(old_path + ending, new_path + ending)
    sync_folder(folder)
    sync_folder(os.path.dirname(old_path))
    return QUARANTINE + "/" + os.path.basename(new_path)


def sync_folder(path: str) -> None:
    """The names in it survive a power cut from now on."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network file systems cannot sync a folder; their names are durable with the file or not at all.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def _free_name(path: str) -> str:
    number = 0
    while os.path.lexists("%s.%d" % (path, number)):
        number += 1
    return "%s.%d" % (path, number)
