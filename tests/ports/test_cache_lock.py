"""One client to a cache directory, whatever happens to the process that has it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from persistmq.lock import CacheInUse, CacheLock

from persistmq_core.errors import PersistError
from tests.support.forked import in_child

_HOLDER = """
import os, sys
from persistmq.lock import CacheLock
lock = CacheLock(sys.argv[1])
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        print(int(lock.is_held), flush=True)
        sys.stdin.read()
        os._exit(0)
else:
    print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path, mode: str = "plain") -> Iterator["subprocess.Popen[str]"]:
    """Another process that has the lock; its standard input ends it, and any child of it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", _HOLDER, str(path), mode]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=path.parent
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == {"plain": "held", "fork": "0"}[mode]
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_a_second_process_is_told_who_has_the_cache(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(CacheInUse, match="in use by process %d" % process.pid) as caught:
            CacheLock(tmp_path)
        assert caught.value.pid == process.pid
        assert caught.value.path == str(tmp_path)
        assert isinstance(caught.value, PersistError)
        process.communicate()
    CacheLock(tmp_path).release()


def test_a_killed_holder_has_nothing_any_more(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with CacheLock(tmp_path) as lock:
        assert lock.is_held
        assert (tmp_path / "lock").read_text() == "%d\n" % os.getpid()


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_holder(tmp_path: Path) -> None:
    with holder(tmp_path, "fork") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        assert not process.stdin.closed  # the child, which waits for its end, is still there
        CacheLock(tmp_path).release()


def test_the_same_process_is_excluded_too_and_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    with CacheLock(tmp_path / "cache"):
        for path in (tmp_path / "cache", tmp_path / "link"):
            with pytest.raises(CacheInUse, match="another client in this process") as caught:
                CacheLock(path)
            assert caught.value.pid == os.getpid()
        # The refused tries have not given the lock away to others.
        assert try_in_child(tmp_path / "cache") == os.getpid()


def try_in_child(path: Path) -> int:
    """0 if another process gets the lock, else the holder's pid as it is told."""
    source = (
        "import sys\nfrom persistmq.lock import CacheInUse, CacheLock\n"
        "try:\n    CacheLock(sys.argv[1])\n    print(0)\n"
        "except CacheInUse as error:\n    print(error.pid)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", source, str(path)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True).stdout)


def test_release_twice_is_release_once(tmp_path: Path) -> None:
    first = CacheLock(tmp_path)
    first.release()
    first.release()
    assert not first.is_held
    with CacheLock(tmp_path):
        first.release()  # must not take the successor's
        assert try_in_child(tmp_path) == os.getpid()
    assert try_in_child(tmp_path) == 0
    assert (tmp_path / "lock").exists()


def test_a_child_of_this_process_knows_that_it_has_no_lock(tmp_path: Path) -> None:
    lock = CacheLock(tmp_path)

    def try_again() -> None:
        lock.release()  # of a lock that it has not
        with pytest.raises(CacheInUse) as caught:
            CacheLock(tmp_path)
        assert caught.value.pid == os.getppid() and not lock.is_held

    assert in_child(try_again) == 0
    assert try_in_child(tmp_path) == os.getpid()
    lock.release()


def test_of_many_threads_one_gets_it(tmp_path: Path) -> None:
    locks: list[CacheLock] = []
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        try:
            locks.append(CacheLock(tmp_path))
        except CacheInUse:
            pass

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(locks) == 1
    locks[0].release()


def test_a_number_that_is_none_is_not_an_error(tmp_path: Path) -> None:
    with holder(tmp_path):
        (tmp_path / "lock").write_bytes(b"\xff\xfe rubbish")
        with pytest.raises(CacheInUse, match="by another process") as caught:
            CacheLock(tmp_path)
        assert caught.value.pid == 0


def test_a_file_as_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not ours")
    with pytest.raises(NotADirectoryError, match="file"):
        CacheLock(tmp_path / "file")


_WORKER = """
import signal, sys, time
from persistmq.lock import DeliveryLock
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = DeliveryLock(sys.argv[1], 0)
print("held", int(lock.has_publisher()), flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(path: Path, mode: str = "plain") -> Iterator["subprocess.Popen[str]"]:
    """Another process that delivers from the cache, and publishes nothing."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", _WORKER, str(path), mode]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_worker_gets_its_part_when_the_application_leaves_it_and_knows_of_the_application(tmp_path: Path) -> None:
    with CacheLock(tmp_path) as lock:
        with worker(tmp_path) as early:
            assert said(early) == ""  # refused
            assert "in use by process %d" % os.getpid() in early.communicate()[1]
        lock.leave_delivering()
        with worker(tmp_path) as process:
            assert said(process) == "held 1"
            assert try_in_child(tmp_path) == os.getpid()  # and the worker was not asked to end
            assert process.poll() is None
            with worker(tmp_path) as second:
                assert said(second) == ""
                assert "in use by process %d" % process.pid in second.communicate()[1]


def test_a_worker_without_an_application_is_asked_to_end_and_waited_for(tmp_path: Path) -> None:
    CacheLock(tmp_path).release()
    with worker(tmp_path) as process:
        assert said(process) == "held 0"
        with CacheLock(tmp_path) as lock:
            assert lock.is_held
            assert process.wait(5) == -signal.SIGTERM


def test_a_worker_that_does_not_end_keeps_the_cache_and_is_named(tmp_path: Path) -> None:
    CacheLock(tmp_path).release()
    with worker(tmp_path, "deaf") as process:
        assert said(process) == "held 0"
        for _ in range(2):  # the refused one has left nothing behind
            with pytest.raises(CacheInUse) as caught:
                CacheLock(tmp_path, take_over_s=0.05)
            assert caught.value.pid == process.pid
    CacheLock(tmp_path).release()
