"""A real Mosquitto on a free port of the loopback interface, for tests that need a broker that is not ours.

``with Mosquitto() as broker:`` starts one, ``broker.port`` is where it listens. A missing Mosquitto is an error and
not a reason to skip: what was not tried against a real broker was not tested.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

HOST = "127.0.0.1"
_ROOT = Path(__file__).resolve().parents[2]
_PRIVATE = _ROOT / ".mosquitto"  # an unpacked package, where none can be installed
# With Mosquitto's defaults a publisher with more than 20 unreleased QoS 2 messages loses some of them in the broker
# (eclipse/mosquitto#3056); a test of ours must not fail for that.
_WITHOUT_LIMITS = ("max_inflight_messages 0", "max_queued_messages 0")
_CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test"  # clean session, client identifier "test"


def free_port() -> int:
    """A port that nothing listens on. Somebody else may take it before you do; ``Mosquitto.start`` tries others."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def find_mosquitto() -> tuple[str, dict[str, str]]:
    """The program and the environment it wants. Raises FileNotFoundError, with the places that were looked at."""
    environment = dict(os.environ)
    private = _PRIVATE / "usr" / "sbin" / "mosquitto"
    if private.is_file():
        folders = [str(path) for path in (_PRIVATE / "usr" / "lib").glob("*-linux-gnu*")]
        folders += [str(_PRIVATE / "usr" / "lib"), environment.get("LD_LIBRARY_PATH", "")]
        private_environment = environment | {"LD_LIBRARY_PATH": ":".join(folder for folder in folders if folder)}
    else:
        private_environment = environment
    candidates = (
        (os.environ.get("PERSISTMQ_MOSQUITTO", ""), environment),
        (shutil.which("mosquitto") or "", environment),
        ("/usr/sbin/mosquitto", environment),
        (str(private), private_environment),
    )
    for program, its_environment in candidates:
        if program and os.access(program, os.X_OK):
            return program, its_environment
    raise FileNotFoundError(
        "mosquitto was not found: not in PERSISTMQ_MOSQUITTO, PATH, /usr/sbin or %s; install the package" % private
    )


class Mosquitto:
    """One broker process. It is stopped, and its files are removed, when the ``with`` block ends.

    ``persistence_dir`` makes it keep sessions there (saved on SIGTERM; a killed Mosquitto forgets). ``config_lines``
    are added behind the plain listener as they are: those before the first that starts with ``listener`` belong to it
    (``cafile``). A websocket listener must be such a second one: alone, Mosquitto 2.0.11 does not start with it.
    ``default_config=True`` leaves Mosquitto's own limits in place (20 in flight, 1000 queued).
    """

    host = HOST

    def __init__(
        self,
        port: int | None = None,
        persistence_dir: str | os.PathLike[str] | None = None,
        config_lines: Sequence[str] = (),
        *,
        default_config: bool = False,
        listener: bool = True,
        allow_anonymous: bool = True,
    ) -> None:
        self.port = port or free_port()
        self._port_is_fixed = port is not None or not listener
        self._persistence_dir = persistence_dir
        self._config_lines = tuple(config_lines)
        self._default_config = default_config
        self._listener = listener
        self._allow_anonymous = allow_anonymous
        self._folder: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_frozen = False

    @property
    def pid(self) -> int:
        """Of the running process. Raises RuntimeError if there is none."""
        if self._process is None:
            raise RuntimeError("this Mosquitto is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log_text(self) -> str:
        """What it has written so far (all log types)."""
        return "" if self._folder is None else Path(self._folder, "log").read_text(errors="replace")

    def start(self) -> "Mosquitto":
        """Start and wait until it answers a CONNECT (10 s at most). Raises RuntimeError with its log if it does not."""
        if self.is_running:
            return self
        program, environment = find_mosquitto()
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="mosquitto-test-")
        for attempt in range(5):
            config = Path(self._folder, "mosquitto.conf")
            config.write_text("\n".join(self._configuration()) + "\n")
            with open(Path(self._folder, "log"), "ab") as log:
                self._process = subprocess.Popen(
                    [program, "-v", "-c", str(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                )
            if self._answers():
                self._port_is_fixed = True  # a restart comes back where clients look for it
                return self
            self.kill()
            if self._port_is_fixed:
                if attempt == 4:
                    break
                time.sleep(0.1)
            else:
                self.port = free_port()
        log_text = self.log_text()
        self._remove_files()
        raise RuntimeError("mosquitto did not start on port %d: %s" % (self.port, log_text[-2000:]))

    def stop(self) -> None:
        """SIGTERM: it says goodbye and saves its sessions."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: connections are reset, sessions since the last save are gone."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered; the kernel still accepts new ones."""
        os.kill(self.pid, signal.SIGSTOP)
        self._is_frozen = True

    def thaw(self) -> None:
        """SIGCONT after ``freeze``."""
        os.kill(self.pid, signal.SIGCONT)
        self._is_frozen = False

    def restart(self) -> "Mosquitto":
        """``stop`` and ``start`` on the same port."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """End the process and remove the files. A second call does nothing."""
        self._end(signal.SIGTERM)
        self._remove_files()

    def __enter__(self) -> "Mosquitto":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _configuration(self) -> list[str]:
        lines = ["log_dest stderr", "allow_anonymous %s" % str(self._allow_anonymous).lower()]
        if os.geteuid() == 0:
            lines.append("user root")  # else it drops to a user that may not read the test's folders
        if not self._default_config:
            lines += _WITHOUT_LIMITS
        if self._persistence_dir is not None:
            folder = os.path.join(os.fspath(self._persistence_dir), "")
            lines += ["persistence true", "persistence_location " + folder, "autosave_interval 0"]
        if self._listener:
            lines.append("listener %d %s" % (self.port, HOST))
        # After the listener, so that a line may belong to it (cafile, protocol).
        return lines + list(self._config_lines)

    def _answers(self) -> bool:
        """Whether it takes connections; on the plain listener, whether it answers CONNECT too."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.is_running:
            try:
                with socket.create_connection((HOST, self.port), timeout=1) as probe:
                    if not self._speaks_plain_mqtt():
                        return self.is_running
                    probe.sendall(_CONNECT)
                    if probe.recv(4):
                        probe.sendall(b"\xe0\x00")
                        # Its end is waited for, so that a test does not find the probe in the broker's counts.
                        probe.shutdown(socket.SHUT_WR)
                        return self.is_running
            except OSError:
                pass  # not there yet
            time.sleep(0.01)
        return False

    def _speaks_plain_mqtt(self) -> bool:
        # A refused CONNECT is an answer too; TLS and websocket listeners answer nothing to plain MQTT.
        for line in self._config_lines:
            if line.startswith("listener"):
                break  # what follows is about another one
            if line.startswith(("certfile", "protocol websockets")):
                return False
        return self._listener

    def _end(self, signal_number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._is_frozen:
            process.send_signal(signal.SIGCONT)
            self._is_frozen = False
        process.send_signal(signal_number)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _remove_files(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
