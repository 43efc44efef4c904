"""The local queue alone: put all, get all, as each library's own documentation does it. One function for each."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from _bench.meter import Meter, written_bytes


class _Run:
    """Both halves of one contestant, measured."""

    def __init__(self, messages: int, payload_bytes: int) -> None:
        self.messages = messages
        self.payload = bytes(payload_bytes)
        self.figures: dict[str, Any] = {}

    @contextmanager
    def put(self) -> Iterator[None]:
        before = written_bytes()
        with Meter() as meter:
            yield
        written = written_bytes() - before
        self.figures["put"] = self.messages / meter.seconds
        self.figures["written"] = written / (self.messages * len(self.payload))

    @contextmanager
    def get(self) -> Iterator[None]:
        with Meter() as meter:
            yield
        self.figures["get"] = self.messages / meter.seconds

    def expect(self, got: bytes) -> None:
        if got != self.payload:
            raise RuntimeError(f"not what was put: {got!r}")


def _put_and_get(run: _Run, put: Callable[[bytes], Any], get: Callable[[], bytes]) -> dict[str, Any]:
    with run.put():
        for _ in range(run.messages):
            put(run.payload)
    with run.get():
        for _ in range(run.messages):
            run.expect(get())
    return run.figures


def persist_queue(messages: int, payload_bytes: int, store: str) -> dict[str, Any]:
    import persistqueue  # noqa: PLC0415 - each process has only its own library

    run = _Run(messages, payload_bytes)
    if store == "file":
        files = persistqueue.Queue("queue", autosave=True)
        return _put_and_get(run, files.put, files.get)
    if store == "ack":
        acked = persistqueue.SQLiteAckQueue("queue", auto_commit=True)

        def get() -> bytes:
            got: bytes = acked.get()
            acked.ack(got)
            return got

        return _put_and_get(run, acked.put, get)
    rows = persistqueue.FIFOSQLiteQueue("queue", auto_commit=True)
    return _put_and_get(run, rows.put, rows.get)


def diskcache_deque(messages: int, payload_bytes: int) -> dict[str, Any]:
    import diskcache  # noqa: PLC0415

    deque = diskcache.Deque(directory="queue")
    return _put_and_get(_Run(messages, payload_bytes), deque.append, deque.popleft)


def queuelib_fifo(messages: int, payload_bytes: int) -> dict[str, Any]:
    import queuelib  # noqa: PLC0415

    fifo = queuelib.FifoDiskQueue("queue")
    figures = _put_and_get(_Run(messages, payload_bytes), fifo.push, fifo.pop)
    fifo.close()
    return figures


def litequeue_queue(messages: int, payload_bytes: int) -> dict[str, Any]:
    import litequeue  # noqa: PLC0415

    queue = litequeue.LiteQueue("queue.sqlite")

    def get() -> bytes:
        message = queue.pop()
        queue.done(message.message_id)
        got: bytes = message.data
        return got

    return _put_and_get(_Run(messages, payload_bytes), queue.put, get)


def sqlite_wal(messages: int, payload_bytes: int, per_commit: int) -> dict[str, Any]:
    run = _Run(messages // per_commit * per_commit, payload_bytes)
    database = sqlite3.connect("queue.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE queue (id INTEGER PRIMARY KEY, payload BLOB)")
    group = [(run.payload,)] * per_commit
    with run.put():
        for _ in range(0, run.messages, per_commit):
            database.execute("BEGIN")
            database.executemany("INSERT INTO queue (payload) VALUES (?)", group)
            database.execute("COMMIT")
    with run.get():
        for _ in range(0, run.messages, per_commit):
            database.execute("BEGIN")
            select = "SELECT id, payload FROM queue ORDER BY id LIMIT ?"
            rows = database.execute(select, (per_commit,)).fetchall()
            database.execute("DELETE FROM queue WHERE id <= ?", (rows[-1][0],))
            database.execute("COMMIT")
            for row in rows:
                run.expect(row[1])
    database.close()
    return run.figures


def append_only(messages: int, payload_bytes: int, per_sync: int) -> dict[str, Any]:
    """The disk's floor. It has no get."""
    run = _Run(messages // per_sync * per_sync, payload_bytes)
    descriptor = os.open("journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with run.put():
        for _ in range(0, run.messages, per_sync):
            os.write(descriptor, run.payload * per_sync)
            os.fdatasync(descriptor)
    os.close(descriptor)
    return run.figures


def persistmq(messages: int, payload_bytes: int, port: int, how: str) -> dict[str, Any]:
    """Put is publish() until all is on storage; get is the delivery to a broker that only acknowledges."""
    from _bench.contestants import ours  # noqa: PLC0415
    from _bench.wire import HOST, TOPIC  # noqa: PLC0415

    run = _Run(messages, payload_bytes)
    client = ours.open_client(durability="async" if how == "async" else "sync")
    with run.put():
        if how == "many":
            ours.fill(client, messages, run.payload, qos=1)
        else:
            last = None
            for _ in range(messages):
                last = client.publish(TOPIC, run.payload, 1)
            if last is None or not last.wait_for_stored(60):
                raise TimeoutError("not all was stored")
    with run.get():
        client.connect_async(HOST, port)
        ours.flush(client)
    ours.check(client, messages)
    client.stop()
    return run.figures
