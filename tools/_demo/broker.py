"""The demo's broker: a process of its own on a free port of the loopback interface."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HOST = "127.0.0.1"
# Mosquitto's own limits, as in the field, but for the scorekeeper's queue: it must never be the one that loses.
CONFIGURATION = """\
listener {port} {host}
allow_anonymous true
persistence true
persistence_location {folder}/
max_queued_messages 0
log_dest stderr
user root
"""  # "user root" only keeps root from becoming somebody who may not write the folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Broker:
    """`mosquitto` is the program; None takes the broker in Python that `embedded_broker.py` runs."""

    def __init__(self, mosquitto: "str | None", folder: Path) -> None:
        self.port = free_port()
        self.state = "down"
        self.log = folder / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        if mosquitto:
            folder.joinpath("broker").mkdir()
            configuration = folder / "mosquitto.conf"
            configuration.write_text(CONFIGURATION.format(port=self.port, host=HOST, folder=folder / "broker"))
            self._command = [mosquitto, "-c", str(configuration)]
        else:
            self._command = [sys.executable, str(Path(__file__).with_name("embedded_broker.py")), str(self.port)]

    def start(self) -> None:
        with open(self.log, "ab") as log:
            # A session of its own: Ctrl-C is for the demo, which then ends its processes in order.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + 15
        while not self._listens():
            if time.monotonic() > until or self._process.poll() is not None:
                raise SystemExit(f"The broker does not start. Its last words:\n{self.last_words()}")
            time.sleep(0.01)
        self.state = "up"

    def stop(self) -> None:
        """SIGTERM, on which Mosquitto saves its sessions."""
        if self._process:
            self._process.terminate()
            self._process.wait(20)
        self.state = "down"

    def freeze(self) -> None:
        """Connections stay open, and nobody answers: what a dead radio link looks like."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)
        self.state = "frozen"

    def thaw(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)
        self.state = "up"

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])

    def _listens(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1):
                return True
        except OSError:
            return False
