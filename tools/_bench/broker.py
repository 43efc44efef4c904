"""Mosquitto on a free port of the loopback interface: its own process, its own limits or none."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from _bench.wire import HOST

# A broker that a window of more than 20 needs: see "Windows and brokers" in README.md.
WIDE = "max_inflight_messages 0\nmax_queued_messages 0\n"
# Without this a slow subscriber makes the broker lose what it is to count. It changes nothing for a publisher.
DEFAULT = "max_queued_messages 0\n"


class Broker:
    """`with Broker(program, folder, limits) as broker`: `broker.port` answers."""

    def __init__(self, program: str, folder: Path, limits: str) -> None:
        self._program = program
        self._folder = folder / "broker"
        self._limits = limits
        self.port = 0

    def __enter__(self) -> "Broker":
        self._folder.mkdir()
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        configuration = self._folder / "mosquitto.conf"
        listener = f"listener {self.port} {HOST}\nallow_anonymous true\npersistence false\nlog_type error\nuser root\n"
        configuration.write_text(listener + self._limits)
        with open(self._folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + 15
        while not self._listens():
            if time.monotonic() > until or self._process.poll() is not None:
                self._process.kill()
                raise RuntimeError(f"the broker does not start: {(self._folder / 'log').read_text()[-1000:]}")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listens(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1):
                return True
        except OSError:
            return False
