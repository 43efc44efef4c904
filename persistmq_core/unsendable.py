"""What the broker announced not to take, looked at exactly: most messages are far from it."""

from .contracts import Transport
from .dead_letters import PACKET_TOO_LARGE, QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED
from .packets import remaining_length
from .record import Record


def why(record: Record, transport: Transport, expires_s: int, properties: bytes) -> int:
    """The reason code with which it is parked, 0 if it can be sent. ``properties``: as ``packets.publish`` has them."""
    if record.qos > transport.qos_max:
        return QOS_NOT_SUPPORTED
    if record.retain and not transport.retain_available:
        return RETAIN_NOT_SUPPORTED
    length = 2 + len(record.topic) + len(record.payload) + (2 if record.qos else 0)
    if record.is_apart():
        length += record.apart_bytes
    if transport.protocol == 5:
        length += _with_its_length(len(properties) + (5 if expires_s else 0))
    return PACKET_TOO_LARGE if 1 + _with_its_length(length) > transport.packet_bytes_max else 0


def _with_its_length(length: int) -> int:
    return len(remaining_length(length)) + length
