"""One stored message: the frame and its checks. FORMAT.md draws it; nothing else in the project knows the layout.

A frame is a header of 24 bytes, then topic, then payload. Its CRC is seeded with the cache's own number, so that a
frame that stands inside a payload (somebody published a journal) or comes from another cache never reads as ours.
"""

from binascii import crc32
from struct import pack, unpack_from

from .limits import REMAINING_LENGTH_MAX, TOPIC_BYTES_MAX, const

FRAME_HEADER_BYTES = const(24)
FRAME_BYTES_MIN = const(25)  # a topic has one byte at least
MARKER = b"\xd1\x5a"  # never zero, so preallocated or NUL-filled space is no frame

_HEADER = "<2sBBIIHHI"  # marker, flags, zero, seq (low 32 bits), body bytes, topic bytes, time (high 16, low 32)
_CRC_AT = const(20)
_RETAIN = const(4)
_FLAGS = const(7)

INCOMPLETE = const(0)
NO_FRAME = const(-1)


def encode(
    seq: int,
    topic: bytes,
    payload: "bytes | bytearray | memoryview",
    qos: int,
    retain: bool,
    accepted_ms: int,
    cache_id: int,
) -> bytes:
    """Frame one message. ``accepted_ms``: Unix time in milliseconds, 0 where no clock was valid."""
    head = pack(
        _HEADER,
        MARKER,
        qos | (_RETAIN if retain else 0),
        0,
        seq & 0xFFFFFFFF,
        len(topic) + len(payload),
        len(topic),
        accepted_ms >> 32 & 0xFFFF,
        accepted_ms & 0xFFFFFFFF,
    )
    crc = crc32(payload, crc32(topic, crc32(head, cache_id)))
    return b"".join((head, pack("<I", crc), topic, bytes(payload)))  # MicroPython joins only bytes


def measure(buffer: memoryview, at: int, available: int) -> int:
    """How many bytes the frame at ``at`` has: INCOMPLETE if that cannot be known yet, NO_FRAME if none can begin here.

    Every prefix of a frame is INCOMPLETE, never NO_FRAME.
    """
    if available < FRAME_HEADER_BYTES:
        known = min(available, 2)
        return INCOMPLETE if bytes(buffer[at : at + known]) == MARKER[:known] else NO_FRAME
    marker, flags, zero, _, body_bytes, topic_bytes, _, _ = unpack_from(_HEADER, buffer, at)
    if marker != MARKER or flags & ~_FLAGS or flags & 3 == 3 or zero:
        return NO_FRAME
    if not 0 < topic_bytes <= TOPIC_BYTES_MAX or not topic_bytes <= body_bytes <= REMAINING_LENGTH_MAX:
        return NO_FRAME
    return FRAME_HEADER_BYTES + int(body_bytes)


def is_whole(buffer: memoryview, at: int, frame_bytes: int, cache_id: int) -> bool:
    """True if the CRC says that these bytes are what was written for this cache."""
    crc = crc32(buffer[at : at + _CRC_AT], cache_id)
    crc = crc32(buffer[at + FRAME_HEADER_BYTES : at + frame_bytes], crc)
    return crc == int(unpack_from("<I", buffer, at + _CRC_AT)[0])


def seq_low(buffer: memoryview, at: int) -> int:
    """The low 32 bits of the sequence number; the segment knows the rest."""
    return int(unpack_from("<I", buffer, at + 4)[0])


class Record:
    """One message read back. ``topic`` and ``payload`` are views that the next read may overwrite."""

    def __init__(self, seq: int, buffer: memoryview, at: int, frame_bytes: int) -> None:
        _, flags, _, _, _, topic_bytes, time_high, time_low = unpack_from(_HEADER, buffer, at)
        body = at + FRAME_HEADER_BYTES
        self.seq = seq
        self.qos = flags & 3
        self.retain = bool(flags & _RETAIN)
        self.accepted_ms = (time_high << 32) + time_low
        self.topic = buffer[body : body + topic_bytes]
        self.payload = buffer[body + topic_bytes : at + frame_bytes]
        self.frame = buffer[at : at + frame_bytes]
