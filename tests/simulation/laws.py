"""A checker for each law of the design. Each looks at the world from outside: the disk, the wire, the broker's book."""

from persistmq_core import checkpoint as checkpoints
from persistmq_core import packets
from persistmq_core.limits import PACKET_ID_SPAN
from persistmq_core.segment import JOURNAL, parse_name
from persistmq_core.window import ORPHAN_RELEASING
from tests.support.mqtt_wire import Reader


class LawBroken(Exception):
    """The message begins with the number of the law."""


def _published(packet: bytes) -> "tuple[int, bytes]":
    """(identifier or 0, payload) of a PUBLISH without its MQTT 5 property length."""
    first_byte, body, end = packets.split(packet, 0)
    reader = Reader(packet[body:end])
    reader.string()
    identifier = reader.number(2) if first_byte & 6 else 0
    return identifier, packet[body + reader.at : end]


class Laws:
    """One for each program; ``store`` and ``broker`` live as long as it does."""

    def __init__(self, store: "object", broker: "object") -> None:
        self.store = store
        self.broker = broker
        self.sessions_lost = False  # the broker lost a session: duplicates are then possible
        self._seq_of = {}  # payload -> sequence number, of what was staged
        self._on_wire = {}  # sequence number -> payload
        self._segments = []
        self.publishes = 0
        self.pubrels = 0

    # --- at each packet of the core ---

    def on_wire(self, packet: bytes, mqtt5: bool, engine: "object") -> None:
        kind = packet[0] & 0xF0
        if kind == packets.PUBLISH:
            self.publishes += 1
            self._law_1_and_4(packet, mqtt5)
        elif packet[0] == packets.PUBREL:
            self.pubrels += 1
            self._law_3(packet[2] << 8 | packet[3], engine)

    def _law_1_and_4(self, packet: bytes, mqtt5: bool) -> None:
        identifier, payload = _published(packet)
        if mqtt5:
            payload = payload[1:]
        seq = self._seq_of.get(payload)
        if seq is None:
            raise LawBroken("6: bytes on the wire that nobody published: %r" % payload)
        if not self._is_durable(payload):
            raise LawBroken("1: %r went on the wire before it was synced" % payload)
        if packet[0] & 6:
            if identifier != 1 + seq % PACKET_ID_SPAN:
                raise LawBroken("4: message %d has identifier %d" % (seq, identifier))
            if self._on_wire.get(seq, payload) != payload:
                raise LawBroken("4: number %d was given to %r and to %r" % (seq, self._on_wire[seq], payload))
            self._on_wire[seq] = payload

    def _is_durable(self, payload: bytes) -> bool:
        files = self.store.snapshot()
        for name in files:
            if name.startswith(JOURNAL) and payload in files[name][: self.store.synced_bytes(name)]:
                return True
        return False

    def _law_3(self, identifier: int, engine: "object") -> None:
        window = engine.delivery.window
        seq = window.cursor + (identifier - 1 - window.cursor) % PACKET_ID_SPAN
        if window.state(seq) == ORPHAN_RELEASING:
            return  # no message, and no PUBREC: it frees an identifier whose record is lost
        state = self.durable_checkpoint()
        if state is None:
            raise LawBroken("3: PUBREL %d without a checkpoint" % identifier)
        seq = state.cursor + (identifier - 1 - state.cursor) % PACKET_ID_SPAN
        index = seq - state.cursor
        place = state.places[index] if index < len(state.places) else -1
        if place not in (checkpoints.PLACE_RELEASED, checkpoints.PLACE_ORPHAN):
            raise LawBroken("3: PUBREL %d, and the checkpoint says %d" % (identifier, place))

    def durable_checkpoint(self) -> "object":
        """What a start would find now."""
        best = None
        files = self.store.snapshot()
        for name in checkpoints.NAMES:
            state = checkpoints.decode(files[name]) if name in files else None
            if state is not None and (best is None or state.generation > best.generation):
                best = state
        return best

    # --- after each step ---

    def staged(self, seq: int, payload: bytes) -> None:
        """The program staged a message."""
        if seq in self._on_wire and self._on_wire[seq] != payload:
            raise LawBroken("4: number %d was on the wire with another message" % seq)
        self._seq_of[payload] = seq

    def check(self, engine: "object", transport: "object", accepted: int, ambiguous: int) -> None:
        """Laws 2, 5, 7, 8, 9 and what the broker and the store complain of."""
        accounts = engine.accounts()
        parts = [accounts[name] for name in ("delivered", "expired", "evicted", "refused", "damaged", "waiting")]
        if min(parts) < 0 or sum(parts) != accounts["accepted"]:
            raise LawBroken("2: %r" % (accounts,))
        if not accepted <= accounts["accepted"] <= accepted + ambiguous:
            raise LawBroken("2: accepted %d (and perhaps %d), accounts %r" % (accepted, ambiguous, accounts))
        self._law_5()
        self._law_7(engine)
        if transport.violations:
            raise LawBroken("8: %s" % transport.violations[0])
        if self.broker.violations:
            raise LawBroken("9: %s" % self.broker.violations[0])
        if self.store.violations:
            raise LawBroken("store: %s" % self.store.violations[0])

    def _law_5(self) -> None:
        now = sorted([parse_name(name)[0] for name in self.store.snapshot() if parse_name(name)])
        state = self.durable_checkpoint()
        for index, first_seq in enumerate(self._segments):
            if first_seq in now or index + 1 == len(self._segments):
                continue
            end_seq = self._segments[index + 1]
            if state is None or state.cursor < end_seq:
                raise LawBroken("5: segment %d is gone, the checkpoint says %r" % (first_seq, state and state.cursor))
        self._segments = now

    def forget_segments(self) -> None:
        """After a power cut names that were not synced may be gone or back."""
        self._segments = []

    def _law_7(self, engine: "object") -> None:
        delivery = engine.delivery
        span = delivery.window.span
        held = len(delivery._received) + len(delivery._release) + len(delivery._refused) + len(delivery._handed)
        if delivery.window.end - delivery.window.cursor > span or held > 4 * span:
            raise LawBroken("7: %d places, %d held, the window is %d" % (delivery.window.end, held, span))
