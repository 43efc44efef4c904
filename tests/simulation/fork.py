"""A second world that is equal to the first up to now, but for one thing: in it, the process has just died.

So a cut at the last call of a scenario need not run all the calls before it again. And two deaths that leave the same
disk, the same broker and the same memories of the laws are one: ``key`` tells.
"""

from tests.support.broker_connection import BrokerConnection
from tests.support.model_broker import ModelBroker, Session

_BROKER_KIND = ("deliver_at", "qos2_answer", "qos_max", "retain_available", "receive_maximum", "packet_bytes_max",
                "denies_session", "enforces", "unreleased_max", "loses_above_max", "connect_code",
                "listening", "bundles")  # fmt: skip


def dead_copy(scene: "object", arriving: int) -> "object":
    """A copy of ``scene`` without its process; ``arriving`` bytes of those on the way still reach the broker."""
    broker = copy_broker(scene.broker)
    connection = scene.transport._connection if scene.transport is not None else None
    if connection is not None and not connection.closed:
        twin = _copy_connection(connection, broker)
        if broker._connections.get(connection.client_id) is connection:
            broker._connections[connection.client_id] = twin
        twin.feed(scene.transport._up.peek()[:arriving])
        twin.lost()
    disk = scene.disk.copy()
    other = scene.blank()
    other.disk = other.store = disk
    other.broker = broker
    other.laws = scene.laws.copy(disk, broker)
    other.messages = list(scene.messages)
    other.sure, other.uncounted = scene.surviving()
    other.laws.survived([other.messages[number].payload for number in other.sure])
    other.promised = set(scene.promised)
    other.excused = set(scene.excused)
    other.apart = set(scene.apart)
    other.evicted = set(scene.evicted)
    other.planned = list(scene.planned)
    other.damaged = set(scene.damaged)
    other.marks = list(scene.marks)
    other.read_faults = scene.read_faults
    other.unordered = scene.unordered
    other.refusals = scene.refusals
    other.refused_topics = set(scene.refused_topics)
    other.loss_unseen = scene.loss_unseen
    other.at = scene.at
    return other


def copy_broker(broker: ModelBroker) -> ModelBroker:
    """Its connections are shared: ``dead_copy`` sees to the one there is."""
    other = ModelBroker()
    for name in _BROKER_KIND:
        setattr(other, name, getattr(broker, name))
    other.deliveries = list(broker.deliveries)
    other.heard = list(broker.heard)
    other.violations = list(broker.violations)
    other.resent_after_pubrel = list(broker.resent_after_pubrel)
    other.lost = list(broker.lost)
    other.forgotten = list(broker.forgotten)
    other._sessions = {client_id: _copy_session(broker._sessions[client_id]) for client_id in broker._sessions}
    other._connections = dict(broker._connections)
    other._rules = [list(rule) for rule in broker._rules]
    other._accepted = broker._accepted
    return other


def _copy_session(session: Session) -> Session:
    other = Session()
    other.unreleased = dict(session.unreleased)
    other.released = dict(session.released)
    other.unconfirmed = dict(session.unconfirmed)
    other.said = dict(session.said)
    other.durable_pubrecs = set(session.durable_pubrecs)
    return other


def _copy_connection(connection: BrokerConnection, broker: ModelBroker) -> BrokerConnection:
    other = BrokerConnection(broker, connection.number)
    other.protocol = connection.protocol
    other.client_id = connection.client_id
    other.reports_reception = connection.reports_reception
    other._keeps_session = connection._keeps_session
    other.unread = connection.unread
    other._handshakes = {key: list(connection._handshakes[key]) for key in connection._handshakes}
    other._ended = dict(connection._ended)
    return other


def key(scene: "object") -> "tuple":
    """All that the next start and everything after it can depend on."""
    broker = scene.broker
    sessions = [
        (
            client_id,
            tuple(sorted(session.unreleased.items())),
            tuple(sorted(session.released.items())),
            tuple(sorted(session.unconfirmed.items())),
            tuple(sorted(session.said.items())),
        )
        for client_id, session in sorted(broker._sessions.items())
    ]
    return (
        scene.at,
        len(scene.messages),
        tuple(sorted(scene.sure)),
        tuple(sorted(scene.promised & scene.sure)),
        tuple(sorted(scene.excused)),
        tuple(sorted(scene.apart)),
        tuple(sorted(scene.evicted)),
        tuple(sorted(scene.damaged)),
        scene.loss_unseen,
        tuple([(name, bytes(scene.disk.content(name))) for name in scene.disk.names("")]),
        tuple(sessions),
        tuple(broker.deliveries),
        tuple(broker.heard),
        tuple(broker.forgotten),
        len(broker.violations),
        str(broker._rules),
        broker.listening,
        scene.laws.key(),
    )
