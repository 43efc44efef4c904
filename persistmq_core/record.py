"""One stored message: the frame and its checks. FORMAT.md draws it; nothing else in the project knows the layout.

A frame is a header of 24 bytes, then topic, then payload. Its CRC is seeded with the cache's own number, so that a
frame that stands inside a payload (somebody published a journal) or comes from another cache never reads as ours.
"""

from binascii import crc32
from struct import pack, pack_into, unpack_from

from .limits import CLOCK_VALID_MS, REMAINING_LENGTH_MAX, const

FRAME_HEADER_BYTES = const(24)
FRAME_BYTES_MIN = const(25)  # a topic has one byte at least
MARKER = b"\xd1\x5a"  # never zero, so preallocated or NUL-filled space is no frame

_HEADER = "<2sBBIIHHI"  # marker, flags, zero, seq (low 32 bits), body bytes, topic bytes, time (high 16, low 32)
_HEADER_CRC = "<IIIHHII"  # the first three in one number, and the CRC
_MARKER_NUMBER = const(0x5AD1)
_BUT_FLAGS = const(0xFFE0FFFF)  # marker and what has to be zero, of the first four bytes
_TIME_AT = const(14)
_CRC_AT = const(20)
_RETAIN = const(4)
_EXPIRES = const(8)
_APART = const(16)  # the payload is in a file of its own
_FLAGS = const(31)
_EXPIRES_BYTES = const(4)  # seconds, between header and topic, where the flag is set
REFERENCE_BYTES = const(8)  # length and CRC of a payload that is apart, behind that
_EXTRA_BYTES = b"\0\4\10\14"  # of both, by these two flags

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
    expires_s: int = 0,
    reference: bytes = b"",
) -> bytes:
    """Frame one message.

    ``accepted_ms``: Unix time in milliseconds, or, where no clock was valid, the milliseconds since the device started.
    ``expires_s``: not to be sent when it is older than that; 0: never too old.
    ``reference``: to a payload in a file of its own, instead of ``payload``.
    """
    flags = qos | (_RETAIN if retain else 0)
    extra = b""
    if expires_s:
        flags |= _EXPIRES
        extra = pack("<I", expires_s)
    if reference:
        flags |= _APART
        extra += reference
    head = pack(
        _HEADER,
        MARKER,
        flags,
        0,
        seq & 0xFFFFFFFF,
        len(extra) + len(topic) + len(payload),
        len(topic),
        accepted_ms >> 32 & 0xFFFF,
        accepted_ms & 0xFFFFFFFF,
    )
    crc = crc32(head, cache_id)
    if extra:
        crc = crc32(extra, crc)
    crc = crc32(payload, crc32(topic, crc))
    if type(payload) is not bytes:
        payload = bytes(payload)  # MicroPython joins only bytes
    return b"".join((head, pack("<I", crc), extra, topic, payload))


class FrameHead:
    """The bytes of a frame that stand before its topic, in the same memory for each message."""

    def __init__(self, expires: bool) -> None:
        self._content = bytearray(FRAME_HEADER_BYTES + (_EXPIRES_BYTES if expires else 0))
        view = memoryview(self._content)
        self._checked = view[:_CRC_AT]
        self._extra = view[FRAME_HEADER_BYTES:]

    def encode(
        self,
        seq: int,
        topic: bytes,
        payload: "bytes | bytearray | memoryview",
        qos: int,
        retain: bool,
        accepted_ms: int,
        cache_id: int,
        expires_s: int,
    ) -> bytearray:
        """What ``encode`` puts before topic and payload; valid until the next call."""
        content = self._content
        pack_into(
            _HEADER,
            content,
            0,
            MARKER,
            qos | (_RETAIN if retain else 0) | (_EXPIRES if expires_s else 0),
            0,
            seq & 0xFFFFFFFF,
            len(self._extra) + len(topic) + len(payload),
            len(topic),
            accepted_ms >> 32 & 0xFFFF,
            accepted_ms & 0xFFFFFFFF,
        )
        crc = crc32(self._checked, cache_id)
        if expires_s:
            pack_into("<I", content, FRAME_HEADER_BYTES, expires_s)
            crc = crc32(self._extra, crc)
        pack_into("<I", content, _CRC_AT, crc32(payload, crc32(topic, crc)))
        return content


def frame_bytes(topic: bytes, payload: "bytes | bytearray | memoryview", expires_s: int) -> int:
    """What ``encode`` will make of it."""
    return FRAME_HEADER_BYTES + (_EXPIRES_BYTES if expires_s else 0) + len(topic) + len(payload)


class Record:
    """One message read back. The object, and what ``topic`` and ``payload`` look at, serve the next one again.

    It has no properties: where a class has one, MicroPython looks for it at each assignment, 9 % of a board's QoS 1.
    """

    def __init__(self) -> None:
        self.seq = 0  # the low 32 bits of it, until whoever knows the rest has set it
        self.qos = 0
        self.retain = False
        self.expires_s = 0
        self.extra_bytes = 0  # 0: it does not expire, and its payload stands in the frame
        self.apart_bytes = self.apart_crc = 0  # of a payload in a file of its own, if it is
        self.topic = self.payload = memoryview(b"")
        self._buffer = self.topic
        self._at = 0
        self.frame_bytes = 0
        self._topic_bytes = 0
        self._crc = 0
        self._head = self._body = self.topic  # what the CRC is of
        self._has_moved = self._has_grown = True  # since these views were made

    def measure(self, buffer: memoryview, at: int, available: int) -> int:
        """Look for a frame at ``at``; returns its bytes, INCOMPLETE if that cannot be known yet, or NO_FRAME.

        Every prefix of a frame is INCOMPLETE, never NO_FRAME.
        """
        if available < FRAME_HEADER_BYTES:
            known = min(available, 2)
            return INCOMPLETE if bytes(buffer[at : at + known]) == MARKER[:known] else NO_FRAME
        # A board reads one at a time, to the same place: it would make garbage of a tuple for each.
        first = _number(buffer, at)
        seq_low = _number(buffer, at + 4)
        body_bytes = _number(buffer, at + 8)
        topic_bytes = buffer[at + 12] | buffer[at + 13] << 8
        crc = _number(buffer, at + _CRC_AT)
        flags = first >> 16  # and the zero above them
        if first & 0xFFFF != _MARKER_NUMBER or flags > _FLAGS or flags & 3 == 3:
            return NO_FRAME
        extra_bytes = _EXTRA_BYTES[flags >> 3]
        if not topic_bytes or not topic_bytes + extra_bytes <= body_bytes <= REMAINING_LENGTH_MAX:
            return NO_FRAME
        frame_bytes = FRAME_HEADER_BYTES + body_bytes
        if (
            at != self._at
            or topic_bytes != self._topic_bytes
            or extra_bytes != self.extra_bytes
            or buffer is not self._buffer
        ):
            self._has_moved = True
            self._buffer = buffer
            self._at = at
            self.frame_bytes = 0
            self._topic_bytes = topic_bytes
            self.extra_bytes = extra_bytes
        if frame_bytes != self.frame_bytes:
            self._has_grown = True
            self.frame_bytes = frame_bytes
        self.seq = seq_low
        self.qos = flags & 3
        self.retain = flags & _RETAIN != 0
        self._crc = crc
        return frame_bytes

    def is_whole(self, cache_id: int) -> bool:
        """True if the CRC says that the bytes measured are what was written for this cache; sets the views."""
        extra_bytes = self.extra_bytes
        if self._has_grown:
            buffer = self._buffer
            at = self._at
            self._body = body = buffer[at + FRAME_HEADER_BYTES : at + self.frame_bytes]
            payload_at = extra_bytes + self._topic_bytes
            self.payload = body[payload_at:]
            self._has_grown = False
            if self._has_moved:
                self._head = buffer[at : at + _CRC_AT]
                self.topic = body[extra_bytes:payload_at]
                self._has_moved = False
        self.expires_s = 0
        if extra_bytes:
            self._read_extra()
        crc = crc32(self._body, crc32(self._head, cache_id))
        return crc == self._crc

    def follow(self, buffer: memoryview, at: int, available: int, seq: int, cache_id: int) -> int:
        """What ``measure`` and ``is_whole`` do nearly always, in one, where many are read at a time.

        Bytes of the whole frame of number ``seq`` at ``at``, which is this record then; 0 if that is not what is there,
        and this record is what it was.
        """
        if available < FRAME_BYTES_MIN:
            return 0
        first, seq_low, body_bytes, topic_bytes, _, _, crc = unpack_from(_HEADER_CRC, buffer, at)
        frame_bytes: int = FRAME_HEADER_BYTES + body_bytes
        if first & _BUT_FLAGS != _MARKER_NUMBER or seq_low != seq & 0xFFFFFFFF or frame_bytes > available:
            return 0
        flags = first >> 16
        extra_bytes = _EXTRA_BYTES[flags >> 3]
        if flags & 3 == 3 or not 0 < topic_bytes <= body_bytes - extra_bytes:
            return 0
        head = buffer[at : at + _CRC_AT]
        body = buffer[at + FRAME_HEADER_BYTES : at + frame_bytes]
        self._has_moved = self._has_grown = True  # the views that ``measure`` keeps are not of this frame
        if crc32(body, crc32(head, cache_id)) != crc:
            return 0
        self._buffer = buffer
        self._at = at
        self.frame_bytes = frame_bytes
        self.extra_bytes = extra_bytes
        self.seq = seq
        self.qos = flags & 3
        self.retain = flags & _RETAIN != 0
        self.expires_s = 0
        if extra_bytes:
            self._body = body
            self._read_extra()
            self.topic = body[extra_bytes : extra_bytes + topic_bytes]
            self.payload = body[extra_bytes + topic_bytes :]
        else:
            self.topic = body[:topic_bytes]
            self.payload = body[topic_bytes:]
        return frame_bytes

    def let_go(self) -> None:
        """Of the bytes that it looks at: a large frame has a buffer of its own."""
        self.topic = self.payload = self._head = self._body = self._buffer = memoryview(b"")

    def _read_extra(self) -> None:
        body = self._body
        if self.extra_bytes != REFERENCE_BYTES:
            self.expires_s = _number(body, 0)
        if self.extra_bytes >= REFERENCE_BYTES:
            self.apart_bytes = _number(body, self.extra_bytes - REFERENCE_BYTES)
            self.apart_crc = _number(body, self.extra_bytes - REFERENCE_BYTES + 4)

    def is_apart(self) -> bool:
        """Its payload is in a file of its own."""
        return self.extra_bytes >= REFERENCE_BYTES

    def accepted_ms(self) -> int:
        """Less than CLOCK_VALID_MS: since the device started."""
        at = self._at
        high = self._buffer[at + _TIME_AT] | self._buffer[at + _TIME_AT + 1] << 8
        return (high << 32) + _number(self._buffer, at + _TIME_AT + 2)

    def age_ms(self, now_ms: int, unix_ms: int, boot_ms: int, boot_seq: int) -> int:
        """How old it is, at least. ``boot_ms``, ``boot_seq``: when this start was, and the first number it gave.

        Without a clock, then or now, that is the time since it was accepted in this start, or since this start.
        """
        accepted_ms = self.accepted_ms()
        if accepted_ms >= CLOCK_VALID_MS and unix_ms >= CLOCK_VALID_MS:
            return max(0, unix_ms - accepted_ms)
        if accepted_ms < CLOCK_VALID_MS and self.seq >= boot_seq:
            return max(0, now_ms - accepted_ms)
        return now_ms - boot_ms

    def frame(self) -> memoryview:
        """All of its bytes."""
        return self._buffer[self._at : self._at + self.frame_bytes]


def _number(buffer: memoryview, at: int) -> int:
    return buffer[at] | buffer[at + 1] << 8 | buffer[at + 2] << 16 | buffer[at + 3] << 24
