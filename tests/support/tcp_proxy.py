"""A bad network on the loopback: it passes bytes on to a port until it is told to delay, stall, cut or reset them."""

import contextlib
import selectors
import socket
import struct
import threading
import time
from types import TracebackType

_CHUNK_BYTES = 4096  # small, so that a cut comes in the middle of things
_TICK_S = 0.005


class _Pair:
    """One connection: the client's socket, ours to the target, and what is on its way between them."""

    def __init__(self, client: socket.socket, target: socket.socket) -> None:
        self.sockets = (client, target)
        self.waiting: dict[socket.socket, list[tuple[float, bytes]]] = {client: [], target: []}

    def other(self, sock: socket.socket) -> socket.socket:
        return self.sockets[1] if sock is self.sockets[0] else self.sockets[0]


class TcpProxy:
    """``with TcpProxy(port) as proxy`` listens on ``proxy.port``. All its attributes may be set at any time.

    ``delay_s``: how long each byte takes. ``bytes_per_s``: how many pass; None: all. ``is_stalled``: nothing moves,
    nobody is told. ``refuses``: new connections are reset. ``cut_after``: when so many more bytes have passed, all
    connections are reset; None: never.
    """

    def __init__(self, target_port: int) -> None:
        self.delay_s = 0.0
        self.bytes_per_s: int | None = None
        self.is_stalled = False
        self.refuses = False
        self.cut_after: int | None = None
        self.connections = 0
        self.cuts = 0
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[_Pair] = []
        self._reset_wanted = False
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="proxy")

    def reset(self) -> None:
        """All connections end with RST, as when a host crashes; what was on its way is lost."""
        self._reset_wanted = True

    def heal(self) -> None:
        self.delay_s, self.is_stalled, self.refuses, self.cut_after = 0.0, False, False, None
        self.bytes_per_s = None

    def __enter__(self) -> "TcpProxy":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends = True
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._ends:
            self._accept()
            if self.is_stalled:
                time.sleep(_TICK_S)
            else:
                self._read()
                self._write()
            if self._reset_wanted:
                self._reset_wanted = False
                self._cut_all()
        self._cut_all()

    def _accept(self) -> None:
        try:
            client = self._listener.accept()[0]
        except BlockingIOError:
            return
        if self.refuses:
            _close_with_rst(client)
            return
        try:
            target = socket.create_connection(("127.0.0.1", self._target_port), timeout=1)
        except OSError:
            _close_with_rst(client)
            return
        self.connections += 1
        for sock in (client, target):
            sock.setblocking(False)
        self._pairs.append(_Pair(client, target))

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for pair in self._pairs:
                for sock in pair.sockets:
                    selector.register(sock, selectors.EVENT_READ, pair)
            for key, _ in selector.select(_TICK_S) if self._pairs else ():
                self._take(key.data, key.fileobj)  # type: ignore[arg-type]
        if not self._pairs:
            time.sleep(_TICK_S)

    def _take(self, pair: _Pair, sock: socket.socket) -> None:
        try:
            came = sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        if not came:
            self._end(pair)
            return
        if self.bytes_per_s is not None:
            time.sleep(len(came) / self.bytes_per_s)
        pair.waiting[pair.other(sock)].append((time.monotonic() + self.delay_s, came))

    def _write(self) -> None:
        now = time.monotonic()
        for pair in list(self._pairs):
            for sock, chunks in pair.waiting.items():
                while chunks and chunks[0][0] <= now and pair in self._pairs:
                    self._pass_on(pair, sock, chunks.pop(0)[1])

    def _pass_on(self, pair: _Pair, sock: socket.socket, chunk: bytes) -> None:
        count = len(chunk) if self.cut_after is None else min(self.cut_after, len(chunk))
        try:
            sock.setblocking(True)
            sock.settimeout(1)
            sock.sendall(chunk[:count])
            sock.setblocking(False)
        except OSError:
            self._end(pair)
        if self.cut_after is not None:
            self.cut_after -= count
            if self.cut_after == 0:
                self.cut_after = None
                self.cuts += 1
                self._cut_all()

    def _end(self, pair: _Pair) -> None:
        """One side hung up: the other side is told, after what was on its way to it."""
        for sock, chunks in pair.waiting.items():
            with contextlib.suppress(OSError):
                sock.settimeout(1)
                sock.sendall(b"".join(chunk for _, chunk in chunks))
            sock.close()
        if pair in self._pairs:
            self._pairs.remove(pair)

    def _cut_all(self) -> None:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for sock in pair.sockets:
                _close_with_rst(sock)


def _close_with_rst(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
