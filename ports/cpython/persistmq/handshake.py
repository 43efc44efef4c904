"""What the broker's CONNACK and DISCONNECT say, from their bytes and in words for a person."""

import struct
from typing import Any, NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import MQTTException, Properties  # type: ignore[attr-defined]
from paho.mqtt.reasoncodes import ReasonCode

from persistmq_core.contracts import Transport
from persistmq_core.errors import ProtocolError

# 3.1.1, table 3.1.
_RETURN_CODES = {
    1: "unacceptable protocol version",
    2: "client identifier rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}
_TEMPORARY_RETURN_CODES = frozenset((3,))
# 5.0, 3.2.2.2: server unavailable, server busy, quota exceeded, connection rate exceeded. They pass by themselves.
_TEMPORARY_REASON_CODES = frozenset((0x88, 0x89, 0x97, 0x9F))
# What paho's decoders were seen to raise on bytes that are no properties, in 2.1 and 2.2.
DECODE_ERRORS = (MQTTException, struct.error, LookupError, ValueError, TypeError, AssertionError)


class Connack(NamedTuple):
    """A CONNACK; ``code`` 0 is "accepted". ``is_temporary``: a refusal that may pass without a person."""

    session_present: bool
    code: int
    words: str
    is_temporary: bool
    receive_maximum: int = Transport.receive_maximum
    packet_bytes_max: int = Transport.packet_bytes_max
    qos_max: int = Transport.qos_max
    retain_available: bool = Transport.retain_available
    keepalive_s: int | None = None  # the broker wants another than was asked for
    session_expiry_s: int | None = None


def decode_connack(body: bytes, is_mqtt5: bool) -> Connack:
    """Decode what follows the fixed header (3.2). Raises ProtocolError."""
    if len(body) < 2 or (not is_mqtt5 and len(body) != 2):
        raise ProtocolError("a CONNACK of %d bytes" % len(body))
    session_present, code = bool(body[0] & 1), body[1]
    if not is_mqtt5 or (len(body) == 2 and code < 0x80):
        # Two bytes in answer to MQTT 5 are a refusal in the words of an older broker.
        return Connack(
            session_present, code, _RETURN_CODES.get(code, "return code %d" % code), code in _TEMPORARY_RETURN_CODES
        )
    properties = _properties(PacketTypes.CONNACK, body[2:]) if len(body) > 2 else None
    limits: dict[str, Any] = {
        "receive_maximum": getattr(properties, "ReceiveMaximum", Transport.receive_maximum),
        "packet_bytes_max": getattr(properties, "MaximumPacketSize", Transport.packet_bytes_max),
        "qos_max": getattr(properties, "MaximumQoS", Transport.qos_max),
        "retain_available": bool(getattr(properties, "RetainAvailable", 1)),
        "keepalive_s": getattr(properties, "ServerKeepAlive", None),
        "session_expiry_s": getattr(properties, "SessionExpiryInterval", None),
    }
    if 0 in (limits["receive_maximum"], limits["packet_bytes_max"]):
        raise ProtocolError("a CONNACK that allows nothing to be sent")  # 3.2.2.3.3 and 3.2.2.3.6
    words = _reason_words(PacketTypes.CONNACK, code, properties)
    return Connack(session_present, code, words, code in _TEMPORARY_REASON_CODES, **limits)


def decode_disconnect(body: bytes) -> tuple[int, str]:
    """Reason code and words of a DISCONNECT (5.0, 3.14); an empty one is 0. Raises ProtocolError."""
    code = body[0] if body else 0
    properties = _properties(PacketTypes.DISCONNECT, body[1:]) if len(body) > 1 else None
    return code, _reason_words(PacketTypes.DISCONNECT, code, properties)


def _properties(packet_type: int, body: bytes) -> Properties:
    properties = Properties(packet_type)  # type: ignore[no-untyped-call]
    try:
        properties.unpack(body)  # type: ignore[no-untyped-call]
    except DECODE_ERRORS as error:
        raise ProtocolError("malformed properties: %s" % error) from None
    return properties


def _reason_words(packet_type: int, code: int, properties: Properties | None) -> str:
    try:
        words = str(ReasonCode(packet_type, identifier=code)).lower()
    except DECODE_ERRORS:
        words = "unknown reason"
    said = getattr(properties, "ReasonString", "")
    return "%s (0x%02x)%s" % (words, code, ": " + said if said else "")
