"""A cache with bounds, and messages that expire, as an application meets them."""

import math
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from persistmq import CacheFull, ClientStopped, MessageDropped, PersistClient, StoreError

from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto, free_port

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


def test_a_full_cache_refuses_and_takes_again_when_something_is_delivered(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client(cache_messages_max=3)
    for number in range(3):
        client.publish("a", number)
    with pytest.raises(CacheFull, match="cache_messages_max is 3"):
        client.publish("a", "refused")
    with pytest.raises(StoreError):
        client.publish_many([("a", "refused")])
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    client.publish("a", 3)
    assert client.flush(10)
    assert until(lambda: [arrival.payload for arrival in receiver.arrivals] == [b"0", b"1", b"2", b"3"])


@pytest.mark.parametrize("durability", ["sync", "async", "spill"])
def test_block_waits_until_there_is_room(
    make_client: Make, broker: Mosquitto, receiver: Receiver, durability: str
) -> None:
    client = make_client(cache_messages_max=10, on_full="block", durability=durability)
    thread = threading.Thread(target=lambda: [client.publish("a", number) for number in range(200)])
    thread.start()
    assert until(lambda: client.get_status()["waiting"] + client.get_status()["staged"] >= 10)
    client.connect_async("127.0.0.1", broker.port)
    thread.join(30)
    assert not thread.is_alive()
    assert client.flush(10)
    assert until(lambda: len(receiver.arrivals) >= 200)
    assert [arrival.payload for arrival in receiver.arrivals] == [b"%d" % number for number in range(200)]


def test_block_gives_up_after_its_time_and_when_the_client_is_stopped(make_client: Make) -> None:
    client = make_client(cache_messages_max=1, on_full="block", full_timeout_ms=150)
    client.publish("a", 1)
    began = time.monotonic()
    with pytest.raises(CacheFull):
        client.publish("a", 2)
    assert 0.1 < time.monotonic() - began < 5
    client.stop()
    patient = make_client(cache_messages_max=1, on_full="block")
    outcome: list[Exception] = []

    def wait() -> None:
        try:
            patient.publish("a", 3)
        except ClientStopped as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert until(lambda: patient._outcomes._waits)
    patient.stop()
    thread.join(10)
    assert len(outcome) == 1


def test_a_device_that_cannot_be_asked_for_room_stops_neither_delivery_nor_who_waits(
    make_client: Make, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(free_bytes_min=1000, on_full="block")
    store = client._stores[0]
    monkeypatch.setattr(store, "free_bytes", lambda: 1040)
    client.publish("a", 1)
    thread = threading.Thread(target=client.publish, args=("a", b"x" * 100))
    thread.start()
    assert until(lambda: bool(client._outcomes._waits))
    asking: list[str] = []

    def broken() -> int:
        asking.append(threading.current_thread().name)
        raise OSError(5, "statvfs failed")

    monkeypatch.setattr(store, "free_bytes", broken)
    client.connect_async("127.0.0.1", broker.port)
    assert until(lambda: "persistmq" in asking)  # when something is delivered it looks who has room now
    monkeypatch.setattr(store, "free_bytes", lambda: 1 << 20)
    assert client.publish("a", 3).wait_for_publish(5)
    thread.join(5)
    assert not thread.is_alive()
    assert client.flush(5)
    assert client.get_status()["connections"] == 1


@pytest.mark.parametrize("durability", ["sync", "async", "spill"])
def test_drop_oldest_keeps_the_newest_through_an_outage(
    make_client: Make, broker: Mosquitto, receiver: Receiver, durability: str
) -> None:
    client = make_client(cache_messages_max=50, on_full="drop_oldest", durability=durability)
    dropped: list[int] = []
    client.on_dropped = lambda client, seq, account, reason: dropped.append(seq)
    infos = [client.publish("a", number) for number in range(300)]
    status = client.get_status()
    assert (status["evicted"], status["waiting"] + status["staged"]) == (250, 50)
    assert dropped == [info.seq for info in infos[:250]]
    with pytest.raises(MessageDropped, match="evicted"):
        infos[0].wait_for_publish(1)
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert until(lambda: len(receiver.arrivals) >= 50)
    assert [arrival.payload for arrival in receiver.arrivals] == [b"%d" % number for number in range(250, 300)]
    assert client.get_status()["delivered"] == 50


def test_a_bound_of_bytes_holds_on_the_disk(make_client: Make, cache_type: str) -> None:
    client = make_client(cache_bytes_max=64 * 1024, on_full="drop_oldest")
    for _ in range(2000):
        client.publish("a", b"x" * 100)
    store = client._stores[0]
    held = sum(store.size(name) for name in store.list("journal"))
    assert held == client.get_status()["cache_bytes"] <= 64 * 1024
    assert client.get_status()["waiting"] > 300
    on_disk = sum(path.stat().st_size for path in Path(store.path).rglob("*") if path.is_file())
    # A database has its log beside it, up to 1 MiB and what one transaction adds.
    assert on_disk <= 64 * 1024 + (2048 if cache_type == "flat" else 1_500_000)


def test_a_callback_that_publishes_into_a_full_cache_is_refused_and_does_not_hang(
    make_client: Make, broker: Mosquitto
) -> None:
    client = make_client(cache_messages_max=2, on_full="block")
    errors: list[Exception] = []

    def again(client: PersistClient, seq: int) -> None:
        try:
            client.publish_many([("a", 1), ("a", 2)])
        except CacheFull as error:
            errors.append(error)

    client.on_delivered = again
    client.publish_many([("a", 1), ("a", 2)])
    client.connect_async("127.0.0.1", broker.port)
    assert until(lambda: errors)


def later(clock_ns: Callable[[], int]) -> int:
    """An hour."""
    return clock_ns() + 3600 * 10**9


def test_what_is_too_old_after_an_outage_is_not_sent(
    make_client: Make, broker: Mosquitto, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(expires_after=60)
    old = client.publish("a", "old")
    client.publish("a", "for ever", expires_after=math.inf)
    client.publish_many([("a", "longer")], expires_after=7200)
    assert until(lambda: client._engine.delivery.jumps is not None)
    time.sleep(0.1)  # the client's thread is asleep then, and sees both clocks go on at once: none was set
    an_hour_later = {name: partial(later, getattr(time, name)) for name in ("time_ns", "monotonic_ns")}
    monkeypatch.setattr("persistmq.clock.time", SimpleNamespace(**an_hour_later))
    client.publish("a", "new")
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert until(lambda: len(receiver.arrivals) >= 3)
    assert [arrival.payload for arrival in receiver.arrivals] == [b"for ever", b"longer", b"new"]
    with pytest.raises(MessageDropped, match="expired"):
        old.wait_for_publish(1)
    status = client.get_status()
    assert (status["expired"], status["delivered"], status["clock_valid"]) == (1, 3, True)


def test_what_becomes_too_old_in_an_outage_makes_room_for_what_is_new(make_client: Make) -> None:
    client = make_client(expires_after=1, cache_messages_max=3)
    client.connect_async("127.0.0.1", free_port())  # where nobody listens
    client.publish_many([("a", number) for number in range(3)])
    with pytest.raises(CacheFull):
        client.publish("a", "new")
    assert until(lambda: client.get_status()["expired"] == 3, 20)
    client.publish("a", "new")


@pytest.mark.parametrize(
    "options",
    [
        {"cache_bytes_max": 0},
        {"cache_bytes_max": 100},
        {"cache_messages_max": 0},
        {"free_bytes_min": -1},
        {"on_full": "explode"},
        {"expires_after": 0},
        {"expires_after": -1},
        {"on_full": "drop_oldest", "worker": "process"},
    ],
)
def test_bounds_that_cannot_be_are_refused(make_client: Make, options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        make_client(**options)


def test_an_expiry_that_is_no_number_is_refused_before_anything_is_written(make_client: Make) -> None:
    client = make_client()
    with pytest.raises(TypeError):
        client.publish("a", "b", expires_after="1")  # type: ignore[arg-type]
    assert client.get_status()["accepted"] == 0


@pytest.mark.parametrize("drain", [None, "in_order"])
def test_with_drop_oldest_many_threads_at_a_full_cache_are_all_accepted(make_client: Make, drain: str | None) -> None:
    client = make_client(cache_messages_max=200, on_full="drop_oldest", drain=drain)
    refusals: list[str] = []

    def publish(priority: bool) -> None:
        for number in range(200):
            try:
                if number % 7:
                    client.publish("t", "x", priority=priority)
                else:
                    client.publish_many([("t", "x")] * 5, priority=priority)
            except CacheFull as full:
                refusals.append(str(full))

    threads = [threading.Thread(target=publish, args=(drain is not None and index % 2 > 0,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = client.get_status()
    assert (refusals, status["accepted"]) == ([], 6 * (171 + 29 * 5))
    assert status["waiting"] <= 200


@pytest.mark.parametrize("many", [False, True])
def test_a_clock_that_is_set_before_connect_async_makes_no_message_of_this_run_older(
    make_client: Make, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """A gateway boots with the date of its software, measures, finds a time server, and then its broker."""
    client = make_client(expires_after=3600)
    if many:
        client.publish_many([("a", "in time")])
    else:
        client.publish("a", "in time")
    assert until(lambda: client._engine.delivery.jumps is not None)
    real = time.time_ns
    monkeypatch.setattr("persistmq.clock.time.time_ns", lambda: real() + 86400 * 10**9)
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert (client.get_status()["expired"], client.get_status()["delivered"]) == (0, 1)
