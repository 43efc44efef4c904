"""The life and the deaths of the publisher process, seen from the demo."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from _demo.judge import Reading
from _demo.scorekeeper import TOPIC

ACCOUNTS = ("delivered", "expired", "evicted", "refused", "damaged", "waiting")


class Device:
    def __init__(self, folder: Path, port: int, messages: int, per_second: float, qos: int) -> None:
        self.status: dict[str, Any] = {}
        self.life = 0
        self.kills = 0
        self.drained = False
        self.statuses = 0
        self.accounts_wrong: list[dict[str, Any]] = []  # each a status whose accounts did not add up
        self._messages = messages
        self._ledger = folder / "ledger"
        self._ledger.touch()
        self._log = folder / "publisher.log"
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        fixed = {"port": port, "cache": folder / "cache", "ledger": self._ledger, "last": messages, "topic": TOPIC}
        options = fixed | {"per-second": per_second, "qos": qos}
        script = Path(__file__).with_name("publisher.py")
        self._command = [sys.executable, str(script), *(f"--{name}={value}" for name, value in options.items())]

    def start(self) -> None:
        """The next life goes on after the last reading in the ledger."""
        self.life += 1
        self.drained = False
        ledger = self.ledger()
        first = ledger[-1][1] + 1 if ledger else 1
        with open(self._log, "ab") as log:
            # A session of its own: Ctrl-C is for the demo, which then ends its processes in order.
            self._process = subprocess.Popen(
                [*self._command, f"--life={self.life}", f"--first={first}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, args=[self._process], daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """SIGKILL: no goodbye, no clean-up."""
        self.check()
        self.close()
        self.kills += 1

    def finish(self) -> None:
        """Ask it to accept no more and to see to it that all is delivered."""
        if self._process:
            self._process.terminate()

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """It may end only when it is killed, or when all is delivered."""
        if self._process is None or self._process.poll() is None:
            return
        if self._reader:
            self._reader.join()  # its last status may still be on the way
        if self._process.returncode != -signal.SIGKILL and (self._process.returncode or not self.drained):
            words = "\n".join(self._log.read_text(errors="replace").splitlines()[-8:])
            raise SystemExit(f"The publisher ended by itself. Its last words:\n{words}")

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        if self._reader:
            self._reader.join()

    def ledger(self) -> list[Reading]:
        lines = self._ledger.read_text().splitlines()
        return [(int(life), int(number)) for life, number in map(str.split, lines)]

    def accepted(self) -> int:
        return self._ledger.read_bytes().count(b"\n")

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            if not line.endswith("}\n"):
                return  # the kill came in the middle of it
            status = json.loads(line)
            self.statuses += 1
            if status["accepted"] != sum(status[account] for account in ACCOUNTS):
                self.accounts_wrong.append(status)
            self.status = status
            self.drained = bool(status.get("drained"))
