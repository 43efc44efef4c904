"""The other end of a connection, played by the test itself, byte by byte and on the test's own thread."""

import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TypeVar

from persistmq.transport import PahoTransport

from persistmq_core import packets
from persistmq_core.contracts import DOWN, UP
from persistmq_core.packets import split

T = TypeVar("T")
CONNACK = b"\x20\x02\x00\x00"
CONNACK_V5 = b"\x20\x03\x00\x00\x00"


class Pumped(Protocol):
    """What ``until`` drives: a transport."""

    def state(self) -> int: ...
    def wait(self, timeout_ms: int, want_write: bool = False) -> None: ...


def until(transport: Pumped, condition: Callable[[], T], timeout_s: float = 10.0) -> T:
    """Drive ``transport`` until ``condition`` is true, and return what it gave. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while True:
        transport.state()
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to that in %.1f s" % timeout_s)
        transport.wait(5)


class Peer:
    """One accepted connection, seen from the broker."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._came = bytearray()

    def packet(self) -> tuple[int, bytes] | None:
        """First byte and body of the next packet; None while there is none. Raises EOFError at the end."""
        whole = split(self._came)
        if whole is None:
            try:
                came = self.sock.recv(1 << 20)
            except BlockingIOError:
                return None
            if not came:
                raise EOFError
            self._came += came
            whole = split(self._came)
            if whole is None:
                return None
        first_byte, begin, end = whole
        body = bytes(self._came[begin:end])
        del self._came[:end]
        return first_byte, body

    def send(self, packets: bytes) -> None:
        self.sock.setblocking(True)
        self.sock.sendall(packets)
        self.sock.setblocking(False)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close with RST, as a crashed host does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class ScriptedBroker:
    """A listening socket on a free loopback port."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._peers: list[Peer] = []

    def accept(self) -> Peer | None:
        """The next connection; None while there is none."""
        try:
            sock = self._listener.accept()[0]
        except BlockingIOError:
            return None
        sock.setblocking(False)
        self._peers.append(Peer(sock))
        return self._peers[-1]

    def __enter__(self) -> "ScriptedBroker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for peer in self._peers:
            peer.close()


def opened(transport: PahoTransport, broker: ScriptedBroker, clean_session: bool = False, **options: Any) -> Peer:
    """Up to the CONNECT, which is still unread."""
    transport.configure("127.0.0.1", broker.port, **options)
    transport.open(clean_session)
    return until(transport, broker.accept)


def connected(transport: PahoTransport, broker: ScriptedBroker, connack: bytes = b"", **options: Any) -> Peer:
    peer = opened(transport, broker, **options)
    until(transport, peer.packet)
    peer.send(connack or (CONNACK_V5 if transport.protocol == 5 else CONNACK))
    until(transport, lambda: transport.state() == UP)
    return peer


def is_down(transport: PahoTransport) -> bool:
    return transport.state() == DOWN


def publish_packet(identifier: int, payload: bytes = b"payload", mqtt5: bool = False) -> bytes:
    out = bytearray()
    packets.publish(out, memoryview(b"topic"), memoryview(payload), 1, False, False, identifier, mqtt5)
    return bytes(out)
