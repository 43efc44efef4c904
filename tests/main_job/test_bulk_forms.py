"""Both forms of bundles at a real broker: what is in them, on any cache and protocol, and after a restart."""

import itertools
import zlib
from collections.abc import Callable
from pathlib import Path

import cbor2
import pytest
from paho.mqtt.client import MQTTv5, MQTTv311
from persistmq import PersistClient
from persistmq.receiver import Receiver as BundleReceiver

from tests.main_job.receiver import Arrival, Receiver, until
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]
Message = tuple[str, bytes]


def as_its_receivers_read(arrivals: list[Arrival], rewrite: str) -> list[tuple[str, object]]:
    """Receivers were written like this for persistmq 0.1.4. A payload is text or bytes in a bundle, alone bytes."""
    found: list[tuple[str, object]] = []
    for arrival in arrivals:
        if arrival.topic.endswith("/" + rewrite):
            prefix = arrival.topic[: -len(rewrite)]
            for entry in cbor2.loads(arrival.payload):
                found.append((prefix + entry["subtopic"], entry["payload"]))
        else:
            found.append((arrival.topic, arrival.payload))
    return found


def backlog(count: int) -> list[tuple[str, object]]:
    """What it is made of in practice: numbers as text, JSON, and bytes that are neither."""
    payloads = ("%d.5", '{"value": %d}', b"\x00\x01%d")
    return [("plant/7/s%d/v" % (index % 3), payloads[index % 3] % index) for index in range(count)]


def test_for_a_receiver_of_0_1_4_text_is_text_and_bytes_are_bytes(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client(bulk_msg_count=50, bulk_topic_rewrite="mixed/bulk")
    sent = backlog(230)
    client.publish_many(sent)
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20)
    assert until(lambda: len(receiver.arrivals) >= 4 + 30)
    assert [arrival.topic for arrival in receiver.arrivals][:5] == ["plant/7/mixed/bulk"] * 4 + ["plant/7/s2/v"]
    found = as_its_receivers_read(receiver.arrivals, "mixed/bulk")
    assert found[:200] == sent[:200]
    single = [(topic, text.encode() if isinstance(text, str) else text) for topic, text in sent[200:]]
    assert found[200:] == single
    status = client.get_status()
    assert (status["delivered"], status["waiting"]) == (230, 0)


@pytest.mark.parametrize(("worker", "cache_type"), [("thread", "flat"), ("thread", "sqlite"), ("process", "flat")])
@pytest.mark.parametrize("protocol", [MQTTv311, MQTTv5])
@pytest.mark.parametrize("form", ["simple", "persistmq", "compressed"])
def test_persistmq_receiver_takes_them_apart(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, form: str, protocol: int, worker: str
) -> None:
    compress = form == "compressed"
    client = make_client(
        bulk_msg_count=20,
        bulk_topic_rewrite="pole/bulk",
        bulk_form="persistmq" if compress else form,
        bulk_compress=compress,
        protocol=protocol,
        worker=worker,
    )
    expected = []
    for index in range(205):
        qos = 1 + index // 40 % 2
        client.publish("a/b/%d" % (index % 7), b"payload %d" % index, qos, retain=index == 150)
        expected.append(("a/b/%d" % (index % 7), b"payload %d" % index))
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(30)
    with BundleReceiver(tmp_path / "ledger", bulk_topic_rewrite="pole/bulk") as taken:
        assert until(lambda: sum(len(each) for each in map(_held, receiver.arrivals)) >= 205)
        messages = []
        for arrival in receiver.arrivals:
            messages += taken.take(arrival.topic, arrival.payload, qos=arrival.qos, retain=arrival.retain)
        taken.commit()
        assert [(message.topic, message.payload) for message in messages if message.qos == 1] == [
            each for index, each in enumerate(expected) if index // 40 % 2 == 0
        ]
        assert sorted((message.topic, message.payload) for message in messages) == sorted(expected)
        if form != "simple":
            bundled = [message for message in messages if message.identity is not None]
            assert len(bundled) > 150
            assert all(message.accepted_ms and message.accepted_ms > 1_700_000_000_000 for message in bundled)
            assert [message.payload for message in bundled if message.retain] == [b"payload 150"]
            if protocol == MQTTv311:
                assert [stream["missing"] for stream in taken.status()["streams"]] == [0]


def _held(arrival: Arrival) -> list[object]:
    """The messages of a bundle, or one."""
    if not arrival.topic.endswith("pole/bulk"):
        return [arrival]
    found = cbor2.loads(arrival.payload)
    if found[:2] != ["pmq", 1]:
        return list(found)
    return list(cbor2.loads(zlib.decompress(found[5])) if found[4] else found[5])


def test_bundles_go_on_after_a_restart_with_other_settings(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client(bulk_msg_count=10)
    for index in range(100):
        client.publish("a/b/c", str(index))
    client.stop()
    for form, count in (("persistmq", 7), ("simple", 30), ("simple", 0)):
        client = make_client(bulk_msg_count=count, bulk_form=form)
        for index in range(100):
            client.publish("a/b/c", str(index))
        client.connect_async("127.0.0.1", broker.port)
        client.stop(timeout=0)
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20)
    status = client.get_status()
    assert (status["accepted"], status["delivered"]) == (400, 400)
    assert until(lambda: len(_numbers(receiver)) >= 400)
    assert sorted(_numbers(receiver)) == sorted(itertools.chain(*[range(100)] * 4))


def _numbers(receiver: Receiver) -> list[int]:
    found: list[int] = []
    for arrival in list(receiver.arrivals):
        if not arrival.topic.endswith("mixed/bulk"):
            found.append(int(arrival.payload))
            continue
        entries = cbor2.loads(arrival.payload)
        if entries[0] == "pmq":
            found += [int(entry[3]) for entry in entries[5]]
        else:
            found += [int(entry["payload"]) for entry in entries]
    return found


def test_a_checkpoint_has_no_byte_more_where_bundles_are_off(make_client: Make, tmp_path: Path) -> None:
    sizes = []
    for name, options in (("off", {}), ("on", {"bulk_msg_count": 100})):
        client = make_client(cache_path=tmp_path / name, cache_type="flat", **options)
        client.stop()
        sizes.append((tmp_path / name / "checkpoint.0").stat().st_size)
    assert sizes == [100 + 1000 // 4, 100 + 4000 // 4 + 2 + 2 + len("mixed/bulk") + 1 + 1]
