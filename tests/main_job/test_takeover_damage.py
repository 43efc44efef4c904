"""What is no message among what persistmq 0.1.4 left, or does not read: kept in quarantine, and never executed."""

import os
import pickle
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from persistmq import PersistClient

from tests.main_job.cache_files import stored_payloads
from tests.main_job.older_cache import numbered, payloads, write_database, write_pickles
from tests.main_job.receiver import Receiver
from tests.main_job.takeover_case import deliver, left_of_0_1_4
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


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
