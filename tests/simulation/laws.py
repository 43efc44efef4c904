"""A checker for each law of the design. Each looks at the world from outside: the disk, the wire, the broker's book.

What can only be said at the end, when all is delivered, is in ``judge.py``.
"""

from binascii import crc32
from struct import pack

from persistmq_core import checkpoint as checkpoints
from persistmq_core import packets, slots
from persistmq_core.bundles import COUNT, decode
from persistmq_core.limits import AHEAD_SEQ, PACKET_ID_AHEAD, PACKET_ID_AHEAD_SPAN, PACKET_ID_SPAN
from persistmq_core.payloads import FILE, payload_name
from persistmq_core.payloads import parse_name as parse_payload_name
from persistmq_core.segment import JOURNAL, PAYLOADS, parse_name, read_header
from persistmq_core.window import ORPHAN_RELEASING
from tests.support.mqtt_wire import Reader, user_properties
from tests.support.unbundle import identities_of

AHEAD = "ahead-"  # before the names of the second lane
LANES = ("", AHEAD)


class LawBroken(Exception):
    """The message begins with the number of the law."""


def _published(packet: bytes, mqtt5: bool) -> "tuple[int, str, bytes]":
    """(identifier or 0, topic, payload) of a PUBLISH."""
    first_byte, body, end = packets.split(packet, 0)
    reader = Reader(packet[body:end])
    topic = reader.string()
    identifier = reader.number(2) if first_byte & 6 else 0
    if mqtt5:
        reader.properties()
    return identifier, topic, packet[body + reader.at : end]


class Laws:
    """One for each world; ``disk`` and ``broker`` live as long as it does. Numbers are those of the application."""

    def __init__(self, disk: "object", broker: "object") -> None:
        self.disk = disk
        self.broker = broker
        self.sessions_lost = False  # the broker lost a session: duplicates are then possible
        self.checkpoint_damaged = False  # what was acknowledged may be forgotten: duplicates are then possible
        self.header_damaged = False  # which numbers were skipped may be forgotten: they then count as lost
        self.may_spill = False  # durability "spill"
        self.publishes = 0
        self.pubrels = 0
        self.begins = 0  # of packets that came in pieces
        self.times_sent = {}  # payload -> how often it was on the wire
        self._seq_of = {}  # payload -> sequence number, of what was staged
        self._on_wire = {}  # sequence number -> payload
        self._went_singly = set()  # payloads
        self.apart = set()  # payloads of bundles that this process has taken apart
        self._durable = set()  # payloads that were seen on storage, synced
        self._told = {}  # sequence number -> account, as the listener heard it since the start
        self._segments = {"": [], AHEAD: []}  # (first number, name), of each lane
        self.identities = None  # of messages, if they carry one
        self._payloads = {"": [], AHEAD: []}  # numbers of messages whose payload has a file
        self._stored = set()  # numbers of messages whose publish() returned
        self._slots = {}  # bytes of a checkpoint slot -> what they decode to

    def copy(self, disk: "object", broker: "object") -> "Laws":
        """For a world that goes another way from the next start on."""
        other = Laws(disk, broker)
        other.sessions_lost = self.sessions_lost
        other.may_spill = self.may_spill
        other.publishes = self.publishes
        other.pubrels = self.pubrels
        other.begins = self.begins
        other.header_damaged = self.header_damaged
        other.checkpoint_damaged = self.checkpoint_damaged
        other.times_sent = dict(self.times_sent)
        other._seq_of = dict(self._seq_of)
        other._on_wire = dict(self._on_wire)
        other._went_singly = set(self._went_singly)
        other.identities = self.identities and self.identities.copy()
        other._stored = set(self._stored)
        other._payloads = {lane: list(seqs) for lane, seqs in self._payloads.items()}
        return other

    def key(self) -> "tuple":
        """All that what comes after a restart may depend on."""
        return (
            self.sessions_lost,
            self.header_damaged,
            tuple(sorted(self._seq_of.items())),
            tuple(sorted(self._on_wire.items())),
            tuple(sorted(self._went_singly)),
            self.identities and self.identities.key(),
            tuple(sorted([(payload, min(count, 2)) for payload, count in self.times_sent.items()])),
        )

    # --- at each packet of the core ---

    def on_wire(self, packet: bytes, mqtt5: bool, engine: "object") -> None:
        if packets.split(packet, 0) is None:
            raise LawBroken("8: half a packet was given to the transport")
        kind = packet[0] & 0xF0
        if kind == packets.PUBLISH:
            self.publishes += 1
            identifier, topic, content = _published(packet, mqtt5)
            message = (topic, content, 0, False)
            said = identities_of(message, self.broker.bundles)
            is_bundle = bool(said)
            if not is_bundle:
                _, body, end = packets.split(packet, 0)
                said = [user_properties(packet[0], packet[body:end]) if mqtt5 else ()]
            numbers = []
            for index, (_, payload, _, _) in enumerate(self.broker.messages_of(message)):
                self.times_sent[payload] = self.times_sent.get(payload, 0) + 1
                seq = self._seq_of.get(payload)
                if seq is None:
                    raise LawBroken("6: bytes on the wire that nobody published: %r" % payload)
                self._law_1(payload, seq)
                if self.identities is not None:
                    self.identities.on_wire(said[index], payload, seq % AHEAD_SEQ)
                if packet[0] & 6:
                    if self._on_wire.get(seq, payload) != payload:
                        raise LawBroken("4: number %d was given to %r and to %r" % (seq, self._on_wire[seq], payload))
                    self._on_wire[seq] = payload
                    if not is_bundle:
                        self._went_singly.add(payload)
                    elif payload in self.apart or (payload in self._went_singly and not self.checkpoint_damaged):
                        raise LawBroken("4: message %d has to go singly, and goes in a bundle" % seq)
                numbers.append(seq)
            if packet[0] & 6:
                self._law_4(numbers, identifier, is_bundle)
        elif packet[0] == packets.PUBREL:
            self.pubrels += 1
            self._law_3(packet[2] << 8 | packet[3], engine)

    def on_begin(self, engine: "object") -> None:
        """A packet with a large payload begins to go out."""
        self.begins += 1
        prefix, first = LANES[0], 0
        delivery = engine.lanes[0].delivery
        if delivery.stream is None:
            prefix, first = LANES[1], AHEAD_SEQ
            delivery = engine.lanes[1].delivery
        cache_id = delivery.checkpoint.cache_id
        name = prefix + payload_name(delivery.stream.seq, cache_id)
        if not self.disk.is_synced(name):
            raise LawBroken("1: %s went on the wire before it was synced" % name)
        for payload, seq in self._seq_of.items():
            reference = pack("<II", len(payload), crc32(payload, cache_id))
            if seq == first + delivery.stream.seq and (self._is_in_journal(reference) or self._is_used_up(seq)):
                return
        raise LawBroken("1: the payload of %s, without a record of it" % name)

    def _law_1(self, payload: bytes, seq: int) -> None:
        """The wire never runs ahead of the storage."""
        if payload in self._durable:
            return  # what is synced stays so
        if not self._is_in_journal(payload):
            for name in self.disk.names(PAYLOADS) + self.disk.names(AHEAD + PAYLOADS):
                if self.disk.content(name) == payload and self.disk.is_synced(name):
                    return  # its record was looked for when the packet began
            if self._is_used_up(seq):
                return
            raise LawBroken("1: %r went on the wire before it was synced" % payload)
        self._durable.add(payload)

    def _is_in_journal(self, piece: bytes) -> bool:
        for name in self.disk.names(JOURNAL) + self.disk.names(AHEAD + JOURNAL):
            at = self.disk.content(name).find(piece)
            if at >= 0 and at + len(piece) <= self.disk.synced_bytes(name):
                return True
        return False

    def _is_used_up(self, seq: int) -> bool:
        """The exception to 1 and 3, of durability "spill": a power cut now takes the message, its number is not given
        again, and the broker's session is not resumed."""
        state = self.durable_checkpoint() if self.may_spill else None
        return state is not None and state.cursor > seq and not state.session_known

    def _law_3(self, identifier: int, engine: "object") -> None:
        """PUBREC is on storage before its PUBREL is sent."""
        lane, first, span = "", 1, PACKET_ID_SPAN
        if identifier >= PACKET_ID_AHEAD:
            lane, first, span = AHEAD, PACKET_ID_AHEAD, PACKET_ID_AHEAD_SPAN
        window = engine.lanes[LANES.index(lane)].delivery.window
        seq = window.cursor + (identifier - first - window.cursor) % span
        if window.state(seq) == ORPHAN_RELEASING:
            return  # no message, and no PUBREC: it frees an identifier whose record is lost
        if self._is_used_up(seq):
            return
        state = self.durable_checkpoint(lane)
        if state is None:
            raise LawBroken("3: PUBREL %d without a checkpoint" % identifier)
        seq = state.cursor + (identifier - first - state.cursor) % span
        index = seq - state.cursor
        place = state.places[index] if index < len(state.places) else -1
        if place not in (checkpoints.PLACE_RELEASED, checkpoints.PLACE_ORPHAN):
            raise LawBroken("3: PUBREL %d, and the checkpoint says %d" % (identifier, place))

    def _law_4(self, numbers: "list[int]", identifier: int, is_bundle: bool) -> None:
        """The packet identifier is a function of the sequence number, and a bundle's is its first one's.

        Which messages are a bundle is on storage before it is sent, and when one of them is sent otherwise, that is.
        """
        lane, first_id, span = 0, 1, PACKET_ID_SPAN
        if numbers[0] >= AHEAD_SEQ:
            lane, first_id, span = 1, PACKET_ID_AHEAD, PACKET_ID_AHEAD_SPAN
        state = self.durable_checkpoint(LANES[lane])
        ranges = decode(state)[3] if state is not None and state.bundles else {}
        first = numbers[0] - lane * AHEAD_SEQ
        last = numbers[-1] - lane * AHEAD_SEQ
        for seq in ranges:
            end = seq + (ranges[seq] & COUNT)
            if is_bundle and seq <= first and last < end:
                first = seq
            elif seq <= last and first < end and not self.checkpoint_damaged:
                raise LawBroken("4: %r is sent, and the checkpoint has %d to %d together" % (numbers, seq, end - 1))
        if identifier != first_id + first % span:
            raise LawBroken("4: message %d has identifier %d" % (first, identifier))
        if is_bundle and first not in ranges:
            raise LawBroken("4: the bundle %r went on the wire before it was stored" % (numbers,))

    def durable_checkpoint(self, lane: str = "") -> "object":
        """What a start would find now."""
        best = None
        for name in checkpoints.NAMES:
            content = self.disk.content(lane + name)
            if content is None:
                continue
            content = bytes(content)
            if content not in self._slots:
                if len(self._slots) > 8:
                    self._slots.clear()
                self._slots[content] = slots.decode(content)
            state = self._slots[content]
            if state is not None and (best is None or state.generation > best.generation):
                best = state
        return best

    def slot_is_torn(self) -> bool:
        """A start finds a checkpoint slot that does not read."""
        contents = [self.disk.content(lane + name) for name in checkpoints.NAMES for lane in LANES]
        return any(each is not None and slots.decode(bytes(each)) is None for each in contents)

    # --- as things happen ---

    def staged(self, seq: int, payload: bytes) -> None:
        """The program staged a message."""
        if seq in self._on_wire and self._on_wire[seq] != payload:
            raise LawBroken("4: number %d was on the wire with another message" % seq)
        self._seq_of[payload] = seq

    def stored(self, payloads: "list[bytes]") -> None:
        """``publish()`` returned for these."""
        self._stored.update([self._seq_of[payload] for payload in payloads])

    def survived(self, payloads: "list[bytes]") -> None:
        """The process is gone, and with it what it had in RAM: of what was stored, these are left."""
        self._stored &= {self._seq_of[payload] for payload in payloads}

    def spoiled(self, payload: bytes) -> None:
        """What is stored of it was damaged, or its record was."""
        self._stored.discard(self._seq_of.get(payload))

    def forget_wire(self) -> None:
        """No checkpoint is left: a new epoch begins with a clean session, in which no old number can do harm."""
        self._on_wire = {}

    def seq_of(self, payload: bytes) -> int:
        return self._seq_of.get(payload, -1)

    def told(self, seq: int, account: str) -> None:
        """The listener heard what became of a message: once, and one thing (law 2)."""
        if seq in self._told:
            raise LawBroken("2: message %d was %s, and then %s" % (seq, self._told[seq], account))
        self._told[seq] = account

    def is_told(self, seq: int) -> bool:
        """The listener has heard what became of it, since the start."""
        return seq in self._told

    def check_spill(self, held_bytes: int, spill_bytes: int) -> None:
        """What a power cut would take."""
        if held_bytes > spill_bytes:
            raise LawBroken("spill: %d bytes wait only in RAM, spill_bytes is %d" % (held_bytes, spill_bytes))

    def restarted(self) -> None:
        """The process is another one. Names that were not synced may be gone or back."""
        self._segments = {"": [], AHEAD: []}
        self._durable.clear()
        self.apart.clear()
        self._told = {}

    # --- after each step ---

    def check(self, engine: "object", transport: "object", accepted: int, ambiguous: int) -> None:
        """``accepted`` messages for sure, and perhaps so many ``ambiguous`` ones, whose publish() did not return."""
        self._law_2(engine.accounts(), accepted, ambiguous)
        for index, lane in enumerate(engine.lanes):
            self._law_5(LANES[index], engine.spill)
            self._law_7(lane.delivery)
            cursor, settled_end = lane.delivery.cursor(), lane.delivery.window.cursor
            if cursor > settled_end:
                raise LawBroken("2: settled up to %d, says the cursor, and it is up to %d" % (cursor, settled_end))
        if transport.violations:
            raise LawBroken("8: %s" % transport.violations[0])
        for violation in self.broker.violations:
            if not self._is_excused(violation):
                raise LawBroken("9: %s" % violation)
        if self.disk.violations:
            raise LawBroken("store: %s" % self.disk.violations[0])

    def _is_excused(self, violation: str) -> bool:
        # The client was told that the session is gone, or its own knowledge of what it sent is damaged.
        return (self.broker.denies_session or self.checkpoint_damaged) and violation.endswith("sent again with DUP 0")

    def _law_2(self, accounts: "dict", accepted: int, ambiguous: int) -> None:
        """Every accepted message ends in exactly one account."""
        total = accounts["accepted"]
        settled = accounts["delivered"] + accounts["expired"] + accounts["evicted"]
        settled += accounts["refused"] + accounts["damaged"]
        # A damaged header hides that the last frames before it were of a write that failed: they are then delivered.
        least = -ambiguous if self.header_damaged else 0
        if settled + accounts["waiting"] != total or min(accounts.values()) < least:
            raise LawBroken("2: %r" % (accounts,))
        if not accepted <= total or (total > accepted + ambiguous and not self.header_damaged):
            raise LawBroken("2: accepted %d (and perhaps %d), accounts %r" % (accepted, ambiguous, accounts))

    def _law_5(self, lane: str, spill: "object | None") -> None:
        """Nothing is deleted before the acknowledgement that frees it is on storage."""
        self._law_5_of_payloads(lane, spill)
        names = self.disk.names(lane + JOURNAL)
        before = self._segments[lane]
        if names == [name for _, name in before]:
            return
        now = [(parse_name(name[len(lane) :])[0], name) for name in names if parse_name(name[len(lane) :])]
        there = [first_seq for first_seq, _ in now]
        state = self.durable_checkpoint(lane)
        for index, (first_seq, _) in enumerate(before):
            if first_seq in there or index + 1 == len(before):
                continue
            end_seq = before[index + 1][0]
            if state is not None and state.evicted_first <= first_seq and end_seq <= state.evicted_end:
                continue
            if state is None or state.cursor < end_seq:
                raise LawBroken("5: segment %d is gone, the checkpoint says %r" % (first_seq, state and state.cursor))
        self._segments[lane] = now

    def _law_5_of_payloads(self, lane: str, spill: "object | None") -> None:
        names = self.disk.names(lane + PAYLOADS)
        before = self._payloads[lane]
        if not names and not before:
            return
        now = [parse_payload_name(name[len(lane) :]) for name in names]
        now = [parsed[0] for parsed in now if parsed and parsed[2] == FILE]
        state = self.durable_checkpoint(lane)
        for seq in before:
            number = seq + (AHEAD_SEQ if lane else 0)
            if seq in now or number not in self._stored or self.checkpoint_damaged:
                continue
            if state is not None and (seq < state.cursor or state.evicted_first <= seq < state.evicted_end):
                continue
            if spill is not None and spill.holds(seq):
                continue  # its record and its account are only in RAM
            kept = self.disk.names(lane + "dead") + self.disk.names(lane + "quarantine")
            if not [1 for name in kept if "%016x" % seq in name]:
                raise LawBroken("5: payload %d is gone, the checkpoint says %r" % (number, state and state.cursor))
        self._payloads[lane] = now

    def _law_7(self, delivery: "object") -> None:
        """Memory is bounded by the window."""
        span = delivery.window.span
        held = len(delivery._received) + len(delivery._release) + len(delivery._refused) + len(delivery._handed)
        if delivery.window.end - delivery.window.cursor > span or held > 4 * span:
            raise LawBroken("7: %d places, %d held, the window is %d" % (delivery.window.end, held, span))

    def started(self, reads: "dict[str, int]") -> None:
        """Start-up time is bounded by the number of segments: of all but the last only headers are read (law 7)."""
        for lane in LANES:
            self._started(lane, reads)

    def _started(self, lane: str, reads: "dict[str, int]") -> None:
        names = [name for name in self.disk.names(lane + JOURNAL) if parse_name(name[len(lane) :])]
        whole = [name for name in names if self.disk.peep(read_header, name) is not None]
        # Power may tear the header of a new segment and leave the frames behind it; FORMAT.md lists what that costs.
        self.header_damaged = self.header_damaged or len(whole) < len(names)
        for name in names[:-1]:
            if reads.get(name, 0) > 2 and name in whole:
                raise LawBroken("7: a start read %s %d times" % (name, reads[name]))
