"""Caches that persistmq 0.1.4 itself wrote, and was killed over."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.main_job.older_cache import KINDS
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto, free_port

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]

HEAD = """
import json, multiprocessing, sys, time
from pathlib import Path
multiprocessing.set_start_method("fork")  # the only one that it can start with
import persistmq.client
from persistmq.client import PersistClient
assert not hasattr(PersistClient, "flush"), persistmq.client.__file__
cache, port, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
client = PersistClient(client_id="tester", cache_path=cache)
client.connect_async("127.0.0.1", port)
"""
PUBLISH = """
for number in range(count):
    client.publish("old/%d" % (number % 3), "%06d" % number, number % 3)
print("ready", flush=True)
sys.stdin.read()
"""
PUBLISH_KINDS = """
from tests.main_job.older_cache import KINDS
for number in range(10):
    for payload, _ in KINDS:
        client.publish("old", payload, 2)
print("ready", flush=True)
sys.stdin.read()
"""
PICKLE = """
worker = persistmq.client.PersistMqWorker(client.mqtt_client, "127.0.0.1", port, None, None, {}, cache)
for number in range(count):
    worker._put_data_to_file({"topic": "old", "payload": "%06d" % number, "qos": 2})
    time.sleep(0.001)
print("ready", flush=True)
sys.stdin.read()
"""


class Old:
    """A program on 0.1.4, and the processes that it has begun."""

    def __init__(self, package: Path, text: str, cache: Path, port: int, count: int) -> None:
        root = Path(__file__).resolve().parents[2]
        environment = os.environ | {"PYTHONPATH": "%s:%s" % (package, root)}
        command = [sys.executable, "-P", "-c", HEAD + text, str(cache), str(port), str(count)]
        self.cache = cache
        self._process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait_ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def rows(self) -> int:
        """In its database, as a reader sees them."""
        if not (self.cache / "database.sq3").exists():
            return 0
        reader = sqlite3.connect(self.cache / "database.sq3", timeout=10)
        try:
            return int(reader.execute("SELECT count(*) FROM messages").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # there is no table yet
        finally:
            reader.close()

    def kill_application(self) -> None:
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """All of its processes at once, as a power cut would."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def start_old(package: Path, tmp_path: Path) -> Iterator[Callable[..., Old]]:
    begun: list[Old] = []

    def start(text: str, port: int, count: int = 0) -> Old:
        (tmp_path / "cache").mkdir(exist_ok=True)
        begun.append(Old(package, text, tmp_path / "cache", port, count))
        return begun[-1]

    yield start
    for old in begun:
        with killed_already():
            old.kill()


@contextmanager
def killed_already() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        pass  # as it should be


def rows_of(cache: Path, copy: Path) -> list[tuple[str, bytes, int]]:
    """What a killed 0.1.4 left in its database: read from a copy, so that the original is as it was."""
    copy.mkdir()
    for path in cache.glob("database.sq3*"):
        shutil.copy(path, copy)
    connection = sqlite3.connect(copy / "database.sq3")
    found = connection.execute("SELECT topic, CAST(payload AS TEXT), qos FROM messages ORDER BY id").fetchall()
    connection.close()
    return [(topic, (payload or "").encode(), qos) for topic, payload, qos in found]


Sent = tuple[str, bytes, int]  # topic, payload, QoS


def check_delivered(make_client: Make, broker: Mosquitto, receiver: Receiver, expected: list[Sent]) -> None:
    client = make_client()
    assert client.get_status()["accepted"] == len(expected)
    client.publish("new", "new")
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(30)
    receiver.wait(len(expected) + 1)
    came = [(arrival.topic, arrival.payload, arrival.qos) for arrival in receiver.arrivals]
    assert sorted(came) == sorted([*expected, ("new", b"new", 2)])
    for qos in (0, 1, 2):  # a broker may mix those of another QoS
        assert [each for each in came[:-1] if each[2] == qos] == [each for each in expected if each[2] == qos]
    client.stop()
    assert not list(Path(client._stores[0].path).rglob("*.sq3"))
    assert make_client().get_status()["waiting"] == 0


def test_a_backlog_of_an_outage(
    start_old: Callable[..., Old], make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path
) -> None:
    old = start_old(PUBLISH, free_port(), 300)
    old.wait_ready()
    assert until(lambda: old.rows() == 300, 30)
    old.kill()
    expected = [("old/%d" % (number % 3), b"%06d" % number, number % 3) for number in range(300)]
    assert rows_of(tmp_path / "cache", tmp_path / "copy") == expected
    check_delivered(make_client, broker, receiver, expected)


def test_each_kind_of_payload_as_0_1_4_stored_it(
    start_old: Callable[..., Old], make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    old = start_old(PUBLISH_KINDS, free_port())
    old.wait_ready()
    assert until(lambda: old.rows() == 10 * len(KINDS), 30)
    old.kill()
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(30)
    receiver.wait(10 * len(KINDS))
    assert [arrival.payload for arrival in receiver.arrivals] == 10 * [content for _, content in KINDS]


@pytest.mark.parametrize("attempt", range(6))
def test_killed_while_it_writes(
    start_old: Callable[..., Old],
    make_client: Make,
    broker: Mosquitto,
    receiver: Receiver,
    tmp_path: Path,
    attempt: int,
) -> None:
    seed = random.randrange(1 << 20)
    print("seed", seed)
    old = start_old(PUBLISH, free_port(), 3000)
    assert until(lambda: old.rows() > 0, 30)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    old.kill()
    expected = rows_of(tmp_path / "cache", tmp_path / "copy")
    print(len(expected), "rows;", [path.name for path in (tmp_path / "cache").iterdir()])
    assert expected == [("old/%d" % (number % 3), b"%06d" % number, number % 3) for number in range(len(expected))]
    check_delivered(make_client, broker, receiver, expected)


def test_killed_while_it_delivers_a_backlog(
    start_old: Callable[..., Old], make_client: Make, broker: Mosquitto, tmp_path: Path
) -> None:
    port = broker.port
    broker.stop()
    old = start_old(PUBLISH.replace("number % 3)\n", "2)\n"), port, 200)  # with QoS 0 it may wait for ever
    old.wait_ready()
    assert until(lambda: old.rows() == 200, 30)
    old.kill()
    broker.start()
    again = start_old("sys.stdin.read()\n", port)
    assert until(lambda: again.rows() < 190, 60)
    again.kill()
    expected = rows_of(tmp_path / "cache", tmp_path / "copy")
    assert 0 < len(expected) < 190
    with Receiver(port) as receiver:
        check_delivered(make_client, broker, receiver, expected)


def test_pickles_of_its_own_making(
    start_old: Callable[..., Old], make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path
) -> None:
    old = start_old(PICKLE, free_port(), 100)
    old.wait_ready()
    old.kill()
    assert len(list((tmp_path / "cache").glob("persistmq_cache_*.pkl"))) == 100
    check_delivered(make_client, broker, receiver, [("old", b"%06d" % number, 2) for number in range(100)])


def test_its_worker_which_outlives_a_killed_application_is_noticed(
    start_old: Callable[..., Old],
    make_client: Make,
    broker: Mosquitto,
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = start_old(PUBLISH, free_port(), 150)
    old.wait_ready()
    assert until(lambda: old.rows() == 150, 30)
    old.kill_application()
    monkeypatch.setattr("persistmq.takeover._WAIT_S", 0.2)
    client = make_client()
    status = client.get_status()
    assert status["accepted"] == 0
    assert "has it open" in status["takeover_error"]
    client.stop()
    old.kill()
    check_delivered(make_client, broker, receiver, rows_of(tmp_path / "cache", tmp_path / "copy"))


def test_a_program_that_says_sq3_needs_no_change(
    start_old: Callable[..., Old], broker: Mosquitto, receiver: Receiver, tmp_path: Path
) -> None:
    old = start_old(PUBLISH, free_port(), 150)
    old.wait_ready()
    assert until(lambda: old.rows() == 150, 30)
    old.kill()
    client = PersistClient(client_id="tester", cache_type="sq3", cache_path=tmp_path / "cache")
    try:
        assert client.get_status()["cache_type"] == "sqlite"
        client.connect_async(mqtt_host="127.0.0.1", mqtt_port=broker.port)
        assert client.flush(20)
    finally:
        client.stop()
    assert len(receiver.wait(150)) == 150
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["cache.sqlite3", "lock", "quarantine"]
