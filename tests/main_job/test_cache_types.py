"""cache_type: what it takes, and a cache of another type than it says."""

import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.main_job.cache_files import nothing_changes_in, stored_payloads
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]
OTHER = {"flat": "sqlite", "sqlite": "flat"}


@pytest.mark.parametrize(
    ("given", "is_made", "name"),
    [
        ("flat", "flat", "journal"),
        ("pickle", "flat", "journal"),
        ("sqlite", "sqlite", "cache.sqlite3"),
        ("sq3", "sqlite", "cache.sqlite3"),
    ],
)
def test_a_type_and_its_name_in_0_1_4(make_client: Make, tmp_path: Path, given: str, is_made: str, name: str) -> None:
    client = make_client(cache_type=given)
    client.publish("a", "b")
    assert client.get_status()["cache_type"] == is_made
    assert (tmp_path / "cache" / name).exists()


def test_the_default_is_flat_and_a_path_that_is_none_of_pathlib_s_will_do(tmp_path: Path) -> None:
    with PersistClient("tester", cache_path=str(tmp_path / "cache")) as client:
        assert client.get_status()["cache_type"] == "flat"
    with PersistClient(client_id="tester", cache_type="sq3", cache_path=tmp_path / "other") as client:
        assert client.get_status()["cache_type"] == "sqlite"


@pytest.mark.parametrize("made_as", ["flat", "sqlite"])
def test_a_cache_keeps_its_type_and_what_waits_in_it_is_delivered(
    make_client: Make, broker: Mosquitto, receiver: Receiver, caplog: pytest.LogCaptureFixture, made_as: str
) -> None:
    client = make_client(cache_type=made_as)
    for number in range(10):
        client.publish("a", number)
    client.stop()
    with caplog.at_level(logging.WARNING):
        client = make_client(cache_type=OTHER[made_as])
    assert 'was made with cache_type="%s" and stays so' % made_as in caplog.text
    status = client.get_status()
    assert (status["cache_type"], status["waiting"]) == (made_as, 10)
    client.connect_async("127.0.0.1", broker.port)
    client.publish("a", 10)
    assert client.flush(10)
    assert receiver.wait(11) == [str(number) for number in range(11)]


@pytest.mark.parametrize("made_as", ["flat", "sqlite"])
def test_who_asks_for_no_type_is_not_warned_of_the_one_that_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, made_as: str
) -> None:
    PersistClient("tester", made_as, tmp_path / "cache").stop()
    with caplog.at_level(logging.WARNING), PersistClient("tester", cache_path=tmp_path / "cache") as client:
        assert client.get_status()["cache_type"] == made_as
    assert caplog.text == ""


def test_two_caches_in_one_directory_are_refused_and_nothing_is_changed(make_client: Make, tmp_path: Path) -> None:
    for cache_type in ("flat", "sqlite"):
        client = make_client(cache_type=cache_type, cache_path=tmp_path / cache_type)
        client.publish("a", cache_type)
        client.stop()
    shutil.copytree(tmp_path / "flat", tmp_path / "cache")
    shutil.copy(tmp_path / "sqlite" / "cache.sqlite3", tmp_path / "cache")
    with nothing_changes_in(tmp_path / "cache"):
        for cache_type in ("flat", "sqlite"):
            with pytest.raises(ValueError, match=r"holds two caches.*cache\.sqlite3"):
                make_client(cache_type=cache_type)
    (tmp_path / "cache" / "cache.sqlite3").unlink()
    assert make_client().get_status()["waiting"] == 1


def test_a_worker_process_has_no_database(make_client: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='worker="process" needs a cache of cache_type "flat"'):
        make_client(cache_type="sqlite", worker="process")
    assert not (tmp_path / "cache" / "cache.sqlite3").exists()
    make_client(cache_type="sqlite").stop()
    with nothing_changes_in(tmp_path / "cache"), pytest.raises(ValueError, match="is a database"):
        make_client(cache_type="flat", worker="process")
    assert make_client(cache_type="sqlite").get_status()["waiting"] == 0  # and the lock was given back


def test_a_damaged_database_starts_and_delivers_what_reads(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(cache_type="sqlite")
    for number in range(1000):
        client.publish("a", "%04d" % number + "x" * 100)
    client.stop()
    database = tmp_path / "cache" / "cache.sqlite3"
    content = bytearray(database.read_bytes())
    content[:4096] = bytes(4096)  # its header and where the table is
    content[10 * 4096 : 11 * 4096] = b"?" * 4096  # and some 30 messages
    database.write_bytes(content)
    client = make_client(cache_type="sqlite")
    assert "was damaged" in caplog.text
    client.publish("a", "after")
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20)
    status = client.get_status()
    came = receiver.wait(status["delivered"])
    assert came == sorted(came)
    assert came[-1] == "after"
    assert 20 <= status["damaged"] <= 40
    assert status["delivered"] == len(came) == 1001 - status["damaged"] == len(set(came))
    assert status["damaged_bytes"] > 0
    kept = tmp_path / "cache" / "quarantine" / "cache.sqlite3.0"
    assert kept.read_bytes() == content


@pytest.mark.parametrize("seed", range(20))
def test_a_database_that_was_damaged_anywhere_starts_and_has_what_reads_once_and_in_order(
    make_client: Make, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    client = make_client(cache_type="sqlite", segment_bytes_max=8192)
    sent = ["%04d" % number + "x" * rng.randrange(300) for number in range(400)]
    client.publish_many([("a", payload) for payload in sent[:200]])
    for payload in sent[200:]:
        client.publish("a", payload)
    client.stop()
    database = tmp_path / "cache" / "cache.sqlite3"
    content = bytearray(database.read_bytes())
    bad_pages = 0
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(content))
        length = rng.choice((1, 50, 4096, 20_000))
        bad_pages += (at + length) // 4096 - at // 4096 + 1
        content[at : at + length] = rng.choice((bytes(length), rng.randbytes(length)))[: len(content) - at]
    database.write_bytes(content)
    client = make_client(cache_type="sqlite", segment_bytes_max=8192)
    assert client.publish("a", "new").is_stored() or client.publish("a", "new").is_stored()
    *found, new = stored_payloads(client)
    assert new == "new"
    assert found == [payload for payload in sent if payload in set(found)]
    assert len(found) >= 400 - 40 * bad_pages  # 20 to 30 messages are on a page
    status = client.get_status()
    assert status["accepted"] == status["waiting"] + status["damaged"] + status["delivered"]
