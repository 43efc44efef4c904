"""What persistmq 0.1.4 left in the cache directory is delivered: in order, once, before anything new."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import PersistClient, StoreError

from tests.main_job.older_cache import KINDS, numbered, payloads, write_database, write_pickles
from tests.main_job.receiver import Receiver, until
from tests.main_job.takeover_case import deliver, left_of_0_1_4
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


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
