"""When messages wait in RAM, and when they are written (durability "spill").

RAM while the link is healthy: the connection is up, and no acknowledgement is later than ``after_ms``. On any trouble
all is written, and stays so until everything on storage is settled and the link has been healthy for as long again.
"""

from .contracts import Store
from .lane import Lane
from .limits import SEGMENT_BYTES_MIN, SPILL_SEGMENTS, const
from .spill_store import ENTERING, IN_RAM, LEAVING, STORED, SpillStore

_NEVER_MS = const(1 << 30)


class Spill:
    """``segment_bytes_max``: on storage; in RAM files are smaller, so that space comes back as messages are settled.

    By one thread, but for ``holds`` and ``wanted``.
    """

    def __init__(self, store: Store, lane: Lane, after_ms: int, segment_bytes_max: int) -> None:
        if not isinstance(store, SpillStore):
            raise TypeError("spill_after_ms needs a SpillStore")
        self.wanted = False  # somebody waits for all of it to be on storage
        self._store = store
        self._delivery = lane.delivery
        self._delivery.spill_store = store
        store.spool = lane.spool
        self._journal = lane.journal
        self._after_ms = after_ms
        self._segment_bytes_max = segment_bytes_max
        part_bytes = max(SEGMENT_BYTES_MIN, store.spill_bytes // SPILL_SEGMENTS)
        self._ram_segment_bytes_max = min(segment_bytes_max, part_bytes)
        self._is_away = False  # it was begun, and has not been left, as far as is known here
        self._healthy_since = 0

    def holds(self, seq: int) -> bool:
        """A power cut would take it: it is only in RAM. For any thread."""
        return self._store.holds(seq)

    def waiting(self) -> int:
        """How many messages are only in RAM and not settled. For any thread."""
        first_seq = self._store.first_seq
        if self._store.state == STORED or not first_seq:
            return 0
        return max(0, self._journal.end_seq - max(first_seq, self._delivery.cursor()))

    def leaves(self) -> int:
        """How often RAM was left. For any thread."""
        return self._store.spills

    def is_over(self) -> bool:
        """Nothing is only in RAM."""
        return self._store.state == STORED

    def step(self, now_ms: int, is_up: bool, waits_ms: int, is_ending: bool) -> bool:
        """Enter or leave if it is time; True if more may be sent than before. Raises OSError, and may be called again.

        ``is_up``: the connection. ``waits_ms``: for so long the broker has owed an answer. ``is_ending``: for good.
        """
        store = self._store
        if store.state == STORED and self._is_away:
            self._left(now_ms)  # the publishing side found RAM full
            return True
        is_healthy = is_up and waits_ms < self._after_ms and not is_ending
        if not is_healthy or self.wanted:
            self._healthy_since = now_ms
            if self._is_away:
                store.keeps_no_more = True
                # Where nothing waits nothing is written, before something comes.
                if is_ending or self.wanted or store.state != IN_RAM or self._something_waits():
                    self.leave()
                    self._left(now_ms)
                    return True
            self.wanted = False
            return False
        if store.state == STORED:
            if store.has_appended and now_ms - self._healthy_since >= self._after_ms and self._delivery.has_sent_all():
                self._begin()
        elif store.state == LEAVING or (store.state == IN_RAM and store.is_entering):
            self.leave()  # again
            self._left(now_ms)
            return True
        elif store.state == IN_RAM:
            store.keeps_no_more = False
            # RAM may be full, and written, at any moment from now on: what is settled is not to be sent again then.
            if self._delivery.unsaved and 2 * store.ram_bytes > store.spill_bytes:
                self._delivery.save()
                self._delivery.reclaim()
        return store.state == ENTERING and self._enter()

    def leave(self) -> None:
        """Write all that is only in RAM. Raises OSError, and may be called again."""
        if self._store.state == STORED:
            return
        self._store.keeps_no_more = True
        delivery = self._delivery
        try:
            if delivery.unsaved or delivery.must_save():
                delivery.save()
            delivery.reclaim()  # so that less is to be written
        except OSError:
            pass  # of what is to be written one part is not as new as it might be
        self._store.spill()
        self._store.tidy()

    def due_ms(self, now_ms: int, waits_ms: int) -> int:
        """When ``step`` will have something to do, unless something happens; ``waits_ms`` as there, -1: for nothing."""
        if self._store.state != STORED:
            return max(0, self._after_ms - waits_ms) if waits_ms >= 0 else _NEVER_MS
        healthy_ms = now_ms - self._healthy_since
        may_begin = self._store.has_appended and waits_ms < self._after_ms and healthy_ms < self._after_ms
        return self._after_ms - healthy_ms if may_begin else _NEVER_MS

    def _begin(self) -> None:
        self._is_away = True
        self._store.keep_appends()
        self._journal.limit(self._ram_segment_bytes_max, True)  # then: what is being written ends where it began

    def _enter(self) -> bool:
        """From now on checkpoints are kept, too: if all that is on storage is settled, and something is in RAM."""
        store = self._store
        delivery = self._delivery
        if not 0 < store.first_seq <= delivery.cursor() or delivery.must_save():
            return False
        store.keep_checkpoints()
        delivery.save()
        delivery.save()  # both slots
        store.entered()
        return True

    def _left(self, now_ms: int) -> None:
        self._healthy_since = now_ms
        self._is_away = self.wanted = False
        self._store.tidy()
        self._journal.limit(self._segment_bytes_max, False)
        if self._store.needs_checkpoint:
            self._delivery.unsaved = True

    def _something_waits(self) -> bool:
        delivery = self._delivery
        return delivery.must_save() or delivery.cursor() < self._journal.end_seq
