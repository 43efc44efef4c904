"""What publish() returns, what it does to a payload, and waiting."""

import threading
import time
from collections.abc import Callable

import paho.mqtt.client as paho
import pytest
from persistmq import PersistClient

from tests.main_job.cache_files import before_each_sync
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto, free_port

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


def test_info_has_the_shape_of_pahos_and_says_what_is_stored_and_what_is_delivered(
    make_client: Make, broker: Mosquitto
) -> None:
    client = make_client()
    infos = [client.publish("a", number, qos=number % 3) for number in range(6)]
    assert [info.seq for info in infos] == list(range(infos[0].seq, infos[0].seq + 6))
    for info in infos:
        rc, mid = info
        assert (rc, mid) == (info.rc, info.mid) == (info[0], info[1]) == (0, 1 + info.seq % 60000)
        assert info.is_stored()
        assert info.wait_for_stored(0)
        assert not info.is_published()
    with pytest.raises(IndexError):
        infos[0][2]
    client.connect_async("127.0.0.1", broker.port)
    for info in infos:
        assert info.wait_for_publish(10)
        assert info.is_published()
        assert info.rc == 0


def test_wait_for_publish_gives_up_at_its_timeout(make_client: Make) -> None:
    info = make_client().publish("a", "b")
    began = time.monotonic()
    assert not info.wait_for_publish(0.2)
    assert 0.2 <= time.monotonic() - began < 2
    assert not info.wait_for_publish(0)


def test_in_async_wait_for_stored_says_when_it_is_on_storage(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_is_ready = threading.Event()
    client = make_client(durability="async")
    client.connect_async("127.0.0.1", free_port())
    before_each_sync(client, monkeypatch, lambda: disk_is_ready.wait(10))
    info = client.publish("a", "b")
    assert until(lambda: client._commits._leader)  # else the waiter would be the one who writes
    assert not info.wait_for_stored(0.1)
    assert not info.is_stored()
    status = client.get_status()
    assert (status["staged"], status["accepted"], status["waiting"]) == (1, 0, 0)
    disk_is_ready.set()
    assert info.wait_for_stored(5)
    assert info.is_stored()
    status = client.get_status()
    assert (status["staged"], status["accepted"], status["waiting"]) == (0, 1, 1)


def test_in_async_the_engine_stores_before_connect_async_too(make_client: Make) -> None:
    client = make_client(durability="async")
    infos = [client.publish("a", number) for number in range(3)]
    assert until(lambda: all(info.is_stored() for info in infos))
    assert client.get_status()["down_reason"] == "not connected yet"


def test_in_async_stop_stores_what_came_while_the_disk_was_busy(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_is_ready = threading.Event()
    client = make_client(durability="async")
    client.connect_async("127.0.0.1", free_port())
    before_each_sync(client, monkeypatch, lambda: disk_is_ready.wait(10))
    client.publish("a", "written")
    assert until(lambda: client._commits._leader)
    client.publish("a", "behind it")
    stopping = threading.Thread(target=client.stop)
    stopping.start()
    time.sleep(0.1)
    disk_is_ready.set()
    stopping.join(10)
    assert make_client().get_status()["waiting"] == 2


def test_in_async_the_engine_stores_without_being_asked(make_client: Make, broker: Mosquitto) -> None:
    client = make_client(durability="async")
    client.connect_async("127.0.0.1", broker.port)
    info = client.publish("a", "b")
    assert until(info.is_stored, 2)
    assert info.wait_for_publish(10)


def test_flush_says_whether_all_is_settled(make_client: Make, broker: Mosquitto) -> None:
    client = make_client()
    assert client.flush(0)
    client.publish("a", "b")
    began = time.monotonic()
    assert not client.flush(0.2)
    assert 0.2 <= time.monotonic() - began < 2
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush()
    assert client.get_status()["waiting"] == 0


PAYLOADS = ["text", "ä€", b"\0\xff", bytearray(b"array"), 3, -5, 10**30, 0.1, 1e300, float("nan"), True, "", None]


def test_payloads_are_encoded_as_paho_does(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    bare = paho.Client(paho.CallbackAPIVersion.VERSION2, "bare")
    bare.connect("127.0.0.1", broker.port)
    bare.loop_start()
    for payload in PAYLOADS:
        client.publish("ours", payload)
        bare.publish("theirs", payload, qos=2).wait_for_publish(5)  # type: ignore[arg-type]
    assert client.flush(10)
    bare.disconnect()
    bare.loop_stop()
    receiver.wait(2 * len(PAYLOADS))
    came = {topic: [each.payload for each in receiver.arrivals if each.topic == topic] for topic in ("ours", "theirs")}
    assert came["ours"] == came["theirs"]
    assert len(came["ours"]) == len(PAYLOADS)


def test_a_memoryview_of_any_shape_is_sent_as_its_bytes(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    client.publish("a", memoryview(b"abcdef")[::2])
    client.publish("a", memoryview(bytes(range(8))).cast("I"))
    assert client.flush(10)
    receiver.wait(2)
    assert [arrival.payload for arrival in receiver.arrivals] == [b"ace", bytes(range(8))]


def test_a_payload_that_its_owner_changes_later_is_sent_as_it_was(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client(durability="async")
    payload = bytearray(b"before")
    client.publish("a", payload)
    payload[:] = b"after!"
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert receiver.wait(1) == ["before"]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16384, 65535, 65536, 1 << 20, 5_000_000])
def test_payloads_of_all_sizes_arrive_whole(
    make_client: Make, broker: Mosquitto, receiver: Receiver, size: int
) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for qos in (0, 1, 2):
        assert client.publish("a", payload, qos=qos).wait_for_publish(20)
    receiver.wait(3)
    assert [arrival.payload == payload for arrival in receiver.arrivals] == [True, True, True]


def test_each_qos_arrives_as_it_was_sent(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    for qos in (0, 1, 2):
        assert client.publish("q%d" % qos, "x", qos=qos).wait_for_publish(10)
    receiver.wait(3)
    assert [(arrival.topic, arrival.qos) for arrival in receiver.arrivals] == [("q0", 0), ("q1", 1), ("q2", 2)]
    assert client.get_status()["delivered"] == 3


def test_a_retained_message_is_there_for_who_comes_later(make_client: Make, broker: Mosquitto) -> None:
    client = make_client()
    client.publish("kept", "1", retain=True)
    client.publish("kept", "2", retain=True)
    client.publish("gone", "3")
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    with Receiver(broker.port, name="late") as late:
        late.wait(1)
        assert [(each.topic, each.payload, each.retain) for each in late.arrivals] == [("kept", b"2", True)]
    client.publish("kept", None, retain=True)  # MQTT's way to remove it
    assert client.flush(10)
    with Receiver(broker.port, name="later") as later:
        assert later.wait(1, 0.2) == []
