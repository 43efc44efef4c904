"""The client's thread: it has written what no caller writes, and delivers from ``connect_async`` on."""

import logging
import threading
from collections.abc import Callable

from persistmq_core.limits import STORE_RETRY_MS

from . import clock
from .delivery_elsewhere import DeliveryElsewhere
from .delivery_here import DeliveryHere
from .full_cache import FullCache
from .group_commit import GroupCommit
from .lane_commits import LaneCommits
from .loops import LoopCalls
from .outcomes import Outcomes
from .takeover import TakeOver
from .writer import Writer

logger = logging.getLogger("persistmq")

_AFTER_FAILURE_MS = 1000


class ClientThread:
    """It begins with the first ``start``, and ends when the delivery is over.

    ``writes``: what is staged is always for this side to write, not only what must not block its caller.
    ``let_go``: closes what the client has opened; called once, at the very end, by whoever comes to it.
    """

    def __init__(
        self,
        commits: GroupCommit | LaneCommits,
        delivery: DeliveryHere | DeliveryElsewhere,
        outcomes: Outcomes,
        loops: LoopCalls,
        full: FullCache,
        older: TakeOver | None,
        writes: bool,
        let_go: Callable[[], None],
    ) -> None:
        self._commits = commits
        self._delivery = delivery
        self._outcomes = outcomes
        self._loops = loops
        self._full = full
        self._older = older
        self._writes = writes
        self._let_go = let_go
        self._writer = Writer(commits, self._must_write)
        self._tried_at_ms = 0
        self._thread: threading.Thread | None = None
        # Taken once, and never waited for: a signal handler may come in between on the same thread.
        self._is_begun = threading.Lock()
        self._has_runner = threading.Lock()

    def start(self) -> None:
        """Unless it has begun. Also from a signal handler."""
        if self._thread is None and self._is_begun.acquire(blocking=False):
            self._thread = threading.Thread(target=self._run, name="persistmq", daemon=True)
            self._thread.start()

    def is_here(self) -> bool:
        """It is the caller."""
        return threading.current_thread() is self._thread

    def end(self, timeout: float) -> bool:
        """Wait for its end, or close everything if it never ran. False if it does not end in ``timeout`` seconds."""
        if self._is_first():
            self._close()
            return True
        return self._outcomes.is_closed.wait(timeout)

    def _is_first(self) -> bool:
        """Whether the caller is the one that runs the engine and closes it: its thread, or ``end`` without one."""
        return self._has_runner.acquire(blocking=False)

    def _run(self) -> None:
        if not self._is_first():
            return  # end() came before this
        while not self._delivery.is_over:
            now_ms = clock.now_ms()
            try:
                delay_ms = self._turn(now_ms)
            except BaseException as failure:  # noqa: BLE001
                # A bug, ours or a library's, or sys.exit() in a callback of paho's. Never a dead thread that nobody
                # notices: say it, begin again.
                logger.exception("the delivering side failed; it begins again")
                delay_ms = _AFTER_FAILURE_MS
                self._delivery.fail(now_ms, f"{type(failure).__name__}: {failure}")
            if self._commits.store_error:
                delay_ms = min(delay_ms, STORE_RETRY_MS)
            self._delivery.sleep(0 if self._delivery.is_over else delay_ms)
        self._close()

    def _turn(self, now_ms: int) -> int:
        self._write_soon(now_ms)
        self._loops.settle_stored()
        if self._full.wishes:
            self._commits.commit_staged()  # only what is on storage can be given up
            self._full.grant(now_ms)
        delay_ms = self._delivery.turn(now_ms)
        self._outcomes.tell(self._delivery.progress(), self._delivery.cursors())
        if self._older is not None:
            delay_ms = min(delay_ms, self._older.turn(now_ms, self._delivery))
        return delay_ms

    def _write_soon(self, now_ms: int) -> None:
        if not self._commits.pending() or not self._must_write():
            return
        if not self._commits.store_error or now_ms - self._tried_at_ms >= STORE_RETRY_MS:
            self._tried_at_ms = now_ms
            self._writer.wake()

    def _must_write(self) -> bool:
        """What is staged is the writer's: no caller waits for it, or one that must not block."""
        return self._writes or self._loops.waits_for_storage()

    def _close(self) -> None:
        self._writer.close()
        self._commits.end()
        self._let_go()
        self._outcomes.close()
