"""The cache directory: made, and looked at. For the start mostly: a board lets go of it then."""

import os

from persistmq_core.limits import const

_FOLDERS = ("journal", "dead", "quarantine")
_FOLDER = const(0x4000)  # of os.stat
_ENOTDIR = const(20)


def prepare(path: str) -> None:
    """Make the directory of a cache, if it is not there. Raises what FileStore does."""
    make_folders(path)
    for folder in _FOLDERS:
        make_folders(path + "/" + folder)
    # FAT is told by what it does: os.statvfs looks alike, and the type of a mounted file system is not to be had
    # on all boards.
    if exists(path + "/JOURNAL"):
        raise ValueError(
            "cache_path %r lies on FAT, where a power cut can take messages that were stored: use littlefs "
            "(os.VfsLfs2.mkfs)" % path
        )


def exists(path: str) -> bool:
    """Whether there is a file or a folder."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def make_folders(path: str) -> None:
    """Make ``path`` and what is missing above it. Raises OSError, also where a file stands in the way."""
    try:
        if os.stat(path)[0] & _FOLDER:
            return
    except OSError:
        above = path.rpartition("/")[0]
        if above and above != ".":
            make_folders(above)
        os.mkdir(path)
        return
    raise OSError(_ENOTDIR, "a file stands where a folder of the cache belongs: %s" % path)
