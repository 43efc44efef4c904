"""A thread that writes what no caller writes, so that a slow disk does not keep the client's thread from delivering."""

import logging
import threading
from collections.abc import Callable
from functools import partial

from persistmq_core.limits import STORE_RETRY_MS

from .group_commit import GroupCommit
from .lane_commits import LaneCommits
from .wakeup import WakeUp

logger = logging.getLogger("persistmq")

_FOR_EVER_MS = 1 << 30
_JOIN_S = 10.0


class Writer:
    """``must_write``: there is something staged that is this thread's to write. It begins with the first ``wake``."""

    def __init__(self, commits: GroupCommit | LaneCommits, must_write: Callable[[], bool]) -> None:
        self._commits = commits
        self._must_write = must_write
        self._wake_up: WakeUp | None = None
        self._thread: threading.Thread | None = None
        self._is_over = False

    def wake(self) -> None:
        """Write soon. By one thread, the client's."""
        if self._wake_up is None:
            self._wake_up = WakeUp()
            work = partial(self._run, self._wake_up)
            self._thread = threading.Thread(target=work, name="persistmq-writer", daemon=True)
            self._thread.start()
        self._wake_up.set()

    def close(self) -> None:
        """End when the group that is being written has ended. By the same thread, or when that never ran."""
        self._is_over = True
        if self._wake_up is not None and self._thread is not None:
            self._wake_up.set()
            self._thread.join(_JOIN_S)
            self._wake_up.close()

    def _run(self, wake_up: WakeUp) -> None:
        delay_ms = _FOR_EVER_MS
        while not self._is_over:
            wake_up.wait(delay_ms)
            delay_ms = _FOR_EVER_MS
            try:
                # Until there is nothing, or the disk fails: then whoever wakes says when to try again.
                while not self._is_over and self._commits.pending() and self._must_write():
                    if not self._commits.commit_staged():
                        break
            except BaseException:  # noqa: BLE001 - as on the client's thread: MemoryError and the like
                logger.exception("what is staged could not be written; it is tried again")
                delay_ms = STORE_RETRY_MS
