"""A publisher in hard times: python -m tests.main_job.hard_publisher PORT CACHE LEDGER SEED CACHE_TYPE.

Four threads publish. Orders come by standard input, one a line, each answered with one line: "disk ERRNO PERCENT" (so
many of the disk's calls fail), "clock SECONDS" (the wall clock jumps), "fork", and "drain", after which it ends.
"""

import contextlib
import errno
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import persistmq.sqlite_store
import persistmq.store
from persistmq import PersistClient, StoreError

THREADS = 4
LIFE_S_MAX = 600  # it does not live on if nobody ends it
_CALLS = ("write", "pwrite", "preadv")


class FailingDisk:
    """Stands between the store and the system's calls."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.errno = 0
        self.percent = 0
        self.failed = 0
        for name in _CALLS:
            setattr(os, name, self._guarded(getattr(os, name), name == "write"))
        persistmq.store._sync_bytes = self._guarded(persistmq.store._sync_bytes, False)
        connect = persistmq.sqlite_store.connect
        persistmq.sqlite_store.connect = lambda path: _FailingConnection(connect(path), self)

    def fails(self, is_write: bool) -> bool:
        """Whether this call does; and if so it is counted."""
        if not self.percent or self._rng.randrange(100) >= self.percent:
            return False
        if self.errno == errno.ENOSPC and not is_write:
            return False  # a full disk still reads, and overwrites in place
        self.failed += 1
        return True

    def _guarded(self, call: Callable[..., Any], is_write: bool) -> Callable[..., Any]:
        def guarded(descriptor: int, *arguments: Any) -> Any:
            # Below 3 are this process's own reports.
            if descriptor > 2 and self.fails(is_write):
                raise OSError(self.errno, os.strerror(self.errno))
            return call(descriptor, *arguments)

        return guarded


class _FailingConnection:
    """A connection whose disk fails: a statement is not done then, or, if it is one that writes, it may be undone."""

    def __init__(self, connection: sqlite3.Connection, disk: FailingDisk) -> None:
        self._connection = connection
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        kind = statement.partition(" ")[0]
        if kind != "ROLLBACK" and self._disk.fails(kind in ("INSERT", "DELETE", "COMMIT")):
            failure = sqlite3.OperationalError("disk I/O error")
            is_full = self._disk.errno == errno.ENOSPC
            failure.sqlite_errorcode = sqlite3.SQLITE_FULL if is_full else sqlite3.SQLITE_IOERR_READ
            if self._connection.in_transaction and self._disk.failed % 2:
                self._connection.execute("ROLLBACK")  # as SQLite does by itself after some errors
            raise failure
        return self._connection.execute(statement, *arguments)


class Publisher:
    def __init__(self, port: int, cache: str, ledger: str, seed: int, cache_type: str) -> None:
        self._ledger = open(ledger, "a", buffering=1)  # noqa: SIM115 - as long as the process
        self._seed = seed
        self._is_over = threading.Event()
        self.refused = 0
        self.client = PersistClient(
            "hard",
            cache_path=cache,
            cache_type=cache_type,
            ack_timeout_ms=1000,
            connect_timeout_ms=1000,
            reconnect_delay_ms_min=10,
            reconnect_delay_ms_max=200,
            segment_bytes_max=16384,
        )
        self.client.connect_async("127.0.0.1", port)
        self._threads = [threading.Thread(target=self._publish, args=(number,)) for number in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def _publish(self, thread: int) -> None:
        rng = random.Random(self._seed * 100 + thread)
        number = 0
        while not self._is_over.is_set():
            number += 1
            qos = rng.choice((1, 2))
            try:
                self.client.publish("hard", "%d %d %d %s" % (thread, number, qos, "x" * rng.randrange(200)), qos)
            except StoreError:
                self.refused += 1
            else:
                self._ledger.write("%d %d %d\n" % (thread, number, qos))
            time.sleep(rng.choice((0.0, 0.002, 0.01, 0.03)))

    def drain(self) -> dict[str, Any]:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self.client.flush(timeout=60)
        status = self.client.get_status()
        self.client.stop()
        return status | {"refused_by_disk": self.refused}


def fork(client: PersistClient) -> str:
    """A child that tries to publish and dies; what it is told."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            client.publish("hard", "from the child")
            words = b"published"
        except RuntimeError:
            words = b"refused"
        except BaseException as error:  # noqa: BLE001 - nothing of the child's may go on
            words = repr(error).encode()
        with contextlib.suppress(OSError):
            real_write(writer, words)
        os._exit(0)
    os.close(writer)
    words = os.read(reader, 1000)
    os.close(reader)
    os.waitpid(child, 0)
    return words.decode()


def jump(seconds: int) -> None:
    """The wall clock, for all that looks at it from now on."""
    time.time_ns = lambda: real_time_ns() + seconds * 1_000_000_000
    time.time = lambda: time.time_ns() / 1e9


real_write = os.write
real_time_ns = time.time_ns


def main() -> None:
    signal.alarm(LIFE_S_MAX)
    port, cache, ledger, seed, cache_type = sys.argv[1:]
    disk = FailingDisk(int(seed))
    publisher = Publisher(int(port), cache, ledger, int(seed), cache_type)
    for line in sys.stdin:
        order, *arguments = line.split()
        answer = "done"
        if order == "disk":
            disk.errno, disk.percent = map(int, arguments)
        elif order == "clock":
            jump(int(arguments[0]))
        elif order == "fork":
            answer = fork(publisher.client)
        elif order == "drain":
            print(json.dumps(publisher.drain() | {"failed_calls": disk.failed}), flush=True)
            return
        print(answer, flush=True)


if __name__ == "__main__":
    main()
