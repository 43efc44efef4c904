"""Many callers, one sync: whoever needs storage first writes for all who have staged by then.

There is no thread for this. The first caller becomes the leader of a group, the others wait; what is staged while a
group syncs makes the next group. A signal handler may run in the middle of any of it, and may raise: then the group
ends as one that failed, and a handler that comes back here on the leader's thread does not wait for itself.

Each waiting caller has a lock of its own and is woken through it: when its group has ended, or to lead the next one.
With one condition for all, each sync would wake everybody, and they would queue up for its lock.
"""

import threading
import time
from _thread import LockType
from collections.abc import Callable

from persistmq_core.errors import ClientStopped, StoreError
from persistmq_core.journal import Journal
from persistmq_core.limits import BATCH_BYTES_MAX
from persistmq_core.prepared import Prepared
from persistmq_core.spool import Group, IsLarge, Spool

from .clock import stamp_ms

NO_PRIORITY = "priority needs a client that was made with drain=: the cache has one lane"
_EINTR = 4
_NOBODY = 0
# Whoever waits looks again after this long: the disk may work again, or who was to lead has left by an exception.
_RETRY_S = 0.1
# A leader waits for those who were in the last group as well, for this part of the time that its sync took. Without
# it the first caller to come back syncs alone, and the others wait for that: two syncs for each round.
_GATHER_PART = 0.5


class GroupCommit:
    """``keep_failed``: a group that cannot be written is kept in RAM and tried again (durability "async", where
    ``publish()`` has returned), instead of being dropped with an error for each of its callers ("sync").
    ``on_ended``: called when a group has ended, well or not, on the thread that wrote it. It must not wait.
    """

    def __init__(
        self, spool: Spool, journal: Journal, keep_failed: bool, on_ended: Callable[[], None] = lambda: None
    ) -> None:
        self.store_error = ""  # why the last group failed; "" when it did not
        self._failure = StoreError(0, "nothing has failed")  # the last one
        self._lock = threading.RLock()  # a signal handler may come back on the thread that holds it
        self._spool = spool
        self._journal = journal
        self._keep_failed = keep_failed
        self._on_ended = on_ended
        self._leader = _NOBODY  # the thread that writes a group
        self._holder = _NOBODY  # the thread that lets nobody write
        self._waiting: list[tuple[int, LockType]] = []  # (what it waits for, how to wake it), first come first
        self._gathering: LockType | None = None  # wakes a leader that waits for as many callers as the last time
        self._callers = 0  # how many that is
        self._write_s = 0.0  # how long the last group took
        self._writing: Group | None = None
        self._kept: Group | None = None
        self._errors: dict[int, StoreError] = {}
        self._ended = False
        self._is_over = False  # nothing that is left will be written

    def stage(
        self, topic: str, payload: object, qos: int, retain: bool, expires_s: int = 0, priority: bool = False
    ) -> int:
        """Number and frame one message. Raises ValueError, TypeError, ClientStopped; StoreError if RAM is full.

        A large payload is on storage when this returns, and what that raises is raised here.
        ``priority``: see LaneCommits; here there is one lane.
        """
        if priority:
            raise ValueError(NO_PRIORITY)
        self._check_free()
        accepted_ms = stamp_ms()
        try:
            with self._lock:
                if self._ended or self.is_full():
                    self._make_room()
                return self._spool.stage(topic, payload, qos, retain, accepted_ms, expires_s)
        except IsLarge:
            pass  # and what that holds of the payload is let go
        return self._stage_large([(topic, payload, qos, retain)], expires_s)

    def stage_now(
        self, topic: str, payload: object, qos: int, retain: bool, expires_s: int = 0, priority: bool = False
    ) -> int | None:
        """``stage`` that does not wait for the disk: None if RAM is full. Raises IsLarge, too."""
        self._check_free()
        accepted_ms = stamp_ms()
        with self._lock:
            self._check_open()
            if priority:
                raise ValueError(NO_PRIORITY)
            if self.is_full():
                return None
            return self._spool.stage(topic, payload, qos, retain, accepted_ms, expires_s)

    def is_full(self) -> bool:
        """As much is staged as may be, until a group is written."""
        return self._spool.staged_bytes >= BATCH_BYTES_MAX

    def memory_full(self) -> StoreError:
        """For who cannot stage because the last group failed: with its errno."""
        failure = self._failure
        return StoreError(failure.errno, f"storage is failing and the staging memory is full: {failure.strerror}")

    def stage_all(
        self, messages: list[tuple[str, object, int, bool]], expires_s: int = 0, priority: bool = False
    ) -> int:
        """``stage`` for all or none: they are written in one group. Returns the number of the first."""
        if priority:
            raise ValueError(NO_PRIORITY)
        self._check_free()
        accepted_ms = stamp_ms()
        try:
            with self._lock:
                self._make_room()
                return self._spool.stage_all(messages, accepted_ms, expires_s)
        except IsLarge:
            pass
        return self._stage_large(messages, expires_s)

    def _stage_large(self, messages: list[tuple[str, object, int, bool]], expires_s: int) -> int:
        """The large payloads among them are written without the lock: others publish meanwhile."""
        with self._lock:
            self._make_room()
            prepared = Prepared(self._spool, messages, expires_s)
            prepared.promise()
        try:
            prepared.write()
            accepted_ms = stamp_ms()
            with self._lock:
                self._make_room()
                return prepared.stage(accepted_ms)
        except BaseException:
            with self._lock:
                prepared.give_up()
                self._check_open()  # an error of a store that was closed under it means that
            raise

    def is_stored(self, seq: int) -> bool:
        """``seq`` survives a power cut."""
        return self._journal.end_seq > seq

    def commit(self, seq: int, timeout: float | None = None) -> bool:
        """Return True when ``seq`` is on storage, False after ``timeout`` seconds. Raises its StoreError.

        False as well if it could not be stored before ``end``.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            outcome = self.outcome(seq)
            if isinstance(outcome, StoreError):
                raise outcome
            if outcome:
                return True
            left = _RETRY_S if deadline is None else min(_RETRY_S, deadline - time.monotonic())
            if left <= 0:
                return False
            with self._lock:
                if self._leader == threading.get_ident():
                    raise StoreError(_EINTR, "publish() in a signal handler that interrupted publish()")
                if self._journal.end_seq > seq or seq in self._errors:
                    continue
                if self._is_over and self._keep_failed:
                    return False
                if self._write(may_gather=True) or seq in self._errors:
                    continue
                gate = self._queue(seq)
            if not gate.acquire(timeout=left):
                with self._lock:
                    self._leave(gate)

    def commit_all(self, first_seq: int, end_seq: int) -> None:
        """``commit`` for what was staged together."""
        try:
            self.commit(end_seq - 1)
        except StoreError:
            for seq in range(first_seq, end_seq):
                self._errors.pop(seq, None)
            raise

    def outcome(self, seq: int) -> "bool | StoreError | None":
        """True if ``seq`` is on storage, its error (given once) if it never will be, None if that is not known yet."""
        # Numbers of an aborted group are passed over by the ones that follow: so its errors first.
        error = self._errors.pop(seq, None) if self._errors else None
        return error or (True if self._journal.end_seq > seq else None)

    def commit_staged(self) -> bool:
        """Write what is staged, behind the group that is being written. True if nothing is left."""
        with self._lock:
            self._await_turn()
            return self._write() or not self.pending()

    def hold(self) -> None:
        """Let no group be written until this thread calls ``let_go``; what is staged meanwhile waits."""
        with self._lock:
            while self._holder not in (_NOBODY, threading.get_ident()):
                self._wait(self._queue(0), _RETRY_S)
            self._holder = threading.get_ident()  # so that no other group begins behind the one that is written
            self._await_turn()

    def let_go(self) -> None:
        """End a ``hold``."""
        with self._lock:
            self._holder = _NOBODY
            self._wake()

    def is_held(self) -> bool:
        """Somebody lets no group be written."""
        return self._holder != _NOBODY

    def is_busy_here(self) -> bool:
        """True in a signal handler that interrupted this thread inside one of these methods: nobody else can go on."""
        # _is_owned is what Condition itself asks of the lock.
        return self._leader == threading.get_ident() or bool(self._lock._is_owned())  # type: ignore[attr-defined]

    def end(self) -> None:
        """Write all that is staged, as long as that works; nothing can be staged behind it."""
        with self._lock:
            self._ended = True
            self._await_turn()
            while self._write():  # a group that had failed before, and what was staged behind it
                pass
            self._is_over = True

    def pending(self) -> bool:
        """Something is staged that no caller is writing."""
        return self._leader == self._holder == _NOBODY and (self._spool.staged_bytes > 0 or self._kept is not None)

    def staged(self) -> int:
        """Messages that publish() took and that are not on storage yet."""
        with self._lock:
            count = self._spool.next_seq - self._spool.first_seq
            for group in (self._writing, self._kept):
                count += group.end_seq - group.first_seq if group is not None else 0
            return count

    def _check_free(self) -> None:
        """Raises StoreError in a signal handler that interrupted this thread where nothing can be staged.

        Two messages would get one number, or this one would be written although its caller, who cannot wait for that,
        was told that it is not accepted.
        """
        # _is_owned is what Condition itself asks of the lock.
        if self._lock._is_owned() or (  # type: ignore[attr-defined]
            self._leader == threading.get_ident() and not self._keep_failed
        ):
            raise StoreError(_EINTR, "publish() in a signal handler that interrupted publish()")

    # --- with the lock held, once ---

    def _check_open(self) -> None:
        if self._ended:
            raise ClientStopped("this client was stopped; make a new one on the same cache to go on")

    def _make_room(self) -> None:
        self._check_open()
        # RAM is not storage: a full batch waits for the disk like any other caller.
        while self._keep_failed and self.is_full():
            if self._is_others_turn():
                self._await_turn()
            elif not self._write():
                raise self.memory_full()

    def _await_turn(self) -> None:
        """Wait until no other thread writes, or keeps others from it."""
        while self._is_others_turn():
            self._wait(self._queue(0), _RETRY_S)

    def _is_others_turn(self) -> bool:
        me = threading.get_ident()
        return self._leader not in (_NOBODY, me) or self._holder not in (_NOBODY, me)

    def _queue(self, seq: int) -> LockType:
        gate = threading.Lock()
        gate.acquire()
        self._waiting.append((seq, gate))
        if self._gathering is not None and len(self._waiting) >= self._callers:
            self._gathering.release()
            self._gathering = None
        return gate

    def _wait(self, gate: LockType, timeout: float) -> None:
        # As Condition does it: however often this thread holds the lock, whoever writes needs it to come to an end.
        held = self._lock._release_save()  # type: ignore[attr-defined]
        try:
            gate.acquire(timeout=timeout)
        finally:
            self._lock._acquire_restore(held)  # type: ignore[attr-defined]
            self._leave(gate)

    def _leave(self, gate: LockType) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting[1] is not gate]

    def _write(self, may_gather: bool = False) -> bool:
        """Lead one group. True if one was stored."""
        if not self.pending():
            return False
        self._leader = threading.get_ident()
        group = None
        try:
            if may_gather:
                self._gather()
            group, self._kept = self._kept or self._spool.take(), None
            if group is not None:
                self._writing = group
                self._write_group(group)
        finally:
            self._leader = _NOBODY
            self._writing = None
            if group is not None:
                self._finish(group)
            self._wake()
            self._on_ended()
        return group is not None and group.stored

    def _gather(self) -> None:
        """Give those who shared the last sync the time to come back."""
        until = time.monotonic() + self._write_s * _GATHER_PART
        while len(self._waiting) < self._callers and (left := until - time.monotonic()) > 0:
            gate = threading.Lock()
            gate.acquire()
            self._gathering = gate
            self._wait(gate, left)
        self._gathering = None

    def _write_group(self, group: Group) -> None:
        began = time.monotonic()
        self._lock.release()
        try:
            group.write()
        finally:
            self._lock.acquire()
            self._write_s = time.monotonic() - began

    def _wake(self) -> None:
        """Those whose group has ended, and one more, who leads what is staged."""
        waiting = self._waiting
        self._callers = 0
        while waiting:
            seq, gate = waiting.pop(0)
            gate.release()
            if seq >= self._spool.first_seq:
                break
            self._callers += 1

    def _finish(self, group: Group) -> None:
        self._spool.finish(group)
        if group.stored:
            self.store_error = ""
            return
        error = group.error or StoreError(_EINTR, "the message could not be stored: a signal interrupted the write")
        self.store_error = str(error)
        self._failure = error
        if self._keep_failed:
            group.error, self._kept = None, group
        else:
            self._spool.discard(group)
            for seq in range(group.first_seq, group.end_seq):
                self._errors[seq] = error
