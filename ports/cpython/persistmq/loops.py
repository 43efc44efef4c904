"""Waiting in asyncio: futures of event loops, in whatever threads these run, resolved by the client's own thread.

A coroutine *expects* something, wakes the client's thread and awaits its future. That thread finds out what has come
true, and tells each loop once for all that it has to say (``call_soon_threadsafe``). Nothing is polled, and there is no
lock: a coroutine expects first and looks then, so what comes in between is seen by one of the two.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .group_commit import GroupCommit
from .lane_commits import LaneCommits

Outcome = bool | Exception
Future = asyncio.Future[bool]

Expected = int | tuple[int, ...]

# What may be expected of a sequence number.
_STORED = 0
_PUBLISHED = 1
_FLUSHED = 2  # that all before it is settled, in each lane
_ROOM = 0  # no message has this number: to be "stored" is to have room for one


class _Loop:
    """What one event loop expects. Its thread adds and takes away, the client's thread only takes away."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._expected: tuple[dict[Expected, list[Future]], ...] = ({}, {}, {})
        self._settled: list[tuple[Future, Outcome]] = []

    def expect(self, what: int, seq: Expected) -> Future:
        future: Future = self._loop.create_future()
        expected = self._expected[what]
        while True:
            futures = expected.setdefault(seq, [])
            futures.append(future)
            if expected.get(seq) is futures:
                return future
            # They were taken away in that moment, perhaps without the new one.

    def forget(self, what: int, seq: Expected, future: Future) -> None:
        futures = self._expected[what].get(seq, [])
        with suppress(ValueError):
            futures.remove(future)
        if not futures:
            self._expected[what].pop(seq, None)

    def expected(self, what: int) -> list[Any]:
        return list(self._expected[what])

    def settle(self, what: int, seq: Expected, outcome: Outcome) -> None:
        for future in self._expected[what].pop(seq, ()):
            self._settled.append((future, outcome))

    def tell(self) -> bool:
        """Hand over what is settled. False if the loop is closed, and nothing is to come that only it would ask for."""
        if self._settled:
            settled, self._settled = self._settled, []
            with suppress(RuntimeError):  # closed, and its tasks are gone
                self._loop.call_soon_threadsafe(_resolve, settled)
        return not self._loop.is_closed() or bool(self._expected[_STORED])


def are_behind(end_seqs: tuple[int, ...], cursors: tuple[int, ...]) -> bool:
    """All before ``end_seqs`` is before ``cursors``, in each lane."""
    return all(end_seq <= cursor for end_seq, cursor in zip(end_seqs, cursors, strict=True))


def _resolve(settled: list[tuple[Future, Outcome]]) -> None:
    for future, outcome in settled:
        if future.done():  # cancelled
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


class LoopCalls:
    """The client's calls for asyncio. ``wake`` ends the sleep of the client's thread.

    That thread writes what coroutines have staged: it calls ``settle_stored`` behind each write and ``tell`` before it
    sleeps. ``is_closed``: it has come to its end and called ``end``, or is about to.
    """

    def __init__(
        self, commits: GroupCommit | LaneCommits, wake: Callable[[], None], is_closed: Callable[[], bool]
    ) -> None:
        self._commits = commits
        self._wake = wake
        self._is_closed = is_closed
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}

    # --- on the thread of an event loop ---

    async def stage(
        self, topic: str, payload: object, qos: int, retain: bool, expires_s: int = 0, priority: bool = False
    ) -> int:
        """As ``GroupCommit.stage``, and where that waits for the disk this lets the loop go on."""
        while (seq := self._commits.stage_now(topic, payload, qos, retain, expires_s, priority)) is None:
            await self._until_stored(_ROOM)
        return seq

    async def commit(self, seq: int) -> None:
        """Return when ``seq`` is on storage. Raises its StoreError."""
        await self._until_stored(seq)

    def wake_soon(self) -> None:
        """When all tasks that are ready have had their turn: so what they publish is written together."""
        asyncio.get_running_loop().call_soon(self._wake)

    async def stored(self, seq: int, is_stored: Callable[[], bool], timeout: float | None) -> bool:
        """True when ``is_stored``, False after ``timeout`` seconds or when the client has come to its end."""
        return await self._until(_STORED, seq, is_stored, timeout)

    async def published(self, seq: int, is_settled: Callable[[], bool], timeout: float | None) -> bool:
        """True when ``is_settled``, else as ``stored``. Raises MessageDropped."""
        return await self._until(_PUBLISHED, seq, is_settled, timeout)

    async def flushed(
        self, end_seqs: tuple[int, ...], is_flushed: Callable[[], bool], timeout: float | None
    ) -> bool:
        """True when ``is_flushed``, else as ``stored``."""
        return await self._until(_FLUSHED, end_seqs, is_flushed, timeout)

    def _here(self) -> _Loop:
        loop = asyncio.get_running_loop()
        return self._loops.get(loop) or self._loops.setdefault(loop, _Loop(loop))

    async def _until_stored(self, seq: int) -> None:
        here = self._here()
        future = here.expect(_STORED, seq)
        self.wake_soon()
        if self._is_closed():
            # ``end`` may have come before this was expected; then nobody else asks for the outcome.
            outcome = True if seq == _ROOM else self._commits.outcome(seq)
            if outcome is not None:
                here.forget(_STORED, seq, future)
                _resolve([(future, outcome)])
        # Not forgotten if the task is cancelled: with the future goes the message's error, if there is one.
        await future

    async def _until(self, what: int, seq: Expected, is_so: Callable[[], bool], timeout: float | None) -> bool:
        if is_so():
            return True
        here = self._here()
        future = here.expect(what, seq)
        try:
            if not is_so() and not self._is_closed():
                self.wake_soon()
                await asyncio.wait((future,), timeout=timeout)
            return future.result() if future.done() else is_so()
        finally:
            here.forget(what, seq, future)
            if not future.cancel() and not future.cancelled():
                future.exception()  # seen, also if this task was cancelled at the same time

    # --- on the client's thread ---

    @property
    def has_any(self) -> bool:
        """Some event loop has called, and may expect something."""
        return bool(self._loops)

    def waits_for_storage(self) -> bool:
        """Somebody has staged a message, or wants to, and does not write it."""
        return any(loop.expected(_STORED) for loop in list(self._loops.values()))

    def settle_stored(self) -> None:
        """Look what has become of what was staged."""
        for loop in list(self._loops.values()):
            for seq in loop.expected(_STORED):
                outcome = self._room() if seq == _ROOM else self._commits.outcome(seq)
                if outcome is not None:
                    loop.settle(_STORED, seq, outcome)

    def _room(self) -> Outcome | None:
        if not self._commits.is_full():
            return True
        return self._commits.memory_full() if self._commits.store_error else None

    def settle(self, seq: int, outcome: Outcome) -> None:
        """``seq`` was delivered (True), or never will be (MessageDropped)."""
        for loop in list(self._loops.values()):
            loop.settle(_PUBLISHED, seq, outcome)

    def settle_flushed(self, cursors: tuple[int, ...]) -> None:
        """All before ``cursors`` is settled."""
        for loop in list(self._loops.values()):
            for end_seqs in loop.expected(_FLUSHED):
                if are_behind(end_seqs, cursors):
                    loop.settle(_FLUSHED, end_seqs, True)

    def tell(self) -> None:
        """Wake the loops that something was settled for."""
        for loop, calls in list(self._loops.items()):
            if not calls.tell():
                self._loops.pop(loop, None)

    def end(self) -> None:
        """Nothing more will come true. Whoever waits is told so."""
        self.settle_stored()
        for loop in list(self._loops.values()):
            for what in (_STORED, _PUBLISHED, _FLUSHED):
                for seq in loop.expected(what):
                    loop.settle(what, seq, False)
        self.tell()
