"""What is owed to the broker: which message is sent when, what an acknowledgement means, what is on storage of that.

Knows nothing of connecting or of the clock: the engine tells it that a connection began or ended.
"""

from . import checkpoint as checkpoints
from . import packets
from .contracts import Clock, Listener, Store, Transport
from .journal import GAP, MESSAGE, Journal, JournalReader
from .limits import AHEAD_WINDOWS, PACKET_ID_SPAN, PUBLISH_OVERHEAD_BYTES, SEND_BYTES, const
from .record import Record
from .segment import PAYLOADS
from .window import (
    ABANDON,
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
    REFUSE,
    RELEASED,
    RELEASING,
    SEND_0,
    SEND_PUBREL,
    SENT_0,
    SENT_1,
    SENT_2,
    SETTLE,
    STORED,
    TAKEN,
    TRUST,
    WAITING,
    Window,
)

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .clock_jumps import ClockJumps
    from .eviction import Eviction
    from .identity import Identity
    from .pace import Pace
    from .payload_files import PayloadFiles, Stream
    from .recovery import Recovered
    from .spill_store import SpillStore

_EXPIRED_MAX = const(1000)  # at once: then something else may have its turn
_NEGATIVE = const(0x80)  # 5.0, 2.4: reason codes from here on are failures
_EXPIRY_BYTES = const(5)
_PROPERTIES_LENGTH_BYTES = const(3)  # in four bytes instead of one
# Beside topic, payload and expiry; the fixed header has at most five bytes.
_PUBLISH_BYTES_MAX = PUBLISH_OVERHEAD_BYTES - _EXPIRY_BYTES + 5
_PUBREL_IS_DUE = (RELEASED, ORPHAN)
_BROKERS_TURN = (SENT_1, SENT_2, RELEASING, ORPHAN_RELEASING)
# The broker may take it later: 0x91 packet identifier in use, 0x97 quota exceeded.
_LATER = (0x91, 0x97)
# What _bundle() did.
SINGLY = const(0)  # nothing: the message goes as it is
WENT = const(1)  # the walk went on
WAITS = const(2)  # nothing may be sent now


class Delivery:
    """Window, checkpoint and reader of one cache. Methods that touch storage raise OSError and may be called again."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        found: "Recovered",
        listener: Listener,
        window: int,
        window_qos2: int,
        read_bytes: int,
        send_bytes: int = SEND_BYTES,
        id_first: int = 1,
        id_span: int = PACKET_ID_SPAN,
    ) -> None:
        """``id_first``, ``id_span``: number n has packet identifier ``id_first + n % id_span`` (law 4)."""
        self.checkpoint = found.checkpoint
        self.window = Window(len(found.checkpoint.places))
        self.window.load(found.checkpoint.cursor, found.checkpoint.places)
        self.limit = window  # of messages in flight, before the broker's Receive Maximum
        self.limit_qos2 = window_qos2
        self.ahead_windows = AHEAD_WINDOWS  # how far the sent bound is set
        self.spill_store: "SpillStore | None" = None
        self.strays = 0  # acknowledgements that meant nothing
        self.unsaved = False  # something was settled since the last checkpoint
        self.may_repeat = found.may_repeat  # what is settled at the broker, until has_resent
        self.identity: Identity | None = None  # which messages carry, if they do
        self.reader = found.reader or JournalReader(store, found.checkpoint.cache_id, read_bytes)
        self._fetcher = JournalReader(store, found.checkpoint.cache_id, read_bytes)  # away from the walk
        self._fetched_seq = 0
        self.pace: Pace | None = None  # of the backlog
        self.jumps: ClockJumps | None = None  # of the clock, if messages expire
        self.backlog_end = 0  # numbers before it were there when the connection began
        self.makes_bundles = False  # asks _bundle() at each message
        self.only_resends = False  # begins nothing that cannot have been in flight when the connection began
        self.has_released = False  # handshakes of QoS 2 went on in this session
        self._connected = False
        self._store = store
        self._journal = journal
        self._listener = listener
        self._send_bytes = send_bytes
        self._id_first = id_first
        self._id_span = id_span
        self._durable_cursor = found.durable_cursor
        self._boot_seq = found.end_seq  # the first number of this start
        self._boot_ms = 0
        self._next = self.window.cursor  # the walk: everything before it is sent in this connection, or settled
        self._walked = 0  # it was there before, in this connection, and was set back: PUBRELs before it are in _release
        # After a restart nobody knows what was sent, but nothing beyond the bound was, and nothing that is new.
        self._sent_bound = found.checkpoint.sent_bound
        self._sent_end = min(self._sent_bound, found.end_seq)
        self._bound_reached = False  # a save must move it before more is sent
        self._in_both = False  # the next save goes into both slots: what the older one says must not come back
        self._dup_end = 0  # numbers before it go with DUP: they may have been sent in this session before
        self._received: list[int] = []  # PUBREC came, not on storage yet, in order of arrival
        self._release: list[int] = []  # on storage, PUBREL to be sent, in that order (4.6)
        self._handed: list[int] = []  # QoS 0 in the bytes that the transport is taking
        self._expired: list[int] = []  # settled, and that is not on storage yet
        self._refused: list[tuple[int, int]] = []  # (seq, reason), to be parked
        self._oldest = 0
        self._waits_since = 0
        self.stream: Stream | None = None  # a large payload, of which the transport has the beginning
        self._payloads: PayloadFiles | None = None
        journal.payload_seqs = []
        if found.payload_seqs:
            self._payload_files(found.payload_seqs)

    def cursor(self) -> int:
        """All before it is settled, and the listener knows. For any thread."""
        expired = self._expired
        return expired[0] if expired else self.window.cursor

    def cursors(self) -> "tuple[int, ...]":
        """``cursor`` of each lane."""
        return (self.cursor(),)

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

    def saves(self) -> int:
        """Checkpoints that were ever written of this cache; less than two if one of the slots is not to be believed."""
        state = self.checkpoint
        # The older one says that numbers are used up, by messages in RAM that have been written since.
        return 1 if state.older_cursor > state.cursor else state.generation

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

    def acknowledge(self, came: bytes) -> int:
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
                end = at + 4
                identifier = came[at + 2] << 8 | came[at + 3] if end <= size and came[at + 1] == 2 else 0
                reason = 0
                if not identifier or kind not in kinds:
                    kind, identifier, reason, end = packets.acknowledgement(came, at)
                at = end
                if not 0 <= identifier - id_first < id_span:
                    continue  # another lane's, or nobody's: it must not pass for the one that is id_span below
                seq = cursor + (identifier - id_first - cursor) % id_span
                if reason >= _NEGATIVE and kind != packets.PUBCOMP:
                    before = window.state(seq)
                    if reason in _LATER:
                        # With only_resends it is known now that the broker does not hold it, and it goes as new later.
                        if not self.only_resends or window.move(seq, LOSE) == NO_CHANGE:
                            later = reason
                    elif before == SENT_2 or (before == SENT_1 and kind == packets.PUBACK):
                        self.refuse(seq, reason)
                    else:
                        self.strays += 1  # of a message that is not on the wire
                    continue
                if kind == packets.PUBREC:
                    self._received.append(seq)  # first: without memory for it, it must not be RECEIVED for ever
                    new = window.move(seq, GOT_PUBREC)
                    if new != RECEIVED:
                        self._received.pop()
                elif kind == packets.PUBACK:
                    new = window.move(seq, GOT_PUBACK)
                    if new == DONE:
                        self._delivered(seq)
                else:
                    # PUBCOMP with 0x92, packet identifier not found: the broker is done with it (5.0, 3.7.2.1).
                    known = window.state(seq) != ORPHAN_RELEASING
                    new = window.move(seq, GOT_PUBCOMP)
                    if new == DONE and known:
                        self._delivered(seq)
                if new == NO_CHANGE:
                    self.strays += 1
        finally:
            if window.advance():
                self.unsaved = True
        return later

    def refuse(self, seq: int, reason_code: int) -> bool:
        """It will not be sent again; parked with the next ``save``. False if its state does not allow it."""
        if seq >= self._journal.end_seq:
            return False  # the next message's number, of which nobody may be told
        if self.window.state(seq) == ORPHAN:
            return self.window.move(seq, SETTLE) != NO_CHANGE
        self._refused.append((seq, reason_code))  # first: without memory for it, it must not be REFUSED for ever
        if self.window.move(seq, REFUSE) == NO_CHANGE:
            self._refused.pop()
            return False
        return True

    def _delivered(self, seq: int) -> None:
        self.checkpoint.delivered += 1
        self.unsaved = True
        if self.identity is not None:
            self.identity.delivered(seq)
        self._listener.delivered(seq)

    # --- storage ---

    def must_save(self) -> bool:
        """Something waits for a checkpoint: a PUBREL, or what is urgent."""
        return bool(self._received) or self.is_urgent()

    def is_urgent(self) -> bool:
        """A dead letter waits for a checkpoint, or what expired, or numbers beyond the bound."""
        is_new = self.identity is not None and self.identity.is_new
        return bool(self._refused or self._expired or self._bound_reached or is_new)

    def save(self) -> None:
        """Park what was refused, then make cursor, window and accounts durable. Raises OSError."""
        self._park()
        self._save()

    def _save(self) -> None:
        state = self.checkpoint
        state.cursor = self.window.cursor
        state.sent_bound = self._bound()
        state.touched = self.window.store(state.places)
        if self.identity is not None:
            state.identity = self.identity.encode()
        checkpoints.save(self._store, state)
        if self._in_both:
            checkpoints.save(self._store, state)
            self._in_both = False
        state.older_cursor = 0
        if self.identity is not None:
            self.identity.is_new = False
        self._durable_cursor = state.cursor
        self._sent_bound = state.sent_bound
        self._bound_reached = False
        self.unsaved = False
        if self._expired:
            for seq in self._expired:
                self._listener.dropped(seq, "expired", 0)
            self._expired = []  # another one: see cursor()
        self.has_released = self.has_released or bool(self._received)
        for seq in self._received:
            self.window.move(seq, STORED)
            if seq < self._next or seq < self._walked:
                self._release.append(seq)  # else the walk comes by
        self._received.clear()

    def _bound(self) -> int:
        """Numbers from here on are not sent before the next save."""
        ahead = self.ahead_windows * self.window.span if self._connected else 0
        return max(self._sent_end, self.window.cursor + ahead)

    def evict(self, messages: int, wanted_bytes: int) -> None:
        """Give up the oldest that were never sent: so many messages, or files of so many bytes, as far as that goes."""
        state = self.checkpoint
        before = state.evicted_first, state.evicted_end, state.evicted_skipped, state.evicted
        evicted = self._eviction().plan(self._sent_end, messages, wanted_bytes)
        if not evicted:
            return
        try:
            self._save()  # without parking what was refused: there may be no room for that
        except (OSError, MemoryError):
            state.evicted_first, state.evicted_end, state.evicted_skipped, state.evicted = before
            raise
        for begin, end in evicted:
            for seq in range(begin, end):
                self._listener.dropped(seq, "evicted", 0)

    def _eviction(self) -> "Eviction":
        from .eviction import Eviction  # noqa: PLC0415 - only here: a board without bounds has no room for it

        payloads = self._payload_files() if self._payloads is not None or self._journal.payload_seqs else None
        return Eviction(self.checkpoint, self.window, self._journal, self.reader, payloads)

    def _payload_files(self, seqs: "list[int] | None" = None) -> "PayloadFiles":
        if self._payloads is None:
            from .payload_files import PayloadFiles  # noqa: PLC0415 - only here: few boards have such

            cache_id = self.checkpoint.cache_id
            self._payloads = PayloadFiles(
                self._store, self._journal, self.reader, cache_id, self._send_bytes, seqs or [], self.save
            )
        return self._payloads

    def could_reclaim(self) -> bool:
        """A checkpoint now would free a segment."""
        return self.reader.could_reclaim(self.window.cursor)

    def reclaim(self) -> None:
        """Free the segments behind the cursor that is on storage (law 5), and those that were evicted."""
        evicted_first = self.checkpoint.evicted_first
        evicted_end = self.checkpoint.evicted_end
        self.reader.reclaim(self._durable_cursor, evicted_first, evicted_end)
        if self._payloads is not None:
            self._payloads.reclaim(self._durable_cursor, evicted_first, evicted_end, self.stream)

    def _park(self) -> None:
        if not self._refused:
            return
        from .dead_letters import park  # noqa: PLC0415 - only here: on most boards nothing is refused

        while self._refused:
            seq, reason = self._refused[0]
            if self.stream is not None and self.stream.seq == seq:
                break  # its file is being read
            record = self._fetch(seq)
            files = None
            if record is not None and record.is_apart:
                files = self._payload_files()
                reason = files.parked(seq, reason)
            if record is not None and reason >= 0:
                park(self._store, record, self.checkpoint.cache_id, reason)
                if files is not None:
                    files.park(seq, reason)
                self.checkpoint.refused += 1
                self._listener.dropped(seq, "refused", reason)
            else:
                self._set_aside(seq, seq + 1)
                self.checkpoint.damaged += 1
                self._listener.dropped(seq, "damaged", reason)
            self._refused.pop(0)
            self._never(seq, seq + 1)
            self.window.move(seq, SETTLE)
            self.window.advance()
            self.unsaved = True

    def _fetch(self, seq: int) -> "Record | None":
        """Read one record again. One reader does it all, which counts failures and goes on where it stands."""
        if seq <= self._fetched_seq:
            self._fetcher.rewind()
        self._fetched_seq = seq
        journal = self._journal
        found = self._fetcher.peek(seq, journal.end_seq, journal.active_seq, journal.skipped)
        return self._fetcher.record if found == MESSAGE else None

    # --- sending ---

    def under_way(self) -> int:
        """Messages whose handshake has begun in this connection and has not ended."""
        count = self.window.count
        return self.window.in_flight() + count(SENT_0) + count(RELEASED) + count(ORPHAN_RELEASING)

    def in_flight(self) -> int:
        """Messages that wait for PUBACK or PUBCOMP in this connection, or will when ``fill`` has sent their PUBREL."""
        return self.window.in_flight() + len(self._release)

    def awaits(self) -> bool:
        """True if it is the broker's turn for the oldest message."""
        return self.window.state(self.window.cursor) in _BROKERS_TURN

    def watch(self, now_ms: int, is_sending: bool) -> int:
        """Since when (in the engine's time) the broker owes an answer for the oldest message, or takes no bytes."""
        oldest = self.window.cursor << 4 | self.window.state(self.window.cursor)
        if oldest != self._oldest or not (is_sending or self.awaits()):
            self._oldest = oldest
            self._waits_since = now_ms
        return self._waits_since

    def moved(self, now_ms: int) -> None:
        """The connection began, or took some of the bytes that it had to wait with."""
        self._waits_since = now_ms

    def suspect(self) -> int:
        """The first message on the wire, which is alone there if the engine said so; 0: there is none."""
        return self.window.cursor if self.awaits() or self.window.count(SENT_0) else 0

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

    def fill(
        self,
        out: bytearray,
        transport: Transport,
        in_flight_max: int,
        publish: bool,
        now_ms: int,
        clock: Clock,
    ) -> None:
        """Put what may be sent now into ``out``: PUBRELs first, then the walk. Raises OSError.

        If there is a ``stream`` then, what stands in ``out`` goes on with its pieces.
        ``publish``: False sends only what ends handshakes that were begun. ``clock``: for those that expire.
        """
        window = self.window
        id_first = self._id_first
        id_span = self._id_span
        makes_bundles = self.makes_bundles
        only_resends = self.only_resends
        if self._release:
            for seq in self._release:
                window.move(seq, SEND_PUBREL)
                packets.pubrel(out, id_first + seq % id_span)
            self._release.clear()
        journal = self._journal
        spill = self.spill_store
        mqtt5 = transport.protocol == 5
        qos_max = transport.qos_max
        body_bytes_max = transport.packet_bytes_max - _PUBLISH_BYTES_MAX
        in_flight = window.in_flight()
        unreleased = window.unreleased()
        unreleased_max = min(self.limit_qos2, in_flight_max)
        properties = b""
        pace = self.pace
        if pace is not None:
            pace.holds = False
        while len(out) < self._send_bytes and len(self._expired) < _EXPIRED_MAX:
            seq = self._next
            if seq >= window.cursor + window.span:
                break
            state = WAITING
            if seq < window.end:
                state = window.state(seq)
            elif seq >= journal.end_seq:
                break
            if state == WAITING:
                if not publish or in_flight >= in_flight_max or (spill is not None and spill.keeps_back(seq)):
                    break
                if only_resends and seq >= self._dup_end:
                    break
                if pace is not None and seq < self.backlog_end and pace.due_ms(now_ms):
                    break
                if seq < self.checkpoint.evicted_end and self._eviction().covers(seq):
                    self._next = self._eviction().passes(seq)
                    self._never(seq, min(self._next, self.checkpoint.evicted_end))
                    self.unsaved = True
                    continue
                if makes_bundles:
                    did = self._bundle(seq, out, transport, in_flight_max, now_ms, clock)
                    if did == WAITS:
                        break
                    if did == WENT:
                        in_flight = window.in_flight()
                        unreleased = window.unreleased()
                        continue
                reader = self.reader
                if reader.gives_up(seq):
                    self.save()  # on a device that is gone altogether this raises, and nothing is given up
                found = reader.peek(seq, journal.end_seq, journal.active_seq, journal.skipped)
                if found == GAP:
                    self._settle_gap(seq)
                    continue
                record = reader.record
                if found != MESSAGE or record is None:
                    break
                expires_s = apart_bytes = reason = 0
                if record.extra_bytes:
                    if record.is_apart:
                        self._payload_files().note(seq)
                        apart_bytes = record.apart_bytes
                    if record.expires_s:
                        expires_s = self._left_s(record, now_ms, clock)
                        if expires_s <= 0 and seq >= self._dup_end:  # what may be in flight is brought to its end
                            self._expire(seq)
                            continue
                        expires_s = max(1, expires_s)
                if seq >= self._sent_bound:
                    self._bound_reached = True
                    break
                if self._expired:
                    break  # to be saved first, or a restart with another clock might send it behind this one
                qos = record.qos
                # QoS 1 waits as well: while so many are unreleased Mosquitto answers it with "quota exceeded", which in
                # 3.1.1 looks like any PUBACK, and throws it away.
                if qos and unreleased >= unreleased_max:
                    break
                topic = record.topic
                payload = record.payload
                retain = record.retain
                body_bytes = len(topic) + len(payload) + apart_bytes + (_EXPIRY_BYTES if expires_s else 0)
                if self.identity is not None:
                    if mqtt5:
                        properties = self.identity.properties(seq, qos > 0 and seq >= self._dup_end)
                        body_bytes += len(properties) + _PROPERTIES_LENGTH_BYTES
                    else:
                        self._never(seq, seq + 1)  # under its number: it cannot say which it is
                if qos > qos_max or body_bytes > body_bytes_max or (retain and not transport.retain_available):
                    from .unsendable import why  # noqa: PLC0415 - only here: most messages are far from such limits

                    reason = why(record, transport, expires_s, properties)
                if reason:
                    self.refuse(seq, reason)
                elif apart_bytes and not self._open_stream(seq, record):
                    continue
                else:
                    window.move(seq, SEND_0 + qos)
                    if seq >= self._sent_end:
                        self._sent_end = seq + 1
                    if qos == 0:
                        self._handed.append(seq)
                    else:
                        in_flight += 1
                        if qos == 2:
                            unreleased += 1
                    dup = qos > 0 and seq < self._dup_end
                    if pace is not None and seq < self.backlog_end:
                        pace.spend(now_ms, body_bytes)
                    identifier = id_first + seq % id_span
                    packets.publish(
                        out, topic, payload, qos, retain, dup, identifier, mqtt5, expires_s, properties, apart_bytes
                    )
                    if apart_bytes:
                        self._next = seq + 1
                        break
            elif state in _PUBREL_IS_DUE and seq >= self._walked:
                if self.under_way() - window.count(RELEASED) >= in_flight_max:
                    break
                in_flight += state == RELEASED
                window.move(seq, SEND_PUBREL)
                packets.pubrel(out, id_first + seq % id_span)
            self._next = seq + 1

    def _bundle(
        self, seq: int, out: bytearray, transport: Transport, in_flight_max: int, now_ms: int, clock: Clock
    ) -> int:
        """Send what begins at ``seq``, if it is a bundle. Here none is: see BulkDelivery."""
        return SINGLY

    def _left_s(self, record: Record, now_ms: int, clock: Clock) -> int:
        """Seconds until a message that expires does so; 0 or less if it has."""
        unix_ms = clock.unix_ms()
        age_ms = record.age_ms(now_ms, unix_ms, self._boot_ms, self._boot_seq)
        if self.jumps is not None and record.seq >= self._boot_seq:
            self.jumps.watch(now_ms, unix_ms)
            age_ms = max(0, age_ms - self.jumps.behind_ms(record.accepted_ms))
        return (record.expires_s * 1000 - age_ms + 999) // 1000

    def _open_stream(self, seq: int, record: Record) -> bool:
        """False if its payload is lost, or was parked before: then it is not to be sent."""
        files = self._payload_files()
        self.stream = files.open(seq, record)
        if self.stream is not None:
            return True
        reason = files.parked(seq, -1)
        if reason >= 0:  # and power failed before the checkpoint
            self.refuse(seq, reason)
        else:
            self.checkpoint.damaged += 1
            self._listener.dropped(seq, "damaged", 0)
            self.window.move(seq, ABANDON if seq < self._dup_end else SETTLE)
            self._never(seq, seq + 1)
            self.window.advance()
            self.unsaved = True
        self._next = max(seq, self.window.cursor)
        return False

    def _set_aside(self, seq: int, end_seq: int) -> None:
        """These records are lost: if their payloads have files, these go to quarantine."""
        if self._store.list(PAYLOADS):
            self._payload_files().set_aside_all(seq, end_seq, self.window)

    def _expire(self, seq: int) -> None:
        self.window.move(seq, SETTLE)
        self.window.advance()
        self._next = seq + 1
        self.checkpoint.expired += 1
        self._never(seq, seq + 1)
        self._expired.append(seq)

    def _never(self, first: int, end: int) -> None:
        """Receivers are to know that these do not come."""
        if self.identity is not None:
            self.identity.never(first, end)

    def _settle_gap(self, seq: int) -> None:
        """Numbers from ``seq`` on have no record: lost ones, then skipped ones. As many as the window has room for."""
        state = self.checkpoint
        window = self.window
        gap_end = self.reader.gap_end
        gap_skipped = self.reader.gap_skipped
        if seq < state.evicted_first < gap_end:  # what comes then has its account already
            gap_end = state.evicted_first
            gap_skipped -= state.evicted_skipped
        self._set_aside(seq, gap_end)
        unsettled = 0
        for place in range(seq, min(gap_end, window.cursor + window.span)):
            unsettled += window.state(place) == WAITING
        beyond = max(0, gap_end - (window.cursor + window.span))
        skipped = min(max(0, gap_skipped - state.skipped), unsettled + beyond)
        lost = unsettled + beyond - skipped  # these come first: numbers are skipped at the end of a segment only
        if beyond and seq >= self._dup_end and window.cursor == seq and window.jump(gap_end):
            state.damaged += lost
            for place in range(seq, seq + lost):
                self._listener.dropped(place, "damaged", 0)
            state.skipped += skipped
            self._never(seq, gap_end)
            self._next = gap_end
            self.unsaved = True
            return
        place = seq
        while place < gap_end and window.has_room(place):
            if window.state(place) == WAITING:
                if lost:
                    lost -= 1
                    state.damaged += 1
                    self._listener.dropped(place, "damaged", 0)
                else:
                    state.skipped += 1
                # The broker may hold the identifier of what is lost; PUBREL makes it forget (law 4). The walk sends it.
                window.move(place, ABANDON if place < self._dup_end else SETTLE)
                self._never(place, place + 1)
                self.unsaved = True
            place += 1
        if window.advance() and self._next < window.cursor:
            self._next = window.cursor
