"""A broker that only acknowledges: QoS 1, messages of one size, on a thread. It costs next to nothing, so that what is
measured is the publisher. It notes when the first PUBLISH came.
"""

import socket
import threading
import time

from _bench import wire

_RECEIVE_BYTES = 1 << 20


class Sink:
    """`with Sink(payload_bytes) as sink`: `sink.port`. `acknowledges_max`: it stays silent after so many."""

    def __init__(self, payload_bytes: int, acknowledges_max: int | None = None) -> None:
        self.first_publish_ns = 0  # of the monotonic clock, which all processes share
        self.received = 0
        self._acknowledges_max = acknowledges_max
        self._payload_bytes = payload_bytes
        self._packet_bytes = len(wire.publish_packet(bytes(payload_bytes), 1, 1))
        self._pubacks = memoryview(wire.acks(wire.PUBACK, 2 * wire.PACKET_ID_SPAN))
        self._listener = socket.create_server((wire.HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sink":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _run(self) -> None:
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return  # closed
            with sock:
                try:
                    self._serve(sock)
                except ConnectionError:
                    pass  # the contestant is done

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        header = wire.read_exactly(sock, 2)
        wire.read_exactly(sock, header[1])
        sock.sendall(b"\x20\x02\x00\x00")
        rest = b""
        first_id = None
        count = 0
        while came := sock.recv(_RECEIVE_BYTES):
            if not self.first_publish_ns and came[0] & 0xF0 == 0x30:
                self.first_publish_ns = time.monotonic_ns()
            stream = rest + came
            if first_id is None:
                if len(stream) < self._packet_bytes:
                    rest = stream
                    continue
                place = self._packet_bytes - self._payload_bytes
                first_id = int.from_bytes(stream[place - 2 : place], "big")
            whole, rest_bytes = divmod(len(stream), self._packet_bytes)
            rest = stream[len(stream) - rest_bytes :]
            if self._acknowledges_max is not None:
                whole = min(whole, self._acknowledges_max - count)
            self._acknowledge(sock, first_id - 1 + count, whole)
            count += whole
            self.received += whole

    def _acknowledge(self, sock: socket.socket, begin: int, count: int) -> None:
        """Identifiers go round, and the prepared bytes hold two rounds."""
        while count > 0:
            place = begin % wire.PACKET_ID_SPAN
            part = min(count, wire.PACKET_ID_SPAN)
            sock.sendall(self._pubacks[place * wire.ACK_BYTES : (place + part) * wire.ACK_BYTES])
            begin += part
            count -= part
