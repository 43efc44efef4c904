"""Bundles: a backlog as a few messages, taken apart by 0.1.4's receivers or by ours."""

from collections.abc import Callable
from pathlib import Path

import cbor2
import pytest
from persistmq import PersistClient
from persistmq.receiver import Receiver as Unpacker

from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]


def unbundle_as_0_1_4(topic: str, payload: bytes, levels: int = 2) -> list[tuple[str, object]]:
    """What a receiver of 0.1.4 does with a bundle."""
    prefix = "/".join(topic.split("/")[:-levels])
    return [(prefix + "/" + entry["subtopic"], entry["payload"]) for entry in cbor2.loads(payload)]


def test_a_receiver_of_0_1_4_reads_a_backlog_in_bundles(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client(bulk_msg_count=50)
    for number in range(500):
        client.publish("dt/plant/line/level", f"v{number}", 2)
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20)
    receiver.wait(10)
    found: list[tuple[str, object]] = []
    for arrival in receiver.arrivals:
        if arrival.topic == "dt/plant/mixed/bulk":
            found += unbundle_as_0_1_4(arrival.topic, arrival.payload)
        else:
            found.append((arrival.topic, arrival.payload.decode()))
    assert found == [("dt/plant/line/level", f"v{number}") for number in range(500)]
    assert len(receiver.arrivals) <= 20
    status = client.get_status()
    assert (status["accepted"], status["delivered"], status["waiting"]) == (500, 500, 0)


@pytest.mark.parametrize("compress", [False, True])
def test_the_form_with_identity_keeps_all_of_each_message_over_broker_restarts(
    make_client: Make, tmp_path: Path, compress: bool
) -> None:
    (tmp_path / "sessions").mkdir()
    with Mosquitto(persistence_dir=tmp_path / "sessions") as broker, Receiver(broker.port) as receiver:
        options = {"bulk_msg_count": 40, "bulk_form": "persistmq", "bulk_compress": compress}
        client = make_client(durability="async", **options)
        for number in range(1500):
            client.publish(f"a/{number % 7}", b"%d" % number, 1 + number // 100 % 2)
        client.connect_async("127.0.0.1", broker.port)
        broker.restart()
        client.stop()
        client = make_client(durability="async", **options)
        client.connect_async("127.0.0.1", broker.port)
        broker.restart()
        assert client.flush(60)
        settled = -1
        while settled != len(receiver.arrivals):
            settled = len(receiver.wait(1 << 30, 1.0))
        found = []
        unpacker = Unpacker(tmp_path / "state")
        for arrival in receiver.arrivals:
            found += unpacker.take(arrival.topic, arrival.payload, qos=arrival.qos, retain=arrival.retain)
        texts = {bytes(message.payload): message for message in found}
        assert sorted(int(text) for text in texts) == list(range(1500))
        for number in (0, 11, 777):
            message = texts[b"%d" % number]
            assert (message.topic, message.qos) == (f"a/{number % 7}", 1 + number // 100 % 2)
        assert len(receiver.arrivals) < 500


def test_without_it_nothing_is_bundled(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    client = make_client()
    client.publish_many([("a", number) for number in range(100)])
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert receiver.wait(100) == [str(number) for number in range(100)]
