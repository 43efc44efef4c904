"""A transport in RAM: it joins the core to a ``ModelBroker`` by a link that is slow, breaks and freezes on demand.

    broker = ModelBroker()
    transport = ModelTransport(broker, Rng(1))
    transport.open(False)
    for now_ms in range(0, 1000, 10):
        transport.tick(now_ms)                      # bytes move only here
        engine.step(now_ms)
    transport.cut()                                 # some of what was on the way still arrived

The death of the client is ``abandon()`` and a new ModelTransport on the same broker.
"""

from persistmq_core import packets
from persistmq_core.contracts import CONNECTING, DOWN, UP, Transport
from persistmq_core.limits import CONNECT_TIMEOUT_MS, PACKET_ID_FOREIGN

from . import mqtt_wire as wire
from .acknowledgements import acknowledgements
from .pipe import Pipe


class ModelTransport(Transport):
    """Keeps ``ports/PORTING.md`` to the letter, and writes down in ``violations`` where the core does not.

    Acknowledgements that arrived and were not fetched with ``receive`` before the connection ended are lost.
    """

    def __init__(
        self,
        broker: "object",
        rng: "object",
        *,
        client_id: str = "model",
        protocol: int = 4,
        latency_ms_min: int = 0,
        latency_ms_max: int = 0,
    ) -> None:
        self.protocol = protocol
        self.client_id = client_id
        self.latency_ms_min = latency_ms_min
        self.latency_ms_max = latency_ms_max
        self.send_counts = []  # what the next sends take: a number, or None for all; then the percentages hold
        self.busy_percent = 0  # of sends that take nothing
        self.short_percent = 0  # of sends that take a part
        self.buffer_bytes_max = 1 << 20  # bytes on the way to the broker; more are not taken
        self.bytes_per_tick = None  # in each direction: None for all that is due
        self.acks_per_receive = None
        self.connect_timeout_ms = CONNECT_TIMEOUT_MS
        self.keep_alive_ms = 90000  # a link frozen so long is given up
        self.on_wire = None  # called with each packet of the core when its first byte is taken, before it goes
        # A packet that comes in pieces begins so, with what there is of it; on_wire gets it when it is whole.
        self.on_begin = None
        self.violations = []  # what the core did against PORTING.md, in words
        self.opens = 0
        self._broker = broker
        self._rng = rng
        self._now_ms = 0
        self._frozen_ms = None  # since when
        self._abandoned = False
        self._connection = None
        self._state = DOWN
        self._forget_connection()

    # --- the contract ---

    def open(self, clean_session: bool) -> None:
        if self._abandoned:
            return
        if self._state != DOWN:
            self.close()
        self.opens += 1
        self._forget_connection()
        self.refused = self.dropped = self.session_present = False
        self.reason = ""
        self.reason_code = 0
        self._state = CONNECTING
        self._opened_ms = self._now_ms
        if self._broker.listening:
            self._connection = self._broker.accept()
            self._connection.reports_reception = True
            self._up.put(self._now_ms, wire.connect(self.client_id, clean_session, self.protocol))
        else:
            self._down.put_end(self._now_ms)

    def state(self) -> int:
        return self._state

    def send(self, view: memoryview, follows: int = 0) -> int:
        if self._state != UP or not len(view):
            return 0
        if bytes(view[: len(self._rest)]) != self._rest:
            self.violations.append("a send that does not begin with the rest of the one before")
        count = self._room(len(view))
        self._rest = bytes(view[count:]) if count else self._rest
        self._show(view, count, follows)
        self._up.put(self._now_ms, view[:count])
        return count

    def receive(self) -> bytes:
        found = b""
        if self._state != UP:
            return found
        count = len(self._acks) if self.acks_per_receive is None else self.acks_per_receive
        for packet in self._acks[:count]:
            found += packet
            for acknowledgement in acknowledgements(packet):
                self._connection.client_received(*acknowledgement)
        self._acks = self._acks[count:]
        return found

    def close(self) -> None:
        if self._state == DOWN:
            return
        if self._frozen_ms is None:
            if self._state == UP and not self._partial_bytes:
                self._up.put(self._now_ms, wire.packet(wire.DISCONNECT, b""))
            self._end("closed", self._up.length)
        else:
            self._end("closed", None)

    # --- the world ---

    def tick(self, now_ms: int) -> None:
        """Time goes on: bytes that are due arrive, the broker answers."""
        self._now_ms = now_ms
        if self._state == DOWN:
            return
        if self._state == CONNECTING and now_ms - self._opened_ms >= self.connect_timeout_ms:
            self._end("no CONNACK in time", None)
        elif self._frozen_ms is not None:
            if now_ms - self._frozen_ms >= self.keep_alive_ms:
                self._end("no answer to the keep-alive", None)
        else:
            self._move_up(self._up.take_due(now_ms, self.bytes_per_tick))
            self._read(self._down.take_due(now_ms, self.bytes_per_tick))
            if self._state != DOWN and self._down.ended(now_ms):
                was_up = self._state == UP
                self._end("the broker closed the connection" if was_up else "nobody answers", 0, dropped=was_up)

    def next_due_ms(self) -> "int | None":
        """When ``tick`` will have something to do; None if it never will, as things are."""
        if self._state == DOWN:
            return None
        due = [self._opened_ms + self.connect_timeout_ms] if self._state == CONNECTING else []
        if self._frozen_ms is not None:
            due.append(self._frozen_ms + self.keep_alive_ms)
        else:
            if self._connection is not None and self._connection.closed and self._down.end_ms is None:
                due.append(self._now_ms)
            due += [pipe.due_ms() for pipe in (self._up, self._down) if pipe.due_ms() is not None]
        return min(due) if due else None

    def on_the_way(self) -> int:
        """Bytes from the core that have not reached the broker."""
        return self._up.length

    def boundaries(self) -> "list[int]":
        """After how many bytes of ``on_the_way()`` a packet ends: where ``cut`` divides nothing."""
        unread = self._connection.unread if self._connection is not None else b""
        stream = unread + self._up.peek()
        found = []
        whole = packets.split(stream, 0)
        while whole is not None:
            found.append(whole[2] - len(unread))
            whole = packets.split(stream, whole[2])
        return found

    def cut(self, arriving: "int | None" = None, dropped: bool = False) -> None:
        """The network breaks. ``arriving`` bytes of those on the way reach the broker (None: drawn), no answer does.

        ``dropped``: the core sees the other side hang up (a reset) instead of silence.
        """
        if self._state != DOWN:
            self._end("the connection broke", arriving, dropped=dropped and self._state == UP)

    def freeze(self) -> None:
        """No byte moves, and nobody notices."""
        if self._frozen_ms is None:
            self._frozen_ms = self._now_ms

    def thaw(self) -> None:
        """Bytes move again."""
        self._frozen_ms = None

    def abandon(self, arriving: "int | None" = None) -> None:
        """The client dies. As ``cut`` for the broker; this object is of no further use."""
        self._abandoned = True
        self.cut(arriving)

    # --- inside ---

    def _forget_connection(self) -> None:
        self._up = Pipe(self._rng, self.latency_ms_min, self.latency_ms_max)
        self._down = Pipe(self._rng, self.latency_ms_min, self.latency_ms_max)
        self._connection = None
        self._inbox = b""
        self._acks = []  # whole packets for receive()
        self._rest = b""  # of a view that was taken in part: what the next send begins with
        self._partial_bytes = 0  # of the last packet taken, still to come
        self._pieces = None  # of a packet that comes in pieces, what was taken
        self._opened_ms = self._now_ms

    def _end(self, reason: str, arriving: "int | None", dropped: bool = False, refused: bool = False) -> None:
        """Be DOWN. ``arriving`` bytes of those on the way still reach the broker; None draws."""
        self._state = DOWN
        self.reason = reason
        self.dropped = dropped
        self.refused = refused
        connection = self._connection
        if connection is not None:
            if arriving is None:
                arriving = self._rng.below(self._up.length + 1)
            connection.feed(self._up.take(arriving))
            connection.lost()
        self._forget_connection()

    def _move_up(self, found: bytes) -> None:
        if self._connection is None:
            return
        if found:
            self._down.put(self._now_ms, self._connection.feed(found))
        if self._connection.closed:
            self._down.put_end(self._now_ms)

    def _read(self, found: bytes) -> None:
        """Cut what arrived into packets, as a port's library would."""
        if not found:
            return
        self._inbox += found
        start = 0
        while self._state != DOWN:
            whole = packets.split(self._inbox, start)
            if whole is None:
                self._inbox = self._inbox[start:]
                return
            first_byte, body, end = whole
            self._take(first_byte, self._inbox[body:end], self._inbox[start:end])
            start = end

    def _take(self, first_byte: int, body: bytes, packet: bytes) -> None:
        if first_byte == wire.CONNACK:
            self._connected(wire.Reader(body))
        elif packets.is_acknowledgement(first_byte):
            if body[0] << 8 | body[1] < PACKET_ID_FOREIGN:
                self._acks.append(packet)
        elif first_byte == wire.DISCONNECT:
            self.reason_code = body[0] if body else 0
            self._end("the broker sent DISCONNECT 0x%02x" % self.reason_code, 0, dropped=True)

    def _connected(self, reader: wire.Reader) -> None:
        present = reader.number(1) & 1
        code = reader.number(1)
        if code:
            self.reason_code = code
            self._end("the broker refused CONNECT: 0x%02x" % code, 0, refused=True)
            return
        limits = reader.properties() if self.protocol == 5 else {}
        self.session_present = bool(present)
        self.receive_maximum = limits.get(wire.RECEIVE_MAXIMUM, 65535)
        self.qos_max = limits.get(wire.MAXIMUM_QOS, 2)
        self.retain_available = bool(limits.get(wire.RETAIN_AVAILABLE, 1))
        self.packet_bytes_max = limits.get(wire.MAXIMUM_PACKET_SIZE, Transport.packet_bytes_max)
        self._state = UP

    def _room(self, wanted: int) -> int:
        """How much of ``wanted`` bytes this send takes."""
        count = wanted
        if self.send_counts:
            scheduled = self.send_counts.pop(0)
            count = wanted if scheduled is None else min(wanted, scheduled)
        elif self._rng.percent(self.busy_percent):
            count = 0
        elif self._rng.percent(self.short_percent):
            count = self._rng.between(1, wanted)
        return max(0, min(count, self.buffer_bytes_max - self._up.length))

    def _show(self, view: memoryview, count: int, follows: int) -> None:
        """Give each packet that begins in ``view[:count]`` to ``on_wire``; find out where the wire stands now."""
        end = begun = self._partial_bytes  # so many at the front belong to a packet that was shown before
        if end > len(view) and end != len(view) + follows:
            self.violations.append("a piece that is not what follows in its packet")
        self._collect(view[: min(count, end)])
        while end < len(view):
            start = end
            end = _end_of_packet(view, start)
            if end < 0 or len(view) < end != len(view) + follows:
                self.violations.append("a send that does not end with a whole packet")
                end = len(view)
            if start < count:
                begun = end
                if end > len(view):
                    self._pieces = bytearray(view[start:count])
                    if self.on_begin is not None:
                        self.on_begin(bytes(view[start:]))
                elif self.on_wire is not None:
                    self.on_wire(bytes(view[start:end]))
        self._partial_bytes = begun - count

    def _collect(self, piece: memoryview) -> None:
        if self._pieces is None:
            return
        self._pieces += piece
        if len(piece) == self._partial_bytes:
            packet, self._pieces = bytes(self._pieces), None
            if self.on_wire is not None:
                self.on_wire(packet)


def _end_of_packet(view: memoryview, start: int) -> int:
    """Where the packet ends, which may be behind ``view``; -1 if its length does not read."""
    length = 0
    for index in range(start + 1, min(start + 5, len(view))):
        length |= (view[index] & 127) << 7 * (index - start - 1)
        if view[index] < 128:
            return index + 1 + length
    return -1
