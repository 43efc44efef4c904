"""The cache's second lane: when there is one, and how what is published gets into it."""

import os

from persistmq_core.engine import Engine
from persistmq_core.lanes import DRAINS, Lanes
from persistmq_core.pace import Pace

from .cache_types import OpenStore, open_store
from .checks import check_number
from .group_commit import GroupCommit
from .lane_commits import LaneCommits

_RATES = ("drain_messages_per_s", "drain_bytes_per_s")
_FOLDER = "ahead"  # in the cache directory


def check_drain(drain: str | None, backlog_share: float, rates: tuple[float | None, float | None], worker: str) -> None:
    """Raises ValueError for what PersistClient cannot do."""
    check_number("backlog_share", backlog_share)
    for name, rate in zip(_RATES, rates, strict=True):
        check_number(name, rate)
    if drain is not None and drain not in DRAINS:
        raise ValueError(f"drain must be None or one of {', '.join(map(repr, DRAINS))}, not {drain!r}")
    if not 0 < backlog_share < 1:
        raise ValueError(f"backlog_share must be between 0 and 1, not {backlog_share!r}")
    for name, rate in zip(_RATES, rates, strict=True):
        if rate is not None and not rate > 0:
            raise ValueError(f"{name} must be greater than 0, or None for no bound, not {rate!r}")
    if drain is not None and worker == "process":
        raise ValueError('drain= needs worker="thread": the process worker delivers one lane')


def check_path(cache_path: object) -> None:
    """Raises TypeError or ValueError for what is no path of a directory.

    Nor is another cache's second lane: a lock on it would not keep that one's client out.
    """
    if not isinstance(cache_path, (str, os.PathLike)):
        raise TypeError(f"cache_path must be a path, not {cache_path!r}")
    if not os.fspath(cache_path):
        raise ValueError('cache_path is empty: the current directory is "."')
    path = os.path.abspath(cache_path)
    if os.path.basename(path) == _FOLDER and os.path.exists(os.path.join(os.path.dirname(path), "lock")):
        raise ValueError(f"{path} is the second lane of the cache in {os.path.dirname(path)}: open that one")


def pace_of(messages_per_s: float | None, bytes_per_s: float | None) -> Pace | None:
    """None without a rate."""
    return Pace(messages_per_s or 0, bytes_per_s or 0) if messages_per_s or bytes_per_s else None


def ahead_store(
    cache_path: str | os.PathLike[str], drain: str | None, worker: str, cache_type: str, durability: str
) -> "OpenStore | None":
    """Where the second lane is; None if there is none: it was never asked for. Raises ValueError, OSError.

    ``cache_type``: of the first one.
    """
    path = os.path.join(cache_path, _FOLDER)
    if drain is None and not os.path.isdir(path):
        return None
    if worker == "process":
        raise ValueError(
            f'{path} holds a second lane, which worker="process" does not deliver: deliver it with worker="thread", '
            "then remove the folder"
        )
    if durability == "spill":
        raise ValueError(
            f'{path} holds a second lane, which durability="spill" does not deliver: deliver it with "sync", then '
            "remove the folder"
        )
    return open_store(path, cache_type, for_worker=False)


def lanes_of(store: "OpenStore | None", drain: str | None, backlog_share: float) -> Lanes | None:
    """For the engine."""
    return None if store is None else Lanes(store, drain or "in_order", backlog_share)


def together(commits: list[GroupCommit], engine: Engine) -> GroupCommit | LaneCommits:
    """Those of each lane as one."""
    return commits[0] if len(commits) == 1 else LaneCommits(commits[0], commits[1], engine.goes_ahead)
