"""A broker in RAM that keeps a book: what it would have delivered, and each thing a client did against the standard.

    broker = ModelBroker()
    connection = broker.accept()                    # bytes in, bytes out; ModelTransport does this for the core
    answer = connection.feed(connect("me", False, 4))
    ...
    broker.deliveries                               # [(topic, payload, qos, retain)]
    broker.violations                               # [] from a client that keeps to MQTT

It outlives its connections, as a broker does. Its attributes make it behave as Mosquitto, ejabberd, RabbitMQ or NATS;
its rules make it refuse, hang up or keep silent at a chosen message.
"""

from .broker_connection import BrokerConnection
from .unbundle import identities_of, messages_of


class Session:
    """What the broker keeps of one client from connection to connection. A message: (topic, payload, qos, retain)."""

    def __init__(self) -> None:
        self.unreleased = {}  # identifier -> message of QoS 2 whose PUBREL has not come
        self.released = {}  # identifier -> the message whose PUBREL came last
        self.unconfirmed = {}  # identifier -> message of QoS 1 whose PUBACK the client may not have seen
        self.said = {}  # identifier -> the user properties that an unreleased message came with
        self.durable_pubrecs = set()  # identifiers whose PUBREC the client has stored, as the test says


class ModelBroker:
    """See the module. All attributes up to ``violations`` may be set at any time, before or while clients are there."""

    def __init__(self) -> None:
        # What kind of broker.
        self.deliver_at = "pubrel"  # of QoS 2: "pubrel" (Mosquitto) or "publish" (ejabberd)
        self.qos2_answer = "pubrec"  # or "puback" (RabbitMQ)
        self.qos_max = 2  # MQTT 5 announces it; a PUBLISH above it closes the connection (NATS)
        self.retain_available = True  # MQTT 5 only
        self.receive_maximum = 65535  # MQTT 5 only
        self.packet_bytes_max = 0  # MQTT 5 only; 0: not announced
        self.denies_session = False  # says "session present 0" and keeps the session (aedes)
        self.enforces = False  # an overrun window ends the connection (0x93)
        self.unreleased_max = 0  # more unreleased QoS 2 messages are a violation; 0: no bound
        self.loses_above_max = False  # ... and are answered and lost (Mosquitto 2.0 with max_inflight_messages)
        self.connect_code = 0  # of CONNACK: 0 accepts
        self.listening = True  # False: nobody answers on the port; connections that are up stay up
        self.bundles = ""  # bulk_topic_rewrite: in the book and for the rules bundles are what they hold
        # The book.
        self.deliveries = []  # messages a subscriber would have seen, in that order
        self.heard = []  # of each delivery: (payload, its user properties)
        self.violations = []  # words
        self.unknown_pubrels = 0  # PUBREL for an identifier that is not unreleased: allowed after a lost PUBCOMP
        self.resent_after_pubrel = []  # messages that came again with DUP after their PUBREL: delivered twice
        self.lost = []  # messages the broker answered and threw away (loses_above_max, a reused identifier)
        self.forgotten = []  # messages acknowledged by PUBREC that went with a session
        self.publishes = 0
        self.log = None  # set to []: (connection number, packet name, identifier, dup, topic) of all that comes in
        self._sessions = {}
        self._connections = {}
        self._rules = []
        self._accepted = 0

    # --- connections ---

    def accept(self) -> BrokerConnection:
        """A client has connected; nothing is known of it until its CONNECT."""
        self._accepted += 1
        return BrokerConnection(self, self._accepted)

    def connected(self, client_id: str) -> bool:
        return client_id in self._connections

    def session(self, client_id: str = "model") -> "Session | None":
        """The session kept for a client, if there is one."""
        return self._sessions.get(client_id)

    def restart(self, keep_session: bool) -> None:
        """Stop and start: all connections end without a word; sessions are kept or not."""
        for client_id in sorted(self._connections):
            self._connections[client_id].lost()
        if not keep_session:
            for client_id in sorted(self._sessions):
                self.forget(client_id)

    def forget(self, client_id: str = "model") -> None:
        """The session of a client ends."""
        session = self._sessions.pop(client_id, None)
        if session is not None and self.deliver_at == "pubrel":
            for identifier in sorted(session.unreleased):
                self.forgotten += self.messages_of(session.unreleased[identifier])

    def pubrec_is_durable(self, identifier: int, client_id: str = "model") -> None:
        """The test knows that the client has stored this PUBREC: the PUBLISH must not come again, not even later."""
        self._sessions[client_id].durable_pubrecs.add(identifier)

    # --- rules: each holds for ``times`` packets, or for ever ---

    def refuse(self, topic: str, code: int, payload: "bytes | None" = None, times: "int | None" = None) -> None:
        """Answer with a reason code. In 3.1.1, which has none, the connection is closed instead."""
        self._rules.append(["refuse", None, topic, payload, None, code, times])

    def drop_at(self, topic: str, payload: "bytes | None" = None, times: "int | None" = None) -> None:
        """Close the connection when this message comes: a poison message."""
        self._rules.append(["drop", None, topic, payload, None, 0, times])

    def stay_silent(
        self, kind: int, topic: "str | None" = None, identifier: "int | None" = None, times: "int | None" = None
    ) -> None:
        """Do the work and do not send this answer: PUBACK, PUBREC, PUBCOMP, CONNACK or PINGRESP of ``mqtt_wire``."""
        self._rules.append(["silent", kind, topic, None, identifier, 0, times])

    def heal(self) -> None:
        """Forget the rules, accept connections."""
        self._rules = []
        self.connect_code = 0
        self.listening = True

    # --- for BrokerConnection ---

    def rule(self, action: str, message: "tuple | None", kind: "int | None" = None, identifier: int = 0) -> int:
        """Use up one rule that fits: its reason code, or -1 if none fits."""
        for rule in self._rules:
            if rule[0] != action or rule[1] != kind:
                continue
            if rule[2] is not None or rule[3] is not None:
                held = [] if message is None else self.messages_of(message)
                if not [1 for each in held if rule[2] in (None, each[0]) and rule[3] in (None, each[1])]:
                    continue
            if rule[4] is not None and rule[4] != identifier:
                continue
            if rule[6] is not None:
                rule[6] -= 1
                if not rule[6]:
                    self._rules.remove(rule)
            return rule[5]
        return -1

    def deliver(self, message: tuple, said: tuple) -> None:
        """A subscriber would see it now."""
        held = self.messages_of(message)
        self.deliveries += held
        told = identities_of(message, self.bundles) or [said]
        self.heard += [(each[1], told[index]) for index, each in enumerate(held)]

    def messages_of(self, message: tuple) -> "list[tuple]":
        """What a subscriber would make of it."""
        return messages_of(message, self.bundles)

    def are_same(self, known: tuple, message: tuple) -> bool:
        """A bundle that was put together again may lack messages whose records were lost meanwhile."""
        if known == message or not self.bundles:
            return known == message
        held = self.messages_of(known)
        return held != [known] and not [1 for each in self.messages_of(message) if each not in held]

    def enter(self, connection: BrokerConnection, client_id: str, clean: bool) -> bool:
        """Bind a connection to its session; True if there was one. The client's earlier connection ends (3.1.4)."""
        earlier = self._connections.get(client_id)
        if earlier is not None:
            earlier.lost()
        if clean:
            self.forget(client_id)
        present = client_id in self._sessions
        if not present:
            self._sessions[client_id] = Session()
        self._connections[client_id] = connection
        return present

    def leave(self, connection: BrokerConnection, client_id: str, keep_session: bool) -> None:
        """A connection has ended."""
        if self._connections.get(client_id) is connection:
            del self._connections[client_id]
            if not keep_session:
                self.forget(client_id)
