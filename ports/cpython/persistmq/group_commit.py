"""Many callers, one sync: whoever needs storage first writes for all who have staged by then.

There is no thread for this. The first caller becomes the leader of a group, the others wait; what is staged while a
group syncs makes the next group. A signal handler may run in the middle of any of it, and may raise: then the group
ends as one that failed, and a handler that comes back here on the leader's thread does not wait for itself.
"""

import threading
import time

from persistmq_core.errors import ClientStopped, StoreError
from persistmq_core.journal import Journal
from persistmq_core.limits import BATCH_BYTES_MAX
from persistmq_core.spool import Group, Spool

_EINTR = 4
_NOBODY = 0
_RETRY_S = 0.1


class GroupCommit:
    """``keep_failed``: a group that cannot be written is kept in RAM and tried again (durability "async", where
    ``publish()`` has returned), instead of being dropped with an error for each of its callers ("sync").
    """

    def __init__(self, spool: Spool, journal: Journal, keep_failed: bool) -> None:
        self.store_error = ""  # why the last group failed; "" when it did not
        self._lock = threading.RLock()  # a signal handler may come back on the thread that holds it
        self._changed = threading.Condition(self._lock)
        self._spool = spool
        self._journal = journal
        self._keep_failed = keep_failed
        self._leader = _NOBODY  # the thread that writes a group
        self._writing: Group | None = None
        self._kept: Group | None = None
        self._errors: dict[int, StoreError] = {}
        self._ended = False

    def stage(self, topic: str, payload: object, qos: int, retain: bool) -> int:
        """Number and frame one message. Raises ValueError, TypeError, ClientStopped; StoreError if RAM is full."""
        accepted_ms = time.time_ns() // 1_000_000
        with self._lock:
            if self._ended:
                raise ClientStopped("this client was stopped; make a new one on the same cache to go on")
            # RAM is not storage: a full batch waits for the disk like any other caller.
            while self._keep_failed and self._spool.staged_bytes >= BATCH_BYTES_MAX:
                if self._leader not in (_NOBODY, threading.get_ident()):
                    self._changed.wait()
                elif not self._write():
                    raise StoreError(0, f"storage is failing and the staging memory is full: {self.store_error}")
            return self._spool.stage(topic, payload, qos, retain, accepted_ms)

    def commit(self, seq: int, timeout: float | None = None) -> bool:
        """Return True when ``seq`` is on storage, False after ``timeout`` seconds. Raises its StoreError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while True:
                # Numbers of an aborted group are passed over by the ones that follow: so its errors first.
                error = self._errors.pop(seq, None) if self._errors else None
                if error is not None:
                    raise error
                if self._journal.end_seq > seq:
                    return True
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                if self._leader == threading.get_ident():
                    raise StoreError(_EINTR, "publish() in a signal handler that interrupted publish()")
                if self._leader != _NOBODY:
                    self._changed.wait(left)
                elif not self._write():
                    self._changed.wait(_RETRY_S if left is None else min(_RETRY_S, left))

    def commit_staged(self) -> bool:
        """Write what is staged, behind the group that is being written. True if nothing is left."""
        with self._lock:
            while self._leader not in (_NOBODY, threading.get_ident()):
                self._changed.wait()
            return self._write() or not self.pending()

    def is_busy_here(self) -> bool:
        """True in a signal handler that interrupted this thread inside one of these methods: nobody else can go on."""
        # _is_owned is what Condition itself asks of the lock.
        return self._leader == threading.get_ident() or bool(self._lock._is_owned())  # type: ignore[attr-defined]

    def end(self) -> None:
        """The last ``commit_staged``; nothing can be staged behind it."""
        with self._lock:
            self._ended = True
            self.commit_staged()

    def pending(self) -> bool:
        """Something is staged that no caller is writing."""
        return self._leader == _NOBODY and (self._spool.staged_bytes > 0 or self._kept is not None)

    def staged(self) -> int:
        """Messages that publish() took and that are not on storage yet."""
        with self._lock:
            count = self._spool.next_seq - self._spool.first_seq
            for group in (self._writing, self._kept):
                count += group.end_seq - group.first_seq if group is not None else 0
            return count

    def _write(self) -> bool:
        """Lead one group, with the lock held on entry and exit. True if one was stored."""
        if self._leader != _NOBODY:
            return False
        group = self._kept or self._spool.take()
        if group is None:
            return False
        self._leader = threading.get_ident()
        self._writing, self._kept = group, None
        self._lock.release()
        try:
            group.write()
        finally:
            self._lock.acquire()
            self._leader = _NOBODY
            self._writing = None
            self._finish(group)
            self._changed.notify_all()
        return group.stored

    def _finish(self, group: Group) -> None:
        self._spool.finish(group)
        if group.stored:
            self.store_error = ""
            return
        error = group.error or StoreError(_EINTR, "the message could not be stored: a signal interrupted the write")
        self.store_error = str(error)
        if self._keep_failed:
            group.error, self._kept = None, group
        else:
            for seq in range(group.first_seq, group.end_seq):
                self._errors[seq] = error
