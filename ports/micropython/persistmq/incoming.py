"""The bytes that come from the broker, cut into packets, of which the acknowledgements are kept."""

from persistmq_core.errors import ProtocolError
from persistmq_core.limits import PACKET_ID_FOREIGN, const

_PINGRESP = const(0xD0)
_PUBACK = const(0x40)
_PUBREC = const(0x50)
_PUBCOMP = const(0x70)
_ACKNOWLEDGEMENT_BYTES = const(4)


class Incoming:
    """Takes any piece of the stream. A body that is not for the core is passed over without being kept."""

    def __init__(self, keep_bytes: int) -> None:
        self.pongs = 0  # PINGRESPs so far
        self._kept = bytearray(keep_bytes)
        self._view = memoryview(self._kept)
        self.reset()

    def reset(self) -> None:
        """A new connection begins: what came on the one before means nothing."""
        self._count = 0
        self._first = 0  # first byte of the packet that is coming, 0 between two packets
        self._shift = 0
        self._left = 0  # of its body
        self._in_body = False
        self._has_high = False
        self._high = 0

    def room(self) -> int:
        """How many bytes may be fed."""
        # The last byte of an acknowledgement whose other three came before makes four.
        return len(self._kept) - self._count - _ACKNOWLEDGEMENT_BYTES

    def take(self) -> "bytes | memoryview":
        """The acknowledgements kept so far; valid until the next ``feed``."""
        if not self._count:
            return b""
        count = self._count
        self._count = 0
        return self._view[:count]

    def feed(self, piece: bytearray, count: int) -> None:
        """Take the first ``count`` bytes of ``piece``, no more than ``room()``. Raises ProtocolError."""
        index = 0
        while index < count:
            byte = piece[index]
            index += 1
            if not self._first:
                self._begin(byte)
            elif not self._in_body:
                self._measure(byte)
            elif self._first & 0xF0 in (_PUBACK, _PUBREC, _PUBCOMP):
                self._left -= 1
                self._identifier(byte)
            else:
                skipped = min(self._left, count - index + 1)
                self._left -= skipped
                index += skipped - 1
                if not self._left:
                    self._first = 0

    def _begin(self, byte: int) -> None:
        if byte < 0x20:
            raise ProtocolError("a packet of type %d" % (byte >> 4))
        self._first = byte
        self._in_body = False
        self._left = self._shift = 0

    def _measure(self, byte: int) -> None:
        if self._shift > 21:
            raise ProtocolError("a remaining length of more than four bytes")
        self._left |= (byte & 127) << self._shift
        self._shift += 7
        if byte > 127:
            return
        kind = self._first & 0xF0
        self._in_body = True
        self._has_high = False
        if kind in (_PUBACK, _PUBREC, _PUBCOMP):
            if self._left != 2:  # 3.1.1: always the identifier alone
                raise ProtocolError("an acknowledgement of %d bytes" % self._left)
        elif not self._left:
            self._first = 0
            if kind == _PINGRESP:
                self.pongs += 1

    def _identifier(self, byte: int) -> None:
        if not self._has_high:
            self._has_high = True
            self._high = byte
            return
        if 0 < (self._high << 8 | byte) < PACKET_ID_FOREIGN:
            kept = self._kept
            at = self._count
            kept[at] = self._first & 0xF0
            kept[at + 1] = 2
            kept[at + 2] = self._high
            kept[at + 3] = byte
            self._count = at + _ACKNOWLEDGEMENT_BYTES
        self._first = 0
