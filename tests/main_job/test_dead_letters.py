"""What the broker refuses: listed, sent again, handed on, removed, and bounded."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from persistmq import ClientStopped, DeadLetter, PersistClient

from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]


@pytest.fixture
def acl(tmp_path: Path) -> Path:
    """The topic "no/#" is forbidden."""
    path = tmp_path / "acl"
    path.write_text("topic readwrite yes/#\n")
    path.chmod(0o644)
    return path


@pytest.fixture
def strict(acl: Path) -> Iterator[Mosquitto]:
    with Mosquitto(config_lines=[f"acl_file {acl}"]) as started:
        yield started


def refused(make_client: Make, broker: Mosquitto, count: int, **options: object) -> PersistClient:
    client = make_client(protocol=paho.MQTTv5, **options)
    client.connect_async("127.0.0.1", broker.port)
    for number in range(count):
        client.publish("no/a", b"\xff" if number == 1 else f"m{number}", 1)
    client.publish("yes/a", "fine", 1)
    assert client.flush(20)
    return client


def test_they_are_listed_with_their_reason_also_after_a_restart(make_client: Make, strict: Mosquitto) -> None:
    client = refused(make_client, strict, 3)
    client.stop()
    client = make_client()
    letters = list(client.dead_letters)
    assert len(client.dead_letters) == client.get_status()["refused"] == 3
    assert [letter.seq for letter in letters] == [1, 2, 3]
    first = letters[0]
    assert (first.topic, first.payload, first.qos, first.retain) == ("no/a", b"m0", 1, False)
    assert (first.reason_code, first.reason) == (0x87, "not authorized (0x87)")
    assert first.accepted is not None
    assert client.dead_letters.counts() == {"not authorized (0x87)": 3}


def test_what_is_requeued_arrives_once_the_broker_takes_it(make_client: Make, strict: Mosquitto, acl: Path) -> None:
    client = refused(make_client, strict, 3)
    acl.write_text("topic readwrite #\n")
    strict.restart()
    with Receiver(strict.port) as receiver:
        for letter in client.dead_letters:
            assert client.dead_letters.requeue(letter).wait_for_publish(10)
        receiver.wait(3)
        assert sorted(arrival.payload for arrival in receiver.arrivals) == [b"m0", b"m2", b"\xff"]
    assert len(client.dead_letters) == 0
    with pytest.raises(KeyError, match="there is no dead letter dead/.* any more: it was requeued or removed"):
        client.dead_letters.requeue(letter)


def test_they_are_exported_and_removed(make_client: Make, strict: Mosquitto, tmp_path: Path) -> None:
    client = refused(make_client, strict, 2)
    path = tmp_path / "letters.jsonl"
    assert client.dead_letters.export(path) == 2
    text, binary = [json.loads(line) for line in path.read_text().splitlines()]
    assert (text["topic"], text["payload"], text["reason"]) == ("no/a", "m0", "not authorized (0x87)")
    assert binary["payload_base64"] == "/w=="
    with pytest.raises(FileExistsError):
        client.dead_letters.export(path)
    for letter in client.dead_letters:
        client.dead_letters.remove(letter)
    assert list(client.dead_letters) == []


def test_beyond_their_bound_the_oldest_go(
    make_client: Make, strict: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    client = refused(make_client, strict, 6, dead_letters_max=4)
    assert [letter.seq for letter in client.dead_letters] == [3, 4, 5, 6]
    assert "more than 4 dead letters" in caplog.text
    assert client.get_status()["refused"] == 6


def test_a_damaged_one_goes_to_quarantine_and_the_others_are_read(
    make_client: Make, strict: Mosquitto, tmp_path: Path
) -> None:
    client = refused(make_client, strict, 2)
    file = sorted((tmp_path / "cache" / "dead").iterdir())[0]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert [letter.seq for letter in client.dead_letters] == [2]
    assert not file.exists()
    assert len(list((tmp_path / "cache" / "quarantine").iterdir())) == 1


def test_each_lane_has_its_own(make_client: Make, strict: Mosquitto) -> None:
    client = make_client(protocol=paho.MQTTv5, drain="in_order")
    client.publish("no/a", "plain", 1)
    client.publish("no/a", "alarm", 1, priority=True)
    client.connect_async("127.0.0.1", strict.port)
    assert client.flush(20)
    letters: list[DeadLetter] = list(client.dead_letters)
    assert [(letter.payload, letter.goes_ahead) for letter in letters] == [(b"plain", False), (b"alarm", True)]
    client.dead_letters.remove(letters[1])
    assert [letter.payload for letter in client.dead_letters] == [b"plain"]
    client.dead_letters.requeue(letters[0])
    assert client.flush(20)
    assert [letter.payload for letter in client.dead_letters] == [b"plain"]
    assert next(iter(client.dead_letters)).seq > letters[0].seq


@pytest.mark.parametrize("durability", ["sync", "async", "spill"])
def test_threads_that_requeue_the_same_letter_send_it_once(
    make_client: Make, strict: Mosquitto, durability: str
) -> None:
    client = refused(make_client, strict, 1, durability=durability)
    accepted = client.get_status()["accepted"]
    letter = next(iter(client.dead_letters))
    start = threading.Barrier(8)
    gone: list[str] = []

    def requeue() -> None:
        start.wait()
        try:
            client.dead_letters.requeue(letter)
        except KeyError:
            gone.append("gone")

    threads = [threading.Thread(target=requeue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (client.get_status()["accepted"] - accepted, len(gone)) == (1, 7)


def test_a_letter_stays_if_the_client_ends_before_it_is_stored(
    make_client: Make, strict: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = refused(make_client, strict, 1, durability="spill")
    letter = next(iter(client.dead_letters))
    monkeypatch.setattr(client, "wait_for_stored", lambda *_: False)
    with pytest.raises(ClientStopped, match="before the dead letter was stored"):
        client.dead_letters.requeue(letter)
    assert letter.name in [each.name for each in client.dead_letters]


@pytest.mark.parametrize("bound", [0, -1, 2.5, "3", True])
def test_a_bound_that_is_no_number_of_letters_is_refused_at_once(make_client: Make, bound: object) -> None:
    with pytest.raises(ValueError, match="dead_letters_max must be a whole number from 1, or None"):
        make_client(dead_letters_max=bound)


@pytest.mark.parametrize("letter", [None, "0000000000000001-87.letter", 1])
def test_what_is_no_letter_is_refused_by_name(make_client: Make, letter: Any) -> None:
    client = make_client()
    for call in (client.dead_letters.requeue, client.dead_letters.remove):
        with pytest.raises(TypeError, match=f"letter must be a DeadLetter, .* not {letter!r}"):
            call(letter)
