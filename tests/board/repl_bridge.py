"""A MicroPython REPL that mpremote reaches by TCP, as it reaches a board by serial: a pty, and a soft reset."""

import os
import pty
import select
import signal
import socket
import threading
import tty
from pathlib import Path
from types import TracebackType

from tests.board.engine import micropython

_CTRL_A = b"\x01"


class ReplBridge:
    """``with ReplBridge(folder) as bridge``: mpremote connect ``bridge.address``. ``folder`` is the board's flash."""

    def __init__(self, folder: Path, path: str) -> None:
        self._folder = folder
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "socket://127.0.0.1:%d" % self._listener.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._pid = self._terminal = -1
        self._thread = threading.Thread(target=self._relay, daemon=True)

    def __enter__(self) -> "ReplBridge":
        self._power_on()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wake.close()
        self._thread.join(10)
        self._power_off()
        self._woken.close()
        self._listener.close()

    def _power_on(self) -> None:
        command = [micropython(), "-X", "heapsize=400k"]
        environment = dict(os.environ, MICROPYPATH=self._path, TERM="dumb")
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            tty.setraw(0)  # a serial line changes no byte
            os.chdir(self._folder)
            os.execve(command[0], command, environment)
        said = b""
        while not said.endswith(b">>> "):  # what comes before it listens is lost
            said += os.read(self._terminal, 4096)

    def _power_off(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def _relay(self) -> None:
        client: socket.socket | None = None
        while True:
            watched = [self._woken, self._listener, self._terminal, *([client] if client else [])]
            ready = select.select(watched, [], [])[0]
            if self._woken in ready:
                break
            if self._listener in ready:
                if client is not None:
                    client.close()
                client = self._listener.accept()[0]
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each answer waits for 40 ms
                continue
            if client in ready:
                came = client.recv(4096)
                if came:
                    os.write(self._terminal, came)
                else:
                    client.close()
                    client = None
            if self._terminal in ready:
                try:
                    said = os.read(self._terminal, 4096)
                except OSError:  # it ended, of Ctrl-D: a board begins again
                    self._power_off()
                    self._power_on()
                    os.write(self._terminal, _CTRL_A)
                    said = b"soft reboot\r\n"
                if client is not None:
                    client.sendall(said)
        if client is not None:
            client.close()
