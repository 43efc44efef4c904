"""A broker on a loopback port: first one that sends anything, then, when it is told so, the model broker."""

import socket
import threading
from types import TracebackType

from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng

from .streams import NotMqtt, read, stream

_CONNACKS = (b"\x20\x02\x00\x00", b"\x20\x02\x01\x00", b"\x20\x03\x00\x00\x00", b"\x20\x03\x01\x00\x00")
_MESSAGE = b"\x30\x05\x00\x01tab"
_IDENTIFIERS_MIN = 1000  # answers to smaller ones are kept out of the garbage: they would be believed, and rightly


class TcpBroker:
    """One client at a time, which is all that a publisher's test has."""

    def __init__(self, seed: int, hangs_up: bool) -> None:
        self.model = ModelBroker()
        self.is_good = False
        self.connections = 0
        self._hangs_up = hangs_up  # the bad one ends its connections itself, and not only the client
        self._rng = Rng(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="broker")

    def __enter__(self) -> "TcpBroker":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._ends.is_set():
            try:
                sock = self._listener.accept()[0]
            except TimeoutError:
                continue
            self.connections += 1
            with sock:
                sock.settimeout(0.05)
                try:
                    if self.is_good:
                        self._be_good(sock)
                    else:
                        self._be_bad(sock)
                except OSError:
                    pass  # the client hung up

    def _be_good(self, sock: socket.socket) -> None:
        connection = self.model.accept()
        while not self._ends.is_set() and not connection.closed:
            try:
                came = sock.recv(65536)
            except TimeoutError:
                continue
            if not came:
                break
            sock.sendall(connection.feed(came))
        connection.lost()

    def _be_bad(self, sock: socket.socket) -> None:
        rng = self._rng
        try:
            mqtt5 = sock.recv(65536)[8:9] == b"\5"
        except TimeoutError:
            return
        if rng.below(8):
            sock.sendall(_CONNACKS[2 * mqtt5 + rng.below(2)])
        else:
            sock.sendall(bytes(rng.garbage(rng.below(30))))
        count = rng.below(4)
        while not self._ends.is_set() and (count or not self._hangs_up):
            count -= 1
            garbage = rng.pick((stream(rng, 60000, mqtt5), stream(rng, 60000, mqtt5), _MESSAGE, bytes(rng.garbage(40))))
            if is_answer_to_nobody(garbage):
                sock.sendall(garbage)
            try:
                if not sock.recv(65536):
                    return
            except TimeoutError:
                pass


def is_answer_to_nobody(content: bytes) -> bool:
    """Nothing in it answers a small identifier, wherever a reader may begin."""
    for start in range(len(content)):
        for end in range(start + 4, min(len(content), start + 12) + 1):
            try:
                found = list(read(content[start:end]))
            except NotMqtt:
                continue
            if any(identifier < _IDENTIFIERS_MIN for _, identifier, _ in found):
                return False
    return True


