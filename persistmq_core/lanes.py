"""Two lanes on one connection: the ordinary one, and one that goes ahead of it.

What goes ahead is what has priority and, while a backlog is sent, what is published meanwhile. Each lane is a cache of
its own (``lane.py``), so a restart knows from where a message was sent; their identifiers do not overlap (law 4). Order
is kept within a lane.

Each lane has half of the places for QoS 2, always. A broker may hold that many whose PUBREL it waits for, and loses
what comes beyond (Mosquitto); after a restart nobody knows how many these are of each lane, only that they are no more
than its half. So nothing goes ahead in a cache that had one lane before, until all is settled that may have been in
flight then.

To the engine both together look like one ``Delivery``.
"""

from .contracts import Clock, Listener, Store, Transport
from .delivery import Delivery
from .lane import Lane
from .limits import AHEAD_SEQ

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .payload_files import Stream

DRAINS = ("in_order", "live_first", "interleaved")


class _AheadListener(Listener):
    """The application has one series of numbers for each lane."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def delivered(self, seq: int) -> None:
        self._listener.delivered(AHEAD_SEQ + seq)

    def dropped(self, seq: int, account: str, reason_code: int) -> None:
        self._listener.dropped(AHEAD_SEQ + seq, account, reason_code)


class Lanes:
    """``store``: of the lane that goes ahead. For one Engine.

    ``drain``, for what is published while a backlog is sent. "in_order": it goes behind the backlog. "live_first": it
    goes ahead, and the backlog gets what is left. "interleaved": the same, and the backlog keeps its share.
    ``backlog_share``: of the places in flight, which the backlog may take while live messages go ahead.
    """

    def __init__(self, store: Store, drain: str = "in_order", backlog_share: float = 0.5) -> None:
        if drain not in DRAINS:
            raise ValueError("drain must be one of %s, not %r" % (", ".join(DRAINS), drain))
        if not 0 < backlog_share < 1:
            raise ValueError("backlog_share must be between 0 and 1, not %r" % (backlog_share,))
        self.store = store
        self._splits = drain != "in_order"
        self._takes_turns = drain == "interleaved"
        self._share = backlog_share
        self._turn = 0.0  # of the backlog, when it is 1
        self.limit = 0  # of messages in flight

    def listener(self, listener: Listener) -> Listener:
        """For the lane that goes ahead."""
        return _AheadListener(listener)

    def join(self, ordinary: Lane, ahead: Lane) -> None:
        """Deliver for both."""
        self._ordinary = ordinary.delivery
        self._ahead = ahead.delivery
        self.limit = self._ordinary.limit_qos1
        half = self._ordinary.limit_qos2 // 2
        self._ahead.limit_qos2 = max(1, half)
        self._ordinary.limit_qos2 = max(1, self._ordinary.limit_qos2 - half)

    # --- for the port, by any thread ---

    def goes_ahead(self, is_online: bool) -> bool:
        """Whether what is published now goes ahead of the backlog."""
        return self._splits and is_online and self._ordinary.has_backlog()

    def cursors(self) -> "tuple[int, ...]":
        """All before these is settled, in each lane."""
        return self._ordinary.cursor(), self._ahead.cursor()

    def is_settled(self, seq: int) -> bool:
        return self._ahead.is_settled(seq - AHEAD_SEQ) if seq >= AHEAD_SEQ else self._ordinary.is_settled(seq)

    def repeated(self) -> int:
        return self._ordinary.repeated() + self._ahead.repeated()

    def damaged_bytes(self) -> int:
        return self._ordinary.damaged_bytes() + self._ahead.damaged_bytes()

    # --- for the engine: see Delivery ---

    @property
    def unsaved(self) -> bool:
        return self._ordinary.unsaved or self._ahead.unsaved

    @property
    def stream(self) -> "Stream | None":
        return self._ahead.stream or self._ordinary.stream

    def begin(self, now_ms: int) -> None:
        self._ordinary.begin(now_ms)
        self._ahead.begin(now_ms)

    def has_both_slots(self) -> bool:
        return self._ordinary.has_both_slots() and self._ahead.has_both_slots()

    def session_known(self) -> bool:
        # Nothing of the lane ahead was ever sent before the ordinary one's checkpoint knows of it.
        state = self._ordinary.checkpoint
        return state.session_known and (not state.has_ahead or self._ahead.session_known())

    def know_session(self, known: bool, marker: int) -> int:
        self._ahead.know_session(known, marker)
        return self._ordinary.know_session(known, marker)

    def resume(self) -> None:
        self._ordinary.resume()
        self._ahead.resume()

    def forget(self, trust: bool) -> None:
        self._ordinary.forget(trust)
        self._ahead.forget(trust)

    def end_connection(self) -> None:
        self._ordinary.end_connection()
        self._ahead.end_connection()

    def progress(self) -> int:
        return self._ordinary.progress() + self._ahead.progress()

    def acknowledge(self, came: "bytes | memoryview") -> int:
        later = 0
        try:
            later = self._ahead.acknowledge(came)
        finally:
            later = self._ordinary.acknowledge(came) or later
        return later

    def must_save(self) -> bool:
        return self._ahead.must_save() or self._ordinary.must_save() or self._may_begin()

    def is_urgent(self) -> bool:
        return self._ahead.is_urgent() or self._ordinary.is_urgent() or self._may_begin()

    def _may_begin(self) -> bool:
        """Nothing was sent of the lane ahead yet, and now it may be: the ordinary one's checkpoint has to say so."""
        return not self._ordinary.checkpoint.has_ahead and self._ordinary.has_resent()

    def save(self) -> None:
        state = self._ordinary.checkpoint
        begins = self._may_begin()
        if not state.has_ahead:
            self._ahead.know_session(state.session_known, state.session_marker)
        if _has_news(self._ahead):
            self._ahead.save()
        if not begins and not _has_news(self._ordinary):
            return
        state.has_ahead = state.has_ahead or begins
        is_saved = False
        try:
            self._ordinary.save()
            is_saved = True
        finally:
            if begins:
                state.has_ahead = is_saved

    def evict(self, messages: int, wanted_bytes: int) -> None:
        evicted = self._ordinary.checkpoint.evicted
        reclaimed_bytes = self._ordinary.reader.reclaimed_bytes
        self._ordinary.evict(messages, wanted_bytes)
        self._ordinary.reclaim()  # what it frees the other lane need not give
        messages -= self._ordinary.checkpoint.evicted - evicted
        wanted_bytes -= self._ordinary.reader.reclaimed_bytes - reclaimed_bytes
        if messages > 0 or wanted_bytes > 0:
            self._ahead.evict(messages, wanted_bytes)

    def could_reclaim(self) -> bool:
        return self._ordinary.could_reclaim() or self._ahead.could_reclaim()

    def reclaim(self) -> None:
        self._ordinary.reclaim()
        self._ahead.reclaim()

    def under_way(self) -> int:
        return self._ordinary.under_way() + self._ahead.under_way()

    def awaits(self) -> bool:
        return self._ordinary.awaits() or self._ahead.awaits()

    def watch(self, now_ms: int, is_sending: bool) -> int:
        return min(self._ordinary.watch(now_ms, is_sending), self._ahead.watch(now_ms, is_sending))

    def moved(self, now_ms: int) -> None:
        self._ordinary.moved(now_ms)
        self._ahead.moved(now_ms)

    def suspect(self) -> int:
        seq = self._ahead.suspect()
        return AHEAD_SEQ + seq if seq else self._ordinary.suspect()

    def refuse(self, seq: int, reason_code: int) -> bool:
        if seq >= AHEAD_SEQ:
            return self._ahead.refuse(seq - AHEAD_SEQ, reason_code)
        return self._ordinary.refuse(seq, reason_code)

    def paced_ms(self, now_ms: int) -> int:
        return self._ordinary.paced_ms(now_ms)

    def taken(self) -> None:
        self._ahead.taken()
        self._ordinary.taken()

    def fill(
        self, out: bytearray, transport: Transport, in_flight_max: int, publish: bool, now_ms: int, clock: Clock
    ) -> None:
        is_split = self._splits and self._ordinary.has_backlog()
        # One place at least is kept for whatever has priority.
        places = max(1, int(in_flight_max * self._share) if is_split else in_flight_max - 1)
        backlog_first = False
        ordinary_waits, ahead_waits = self._waits()
        if is_split and self._takes_turns:
            self._turn += self._share
            backlog_first = self._turn >= 1
            self._turn -= backlog_first
        for is_backlog in (backlog_first, not backlog_first):
            if self.stream is not None:
                return  # nothing goes behind a packet whose payload is still to come
            if is_backlog:
                free = min(places, in_flight_max - self._ahead.in_flight())
                self._ordinary.fill(out, transport, free, publish and not ordinary_waits, now_ms, clock)
            elif self._ordinary.checkpoint.has_ahead:
                kept = places if is_split and self._takes_turns and in_flight_max > 1 else self._ordinary.in_flight()
                self._ahead.fill(out, transport, in_flight_max - kept, publish and not ahead_waits, now_ms, clock)

    def _waits(self) -> "tuple[bool, bool]":
        """Whether the ordinary lane, and the one ahead, may send nothing new as yet.

        What a lane sends again after one of its checkpoints was lost, though it is settled, the broker takes on top of
        what it still holds of that lane: beyond its bound it would lose what the other one sends.
        """
        for lane in (self._ordinary, self._ahead):
            lane.may_repeat = lane.may_repeat and not lane.has_resent()
        return self._ahead.may_repeat and not self._ordinary.may_repeat, self._ordinary.may_repeat


def _has_news(delivery: Delivery) -> bool:
    return delivery.unsaved or delivery.must_save() or not delivery.has_both_slots()
