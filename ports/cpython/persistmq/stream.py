"""Where packets begin and end in the two streams: the core's acknowledgements go to the core, all else to paho."""

from persistmq_core.errors import ProtocolError
from persistmq_core.limits import PACKET_ID_FOREIGN
from persistmq_core.packets import ACKNOWLEDGEMENTS, is_acknowledgement, split


class Inbox:
    """Bytes go in by ``feed``; ``next_packet`` and ``acknowledgements`` take them out."""

    def __init__(self) -> None:
        self._incoming = bytearray()
        self._start = 0  # what is before was taken
        self._acknowledgements = bytearray()

    def feed(self, came: bytes) -> None:
        self._incoming += came

    def next_packet(self, is_up: bool) -> tuple[int, bytes] | None:
        """First byte and body of the next whole packet that is not for the core; None if there is none yet.

        What is for the core is put aside on the way if ``is_up``; before CONNACK there is nothing for it.
        Raises ProtocolError.
        """
        incoming = self._incoming
        size = len(incoming)
        start = self._start
        while start < size:
            # Acknowledgements in their common form come by the thousand: found here, and copied a run at a time.
            first = start
            while is_up and start + 4 <= size and incoming[start + 1] == 2 and incoming[start] in ACKNOWLEDGEMENTS:
                if not 0 < incoming[start + 2] << 8 | incoming[start + 3] < PACKET_ID_FOREIGN:
                    break
                start += 4
            if start > first:
                self._acknowledgements += incoming[first:start]
                continue
            whole = split(incoming, start)
            if whole is None:
                break
            first_byte, begin, end = whole
            body = bytes(incoming[begin:end])
            if not is_up or not is_acknowledgement(first_byte) or _packet_id(body) >= PACKET_ID_FOREIGN:
                self._start = end
                return first_byte, body
            self._acknowledgements += incoming[start:end]
            start = end
        del incoming[:start]
        self._start = 0
        return None

    def acknowledgements(self) -> bytes:
        """Whole PUBACK, PUBREC and PUBCOMP packets with identifiers of the core's, in order; each is given once."""
        if not self._acknowledgements:
            return b""
        came = bytes(self._acknowledgements)
        self._acknowledgements.clear()
        return came

    def drop_incoming(self) -> None:
        """The connection is gone, and with it the rest of a packet."""
        self._incoming.clear()
        self._start = 0


def _packet_id(body: bytes) -> int:
    identifier = body[0] << 8 | body[1] if len(body) >= 2 else 0
    if identifier == 0:
        raise ProtocolError("an acknowledgement without packet identifier")
    return identifier


def rest_of_packet(view: memoryview, start: int, end: int, follows: int = 0) -> int:
    """Of the packet that ``end`` cuts, the bytes behind it; 0 if it cuts none. A packet begins at ``start``.

    ``follows``: so many bytes of the last one are not in ``view``.
    """
    if end == len(view):
        return follows
    while start < end:
        whole = split(view, start)
        start = len(view) + follows if whole is None else whole[2]
    return start - end
