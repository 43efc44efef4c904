"""Mosquitto as it comes out of the box: why ``window_qos2`` is 20 and not more.

More than 20 unreleased QoS 2 messages of one publisher meet Mosquitto's ``max_inflight_messages``. Mosquitto 2.0.11
then answers all of the handshakes and throws messages away (eclipse/mosquitto#3056, #3088). Of the backlog in this
test a window of 1000 delivered 41 and 110. Bare paho-mqtt 2.2.0 delivered none of it in three seconds: it sends a
backlog twice in one connection, and Mosquitto ends that, again and again. None of this is asserted here, because what
other versions lose is not this project's promise.
"""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq import PersistClient

from persistmq_core import packets
from tests.main_job.receiver import Receiver, until
from tests.support import mqtt_wire as wire
from tests.support.mosquitto import HOST, Mosquitto

COUNT = 2000
PAYLOADS = [str(number) for number in range(COUNT)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    # Its limit of 1000 queued messages is about slow subscribers, not about publishers.
    kept = tmp_path / "broker"
    kept.mkdir()
    with Mosquitto(default_config=True, persistence_dir=kept, config_lines=["max_queued_messages 0"]) as started:
        yield started


@pytest.fixture
def receiver(broker: Mosquitto) -> Iterator[Receiver]:
    # QoS 0: it sees each message that the broker routes, when it does, with no window of its own.
    with Receiver(broker.port, qos=0) as subscribed:
        yield subscribed


def test_a_backlog_of_2000_qos_2_messages_arrives_once_and_in_order(
    broker: Mosquitto, receiver: Receiver, make_client: Callable[..., PersistClient]
) -> None:
    client = make_client(durability="async")
    for payload in PAYLOADS:
        client.publish("burst", payload, qos=2)
    assert client.get_status()["delivered"] == 0
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(30)
    assert receiver.wait(COUNT) == PAYLOADS
    assert client.get_status()["connections"] == 1


def test_a_backlog_of_qos_1_and_2_in_turn_arrives_whole(
    broker: Mosquitto, receiver: Receiver, make_client: Callable[..., PersistClient]
) -> None:
    """While 20 are unreleased, Mosquitto answers QoS 1 in 3.1.1 with PUBACK as well, and throws it away."""
    client = make_client(durability="async")
    for index, payload in enumerate(PAYLOADS):
        client.publish("burst", payload, qos=1 + index % 2)
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(30)
    assert sorted(receiver.wait(COUNT), key=int) == PAYLOADS
    assert client.get_status()["connections"] == 1


def leave_unreleased(broker: Mosquitto, client_id: str, count: int, protocol: int) -> None:
    """As after a kill of the broker: in its session are handshakes that the client ended after the last save."""
    with socket.create_connection((HOST, broker.port), timeout=5) as line:
        line.sendall(wire.connect(client_id, False, protocol))
        out = bytearray()
        for identifier in range(40001, 40001 + count):
            packets.publish(out, b"older", b"x", 2, False, False, identifier, protocol == 5)
        line.sendall(out)
        assert until(lambda: broker.log_text().count("Sending PUBREC to %s (m40" % client_id) >= count, 5)


@pytest.mark.parametrize("is_restored", [True, False])  # from its file: then MQTT 5 is answered in another way
@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_what_it_still_holds_of_ended_handshakes_costs_no_message(
    broker: Mosquitto,
    receiver: Receiver,
    make_client: Callable[..., PersistClient],
    protocol: MQTTProtocolVersion,
    is_restored: bool,
) -> None:
    """It counts them against its 20: it threw away as many of the next messages, or with MQTT 5 took none any more."""
    client = make_client(protocol=protocol)
    client.connect_async(HOST, broker.port)
    client.publish_many([("burst", payload) for payload in PAYLOADS[:100]])
    assert client.flush(10)
    leave_unreleased(broker, "tester", 20, protocol)
    if is_restored:
        broker.restart()
        assert until(lambda: broker.log_text().count("as receiver (") == 2, 5)  # QoS 0 does not wait for it
    client.publish_many([("burst", payload) for payload in PAYLOADS[100:400]])
    assert client.flush(20), client.get_status()
    assert receiver.wait(400) == PAYLOADS[:400]
    assert client.get_status()["repeated"] == 0


def test_a_session_in_which_the_application_subscribed_is_kept(
    broker: Mosquitto, make_client: Callable[..., PersistClient]
) -> None:
    came = []
    client = make_client()
    client.mqtt_client.on_connect = lambda *_: client.mqtt_client.subscribe("orders", 1)
    client.mqtt_client.on_message = lambda _client, _userdata, message: came.append(message.payload)
    client.connect_async(HOST, broker.port)
    client.publish_many([("burst", payload) for payload in PAYLOADS[:100]])
    assert client.flush(10)
    client.mqtt_client.on_connect = None
    leave_unreleased(broker, "tester", 1, 4)
    assert until(lambda: client.get_status()["connections"] == 2, 5)
    other = make_client("other", cache_path=client._stores[0].path + "-other")
    other.connect_async(HOST, broker.port)
    other.publish("orders", "open", qos=1)
    assert until(lambda: came == [b"open"], 5)
