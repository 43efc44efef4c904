"""The core reads a broker's bytes: it never crashes, and counts a message as delivered by the right answer only."""

from persistmq.handshake import decode_connack, decode_disconnect
from persistmq.stream import Inbox

from persistmq_core import packets
from persistmq_core.errors import ProtocolError
from persistmq_core.limits import PACKET_ID_FOREIGN
from tests.support.acknowledgements import acknowledgements
from tests.support.rng import Rng
from tests.support.world import World

from .streams import PUBACK, PUBCOMP, PUBREC, NotMqtt, read, stream

MESSAGES = 12


class Wrong(AssertionError):
    """What was promised does not hold."""


def codec(content: bytes, step: int) -> None:
    """packets.acknowledgement agrees with the plain reader; the transport's inbox hands on only what that can read."""
    try:
        expected = list(read(content))
    except NotMqtt:
        expected = None
    try:
        found = acknowledgements(content)
    except ProtocolError:
        found = None
    if found != expected:
        raise Wrong("%r is %r for the core and %r by the book" % (content, found, expected))
    inbox = Inbox()
    try:
        for at in range(0, len(content), step):
            inbox.feed(content[at : at + step])
            while inbox.next_packet(True) is not None:
                pass
            for _, identifier, _ in acknowledgements(inbox.acknowledgements()):
                if identifier >= PACKET_ID_FOREIGN:
                    raise Wrong("identifier %d is not the core's" % identifier)
    except ProtocolError:
        pass
    for decode in (lambda: decode_connack(content, False), lambda: decode_connack(content, True)):
        try:
            decode()
        except ProtocolError:
            pass
    try:
        decode_disconnect(content)
    except ProtocolError:
        pass


class Answers:
    """Beside the core: which messages its answers settle, by the handshakes of MQTT 4.3 and nothing else."""

    def __init__(self, qos_of: "dict[int, int]") -> None:
        self.waits_for = {identifier: PUBACK if qos == 1 else PUBREC for identifier, qos in qos_of.items()}
        self.qos_of = qos_of
        self.received: list[int] = []
        self.delivered: set[int] = set()
        self.refused: set[int] = set()

    def take(self, content: bytes) -> None:
        for kind, identifier, reason in read(content):
            waits_for = self.waits_for.get(identifier)
            if waits_for is None:
                continue
            if kind != PUBCOMP and reason >= 0x80:
                # Of 0x91 and 0x97 nothing is settled; the connection ends.
                if waits_for != PUBCOMP and reason not in (0x91, 0x97) and self._is_about(kind, waits_for):
                    self.refused.add(identifier)
                    del self.waits_for[identifier]
            elif waits_for == PUBREC and kind == PUBREC:
                self.waits_for[identifier] = 0  # nothing, until PUBREL is sent
                self.received.append(identifier)
            elif kind == waits_for or (waits_for == PUBREC and kind == PUBACK):
                self.delivered.add(identifier)
                del self.waits_for[identifier]

    def _is_about(self, kind: int, waits_for: int) -> bool:
        return waits_for in (PUBACK, PUBREC) and (kind == waits_for or (waits_for == PUBREC and kind == PUBACK))

    def released(self) -> None:
        for identifier in self.received:
            self.waits_for[identifier] = PUBCOMP
        self.received = []


def delivery(rng: Rng) -> None:
    """Messages in flight, and a broker that answers anything: exactly what was answered is delivered."""
    world = World(4 + rng.below(2), window=MESSAGES, window_qos2=MESSAGES, read_bytes=4096, segment_bytes_max=4096)
    qos_of = {}
    for number in range(MESSAGES):
        qos = 1 + rng.below(2)
        qos_of[packets.packet_id(world.publish(b"%d" % number, qos))] = qos
    for kind in (PUBACK, PUBREC, PUBCOMP):
        world.broker.stay_silent(kind)  # the answers are this function's
    world.online().steps(4)
    engine_delivery = world.engine.delivery
    answers = Answers(qos_of)
    for _ in range(1 + rng.below(6)):
        content = stream(rng, MESSAGES + 3, world.protocol == 5)
        try:
            engine_delivery.acknowledge(content)
        except ProtocolError:
            pass  # what stands before it counts
        try:
            answers.take(content)
        except NotMqtt:
            pass
        world.steps(3)  # stores PUBRECs, sends PUBRELs
        answers.released()
    delivered = {packets.packet_id(seq) for seq in world.diary.delivered_seqs}
    if delivered != answers.delivered:
        raise Wrong("delivered %r, answered %r" % (sorted(delivered), sorted(answers.delivered)))
    dropped = {packets.packet_id(seq) for seq, _, _ in world.diary.drops}
    if dropped != answers.refused:
        raise Wrong("dropped %r, refused %r" % (sorted(dropped), sorted(answers.refused)))
