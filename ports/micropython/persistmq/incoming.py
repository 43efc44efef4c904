"""The bytes that come from the broker, cut into packets, of which the acknowledgements are kept."""

from persistmq_core.errors import ProtocolError
from persistmq_core.limits import PACKET_ID_FOREIGN, const

_PINGRESP = const(0xD0)
_KINDS = b"\x40\x50\x70"  # PUBACK, PUBREC, PUBCOMP
_ACKNOWLEDGEMENT_BYTES = const(4)


class Incoming:
    """Takes any piece of the stream. A body that is not for the core is passed over without being kept.

    One buffer serves for all: bytes are read to ``room()`` and what is kept of them moves to the front.
    """

    def __init__(self, buffer_bytes: int) -> None:
        self.pongs = 0  # PINGRESPs so far
        self._buffer = bytearray(buffer_bytes)
        self._view = memoryview(self._buffer)
        # The last byte of an acknowledgement whose other three came before makes four: so much is left in front.
        self._room = self._view[_ACKNOWLEDGEMENT_BYTES:]
        self._taken = self._view[:0]  # what take() gave last: mostly it is the same place again
        self._taken_begins = self._taken_ends = 0
        self.reset()

    def reset(self) -> None:
        """A new connection begins: what came on the one before means nothing."""
        self._begins = self._ends = 0  # the acknowledgements kept
        self._first = 0  # first byte of the packet that is coming, 0 between two packets
        self._shift = 0
        self._left = 0  # of its body
        self._in_body = False
        self._has_high = False
        self._high = 0

    def room(self) -> memoryview:
        """Where bytes may be read to; maybe empty."""
        return self._view[self._ends + _ACKNOWLEDGEMENT_BYTES :] if self._ends else self._room

    def take(self) -> "bytes | memoryview":
        """The acknowledgements kept so far; valid until bytes are read again."""
        if not self._ends:
            return b""
        if self._begins != self._taken_begins or self._ends != self._taken_ends:
            self._taken_begins = self._begins
            self._taken_ends = self._ends
            self._taken = self._view[self._begins : self._ends]
        self._begins = self._ends = 0
        return self._taken

    def feed(self, count: int) -> None:
        """The first ``count`` bytes of ``room()`` were read. Raises ProtocolError."""
        buffer = self._buffer
        index = self._ends + _ACKNOWLEDGEMENT_BYTES
        end = index + count
        if not self._ends and not self._first:
            # What nearly always comes: acknowledgements and nothing else. They stay where they are.
            last = end - _ACKNOWLEDGEMENT_BYTES
            while index <= last and buffer[index + 1] == 2 and buffer[index] in _KINDS:
                if not 0 < (buffer[index + 2] << 8 | buffer[index + 3]) < PACKET_ID_FOREIGN:
                    break
                index += _ACKNOWLEDGEMENT_BYTES
            self._begins = _ACKNOWLEDGEMENT_BYTES
            self._ends = index
        while index < end:
            byte = buffer[index]
            index += 1
            if not self._first:
                self._begin(byte)
            elif not self._in_body:
                self._measure(byte)
            elif self._first & 0xF0 in _KINDS:
                self._left -= 1
                self._identifier(byte)
            else:
                skipped = min(self._left, end - index + 1)
                self._left -= skipped
                index += skipped - 1
                if not self._left:
                    self._first = 0
        if self._ends == self._begins:
            self._begins = self._ends = 0

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
        if kind in _KINDS:
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
            buffer = self._buffer
            at = self._ends
            buffer[at] = self._first & 0xF0
            buffer[at + 1] = 2
            buffer[at + 2] = self._high
            buffer[at + 3] = byte
            self._ends = at + _ACKNOWLEDGEMENT_BYTES
        self._first = 0
