"""What the broker will not take is parked under ``dead/``: a segment with one frame, and the reason in its name."""

from .contracts import Store
from .limits import const
from .record import Record
from .segment import encode_header

FOLDER = "dead"

# Reasons of our own; those of MQTT 5 (0x80 and up) are kept as they came.
CONNECTION_DROPPED = const(1)  # the broker ended the connection again and again over it
PACKET_TOO_LARGE = const(2)  # larger than the broker's Maximum Packet Size (5.0, 3.2.2.3.6)
QOS_NOT_SUPPORTED = const(3)  # above the broker's Maximum QoS (5.0, 3.2.2.3.4)
RETAIN_NOT_SUPPORTED = const(4)  # (5.0, 3.2.2.3.5)


def dead_letter_name(seq: int, cache_id: int, reason_code: int) -> str:
    return "%s/%016x-%08x-%02x.seg" % (FOLDER, seq, cache_id, reason_code)


def park(store: Store, record: Record, cache_id: int, reason_code: int) -> None:
    """Write it under a name of its own, durably. Doing it twice is harmless. Raises OSError."""
    content = encode_header(record.seq, 0, cache_id) + bytes(record.frame())
    store.replace(dead_letter_name(record.seq, cache_id, reason_code), content)
