"""What persistmq 0.1.4 left in the cache directory is delivered: in order, once, before anything new."""

import errno
import logging
import os
import pickle
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from persistmq import PersistClient, StoreError
from persistmq.sqlite_store import SqliteStore
from persistmq.store import FileStore

from persistmq_core.spill_store import STORED
from tests.main_job import processes
from tests.main_job.cache_files import contents, stored_payloads
from tests.main_job.older_cache import KINDS, numbered, payloads, write_database, write_pickles
from tests.main_job.receiver import Receiver, until
from tests.support.forked import in_child
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "cache"
    path.mkdir()
    return path


def deliver(client: PersistClient, broker: Mosquitto) -> None:
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20), client.get_status()


def left_of_0_1_4(cache: Path) -> list[str]:
    names = [str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()]
    return sorted(name for name in names if name.startswith("taken-over") or "sq3" in name or ".pkl" in name)


def test_the_rows_of_a_database_go_ahead_of_new_messages_and_then_it_is_gone(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path
) -> None:
    rows = [("kind/%d" % number, payload, number % 3) for number, (payload, _) in enumerate(KINDS)]
    write_database(cache, rows)
    client = make_client()
    [kept] = left_of_0_1_4(cache)
    assert kept.startswith("taken-over/%016x-" % (len(KINDS) + 1))
    assert kept.endswith("-database.sq3")
    status = client.get_status()
    assert (status["accepted"], status["waiting"], status["takeover_error"]) == (len(KINDS), len(KINDS), "")
    client.publish("kind/new", "new")
    deliver(client, broker)
    receiver.wait(len(KINDS) + 1)
    came = [(arrival.topic, arrival.payload, arrival.qos, arrival.retain) for arrival in receiver.arrivals]
    sent = [("kind/%d" % number, content, number % 3, False) for number, (_, content) in enumerate(KINDS)]
    assert sorted(came) == sorted([*sent, ("kind/new", b"new", 2, False)])  # a broker may mix those of another QoS
    assert [arrival for arrival in came if arrival[2] == 2] == [*sent[2::3], ("kind/new", b"new", 2, False)]
    assert until(lambda: not (cache / "taken-over").exists())
    client.stop()
    client = make_client()
    assert (client.get_status()["accepted"], client._older) == (len(KINDS) + 1, None)


def test_large_ones_get_files_of_their_own(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path
) -> None:
    large = bytes(range(256)) * 4096 * 3
    write_database(cache, [("a", b"first", 2), ("a", large, 2), ("a", b"last", 2)])
    client = make_client(inline_bytes_max=1 << 20)
    deliver(client, broker)
    receiver.wait(3)
    assert [arrival.payload for arrival in receiver.arrivals] == [b"first", large, b"last"]


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickles_go_in_the_order_of_their_times_and_before_the_database(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path, protocol: int
) -> None:
    kinds = [*[payload for payload, _ in KINDS[:-1]], bytearray(b"bytearray"), True, 2**70, float("inf")]
    expected = [*[content for _, content in KINDS[:-1]], b"bytearray", b"True", str(2**70).encode(), b"inf"]
    write_pickles(cache, [("a", payload, 2) for payload in kinds], protocol=protocol)
    write_database(cache, [("a", "from the database", 2)])
    (cache / "another.pkl").write_bytes(b"not ours")
    client = make_client()
    client.publish("a", "new")
    deliver(client, broker)
    receiver.wait(len(kinds) + 2)
    assert [arrival.payload for arrival in receiver.arrivals] == [*expected, b"from the database", b"new"]
    assert until(lambda: left_of_0_1_4(cache) == ["another.pkl"])


def test_originals_stay_until_what_was_in_them_is_settled(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path
) -> None:
    write_pickles(cache, numbered(5))
    write_database(cache, numbered(7, "row"))
    for _ in range(3):
        client = make_client()
        assert client.get_status()["waiting"] == 12
        assert len(left_of_0_1_4(cache)) == 6
        client.stop()
    client = make_client()
    deliver(client, broker)
    client.stop()
    assert left_of_0_1_4(cache) == []
    assert receiver.wait(12) == [*payloads(numbered(5)), *payloads(numbered(7, "row"))]


def test_a_backlog_of_many_batches_is_taken_over_whole(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [("a", "%05d" % number + "x" * (number % 7 * 100), 1 + number % 2) for number in range(5000)]
    write_database(cache, rows)
    with caplog.at_level(logging.INFO):
        client = make_client()
    assert "5000 messages of persistmq 0.1.4 were taken over" in caplog.text
    deliver(client, broker)
    came = receiver.wait(5000)
    assert sorted(came) == sorted(payloads(rows))
    assert [payload for payload in came if int(payload[:5]) % 2] == payloads(rows)[1::2]


def test_bounds_of_the_cache_do_not_turn_it_away(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path
) -> None:
    write_database(cache, numbered(50))
    client = make_client(cache_messages_max=10)
    with pytest.raises(StoreError, match="50 messages wait, cache_messages_max is 10"):
        client.publish("a", "too many")
    client.stop()
    client = make_client(cache_messages_max=10, on_full="drop_oldest")
    deliver(client, broker)
    assert receiver.wait(50) == payloads(numbered(50))


@pytest.mark.parametrize("cache_type", ["flat"])
def test_a_worker_process_delivers_it(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path
) -> None:
    write_database(cache, numbered(30))
    client = make_client(worker="process", start_method="fork")
    deliver(client, broker)
    assert receiver.wait(30) == payloads(numbered(30))
    assert until(lambda: left_of_0_1_4(cache) == [])


def test_the_second_lane_is_none_of_its_business(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path
) -> None:
    write_database(cache, numbered(30))
    client = make_client(drain="live_first")
    client.publish("a", "urgent", priority=True)
    deliver(client, broker)
    assert sorted(receiver.wait(31)) == sorted([*payloads(numbered(30)), "urgent"])
    client.stop()
    assert left_of_0_1_4(cache) == []


# --- what is no message ---


class Malice:
    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.code,)


def bad_pickles(cache: Path) -> dict[str, bytes]:
    trap = "open(%r, 'w').close()" % str(cache.parent / "trap")
    good = {"topic": "a", "payload": "b", "qos": 2}
    return {
        "code": pickle.dumps(Malice(trap)),
        "code inside": pickle.dumps(good | {"payload": Malice(trap)}),
        "os.system": b"cposix\nsystem\n(S'touch %b'\ntR." % str(cache.parent / "trap").encode(),
        "getattr": b"cbuiltins\ngetattr\n.",
        "huge bytearray": b"cbuiltins\nbytearray\n(I100000000000000\ntR.",
        "a changed bytearray": b"cbuiltins\nbytearray\n}X\x08\x00\x00\x00__name__X\x01\x00\x00\x00xsb.",
        "an object": pickle.dumps(Path("/")),
        "empty": b"",
        "half": pickle.dumps(good)[:20],
        "no pickle": b"no pickle",
        "NUL": bytes(1000),
        "a list": pickle.dumps([good]),
        "a list as payload": pickle.dumps(good | {"payload": [1]}),
        "a set as topic": pickle.dumps(good | {"topic": {1}}),
        "no topic": pickle.dumps({"payload": 1, "qos": 2}),
        "a wildcard": pickle.dumps(good | {"topic": "a/#"}),
        "QoS 3": pickle.dumps(good | {"qos": 3}),
        "QoS True": pickle.dumps(good | {"qos": True}),
        "a number of a million digits": pickle.dumps(good | {"payload": 10**1_000_000}),
        "a surrogate": pickle.dumps(good | {"payload": "x"})[:-1] + b"0X\x03\x00\x00\x00\xed\xa0\x80.",
        "deep": b"(" * 100_000 + b".",
        "frames": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
        "length": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fx.",
        "memo": b"h\xff.",
        "persistent": b"Pname\n.",
    }


def test_pickles_that_are_no_messages_go_to_quarantine_and_none_is_executed(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = bad_pickles(cache)
    write_pickles(cache, numbered(2))
    for index, name in enumerate(bad):
        path = cache / ("persistmq_cache_%s.pkl" % name)
        path.write_bytes(bad[name])
        os.utime(path, (1_600_000_000, 1_600_000_000 + index))
    client = make_client()
    quarantined = {path.name: path.read_bytes() for path in (cache / "quarantine").iterdir()}
    expected = {"persistmq_cache_%s.pkl.0" % name: bad[name] for name in bad}
    assert quarantined == expected
    assert not (cache.parent / "trap").exists()
    assert bytearray.__name__ == "bytearray"
    assert "quarantine/persistmq_cache_" in client.get_status()["takeover_error"]
    for name in expected:
        assert "is now quarantine/%s" % name in caplog.text
    client.publish("a", "new")
    deliver(client, broker)
    assert receiver.wait(3) == ["old 0000", "old 0001", "new"]


def test_rows_that_cannot_be_sent_are_reported_and_kept_in_quarantine(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad: list[tuple[Any, Any, Any]] = [
        ("a/#", "b", 2),
        ("", "b", 2),
        ("a\x01", "b", 2),
        (b"\xff\xfe", "b", 2),
        (None, "b", 2),
        ("a", "b", None),
        ("a", "b", 3),
        ("a", "b", "high"),
    ]
    rows = numbered(3)
    write_database(cache, [*bad[:4], *rows, *bad[4:]])  # type: ignore[list-item]
    client = make_client()
    assert caplog.text.count("cannot be sent") == len(bad)
    assert "message 1 of database.sq3 cannot be sent: topic 'a/#' has a wildcard" in caplog.text
    assert "is now quarantine/database.sq3.0" in client.get_status()["takeover_error"]
    deliver(client, broker)
    assert receiver.wait(3) == payloads(rows)
    kept = sqlite3.connect(cache / "quarantine" / "database.sq3.0")
    assert kept.execute("SELECT count(*) FROM messages").fetchone() == (len(bad) + 3,)
    kept.close()
    client.stop()
    assert make_client().get_status()["accepted"] == 3


@pytest.mark.parametrize("content", [b"no database", bytes(10_000), b"SQLite format 3\0", b"SQLite format 3\0" * 300])
def test_what_is_no_database_goes_to_quarantine(make_client: Make, cache: Path, content: bytes) -> None:
    (cache / "database.sq3").write_bytes(content)
    (cache / "database.sq3-journal").write_bytes(b"and its journal")
    client = make_client()
    assert "is now quarantine/database.sq3.0" in client.get_status()["takeover_error"]
    kept = {path.name for path in (cache / "quarantine").iterdir()}
    assert "database.sq3.0" in kept
    assert left_of_0_1_4(cache) == sorted("quarantine/" + name for name in kept)
    assert client.publish("a", "b").is_stored()


def test_other_tables_and_other_things_of_that_name_go_to_quarantine(make_client: Make, cache: Path) -> None:
    for statement in (
        "CREATE TABLE accounts (id)",
        "CREATE TABLE messages (id, text)",
        "CREATE VIEW messages AS SELECT 1 AS id, 'a' AS topic, 'b' AS payload, 2 AS qos",
    ):
        with sqlite3.connect(cache / "database.sq3") as connection:
            connection.execute(statement)
        connection.close()
        make_client().stop()
    (cache / "database.sq3").mkdir()
    make_client().stop()
    os.mkfifo(cache / "database.sq3")
    make_client().stop()
    (cache / "database.sq3").symlink_to("/nowhere")
    make_client().stop()
    (cache / "database.sq3-journal").write_bytes(b"alone")
    client = make_client()
    assert len(list((cache / "quarantine").iterdir())) == 7
    assert client.get_status()["accepted"] == 0


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_database_that_0_1_4_had_just_begun_is_no_trouble(make_client: Make, cache: Path, is_whole: bool) -> None:
    if is_whole:
        write_database(cache, [])
    else:
        (cache / "database.sq3").write_bytes(b"")
    client = make_client()
    assert client.get_status()["takeover_error"] == ""
    assert left_of_0_1_4(cache) == []
    assert sorted(os.listdir(cache / "quarantine")) == []


@pytest.mark.parametrize("seed", range(25))
def test_a_damaged_database_gives_what_reads_once_and_in_order(make_client: Make, cache: Path, seed: int) -> None:
    rng = random.Random(seed)
    rows = [("a", "%04d" % number + "x" * rng.choice((10, 100, 6000)), 2) for number in range(300)]
    path = write_database(cache, rows)
    content = bytearray(path.read_bytes())
    pages = len(content) // 4096
    bad = [rng.randrange(1, pages) for _ in range(rng.choice((1, 1, 3)))]
    for page in bad:
        at = page * 4096
        content[at : at + 4096] = rng.choice((bytes(4096), rng.randbytes(4096), bytes(8) + content[at + 8 : at + 4096]))
    path.write_bytes(content)
    client = make_client()
    status = client.get_status()
    assert status["accepted"] + 120 * len(bad) >= 300 or 1 in bad  # page 2 is the root of it all
    assert client.publish("a", "new").is_stored()
    *old, new = stored_payloads(client)
    assert new == "new"
    sent = set(payloads(rows))
    whole = [payload for payload in old if payload in sent]
    assert whole == sorted(set(whole))  # in order and once
    assert len(old) - len(whole) <= len(bad)  # a part of a long one: nothing in this database shows that
    if status["accepted"] < 300:
        assert (cache / "quarantine" / "database.sq3.0").read_bytes() == content


# --- killed over it, or at work on it ---


def test_a_transaction_that_0_1_4_was_killed_in_is_undone(make_client: Make, tmp_path: Path, cache: Path) -> None:
    made = write_database(tmp_path / "made", numbered(300, "x" * 1000))
    connection = sqlite3.connect(made, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")  # so that it writes into the database before it commits
    connection.execute("BEGIN")
    connection.execute("UPDATE messages SET topic = 'half/done'")
    for name in ("database.sq3", "database.sq3-journal"):
        shutil.copy(made.parent / name, cache / name)
    connection.close()
    assert b"half/done" in (cache / "database.sq3").read_bytes()
    client = make_client()
    assert client.get_status()["accepted"] == 300
    assert len(left_of_0_1_4(cache)) == 1
    assert b"half/done" not in b"".join(map(bytes, filter(None, contents(cache).values())))


def test_a_database_with_a_write_ahead_log_is_read_with_it(make_client: Make, tmp_path: Path, cache: Path) -> None:
    made = write_database(tmp_path / "made", numbered(10))
    connection = sqlite3.connect(made, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executemany("INSERT INTO messages (topic, payload, qos) VALUES (?, ?, ?)", numbered(10, "more"))
    for name in ("database.sq3", "database.sq3-wal"):
        shutil.copy(made.parent / name, cache / name)
    connection.close()
    client = make_client()
    assert client.get_status()["accepted"] == 20
    assert len(left_of_0_1_4(cache)) == 1


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("SELECT * FROM messages").fetchone()
if sys.argv[2] == "locked":
    connection.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["open", "locked"])
def test_a_database_that_another_process_has_is_waited_for_and_left_for_the_next_start(
    make_client: Make, cache: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = write_database(cache, numbered(10))
    monkeypatch.setattr("persistmq.takeover._WAIT_S", 0.3)
    if how == "locked":
        monkeypatch.setattr("persistmq.older_caches.user_of", lambda path: 0)  # as another user's process is not seen
    with processes.start("-c", HOLDER, str(path), how) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        before = path.read_bytes()
        began = time.monotonic()
        client = make_client()
        assert 0.3 <= time.monotonic() - began < 10
        assert "left for the next start" in client.get_status()["takeover_error"]
        if how == "open":
            assert "process %d has it open" % holder.pid in client.get_status()["takeover_error"]
        client.publish("a", "new")  # it does not wait for that
        client.stop()
        assert path.read_bytes() == before
        client = make_client()
        assert client.get_status()["accepted"] == 1
        client.stop()
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait(10)
    client = make_client()
    assert (client.get_status()["accepted"], client.get_status()["takeover_error"]) == (11, "")


def test_a_process_that_ends_while_it_is_waited_for_delays_nothing_else(make_client: Make, cache: Path) -> None:
    path = write_database(cache, numbered(10))
    with processes.start("-c", HOLDER, str(path), "locked") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        assert holder.stdin is not None
        timer = threading.Timer(0.5, holder.stdin.close)
        timer.start()
        client = make_client()
        assert client.get_status()["accepted"] == 10
        timer.join()


# --- the disk ---


class FullDisk:
    """The cache's files take no more bytes, from the append number ``good_appends`` on, until there is room."""

    def __init__(self, cache_type: str, monkeypatch: pytest.MonkeyPatch, good_appends: int) -> None:
        store_class = FileStore if cache_type == "flat" else SqliteStore
        self._append = store_class.append
        self.left = good_appends
        monkeypatch.setattr(store_class, "append", lambda *call: self.append(*call))  # noqa: PLW0108 - as a method

    def append(self, store: Any, name: str, view: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._append(store, name, view)


@pytest.mark.parametrize(
    ("worker", "durability"), [("thread", "sync"), ("thread", "async"), ("thread", "spill"), ("process", "sync")]
)
def test_while_the_disk_is_full_new_messages_wait_behind_the_old_ones(
    make_client: Make,
    broker: Mosquitto,
    receiver: Receiver,
    cache: Path,
    cache_type: str,
    worker: str,
    durability: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if (cache_type, worker) == ("sqlite", "process"):
        pytest.skip("there is no such client")
    monkeypatch.setattr("persistmq.takeover._RETRY_MS_MIN", 50)
    monkeypatch.setattr("persistmq.older_caches.BATCH_MESSAGES", 10)
    write_database(cache, numbered(35))
    disk = FullDisk(cache_type, monkeypatch, 2)
    quick: dict[str, Any] = {"spill_after_ms": 50} if durability == "spill" else {}
    quick |= {"start_method": "fork"} if worker == "process" else {}
    client = make_client(worker=worker, durability=durability, **quick)
    status = client.get_status()
    assert status["accepted"] == 20
    assert "wait to be taken over: " in status["takeover_error"]
    for publish in (lambda: client.publish("a", "x"), lambda: client.publish_many([("a", "x")])):
        with pytest.raises(StoreError, match="wait to be taken over") as caught:
            publish()
        assert caught.value.errno == errno.ENOSPC
    client.connect_async("127.0.0.1", broker.port)
    assert receiver.wait(20) == payloads(numbered(20))  # what is in the journal is delivered meanwhile
    time.sleep(0.2)  # and "spill" is not tempted by a link that is healthy: the rest must go to storage
    assert client._ram is None or client._ram.state == STORED
    disk.left = 1 << 30
    assert until(lambda: client.get_status()["takeover_error"] == "")
    client.publish("a", "new")
    assert client.flush(10)
    assert receiver.wait(36) == [*payloads(numbered(35)), "new"]
    assert client.get_status()["delivered"] == 36
    assert until(lambda: left_of_0_1_4(cache) == [])


def test_a_client_that_is_killed_while_the_disk_is_full_goes_on_where_it_was(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path, cache_type: str
) -> None:
    write_database(cache, numbered(35))
    for good_appends in (0, 1, 2, 3, 2):

        def life(good_appends: int = good_appends) -> None:
            patch = pytest.MonkeyPatch()
            patch.setattr("persistmq.older_caches.BATCH_MESSAGES", 3)
            patch.setattr("persistmq.takeover._RETRY_MS_MIN", 1)
            FullDisk(cache_type, patch, good_appends)
            client = PersistClient("tester", cache_path=cache, cache_type=cache_type)
            client.connect_async("127.0.0.1", broker.port)
            time.sleep(0.3)
            os._exit(0)  # which is a kill: nothing is stopped

        assert in_child(life) == 0
    client = make_client()
    client.publish("a", "new")
    deliver(client, broker)
    assert receiver.wait(36) == [*payloads(numbered(35)), "new"]


@pytest.mark.parametrize("cache_type", ["flat"])
def test_what_failed_and_is_found_whole_after_a_kill_is_not_taken_again(
    make_client: Make, cache: Path, cache_type: str
) -> None:
    """The group's sync failed. Its frames stand in the file all the same, and nothing behind them says otherwise."""
    write_database(cache, numbered(35))

    def life() -> None:
        patch = pytest.MonkeyPatch()
        patch.setattr("persistmq.older_caches.BATCH_MESSAGES", 10)
        patch.setattr("persistmq.takeover._RETRY_MS_MIN", 1)
        appends: list[str] = []
        syncs: list[str] = []
        real_append, real_sync = FileStore.append, FileStore.sync

        def append(store: FileStore, name: str, view: Any) -> None:
            appends.append(name)
            if len(appends) == 3:
                os._exit(9)  # the batch was marked anew, and not written
            real_append(store, name, view)

        def sync(store: FileStore, name: str) -> None:
            syncs.append(name)
            if len(syncs) == 2:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real_sync(store, name)

        patch.setattr(FileStore, "append", append)
        patch.setattr(FileStore, "sync", sync)
        client = PersistClient("tester", cache_path=cache)
        client._thread.start()
        time.sleep(10)

    assert in_child(life) == 9
    assert stored_payloads(make_client()) == payloads(numbered(35))


def test_originals_that_may_not_be_moved_do_not_keep_it_from_starting(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pickles(cache, numbered(5))
    real = os.rename

    def rename(old: str, new: str) -> None:
        if ".pkl" in str(old):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), old)
        real(old, new)

    monkeypatch.setattr(os, "rename", rename)
    for delivers in (False, False, True, False):
        client = make_client(segment_bytes_max=1024)
        assert "cannot be moved" in client.get_status()["takeover_error"]
        if delivers:
            client.publish("a", bytes(1000))  # so that the file with them ends, and is removed
            deliver(client, broker)
            assert until(lambda: len(client._stores[0].list("journal")) == 1)  # noqa: B023 - called here
        client.stop()
    monkeypatch.setattr(os, "rename", real)
    client = make_client()
    assert client.get_status()["takeover_error"] == ""
    deliver(client, broker)
    assert receiver.wait(6)[:5] == payloads(numbered(5))
    assert len(receiver.arrivals) == 6
    assert until(lambda: left_of_0_1_4(cache) == [])


# --- the mark ---


def half_taken(make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of which 20 messages of 35 are in the journal; its mark."""
    write_database(cache, numbered(35))
    with monkeypatch.context() as patch:
        patch.setattr("persistmq.older_caches.BATCH_MESSAGES", 10)
        FullDisk(cache_type, patch, 2)
        client = make_client()
        assert client.get_status()["accepted"] == 20
        client.stop()
    return cache / "taken-over" / "mark"


def test_what_is_marked_as_taken_is_not_taken_again(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert half_taken(make_client, cache, cache_type, monkeypatch).exists()
    assert make_client().get_status()["accepted"] == 35


@pytest.mark.parametrize("harm", ["lost", "NUL", "cut", "bit"])
def test_a_mark_that_does_not_read_costs_no_message(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    mark = half_taken(make_client, cache, cache_type, monkeypatch)
    content = bytearray(mark.read_bytes())
    if harm == "lost":
        mark.unlink()
    elif harm == "NUL":
        mark.write_bytes(bytes(len(content)))
    elif harm == "cut":
        mark.write_bytes(content[:-3])
    else:
        content[-20] ^= 4
        mark.write_bytes(content)
    assert make_client().get_status()["accepted"] == 55  # the first 20 come twice


def test_a_database_that_0_1_4_has_changed_since_is_taken_from_its_beginning(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    half_taken(make_client, cache, cache_type, monkeypatch)
    (cache / "database.sq3").unlink()
    write_database(cache, numbered(15, "other"))  # whose rows have the same numbers
    assert make_client().get_status()["accepted"] == 35
    assert "was changed while it was taken over" in caplog.text


def test_a_mark_of_another_journal_does_not_count(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_taken(make_client, cache, cache_type, monkeypatch)
    for path in cache.iterdir():
        if path.name in ("journal", "payloads", "dead"):
            shutil.rmtree(path)
        elif path.name not in ("database.sq3", "taken-over", "quarantine"):
            path.unlink()
    assert make_client().get_status()["accepted"] == 35


def test_what_was_published_since_does_not_count_as_taken(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch under way was not written, and the database is then in use: its numbers go to others."""
    half_taken(make_client, cache, cache_type, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("persistmq.takeover._WAIT_S", 0.0)
        patch.setattr("persistmq.older_caches.user_of", lambda path: 1)
        client = make_client()
        client.publish_many([("a", "new %d" % number) for number in range(12)])
        client.stop()
    assert make_client().get_status()["accepted"] == 20 + 12 + 15


def test_originals_of_another_journal_are_kept(make_client: Make, broker: Mosquitto, cache: Path) -> None:
    write_database(cache, numbered(3))
    make_client().stop()
    [kept] = (cache / "taken-over").iterdir()
    other = kept.rename(kept.with_name(kept.name[:17] + "%08x" % (int(kept.name[17:25], 16) ^ 1) + kept.name[25:]))
    client = make_client()
    deliver(client, broker)
    client.stop()
    make_client().stop()
    assert other.exists()
