"""Mosquitto as it comes out of the box: why ``window_qos2`` is 20 and not more.

More than 20 unreleased QoS 2 messages of one publisher meet Mosquitto's ``max_inflight_messages``. Mosquitto 2.0.11
then answers all of the handshakes and throws messages away (eclipse/mosquitto#3056, #3088). Of the backlog in this
test a window of 1000 delivered 41 and 110. Bare paho-mqtt 2.2.0 delivered none of it in three seconds: it sends a
backlog twice in one connection, and Mosquitto ends that, again and again. None of this is asserted here, because what
other versions lose is not this project's promise.
"""

from collections.abc import Callable, Iterator

import pytest
from persistmq import PersistClient

from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

COUNT = 2000
PAYLOADS = [str(number) for number in range(COUNT)]


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    # Its limit of 1000 queued messages is about slow subscribers, not about publishers.
    with Mosquitto(default_config=True, config_lines=["max_queued_messages 0"]) as started:
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
