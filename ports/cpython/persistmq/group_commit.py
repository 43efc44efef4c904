"""Many callers, one sync: whoever needs storage first writes for all who have staged by then.

There is no thread for this. The first caller becomes the leader of a group, the others wait; what is staged while a
group syncs makes the next group.
"""

import threading
import time

from persistmq_core.errors import StoreError
from persistmq_core.journal import Journal
from persistmq_core.limits import BATCH_BYTES_MAX
from persistmq_core.spool import Group, Spool


class GroupCommit:
    """``keep_failed``: a group that cannot be written is kept in RAM and tried again (durability "async", where
    ``publish()`` has returned), instead of being dropped with an error for each of its callers ("sync").
    """

    def __init__(self, spool: Spool, journal: Journal, keep_failed: bool) -> None:
        self.lock = threading.Lock()
        self.store_error = ""  # why the last group failed; "" when it did not
        self._changed = threading.Condition(self.lock)
        self._spool = spool
        self._journal = journal
        self._keep_failed = keep_failed
        self._busy = False
        self._kept: Group | None = None
        self._errors: dict[int, StoreError] = {}

    def stage(self, topic: str, payload: object, qos: int, retain: bool) -> int:
        """Number and frame one message. Raises ValueError, TypeError; StoreError where storage cannot keep up."""
        accepted_ms = time.time_ns() // 1_000_000
        with self.lock:
            if self._keep_failed and self._spool.staged_bytes >= BATCH_BYTES_MAX:
                # RAM is not storage: a full batch waits for the disk like any other caller.
                self._write()
                if self._spool.staged_bytes >= BATCH_BYTES_MAX:
                    raise StoreError(0, f"storage is failing and the staging memory is full: {self.store_error}")
            return self._spool.stage(topic, payload, qos, retain, accepted_ms)

    def commit(self, seq: int, timeout: float | None = None) -> bool:
        """Return True when ``seq`` is on storage, False after ``timeout`` seconds. Raises its StoreError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.lock:
            while self._journal.end_seq <= seq:
                if self._errors:
                    error = self._errors.pop(seq, None)
                    if error is not None:
                        raise error
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                if self._busy:
                    self._changed.wait(left)
                else:
                    failed = self._write()
                    if failed and self._keep_failed:
                        self._changed.wait(0.1 if left is None else min(0.1, left))
            # Numbers of an aborted group are passed over by the ones that follow.
            error = self._errors.pop(seq, None) if self._errors else None
            if error is not None:
                raise error
            return True

    def commit_staged(self) -> bool:
        """Write what is staged, behind the group that is being written. True if storage refuses nothing of it."""
        with self.lock:
            self._write()
            return self._kept is None

    def pending(self) -> bool:
        """Something is staged that no caller is writing."""
        return not self._busy and (self._spool.staged_bytes > 0 or self._kept is not None)

    def _write(self) -> bool:
        """Lead one group, with the lock held on entry and exit. True if it failed."""
        while self._busy:
            self._changed.wait()
        group = self._kept or self._spool.take()
        if group is None:
            return False
        self._busy = True
        self._kept = None
        self.lock.release()
        try:
            group.write()
        finally:
            self.lock.acquire()
            self._busy = False
            self._changed.notify_all()
        self._spool.finish(group)
        if group.error is None:
            self.store_error = ""
            return False
        self.store_error = str(group.error)
        if self._keep_failed:
            group.error, self._kept = None, group
        else:
            for number in range(group.first_seq, group.end_seq):
                self._errors[number] = group.error
        return True
