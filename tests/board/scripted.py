"""A broker of which the test says each byte: for what a real one never does."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType

from persistmq_core.packets import split


class Conversation:
    """One accepted connection, blocking, 10 s at most for anything."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(10)
        self._came = b""

    def packet(self) -> tuple[int, bytes]:
        """First byte and body of the next packet. Raises EOFError at the end."""
        while (whole := split(self._came)) is None:
            came = self.sock.recv(4096)
            if not came:
                raise EOFError
            self._came += came
        first_byte, begin, end = whole
        body, self._came = self._came[begin:end], self._came[end:]
        return first_byte, body

    def welcome(self, session_present: bool = False) -> bytes:
        """Take CONNECT and answer it; its body."""
        body = self.packet()[1]
        self.sock.sendall(bytes([0x20, 2, session_present, 0]))
        return body

    def take_message(self) -> tuple[int, bytes]:
        """The next PUBLISH of QoS 1: its first byte, and its identifier."""
        first_byte, body = self.packet()
        assert first_byte & 0xF0 == 0x30, hex(first_byte)
        topic_bytes = int.from_bytes(body[:2], "big")
        return first_byte, body[2 + topic_bytes : 4 + topic_bytes]


def acknowledge_all(conversation: Conversation, session_present: bool = False) -> None:
    """A good broker, for QoS 1."""
    conversation.welcome(session_present)
    while True:
        first_byte, body = conversation.packet()
        if first_byte & 0xF0 == 0x30:
            topic_bytes = int.from_bytes(body[:2], "big")
            conversation.sock.sendall(b"\x40\x02" + body[2 + topic_bytes : 4 + topic_bytes])
        elif first_byte == 0xC0:
            conversation.sock.sendall(b"\xd0\x00")


class ScriptedServer:
    """Plays one of ``scenes`` for each connection, the last one for all further ones, on a thread of its own."""

    def __init__(self, *scenes: Callable[[Conversation], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.errors: list[BaseException] = []
        self.connections = 0
        self._scenes = scenes
        self._thread = threading.Thread(target=self._play, daemon=True)

    def __enter__(self) -> "ScriptedServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        assert not self.errors, self.errors

    def _play(self) -> None:
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            scene = self._scenes[min(self.connections, len(self._scenes) - 1)]
            self.connections += 1
            with sock:
                try:
                    scene(Conversation(sock))
                except (EOFError, ConnectionError):
                    pass  # the board has gone
                except Exception as error:  # noqa: BLE001 - told by the test's own thread
                    self.errors.append(error)
