"""MQTT packets of the publishing side: PUBLISH and PUBREL out; PUBACK, PUBREC and PUBCOMP in (3.1.1 and 5.0).

Each port's transport cuts the incoming stream with ``split`` and keeps the acknowledgements for the core.
"""

from struct import pack

from .errors import ProtocolError
from .limits import AHEAD_SEQ, PACKET_ID_AHEAD, PACKET_ID_AHEAD_SPAN, PACKET_ID_SPAN, const

PUBLISH = const(0x30)
PUBACK = const(0x40)
PUBREC = const(0x50)
PUBREL = const(0x62)  # 3.6.1: reserved bits 0010
PUBCOMP = const(0x70)

ACKNOWLEDGEMENTS = (PUBACK, PUBREC, PUBCOMP)
_DUP = const(0x08)
_RETAIN = const(0x01)
_MESSAGE_EXPIRY = const(0x02)


def packet_id(seq: int) -> int:
    """Law 4: the identifier is a function of the sequence number, so it need not be stored."""
    if seq >= AHEAD_SEQ:
        return PACKET_ID_AHEAD + (seq - AHEAD_SEQ) % PACKET_ID_AHEAD_SPAN
    return 1 + seq % PACKET_ID_SPAN


def remaining_length(length: int) -> bytes:
    """Encode a remaining length (2.2.3): seven bits a byte, lowest first."""
    if length < 128:
        return bytes((length,))
    out = bytearray()
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    return bytes(out)


def publish(
    out: bytearray,
    topic: "bytes | memoryview",
    payload: "bytes | bytearray | memoryview",
    qos: int,
    retain: bool,
    dup: bool,
    identifier: int,
    mqtt5: bool,
    expires_s: int = 0,
    properties: bytes = b"",
    follows: int = 0,
) -> None:
    """Append one PUBLISH (3.3) to ``out``. ``expires_s``: in MQTT 5 the broker drops it after that (3.3.2.3.3).

    ``properties``: others of MQTT 5, encoded. ``follows``: bytes of the payload that are sent behind ``out``.
    """
    topic_bytes = len(topic)
    length = 2 + topic_bytes + len(payload) + follows
    if qos:
        length += 2
    if mqtt5:
        if properties:
            properties = _with_length(properties, expires_s)
            length += len(properties)
        else:
            length += 6 if expires_s else 1
    first = PUBLISH | (_DUP if dup else 0) | qos << 1 | (_RETAIN if retain else 0)
    out.append(first)  # byte by byte: that is as fast as to pack them, and a board needs no memory for it
    if length < 128:
        out.append(length)
    else:
        out += remaining_length(length)
    out.append(topic_bytes >> 8)
    out.append(topic_bytes & 255)
    out += topic
    if qos:
        out.append(identifier >> 8)
        out.append(identifier & 255)
    if mqtt5:
        if properties:
            out += properties
        elif expires_s:
            out += pack(">BBI", 5, _MESSAGE_EXPIRY, expires_s)
        else:
            out.append(0)  # 3.3.2.3: no properties
    out += payload


def _with_length(properties: bytes, expires_s: int) -> bytes:
    if expires_s:
        properties = pack(">BI", _MESSAGE_EXPIRY, expires_s) + properties
    return remaining_length(len(properties)) + properties


def pubrel(out: bytearray, identifier: int) -> None:
    """Append one PUBREL (3.6); the short form without reason code is right in both versions."""
    out.append(PUBREL)
    out.append(2)
    out.append(identifier >> 8)
    out.append(identifier & 255)


def split(buffer: "bytes | bytearray | memoryview", start: int = 0) -> "tuple[int, int, int] | None":
    """Find the whole packet at ``start``: (first byte, where its body begins, where it ends), or None if incomplete.

    Raises ProtocolError on a remaining length of more than four bytes (2.2.3).
    """
    size = len(buffer)
    shift = 0
    length = 0
    index = start + 1
    while True:
        if index >= size:
            return None
        byte = buffer[index]
        length |= (byte & 127) << shift
        index += 1
        if byte < 128:
            break
        shift += 7
        if shift > 21:
            raise ProtocolError("a remaining length of more than four bytes")
    end = index + length
    if end > size:
        return None
    return buffer[start], index, end


def is_acknowledgement(first_byte: int) -> bool:
    """PUBACK, PUBREC or PUBCOMP: what ``Transport.receive`` hands to the core if the identifier is ours."""
    return first_byte & 0xF0 in ACKNOWLEDGEMENTS


def acknowledgement(buffer: "bytes | bytearray | memoryview", start: int) -> "tuple[int, int, int, int]":
    """Decode the acknowledgement at ``start``: (kind, identifier, reason code, where it ends). 3.1.1 has reason code 0.

    Raises ProtocolError on anything else, so that a confused stream ends the connection instead of a message.
    """
    whole = split(buffer, start)
    if whole is None:
        raise ProtocolError("an incomplete acknowledgement")
    kind, body, end = whole
    if end - body < 2:
        raise ProtocolError("an acknowledgement without packet identifier")
    identifier = buffer[body] << 8 | buffer[body + 1]
    reason = buffer[body + 2] if end - body > 2 else 0
    if kind not in ACKNOWLEDGEMENTS or identifier == 0:
        raise ProtocolError("not an acknowledgement: first byte %d, identifier %d" % (kind, identifier))
    return kind, identifier, reason, end
