"""The in-flight window: one state for each sequence number from the ack cursor on.

A place moves only as the ``_on`` lines say; a pair that is not there is an acknowledgement that means nothing here (a
late one, or a broker's mistake) and changes nothing. The ring is allocated once.
"""

from .checkpoint import PLACE_DONE, PLACE_ORPHAN, PLACE_RELEASED, PLACE_WAITING
from .limits import SEQ_FIRST, const

# States of a place.
WAITING = const(0)  # not on the wire in this connection
SENT_0 = const(1)  # QoS 0 PUBLISH given to the transport, not all taken yet
SENT_1 = const(2)  # QoS 1 PUBLISH sent: PUBACK is due
SENT_2 = const(3)  # QoS 2 PUBLISH sent: PUBREC is due
RECEIVED = const(4)  # PUBREC came; it is not on storage yet
RELEASED = const(5)  # PUBREC is on storage: PUBREL may be sent (law 3)
RELEASING = const(6)  # PUBREL sent: PUBCOMP is due
ORPHAN = const(7)  # the record is lost, the broker may hold the identifier: PUBREL is to be sent
ORPHAN_RELEASING = const(8)  # PUBREL sent for it: PUBCOMP is due
REFUSED = const(9)  # the broker said no: to be parked as a dead letter
DONE = const(10)  # settled
CARRIED = const(11)  # in a bundle behind its first message, which has the handshake of them all

# Events.
SEND_0 = const(0)
SEND_1 = const(1)
SEND_2 = const(2)
TAKEN = const(3)  # the transport has taken every byte
GOT_PUBACK = const(4)
GOT_PUBREC = const(5)
GOT_PUBCOMP = const(6)
STORED = const(7)  # a checkpoint with this place is on storage
SEND_PUBREL = const(8)
REFUSE = const(9)  # a negative acknowledgement, a limit of the broker, or poison
SETTLE = const(10)  # parked, lost or skipped: settled without an acknowledgement
ABANDON = const(11)  # the record is lost while the broker may hold its identifier
LOSE = const(12)  # the connection ended
FORGET = const(13)  # the broker lost the session: send again as new
TRUST = const(14)  # the broker lost the session: believe its PUBREC
CARRY = const(15)  # it goes, or went, in a bundle
UNPACK = const(16)  # the bundle is taken apart

NO_CHANGE = const(-1)

_STATES = const(12)
_EVENTS_MAX = const(17)
_NOTHING = const(255)
_NEXT = bytearray(b"\xff" * (_STATES * _EVENTS_MAX))  # 204 bytes; as tuples it would be 3 KB of a board's heap


def _on(state: int, event: int, new: int) -> None:
    _NEXT[state * _EVENTS_MAX + event] = new


_on(WAITING, SEND_0, SENT_0)
_on(WAITING, SEND_1, SENT_1)
_on(WAITING, SEND_2, SENT_2)
_on(WAITING, REFUSE, REFUSED)
_on(WAITING, SETTLE, DONE)
_on(WAITING, ABANDON, ORPHAN)
_on(SENT_0, TAKEN, DONE)
_on(SENT_0, LOSE, WAITING)
_on(SENT_1, GOT_PUBACK, DONE)
_on(SENT_1, REFUSE, REFUSED)
_on(SENT_1, LOSE, WAITING)
_on(SENT_2, GOT_PUBREC, RECEIVED)
_on(SENT_2, GOT_PUBACK, DONE)  # RabbitMQ answers QoS 2 with PUBACK: it took the message
_on(SENT_2, REFUSE, REFUSED)
_on(SENT_2, LOSE, WAITING)
_on(RECEIVED, STORED, RELEASED)
_on(RECEIVED, FORGET, WAITING)
_on(RECEIVED, TRUST, DONE)
_on(RELEASED, SEND_PUBREL, RELEASING)
_on(RELEASED, FORGET, WAITING)
_on(RELEASED, TRUST, DONE)
_on(RELEASED, REFUSE, REFUSED)  # a broker that dies of the PUBREL again and again
_on(RELEASING, GOT_PUBCOMP, DONE)
_on(RELEASING, LOSE, RELEASED)
_on(ORPHAN, SEND_PUBREL, ORPHAN_RELEASING)
_on(ORPHAN, FORGET, DONE)
_on(ORPHAN, TRUST, DONE)
_on(ORPHAN, SETTLE, DONE)
_on(ORPHAN_RELEASING, GOT_PUBCOMP, DONE)
_on(ORPHAN_RELEASING, LOSE, ORPHAN)
_on(REFUSED, SETTLE, DONE)
_on(WAITING, CARRY, CARRIED)
_on(CARRIED, SETTLE, DONE)
_on(CARRIED, REFUSE, REFUSED)
_on(CARRIED, UNPACK, WAITING)

_TO_PLACE = bytes((
    PLACE_WAITING, PLACE_WAITING, PLACE_WAITING, PLACE_WAITING,
    PLACE_RELEASED, PLACE_RELEASED, PLACE_RELEASED,  # RECEIVED too: the checkpoint that says so makes it true
    PLACE_ORPHAN, PLACE_ORPHAN,
    PLACE_WAITING,  # REFUSED: not parked yet, so it is sent again after a restart
    PLACE_DONE,
    PLACE_WAITING,  # CARRIED: the checkpoint has the ranges
))  # fmt: skip
_FROM_PLACE = bytes((WAITING, DONE, RELEASED, ORPHAN, CARRIED, WAITING))


class Window:
    """Places ``cursor`` .. ``cursor + span - 1``. Those from ``end`` on have never been touched and are WAITING.

    The ring holds them all: a place that the cursor passes is WAITING again, for the number one span later.
    """

    def __init__(self, span: int) -> None:
        self.span = span
        self.cursor = SEQ_FIRST
        self.end = SEQ_FIRST
        self._states = bytearray(span)
        self._counts = [0] * _STATES  # of WAITING and DONE it is only a difference
        self._stored = span  # how many places store() may have set the last time

    def load(self, cursor: int, places: bytearray) -> None:
        """Take over a checkpoint's cursor and places (no more than ``span``)."""
        self.cursor = self.end = cursor
        self._states = bytearray(self.span)
        self._counts = [0] * _STATES
        for index in range(len(places)):
            if places[index]:
                state = _FROM_PLACE[places[index]]
                self._states[(cursor + index) % self.span] = state
                self._counts[state] += 1
                self.end = cursor + index + 1
        self.advance()

    def store(self, places: bytearray) -> int:
        """Write the places as a checkpoint keeps them, into the same ``span`` bytes each time; how many are touched."""
        states = self._states
        touched = self.end - self.cursor
        at = self.cursor % self.span
        for index in range(touched):
            places[index] = _TO_PLACE[states[at]]
            at += 1
            if at == self.span:
                at = 0
        for index in range(touched, self._stored):
            places[index] = PLACE_WAITING
        self._stored = touched
        return touched

    def state(self, seq: int) -> int:
        """State of a number; DONE behind the cursor, WAITING where nothing happened yet."""
        if seq < self.cursor:
            return DONE
        return self._states[seq % self.span] if seq < self.end else WAITING

    def has_room(self, seq: int) -> bool:
        """True if ``seq`` has a place."""
        return seq < self.cursor + self.span

    def count(self, state: int) -> int:
        """How many places are in ``state`` (WAITING and DONE are not counted)."""
        return self._counts[state]

    def unreleased(self) -> int:
        """QoS 2 messages of which this connection sent PUBLISH and not yet PUBREL."""
        return self._counts[SENT_2] + self._counts[RECEIVED]

    def in_flight(self) -> int:
        """Messages that wait for PUBACK or PUBCOMP in this connection: what Receive Maximum bounds (5.0, 4.9)."""
        return self._counts[SENT_1] + self._counts[SENT_2] + self._counts[RECEIVED] + self._counts[RELEASING]

    def move(self, seq: int, event: int) -> int:
        """Let ``event`` happen to ``seq``; the new state, or NO_CHANGE where the table has none."""
        if not self.cursor <= seq < self.cursor + self.span:
            return NO_CHANGE
        index = seq % self.span
        old = self._states[index]
        new = _NEXT[old * _EVENTS_MAX + event]
        if new == _NOTHING:
            return NO_CHANGE
        self._states[index] = new
        self._counts[old] -= 1
        self._counts[new] += 1
        if seq >= self.end:
            self.end = seq + 1
        return new

    def move_all(self, event: int) -> int:
        """Let ``event`` happen to every place that it changes; how many these were."""
        changed = 0
        for seq in range(self.cursor, self.end):
            if self.move(seq, event) != NO_CHANGE:
                changed += 1
        return changed

    def advance(self) -> bool:
        """Move the cursor over settled places; True if it moved."""
        states = self._states
        cursor = self.cursor
        index = cursor % self.span
        # Behind the end every place is WAITING, so this ends there.
        while states[index] == DONE:
            states[index] = WAITING
            cursor += 1
            index = cursor % self.span
        moved = cursor != self.cursor
        self.cursor = cursor
        return moved

    def jump(self, seq: int) -> bool:
        """Move an idle window (all of it WAITING) to ``seq``, over a gap wider than its span; False if it is not."""
        for place in range(self.cursor, self.end):
            if self._states[place % self.span] != WAITING:
                return False
        self.cursor = self.end = seq
        return True
