"""The floor: a loop written by hand that does nothing but what the protocol asks, in memory.

Packets are encoded before the clock runs, sends are batched, acknowledgements are counted and not looked at. A Python
client that does its work cannot be faster than this on the same broker with the same window. Like PersistMQ's, its
window of QoS 2 is freed by PUBREC, when PUBREL goes out.
"""

import socket
import time
from typing import Any

from _bench import wire
from _bench.meter import Meter

_RECEIVE_BYTES = 1 << 18


def publish(port: int, messages: int, warm_up: int, payload_bytes: int, qos: int, window: int) -> dict[str, Any]:
    """End to end, on a connection that is up."""
    loop = _Loop(port, warm_up + messages, payload_bytes, qos, window)
    loop.connect()
    loop.run(warm_up)
    with Meter() as meter:
        loop.run(warm_up + messages)
    loop.close()
    return meter.figures(messages)


def drain(port: int, messages: int, payload_bytes: int, qos: int, window: int) -> dict[str, Any]:
    """A backlog, from CONNECT to the last acknowledgement."""
    loop = _Loop(port, messages, payload_bytes, qos, window)
    with Meter() as meter:
        loop.connect()
        loop.run(messages)
    loop.close()
    return meter.figures(messages)


class _Loop:
    def __init__(self, port: int, messages: int, payload_bytes: int, qos: int, window: int) -> None:
        self._port = port
        self._qos = qos
        self._window = window
        # Of each packet the identifier differs, so the cycle of identifiers is the most that has to be kept.
        kept = min(messages, wire.PACKET_ID_SPAN)
        payload = bytes(payload_bytes)
        self._packet_bytes = len(wire.publish_packet(payload, qos, 1))
        packets = b"".join(wire.publish_packet(payload, qos, wire.packet_id(number)) for number in range(kept))
        self._publishes = memoryview(packets)
        self._pubrels = memoryview(wire.acks(wire.PUBREL, kept))
        self._kept = kept
        self._sent = 0
        self._released = 0  # QoS 1: acknowledged
        self._done = 0
        self._rest = b""

    def connect(self) -> None:
        self._sock = wire.connected_socket(self._port, f"bench-floor-{time.monotonic_ns()}")

    def run(self, until: int) -> None:
        while self._done < until:
            end = min(until, self._released + self._window)
            if end > self._sent:
                self._send(self._publishes, self._packet_bytes, self._sent, end)
                self._sent = end
            came = self._rest + self._sock.recv(_RECEIVE_BYTES)
            # Else the kernel keeps TCP's own acknowledgement back for 40 ms when there is nothing to send, and the
            # broker, which does not set TCP_NODELAY, keeps its next packets back until that has come.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if len(came) == len(self._rest):
                raise ConnectionError("the broker closed the connection")
            whole = len(came) // wire.ACK_BYTES * wire.ACK_BYTES
            self._rest = came[whole:]
            kinds = came[0 : whole : wire.ACK_BYTES]
            if self._qos == 1:
                self._done += kinds.count(wire.PUBACK)
                self._released = self._done
                continue
            pubrecs = kinds.count(wire.PUBREC)
            if pubrecs:
                self._send(self._pubrels, wire.ACK_BYTES, self._released, self._released + pubrecs)
                self._released += pubrecs
            self._done += kinds.count(wire.PUBCOMP)

    def close(self) -> None:
        self._sock.sendall(b"\xe0\x00")
        self._sock.close()

    def _send(self, packets: memoryview, size: int, begin: int, end: int) -> None:
        while begin < end:
            place = begin % self._kept
            count = min(end - begin, self._kept - place)
            self._sock.sendall(packets[place * size : (place + count) * size])
            begin += count
