"""Callbacks run on the engine's thread: they may publish, may fail, and may not wait for themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from persistmq import PersistClient

from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


def connected(client: PersistClient, broker: Mosquitto) -> PersistClient:
    client.connect_async("127.0.0.1", broker.port)
    assert until(lambda: client.get_status()["connected"])
    return client


def test_the_callbacks_tell_of_connections_and_deliveries_in_order(make_client: Make, broker: Mosquitto) -> None:
    told: list[tuple[Any, ...]] = []
    client = make_client()
    client.on_connection_up = lambda who, present: told.append(("up", who is client, present))
    client.on_connection_down = lambda who, reason: told.append(("down", who is client, bool(reason)))
    client.on_delivered = lambda who, seq: told.append(("delivered", who is client, seq))
    connected(client, broker)
    first = client.publish("a", "b")
    assert first.wait_for_publish(10)
    broker.restart()
    assert until(lambda: client.get_status()["connections"] == 2)
    second = client.publish("a", "c", qos=0)
    assert second.wait_for_publish(10)
    client.stop()
    assert told == [
        ("up", True, False),
        ("delivered", True, first.seq),
        ("down", True, True),
        ("up", True, False),  # this broker keeps no sessions over a restart
        ("delivered", True, second.seq),
        ("down", True, True),
    ]


@pytest.mark.parametrize("durability", ["sync", "async", "spill"])
def test_a_message_may_be_answered_by_publish_inside_on_message(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, durability: str
) -> None:
    client = make_client(durability=durability)
    client.mqtt_client.on_connect = lambda mqtt, *_: mqtt.subscribe("question", 1)
    client.mqtt_client.on_message = lambda _mqtt, _data, message: client.publish("answer", message.payload)
    subscribed: list[int] = []
    client.mqtt_client.on_subscribe = lambda *_: subscribed.append(1)
    connected(client, broker)
    assert until(lambda: subscribed)
    asker = make_client("asker", cache_path=tmp_path / "asker")
    connected(asker, broker)
    for number in range(30):
        asker.publish("question", number)
    receiver.wait(60)
    answers = [arrival.payload.decode() for arrival in receiver.arrivals if arrival.topic == "answer"]
    assert answers == [str(number) for number in range(30)]


def test_a_chain_of_messages_each_published_when_the_one_before_is_delivered_comes_to_its_end(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client()
    sent = [0]

    def publish_next(who: PersistClient, _seq: int) -> None:
        if sent[0] < 20:
            sent[0] += 1
            who.publish("a", sent[0])

    client.on_delivered = publish_next
    connected(client, broker)
    client.publish("a", 0)
    assert receiver.wait(21) == [str(number) for number in range(21)]


def test_waiting_in_a_callback_raises_instead_of_waiting_for_ever(make_client: Make, broker: Mosquitto) -> None:
    errors: list[Exception] = []
    client = make_client()

    def wait(who: PersistClient, _present: bool) -> None:
        info = who.publish("a", "b")
        for call in (who.flush, info.wait_for_publish):
            try:
                call()
            except RuntimeError as error:
                errors.append(error)

    client.on_connection_up = wait
    connected(client, broker)
    assert until(lambda: len(errors) == 2)
    assert all("in a callback" in str(error) for error in errors)
    assert client.flush(10)  # and here it is no callback


def test_an_exception_in_a_callback_is_logged_and_delivery_goes_on(
    make_client: Make, broker: Mosquitto, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("of the application")

    client = make_client()
    client.on_delivered = client.on_connection_up = client.on_connection_down = client.on_dropped = fail
    client.mqtt_client.on_connect = client.mqtt_client.on_disconnect = client.mqtt_client.on_message = fail
    connected(client, broker)
    client.mqtt_client.subscribe("a")
    for number in range(20):
        client.publish("a", number)
    assert client.flush(10)
    assert receiver.wait(20) == [str(number) for number in range(20)]
    client.stop()
    status = client.get_status()
    assert (status["delivered"], status["connections"], status["store_error"]) == (20, 1, "")
    assert "of the application" in caplog.text


def test_stop_may_be_called_in_a_callback(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    client = make_client()
    client.on_delivered = lambda who, _seq: who.stop()
    connected(client, broker)
    client.publish("a", "b")
    assert until(client._outcomes.is_closed.is_set)
    client.stop()
    assert receiver.wait(1) == ["b"]
    assert make_client().get_status()["waiting"] == 0


def test_a_will_is_published_when_the_link_breaks_and_not_when_the_client_stops(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    def with_a_will() -> PersistClient:
        client = make_client()
        client.mqtt_client.will_set("will", "gone", qos=1)
        return connected(client, broker)

    with_a_will().stop()
    assert receiver.wait(1, 0.2) == []
    client = with_a_will()
    sock = client.mqtt_client.socket()
    assert sock is not None
    sock.shutdown(2)
    assert receiver.wait(1) == ["gone"]


@pytest.mark.parametrize("name", ["on_connect", "on_disconnect", "on_publish", "on_message", "on_subscribe", "on_log"])
def test_a_callback_of_pahos_is_refused_where_it_would_never_be_called(make_client: Make, name: str) -> None:
    client = make_client()
    with pytest.raises(AttributeError, match=f"{name} is a callback of paho's: set it on mqtt_client"):
        setattr(client, name, print)
    setattr(client.mqtt_client, name, print)
    assert not hasattr(client, name)
