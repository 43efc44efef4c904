"""What ``publish()`` does when a bound of the cache is reached: say so, wait for room, or give up the oldest."""

import threading
import time
from collections import deque
from collections.abc import Callable

from persistmq_core.engine import Engine
from persistmq_core.errors import CacheFull, ClientStopped

from .outcomes import Outcomes

_LOOK_AGAIN_S = 1.0  # at the free bytes of the device: nobody tells when others have removed something


class _Wish:
    """For room, to the client's thread: only that one may evict."""

    def __init__(self, full: CacheFull) -> None:
        self.count = full.count
        self.wanted_bytes = full.wanted_bytes
        self.is_granted = False
        self.is_answered = threading.Event()


class FullCache:
    """``on_full``: "reject", "block" or "drop_oldest"; ``timeout_ms``: how long "block" waits, None: without end."""

    def __init__(
        self, on_full: str, timeout_ms: int | None, engine: Engine, outcomes: Outcomes, wake: Callable[[], None]
    ) -> None:
        self._on_full = on_full
        self._timeout_ms = timeout_ms
        self._engine = engine
        self._outcomes = outcomes
        self._wake = wake
        self.wishes: deque[_Wish] = deque()  # which only the client's thread can grant

    def accept(self, refusal: CacheFull, stage: Callable[[], int], is_clients_thread: bool = False) -> int:
        """``stage()``, which was refused, when there is room. Raises what it raises, ClientStopped."""
        if self._on_full == "reject" or is_clients_thread:  # which would wait for itself
            raise refusal
        deadline = None if self._timeout_ms is None else time.monotonic() + self._timeout_ms / 1000
        while True:
            if not (self._evict(refusal) if self._on_full == "drop_oldest" else self._wait(refusal, deadline)):
                raise refusal
            try:
                return stage()
            except CacheFull as full:
                refusal = full  # others were quicker

    def grant(self, now_ms: int) -> None:
        """By the client's thread, which delivers: evict for those who wait for that."""
        while self.wishes:
            wish = self.wishes.popleft()
            evicted = self._engine.accounts()["evicted"]
            try:
                has_room = self._engine.make_room(now_ms, wish.count, wish.wanted_bytes)
                # Others publish meanwhile, and may have taken what was given up: then it is tried again.
                wish.is_granted = has_room or self._engine.accounts()["evicted"] > evicted
            finally:
                wish.is_answered.set()

    def _evict(self, full: CacheFull) -> bool:
        wish = _Wish(full)
        self.wishes.append(wish)
        self._wake()
        while not wish.is_answered.wait(_LOOK_AGAIN_S):
            self._check_open()
        return wish.is_granted

    def _wait(self, full: CacheFull, deadline: float | None) -> bool:
        while True:
            left = _LOOK_AGAIN_S if deadline is None else min(_LOOK_AGAIN_S, deadline - time.monotonic())
            if self._outcomes.wait(lambda: self._has_room(full), max(0.0, left)):
                return True
            self._check_open()
            if left < _LOOK_AGAIN_S:
                return False

    def _has_room(self, full: CacheFull) -> bool:
        try:
            return self._engine.spool.has_room(full.count, full.wanted_bytes)
        except OSError:
            return False  # the device does not say

    def _check_open(self) -> None:
        if self._outcomes.is_closed.is_set():
            raise ClientStopped("this client was stopped while publish() waited for room in the cache")
