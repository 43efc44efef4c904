"""One connection to the model broker: reads the client's packets, answers them, and looks for violations."""

from persistmq_core import packets
from persistmq_core.errors import ProtocolError

from . import mqtt_wire as wire

# How far a handshake has come inside this connection.
_SENT = "sent"
_RECEIVED = "received"  # the client has its PUBREC


class BrokerConnection:
    """Made by ``ModelBroker.accept``. ``feed`` bytes, get bytes; ``closed`` once the broker has hung up."""

    def __init__(self, broker: "object", number: int) -> None:
        self.broker = broker
        self.number = number
        self.closed = False
        self.protocol = 0  # 0 until CONNECT
        self.client_id = ""
        # A link that calls client_received() sets this; handshakes then end when the client has seen the answer,
        # not when the broker has sent it.
        self.reports_reception = False
        self._keeps_session = True
        self.unread = b""  # the beginning of a packet whose rest has not come
        self._out = bytearray()
        self._handshakes = {}  # identifier -> [message, how far] of what was published in this connection
        self._ended = {}  # identifier -> message of what was published and answered in this connection

    def feed(self, view: "bytes | bytearray | memoryview") -> bytes:
        """Take bytes from the client, give the answer. After ``closed`` nothing is read any more."""
        self.unread += bytes(view)
        try:
            start = 0
            while not self.closed:
                found = packets.split(self.unread, start)
                if found is None:
                    break
                first_byte, body, end = found
                self._take(first_byte, self.unread[body:end], end - start)
                start = end
            self.unread = self.unread[start:]
        except (wire.Malformed, ProtocolError) as error:
            self._violation("malformed: %s" % error)
            self.end(0x81)
        out = bytes(self._out)
        self._out = bytearray()
        return out

    def client_received(self, kind: int, identifier: int, code: int = 0) -> None:
        """The link tells that the client has been handed this acknowledgement."""
        if kind != wire.PUBREC or code >= 0x80:
            self._handshake_ended(identifier)
        elif identifier in self._handshakes:
            self._handshakes[identifier][1] = _RECEIVED

    def lost(self) -> None:
        """The network between is gone, or the broker stopped."""
        if not self.closed:
            self.closed = True
            self.broker.leave(self, self.client_id, self._keeps_session)

    def end(self, code: int = 0) -> None:
        """The broker hangs up; in MQTT 5 with a reason."""
        if self.protocol == 5 and not self.closed:
            self._out += wire.packet(wire.DISCONNECT, bytes((code,)))
        self.lost()

    # --- packets ---

    def _take(self, first_byte: int, body: bytes, packet_bytes: int) -> None:
        kind = first_byte & 0xF0
        if kind not in wire.NAMES:
            raise wire.Malformed("a packet of the reserved type")
        if (kind == wire.CONNECT) != (self.protocol == 0):
            raise wire.Malformed("a second CONNECT" if self.protocol else "no CONNECT at the beginning")
        if kind == wire.PUBLISH:
            self._publish(first_byte, body, packet_bytes)
            return
        if first_byte & 15 != (2 if kind in (wire.PUBREL, wire.SUBSCRIBE, wire.UNSUBSCRIBE) else 0):
            raise wire.Malformed("wrong flags in the first byte 0x%02x" % first_byte)  # 2.2.2
        reader = wire.Reader(body)
        identifier = reader.number(2) if kind in (wire.PUBREL, wire.SUBSCRIBE, wire.UNSUBSCRIBE) else 0
        self._note(kind, identifier)
        if kind == wire.CONNECT:
            self._connect(reader)
        elif kind == wire.PUBREL:
            self._pubrel(identifier)
        elif kind == wire.SUBSCRIBE:
            self._out += wire.packet(wire.SUBACK, body[:2] + (b"\0" if self.protocol == 5 else b"") + b"\2")
        elif kind == wire.UNSUBSCRIBE:
            self._out += wire.packet(wire.UNSUBACK, body[:2] + (b"\0\0" if self.protocol == 5 else b""))
        elif kind == wire.PINGREQ:
            if self.broker.rule("silent", None, wire.PINGRESP) < 0:
                self._out += wire.packet(wire.PINGRESP, b"")
        elif kind == wire.DISCONNECT:
            self.lost()
        else:
            raise wire.Malformed("a %s from a client that subscribed to nothing" % wire.NAMES[kind])

    def _connect(self, reader: wire.Reader) -> None:
        if reader.string() != "MQTT":
            raise wire.Malformed("a protocol that is not MQTT")
        protocol = reader.number(1)
        clean = bool(reader.number(1) & 2)
        reader.number(2)
        if protocol not in (4, 5):
            raise wire.Malformed("protocol level %d" % protocol)
        # 5.0, 3.1.2.11.2: without an expiry interval the session ends with the connection.
        expiry_s = reader.properties().get(wire.SESSION_EXPIRY, 0) if protocol == 5 else int(not clean)
        self.client_id = reader.string()
        self.protocol = protocol
        self._keeps_session = expiry_s > 0
        broker = self.broker
        if broker.connect_code:
            self.closed = True
            present = False
        else:
            present = broker.enter(self, self.client_id, clean) and not broker.denies_session
        if broker.rule("silent", None, wire.CONNACK) >= 0:
            return
        body = bytes((int(present), broker.connect_code))
        if protocol == 5:
            limits = self._announced()
            body += wire.variable(len(limits)) + limits
        self._out += wire.packet(wire.CONNACK, body)

    def _announced(self) -> bytes:
        """The limits in CONNACK, each only where it is not the default of the standard."""
        broker = self.broker
        found = b""
        if broker.receive_maximum != 65535:
            found += bytes((wire.RECEIVE_MAXIMUM,)) + wire.number(broker.receive_maximum, 2)
        if broker.qos_max < 2:
            found += bytes((wire.MAXIMUM_QOS, broker.qos_max))
        if not broker.retain_available:
            found += bytes((wire.RETAIN_AVAILABLE, 0))
        if broker.packet_bytes_max:
            found += bytes((wire.MAXIMUM_PACKET_SIZE,)) + wire.number(broker.packet_bytes_max, 4)
        return found

    def _publish(self, first_byte: int, body: bytes, packet_bytes: int) -> None:
        topic, payload, qos, retain, dup, identifier = wire.read_publish(first_byte, body, self.protocol)
        message = (topic, payload, qos, retain)
        broker = self.broker
        said = wire.user_properties(first_byte, body) if self.protocol == 5 else ()
        broker.publishes += 1
        self._note(wire.PUBLISH, identifier, dup, topic)
        if broker.rule("drop", message) >= 0:
            self.lost()
            return
        if not self._within_limits(qos, retain, packet_bytes):
            return
        if qos:
            self._look(identifier, message, dup)
            if self.closed:
                return
        code = broker.rule("refuse", message)
        if code >= 0x80 and self.protocol == 4:
            self.lost()
            return
        code = max(code, 0)
        if qos == 0 and code < 0x80:
            broker.deliver(message, said)
        elif qos == 1 or broker.qos2_answer == "puback":
            if code < 0x80 and not (qos == 1 and self._overflows(message)):
                broker.deliver(message, said)
                self._session().unconfirmed[identifier] = message
            self._answer(wire.PUBACK, identifier, code, message)
        elif qos == 2:
            if code < 0x80:
                self._store(identifier, message, said)
            else:
                self._session().unreleased.pop(identifier, None)  # 5.0, 4.3.3: this ends the exchange
            self._answer(wire.PUBREC, identifier, code, message)

    def _store(self, identifier: int, message: tuple, said: tuple) -> None:
        """Method A or B of 4.3.3: the identifier is kept until PUBREL, and what comes under it is not new."""
        broker = self.broker
        unreleased = self._session().unreleased
        if identifier in unreleased:
            if not broker.are_same(unreleased[identifier], message):
                broker.lost.append(message)
            return
        if self._overflows(message):
            return
        unreleased[identifier] = message
        self._session().said[identifier] = said
        if broker.deliver_at == "publish":
            broker.deliver(message, said)

    def _overflows(self, message: tuple) -> bool:
        """True if the message is lost because too many are unreleased already: Mosquitto does it to QoS 1 and 2."""
        broker = self.broker
        if not broker.unreleased_max or len(self._session().unreleased) < broker.unreleased_max:
            return False
        if broker.messages_of(message)[0] in broker.deliveries:
            return True  # a repeat that is thrown away: the subscribers have had it
        self._violation("a message behind %d unreleased ones of QoS 2" % broker.unreleased_max)
        if broker.loses_above_max:
            broker.lost.append(message)
        return broker.loses_above_max

    def _pubrel(self, identifier: int) -> None:
        session = self._session()
        session.durable_pubrecs.discard(identifier)
        message = session.unreleased.pop(identifier, None)
        if message is None:
            self.broker.unknown_pubrels += 1
        else:
            session.released[identifier] = message
            if self.broker.deliver_at == "pubrel":
                self.broker.deliver(message, session.said.pop(identifier))
        # 5.0, 3.7.2.1: 0x92, packet identifier not found.
        self._answer(wire.PUBCOMP, identifier, 0x92 if message is None and self.protocol == 5 else 0, message)

    def _answer(self, kind: int, identifier: int, code: int, message: "tuple | None") -> None:
        if self.broker.rule("silent", message, kind, identifier) >= 0:
            return
        self._out += wire.acknowledgement(kind, identifier, code)
        if not self.reports_reception and (kind != wire.PUBREC or code >= 0x80):
            self._handshake_ended(identifier)

    # --- the book ---

    def _look(self, identifier: int, message: tuple, dup: bool) -> None:
        """What may be wrong with a PUBLISH of QoS 1 or 2, before it is answered."""
        session = self._session()
        what = "PUBLISH %d %r" % (identifier, message[0])
        known = session.unreleased.get(identifier, session.unconfirmed.get(identifier))
        if identifier in self._handshakes:
            earlier, how_far = self._handshakes[identifier]
            if not self.broker.are_same(earlier, message):
                self._violation(what + " reuses an identifier whose handshake has not ended")
            elif how_far == _RECEIVED:
                self._violation(what + " after its PUBREC was received")
            else:
                self._violation(what + " repeated inside one connection")
        elif dup and self._ended.get(identifier) == message:
            self._violation(what + " repeated inside one connection, after its end")
        elif known is not None:
            if not self.broker.are_same(known, message):
                self._violation(what + " reuses the identifier of an unreleased message")
            elif identifier in session.durable_pubrecs:
                self._violation(what + " after its PUBREC was stored")
            elif not dup:
                self._violation(what + " sent again with DUP 0")
        elif dup and session.released.get(identifier) == message:
            self.broker.resent_after_pubrel.append(message)
        self._handshakes[identifier] = [message, _SENT]
        if self.protocol == 5 and len(self._handshakes) > self.broker.receive_maximum:
            self._violation(
                "%d messages in flight, Receive Maximum is %d" % (len(self._handshakes), self.broker.receive_maximum)
            )
            if self.broker.enforces:
                self.end(0x93)

    def _within_limits(self, qos: int, retain: bool, packet_bytes: int) -> bool:
        """What the broker said in CONNACK it will not take; a broker of 3.1.1 said nothing, so it only hangs up."""
        broker = self.broker
        code = 0
        if qos > broker.qos_max:
            code = 0x9B
        elif self.protocol == 5 and retain and not broker.retain_available:
            code = 0x9A
        elif self.protocol == 5 and broker.packet_bytes_max and packet_bytes > broker.packet_bytes_max:
            code = 0x95
        if code:
            if self.protocol == 5:
                self._violation("a PUBLISH against a limit of CONNACK (0x%02x)" % code)
            self.end(code)
        return not code

    def _handshake_ended(self, identifier: int) -> None:
        handshake = self._handshakes.pop(identifier, None)
        if handshake is not None:
            self._ended[identifier] = handshake[0]
        session = self._session()
        if session is not None:
            session.unconfirmed.pop(identifier, None)

    def _session(self) -> "object":
        return self.broker.session(self.client_id)

    def _note(self, kind: int, identifier: int = 0, dup: bool = False, topic: str = "") -> None:
        if self.broker.log is not None:
            self.broker.log.append((self.number, wire.NAMES[kind], identifier, dup, topic))

    def _violation(self, words: str) -> None:
        self.broker.violations.append("connection %d: %s" % (self.number, words))
