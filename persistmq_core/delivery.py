"""What is owed to the broker: what an acknowledgement means, and a connection that begins or ends.

Knows nothing of connecting or of the clock: the engine tells it that a connection began or ended.
"""

from . import packets
from .limits import const
from .walk import Walk
from .window import (
    DONE,
    FORGET,
    GOT_PUBACK,
    GOT_PUBCOMP,
    GOT_PUBREC,
    LOSE,
    NO_CHANGE,
    ORPHAN,
    ORPHAN_RELEASING,
    RECEIVED,
    RELEASING,
    SENT_0,
    SENT_1,
    SENT_2,
    TAKEN,
    TRUST,
    WAITING,
)

_NEGATIVE = const(0x80)  # 5.0, 2.4: reason codes from here on are failures
_BROKERS_TURN = (SENT_1, SENT_2, RELEASING, ORPHAN_RELEASING)
# The broker may take it later: 0x91 packet identifier in use, 0x97 quota exceeded.
_LATER = (0x91, 0x97)


class Delivery(Walk):
    """Of one cache. Methods that touch storage raise OSError and may be called again."""

    def cursor(self) -> int:
        """All before it is settled, and the listener knows. For any thread."""
        expired = self._expired
        return min(expired[0], self.window.cursor) if expired else self.window.cursor

    def cursors(self) -> "tuple[int, ...]":
        """``cursor`` of each lane."""
        return (self.cursor(),)

    def goes_ahead(self, is_online: bool) -> bool:
        """See Lanes: of one lane nothing goes ahead."""
        return False

    def is_settled(self, seq: int) -> bool:
        """It was delivered or never will be, and the listener knows. For any thread."""
        return (self.window.state(seq) == DONE or seq < self.window.cursor) and seq not in self._expired

    def has_backlog(self) -> bool:
        """Something is unsettled that was there when the connection began. For any thread."""
        return self.window.cursor < self.backlog_end

    def has_resent(self) -> bool:
        """All that may have been in flight when the connection began, or when the last one ended, is settled."""
        return self.window.cursor >= (self._dup_end if self._connected else self._sent_end)

    def has_walked(self) -> bool:
        """All that may have been in flight when the connection began was sent again, or is settled, or has no place.

        It has none behind one that the broker does not take now.
        """
        return self._next >= min(self._dup_end, self.window.cursor + self.window.span)

    def repeated(self) -> int:
        """Messages that were sent again although the broker may have had them: its session was lost."""
        return self.checkpoint.repeated

    def damaged_bytes(self) -> int:
        """Found in the journal since the start."""
        return self.reader.damaged_bytes

    # --- the connection began or ended ---

    def session_known(self) -> bool:
        """What the checkpoint says of the broker's session is true: it can be resumed."""
        return self.checkpoint.session_known

    def know_session(self, known: bool, marker: int) -> int:
        """For the next ``save``; returns the marker that was there."""
        state = self.checkpoint
        before, state.session_marker = state.session_marker, marker
        state.session_known = known
        state.in_doubt = False
        self.unsaved = True
        return before

    def resume(self) -> None:
        """The broker kept the session: go on where it ended, in the original order (5.0, 4.4 and 4.6)."""
        self._dup_end = self._sent_end
        self._connected = True
        self.backlog_end = self._journal.end_seq

    def forget(self, trust: bool) -> None:
        """The broker has no session: send again as new, or (``trust``) believe the PUBRECs that came."""
        repeated = 0
        self._connected = True
        self.backlog_end = self._journal.end_seq
        for seq in range(self.window.cursor, self.window.end):
            before = self.window.state(seq)
            new = self.window.move(seq, TRUST if trust else FORGET)
            if new != NO_CHANGE:
                self._in_both = True  # PUBREL for what the broker has forgotten would get a PUBCOMP: a loss
            if new == DONE and before not in (ORPHAN, ORPHAN_RELEASING):
                self._delivered(seq)
            elif self.window.state(seq) == WAITING and seq < self._sent_end and seq < self._journal.end_seq:
                repeated += 1
        self.checkpoint.repeated += repeated
        self._received = []
        self.has_released = False
        self._dup_end = 0
        self._sent_end = 0
        self.window.advance()
        self._next = self.window.cursor
        self.unsaved = True

    def end_connection(self) -> None:
        """What was sent may be lost; begin the walk again."""
        self._connected = False
        self.window.move_all(LOSE)
        self._next = self.window.cursor
        self._walked = 0
        self._release = []
        self._handed = []
        self.stream = None
        self.reader.rewind()

    def begin(self, now_ms: int) -> None:
        """The first step: messages of unknown age are as old as this start, at least."""
        self._boot_ms = now_ms

    def has_sent_all(self) -> bool:
        """The walk is at the end of what is durable."""
        return self._next >= self._journal.end_seq

    def progress(self) -> int:
        """A number that grows whenever a message is settled, the listener told of it, or a segment freed."""
        return self.checkpoint.settled() + self.window.cursor + self.reader.reclaimed_bytes - len(self._expired)

    # --- acknowledgements ---

    def acknowledge(self, came: "bytes | memoryview") -> int:
        """Take whole acknowledgement packets. Raises ProtocolError; what stands before the confusion counts.

        Returns the reason code if the broker asks to be left alone for a while, else 0.
        """
        later = 0
        window = self.window
        cursor = window.cursor
        id_first = self._id_first
        id_span = self._id_span
        kinds = packets.ACKNOWLEDGEMENTS
        at = 0
        size = len(came)
        try:
            while at < size:
                # Nearly always it is the common form of both versions: four bytes, for which no tuple is made.
                kind = came[at]
                reason = 0
                identifier = came[at + 2] << 8 | came[at + 3] if at + 4 <= size and came[at + 1] == 2 else 0
                if identifier and kind in kinds:
                    at += 4
                else:
                    kind, identifier, reason, at = packets.acknowledgement(came, at)
                if not 0 <= identifier - id_first < id_span:
                    continue  # another lane's, or nobody's: it must not pass for the one that is id_span below
                seq = cursor + (identifier - id_first - cursor) % id_span
                if reason >= _NEGATIVE and kind != packets.PUBCOMP:
                    before = window.state(seq)
                    if reason in _LATER:
                        # With only_resends it is known now that the broker does not hold it, and it goes as new later.
                        if self.only_resends and window.move(seq, LOSE) != NO_CHANGE:
                            self.has_released = True  # there is something in its place
                        else:
                            later = reason
                    elif before == SENT_2 or (before == SENT_1 and kind == packets.PUBACK):
                        self.refusals += 1
                        self.refuse(seq, reason)
                    else:
                        self.strays += 1  # of a message that is not on the wire
                    continue
                if kind == packets.PUBREC:
                    self._received.append(seq)  # first: without memory for it, it must not be RECEIVED for ever
                    new = window.move(seq, GOT_PUBREC)
                    if new != RECEIVED:
                        self._received.pop()
                else:
                    counts = True
                    event = GOT_PUBACK
                    if kind == packets.PUBCOMP:  # also one that says "identifier not found" (0x92; 5.0, 3.7.2.1)
                        counts = window.state(seq) != ORPHAN_RELEASING  # which has its account
                        event = GOT_PUBCOMP
                    new = window.move(seq, event)
                    if new == DONE and counts:
                        self._delivered(seq)
                if new == NO_CHANGE:
                    self.strays += 1
        finally:
            if window.advance():
                self.unsaved = True
        return later

    def in_flight(self) -> int:
        """Messages that wait for PUBACK or PUBCOMP in this connection, or will when ``fill`` has sent their PUBREL."""
        return self.window.in_flight() + len(self._release)

    def _first(self) -> int:
        """The oldest message that is not settled, but with ``only_resends`` none of those that wait for later."""
        window = self.window
        seq = window.cursor
        while self.only_resends and seq < window.end and window.state(seq) not in _BROKERS_TURN:
            seq += 1
        return seq

    def awaits(self) -> bool:
        """True if it is the broker's turn for the oldest message."""
        return self.window.state(self._first()) in _BROKERS_TURN

    def watch(self, now_ms: int, is_sending: bool) -> int:
        """Since when (in the engine's time) the broker owes an answer for the oldest message, or takes no bytes."""
        first = self._first()
        oldest = first << 4 | self.window.state(first)
        if oldest != self._oldest or not (is_sending or self.awaits()):
            self._oldest = oldest
            self._waits_since = now_ms
        return self._waits_since

    def moved(self, now_ms: int) -> None:
        """The connection began, or took some of the bytes that it had to wait with."""
        self._waits_since = now_ms

    def suspect(self) -> int:
        """The first message on the wire, which is alone there if the engine said so; 0: there is none."""
        return self._first() if self.awaits() or self.window.count(SENT_0) else 0

    def paced_ms(self, now_ms: int) -> int:
        """For how many milliseconds the backlog has to wait, although it could be sent; -1: it has not."""
        return self.pace.due_ms(now_ms) if self.pace is not None and self.pace.holds else -1

    def taken(self) -> None:
        """The transport has taken all that ``fill`` gave, and a piece of ``stream``."""
        if self.stream is not None:
            if self.stream.left:
                return
            self.unsaved = self.unsaved or self.stream.seq < self.window.cursor  # its file had to wait for this
            self.stream = None
        if not self._handed:
            return
        for seq in self._handed:
            self.window.move(seq, TAKEN)
            self._delivered(seq)
        self._handed.clear()
        self.window.advance()
