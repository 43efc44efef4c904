"""Group commit for two lanes: each has its own journal, so each has its own groups."""

from collections.abc import Callable

from persistmq_core.errors import StoreError
from persistmq_core.limits import AHEAD_SEQ

from .group_commit import GroupCommit


class LaneCommits:
    """The calls of GroupCommit. Numbers are the application's: those of the lane that goes ahead begin at AHEAD_SEQ.

    ``goes_ahead``: whether what has no priority goes ahead now.
    """

    def __init__(self, ordinary: GroupCommit, ahead: GroupCommit, goes_ahead: Callable[[], bool]) -> None:
        self._ordinary = ordinary
        self._ahead = ahead
        self._goes_ahead = goes_ahead

    @property
    def store_error(self) -> str:
        return self._ordinary.store_error or self._ahead.store_error

    def stage(
        self, topic: str, payload: object, qos: int, retain: bool, expires_s: int = 0, priority: bool = False
    ) -> int:
        if priority or self._goes_ahead():
            return AHEAD_SEQ + self._ahead.stage(topic, payload, qos, retain, expires_s)
        return self._ordinary.stage(topic, payload, qos, retain, expires_s)

    def stage_now(
        self, topic: str, payload: object, qos: int, retain: bool, expires_s: int = 0, priority: bool = False
    ) -> int | None:
        if priority or self._goes_ahead():
            seq = self._ahead.stage_now(topic, payload, qos, retain, expires_s)
            return None if seq is None else AHEAD_SEQ + seq
        return self._ordinary.stage_now(topic, payload, qos, retain, expires_s)

    def stage_all(
        self, messages: list[tuple[str, object, int, bool]], expires_s: int = 0, priority: bool = False
    ) -> int:
        if priority or self._goes_ahead():
            return AHEAD_SEQ + self._ahead.stage_all(messages, expires_s)
        return self._ordinary.stage_all(messages, expires_s)

    def is_full(self) -> bool:
        return self._ordinary.is_full() or self._ahead.is_full()

    def memory_full(self) -> StoreError:
        return (self._ordinary if self._ordinary.store_error else self._ahead).memory_full()

    def is_stored(self, seq: int) -> bool:
        lane, seq = self._lane(seq)
        return lane.is_stored(seq)

    def commit(self, seq: int, timeout: float | None = None) -> bool:
        lane, seq = self._lane(seq)
        return lane.commit(seq, timeout)

    def commit_all(self, first_seq: int, end_seq: int) -> None:
        lane, seq = self._lane(first_seq)
        lane.commit_all(seq, seq + end_seq - first_seq)

    def outcome(self, seq: int) -> "bool | StoreError | None":
        lane, seq = self._lane(seq)
        return lane.outcome(seq)

    def commit_staged(self) -> bool:
        return all([self._ordinary.commit_staged(), self._ahead.commit_staged()])

    def is_busy_here(self) -> bool:
        return self._ordinary.is_busy_here() or self._ahead.is_busy_here()

    def pending(self) -> bool:
        return self._ordinary.pending() or self._ahead.pending()

    def staged(self) -> int:
        return self._ordinary.staged() + self._ahead.staged()

    def end(self) -> None:
        self._ordinary.end()
        self._ahead.end()

    def _lane(self, seq: int) -> tuple[GroupCommit, int]:
        return (self._ahead, seq - AHEAD_SEQ) if seq >= AHEAD_SEQ else (self._ordinary, seq)
