"""A long link: `python -m _bench.forwarder TARGET_PORT DELAY_MS`, a process of its own that prints its port.

It passes bytes on in both directions, each of them DELAY_MS later, as many as come: a link that is long and not narrow.
At SIGTERM it prints how many it took, from who connected and from the other side, and ends.
"""

import selectors
import signal
import socket
import sys
import time
from collections import deque

from _bench.wire import HOST

_CHUNK_BYTES = 1 << 18


class _Way:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.chunks: deque[tuple[float, bytes]] = deque()
        self.ended = False
        self.taken_bytes = 0

    def take(self, delay_s: float) -> None:
        try:
            came = self.source.recv(_CHUNK_BYTES)
            # Without it the kernel waits for up to 40 ms before it acknowledges, a delay that the link has not got.
            self.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError:
            came = b""
        self.ended = not came
        self.taken_bytes += len(came)
        self.chunks.append((time.monotonic() + delay_s, came))

    def pass_on(self) -> float | None:
        """Send what is due. When the next chunk is due; None if there is none."""
        while self.chunks and self.chunks[0][0] <= time.monotonic():
            _, chunk = self.chunks.popleft()
            try:
                self.target.sendall(chunk) if chunk else self.target.shutdown(socket.SHUT_WR)
            except OSError:
                self.chunks.clear()
        return self.chunks[0][0] if self.chunks else None


def main() -> None:
    target_port, delay_s = int(sys.argv[1]), float(sys.argv[2]) / 1000
    listener = socket.create_server((HOST, 0))
    print(listener.getsockname()[1], flush=True)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    ways: list[_Way] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        _forward(listener, selector, ways, target_port, delay_s)
    finally:
        print(*(sum(way.taken_bytes for way in ways[side::2]) for side in (0, 1)), flush=True)


def _forward(
    listener: socket.socket, selector: selectors.BaseSelector, ways: list[_Way], target_port: int, delay_s: float
) -> None:
    while True:
        due = [when for way in ways if (when := way.pass_on()) is not None]
        timeout_s = max(0.0, min(due) - time.monotonic()) if due else None
        for key, _ in selector.select(timeout_s):
            if key.data is None:
                client = listener.accept()[0]
                server = socket.create_connection((HOST, target_port))
                for source, target in ((client, server), (server, client)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ways.append(_Way(source, target))
                    selector.register(source, selectors.EVENT_READ, ways[-1])
            else:
                key.data.take(delay_s)
                if key.data.ended:
                    selector.unregister(key.fileobj)


if __name__ == "__main__":
    main()
