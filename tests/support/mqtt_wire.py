"""The packets which the core leaves to others: CONNECT, CONNACK and the rest, and PUBLISH as a broker reads it.

Written apart from ``persistmq_core.packets``, so that a mistake there does not agree with itself here.
"""

CONNECT = 0x10
CONNACK = 0x20
PUBLISH = 0x30
PUBACK = 0x40
PUBREC = 0x50
PUBREL = 0x60
PUBCOMP = 0x70
SUBSCRIBE = 0x80
SUBACK = 0x90
UNSUBSCRIBE = 0xA0
UNSUBACK = 0xB0
PINGREQ = 0xC0
PINGRESP = 0xD0
DISCONNECT = 0xE0

NAMES = {
    CONNECT: "CONNECT",
    CONNACK: "CONNACK",
    PUBLISH: "PUBLISH",
    PUBACK: "PUBACK",
    PUBREC: "PUBREC",
    PUBREL: "PUBREL",
    PUBCOMP: "PUBCOMP",
    SUBSCRIBE: "SUBSCRIBE",
    UNSUBSCRIBE: "UNSUBSCRIBE",
    PINGREQ: "PINGREQ",
    DISCONNECT: "DISCONNECT",
}

# Bytes of each MQTT 5 property (2.2.2.2) that has a fixed size; "s" a string, "p" a pair of strings, "v" a number of
# one to four bytes.
_PROPERTY_SIZES = {
    0x01: 1,
    0x02: 4,
    0x03: "s",
    0x08: "s",
    0x09: "s",
    0x0B: "v",
    0x11: 4,
    0x12: "s",
    0x13: 2,
    0x15: "s",
    0x16: "s",
    0x17: 1,
    0x19: 1,
    0x1A: "s",
    0x1C: "s",
    0x1F: "s",
    0x21: 2,
    0x22: 2,
    0x23: 2,
    0x24: 1,
    0x25: 1,
    0x26: "p",
    0x27: 4,
    0x28: 1,
    0x29: 1,
    0x2A: 1,
}
SESSION_EXPIRY = 0x11
RECEIVE_MAXIMUM = 0x21
MAXIMUM_QOS = 0x24
RETAIN_AVAILABLE = 0x25
MAXIMUM_PACKET_SIZE = 0x27
USER_PROPERTY = 0x26


class Malformed(Exception):
    """Bytes that are no MQTT packet."""


def number(value: int, size: int) -> bytes:
    """``value`` in ``size`` bytes, the highest first."""
    return bytes([value >> 8 * (size - 1 - i) & 255 for i in range(size)])


def variable(value: int) -> bytes:
    """A number of one to four bytes, seven bits each, the lowest first (1.5.5)."""
    out = bytearray()
    while True:
        out.append(value & 127 | (128 if value > 127 else 0))
        value >>= 7
        if not value:
            return bytes(out)


def string(text: str) -> bytes:
    raw = text.encode()
    return number(len(raw), 2) + raw


def packet(first_byte: int, body: bytes) -> bytes:
    return bytes((first_byte,)) + variable(len(body)) + body


def acknowledgement(kind: int, identifier: int, code: int = 0) -> bytes:
    """PUBACK, PUBREC or PUBCOMP; the reason code only where it is not 0 (5.0, 3.4.2.1)."""
    return packet(kind, number(identifier, 2) + (bytes((code,)) if code else b""))


def connect(client_id: str, clean: bool, protocol: int, keep_alive_s: int = 60) -> bytes:
    """CONNECT as PORTING.md wants it: a session that is to be kept, in MQTT 5 for as long as the broker will."""
    body = string("MQTT") + bytes((protocol, 2 if clean else 0)) + number(keep_alive_s, 2)
    if protocol == 5:
        body += b"\x05" + bytes((SESSION_EXPIRY,)) + b"\xff\xff\xff\xff"
    return packet(CONNECT, body + string(client_id))


class Reader:
    """Takes fields off the front of a packet's body; raises ``Malformed`` where there are not enough bytes."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def left(self) -> int:
        return len(self.body) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left():
            raise Malformed("a packet that ends too early")
        self.at += size
        return self.body[self.at - size : self.at]

    def number(self, size: int) -> int:
        value = 0
        for byte in self.take(size):
            value = value << 8 | byte
        return value

    def variable(self) -> int:
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.number(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise Malformed("a number of more than four bytes")

    def string(self) -> str:
        raw = self.take(self.number(2))
        try:
            text = raw.decode()
        except UnicodeError:
            raise Malformed("a string that is not UTF-8")  # noqa: B904 - MicroPython chains no exceptions
        if "\0" in text:
            raise Malformed("a string with U+0000")
        return text

    def properties(self) -> "dict[int, object]":
        """MQTT 5 properties; of user properties all pairs, of any other that may come more than once the last."""
        end = self.variable() + self.at
        if end > len(self.body):
            raise Malformed("properties longer than their packet")
        found = {}
        while self.at < end:
            key = self.number(1)
            size = _PROPERTY_SIZES.get(key)
            if size is None:
                raise Malformed("an unknown property 0x%02x" % key)
            if size == "v":
                found[key] = self.variable()
            elif size == "s":
                found[key] = self.take(self.number(2))
            elif size == "p":
                found[key] = found.get(key, ()) + ((self.string(), self.string()),)
            else:
                found[key] = self.number(size)
        if self.at != end:
            raise Malformed("properties that do not end where they say")
        return found


def read_publish(first_byte: int, body: bytes, protocol: int) -> "tuple[str, bytes, int, bool, bool, int]":
    """(topic, payload, qos, retain, dup, identifier) of one PUBLISH; raises ``Malformed``."""
    qos = first_byte >> 1 & 3
    dup = bool(first_byte & 8)
    if qos == 3:
        raise Malformed("a PUBLISH of QoS 3")
    if dup and not qos:
        raise Malformed("a PUBLISH of QoS 0 with DUP")  # MQTT-3.3.1-2
    reader = Reader(body)
    topic = reader.string()
    if not topic or "+" in topic or "#" in topic:
        raise Malformed("a PUBLISH to the topic %r" % topic)  # MQTT-3.3.2-2; topic aliases are not offered
    identifier = reader.number(2) if qos else 0
    if qos and not identifier:
        raise Malformed("a PUBLISH with identifier 0")
    if protocol == 5:
        reader.properties()
    return topic, bytes(reader.take(reader.left())), qos, bool(first_byte & 1), dup, identifier


def user_properties(first_byte: int, body: bytes) -> "tuple[tuple[str, str], ...]":
    """Those of a PUBLISH of MQTT 5."""
    reader = Reader(body)
    reader.string()
    reader.take(2 if first_byte & 6 else 0)
    return reader.properties().get(USER_PROPERTY, ())
