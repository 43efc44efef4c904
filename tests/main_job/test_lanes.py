"""After an outage: what goes ahead of the backlog, at which rate the backlog goes, and that all of it arrives once."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


def payloads(receiver: Receiver) -> list[bytes]:
    return [arrival.payload for arrival in receiver.arrivals]


@pytest.mark.parametrize("qos", [1, 2])
def test_live_messages_do_not_wait_for_the_backlog(
    make_client: Make, broker: Mosquitto, receiver: Receiver, qos: int
) -> None:
    client = make_client(drain="live_first", drain_messages_per_s=100)
    client.publish_many([("a", f"old {number}") for number in range(200)], qos)
    client.connect_async("127.0.0.1", broker.port)
    assert until(lambda: len(receiver.arrivals) > 10)
    delays = []
    for number in range(10):
        began = time.monotonic()
        live = client.publish("a", f"live {number}", qos)
        assert live.wait_for_publish(10)
        delays.append(time.monotonic() - began)
    assert client.get_status()["waiting"] > 0
    assert max(delays) < 1
    assert client.flush(20)
    assert until(lambda: len(receiver.arrivals) >= 210)
    found = payloads(receiver)
    assert sorted(found) == sorted([b"old %d" % number for number in range(200)] + [b"live %d" % n for n in range(10)])
    for lane in (b"old", b"live"):
        numbers = [int(payload.split()[1]) for payload in found if payload.startswith(lane)]
        assert numbers == sorted(numbers)


def test_the_backlog_goes_at_its_rate(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    client = make_client(drain_bytes_per_s=20_000)
    client.publish_many([("a", bytes(999)) for _ in range(40)], 1)
    began = time.monotonic()
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20)
    assert 1.5 < time.monotonic() - began < 6
    assert until(lambda: len(receiver.arrivals) >= 40)


def test_what_has_priority_goes_ahead_also_after_a_restart(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client(drain="in_order", window=2)
    client.publish_many([("a", number) for number in range(50)], 1)
    alarm = client.publish("alarm", "fire", 1, priority=True)
    assert alarm.is_stored()
    client.publish_many([("alarm", "smoke")], 1, priority=True)
    client.stop()
    client = make_client(window=2)  # a second lane that is there is delivered, asked for or not
    assert client.get_status()["waiting"] == 52
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert until(lambda: len(receiver.arrivals) >= 52)
    assert payloads(receiver)[:2] == [b"fire", b"smoke"]
    assert payloads(receiver)[2:] == [b"%d" % number for number in range(50)]


def test_infos_and_callbacks_know_both_lanes(make_client: Make, broker: Mosquitto) -> None:
    client = make_client(drain="live_first")
    heard: list[int] = []
    client.on_delivered = lambda _, seq: heard.append(seq)
    plain = client.publish("a", "plain", 1)
    alarm = client.publish("a", "alarm", 1, priority=True)
    assert plain.seq != alarm.seq
    assert plain.mid <= 60000 < alarm.mid
    assert not alarm.is_published()
    client.connect_async("127.0.0.1", broker.port)
    assert alarm.wait_for_publish(10)
    assert plain.wait_for_publish(10)
    assert sorted(heard) == sorted([plain.seq, alarm.seq])
    status = client.get_status()
    assert (status["accepted"], status["delivered"], status["waiting"]) == (2, 2, 0)


def test_asyncio_publishes_into_both_lanes(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    client = make_client(drain="live_first", drain_messages_per_s=200)

    async def publish() -> None:
        await asyncio.gather(*[client.publish_async("a", f"old {number}", 2) for number in range(50)])
        alarm = await client.publish_async("a", "alarm", 2, priority=True)
        client.connect_async("127.0.0.1", broker.port)
        assert await alarm.published(10)
        assert await client.flush_async(20)

    asyncio.run(publish())
    assert until(lambda: len(receiver.arrivals) >= 51)
    assert b"alarm" in payloads(receiver)[:5]


def test_the_broker_restarts_again_and_again_and_both_lanes_arrive_once(make_client: Make, tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    with Mosquitto(persistence_dir=tmp_path / "sessions") as broker, Receiver(broker.port) as receiver:
        client = make_client(drain="live_first", durability="async")
        client.publish_many([("a", f"old {number}") for number in range(600)], 2)
        client.connect_async("127.0.0.1", broker.port)
        for number in range(300):
            client.publish("a", f"new {number}", 2, priority=number % 10 == 0)
            if number % 100 == 50:
                broker.restart()
            time.sleep(0.002)
        assert client.flush(60)
        assert len(receiver.wait(900)) == 900
        assert len(set(receiver.payloads)) == 900


def test_a_kill_in_the_middle_loses_no_lane(make_client: Make, tmp_path: Path) -> None:
    client = make_client(drain="live_first")
    for number in range(20):
        client.publish("a", number, priority=number % 2 == 0)
    # What a kill leaves: the files as they are, and no good-bye.
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in (tmp_path / "cache").rglob("*"):
        target = copy / file.relative_to(tmp_path / "cache")
        if file.is_dir():
            target.mkdir(exist_ok=True)
        elif file.name != "lock":
            target.write_bytes(file.read_bytes())
    again = make_client("other", cache_path=copy)
    assert len(again._stores) == 2
    assert again.get_status()["waiting"] == 20


@pytest.mark.parametrize("cache_type", ["flat"])
def test_what_cannot_be_is_named(make_client: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="drain must be None or one of 'in_order', 'live_first', 'interleaved'"):
        make_client(drain="fast")
    with pytest.raises(ValueError, match="backlog_share must be between 0 and 1, not 1"):
        make_client(drain="live_first", backlog_share=1)
    with pytest.raises(ValueError, match="backlog_share must be a number, not 'a'"):
        make_client(drain="live_first", backlog_share="a")
    with pytest.raises(ValueError, match="drain_bytes_per_s must be a number, not True"):
        make_client(drain_bytes_per_s=True)
    with pytest.raises(ValueError, match="drain_messages_per_s must be greater than 0"):
        make_client(drain_messages_per_s=0)
    with pytest.raises(ValueError, match='drain= needs worker="thread"'):
        make_client(drain="live_first", worker="process")
    with pytest.raises(ValueError, match="window_qos2 must be 2 at least"):
        make_client(drain="live_first", window_qos2=1)
    client = make_client()
    with pytest.raises(ValueError, match="priority needs a client that was made with drain="):
        client.publish("a", priority=True)
    with pytest.raises(ValueError, match="priority needs"):
        client.publish_many([("a", 1)], priority=True)
    assert client.get_status()["accepted"] == 0
    make_client("other", drain="in_order", cache_path=tmp_path / "two").stop()
    with pytest.raises(ValueError, match="is the second lane of the cache in"):
        make_client("other", cache_path=tmp_path / "two" / "ahead")
    with pytest.raises(ValueError, match="holds a second lane"):
        make_client("other", worker="process", cache_path=tmp_path / "two")
