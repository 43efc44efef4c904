"""Applications whose worker is a process, to be ordered about and killed."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from persistmq import PersistClient

from tests.main_job import processes
from tests.main_job.receiver import until

Make = Callable[..., PersistClient]


METHODS = ["spawn", "fork", "forkserver"]


def is_alive(pid: int) -> bool:
    """It runs, or at least is no zombie that nobody has looked for yet."""
    try:
        return Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def worker_of(client: PersistClient) -> int:
    assert until(lambda: client.get_status()["worker_pid"])
    pid: int = client.get_status()["worker_pid"]
    return pid


class Application:
    """See worker_application.py."""

    def __init__(self, port: int, cache: Path, method: str = "spawn", drain: bool = False) -> None:
        arguments = (str(port), str(cache), method, *(["drain"] if drain else []))
        # What multiprocessing keeps there one that is killed leaves behind. Not tmp_path: sockets have short names.
        self.scratch = tempfile.TemporaryDirectory(prefix="worker-")
        self.process = processes.start(
            "-m", "tests.main_job.worker_application", *arguments, stderr=None, temporary=self.scratch.name
        )
        self._read("ready")

    def order(self, *words: object) -> str:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)
        return self._read()

    def _read(self, expected: str | None = None) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line and expected in (None, line), "the application said %r" % line
        return line

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.scratch.cleanup()


@contextmanager
def application(port: int, cache: Path, method: str = "spawn", drain: bool = False) -> Iterator[Application]:
    started = Application(port, cache, method, drain)
    with started.process:
        try:
            yield started
        finally:
            started.kill()
