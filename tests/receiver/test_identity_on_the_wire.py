"""Which message is which, as a subscriber of MQTT 5 sees it behind a real broker."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq import PersistClient

from tests.main_job.receiver import until
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]
V5 = MQTTProtocolVersion.MQTTv5


@pytest.fixture
def said(broker: Mosquitto) -> Iterator[list[dict[str, str]]]:
    """The user properties of what arrives."""
    found: list[dict[str, str]] = []
    subscribed = threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "subscriber", protocol=V5)
    client.on_connect = lambda *_: client.subscribe("#", 2)
    client.on_subscribe = lambda *_: subscribed.set()

    def take(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        found.append(dict(getattr(message.properties, "UserProperty", ())))

    client.on_message = take
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert subscribed.wait(10)
    yield found
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("worker", ["thread", "process"])
def test_each_message_carries_client_epoch_and_number(
    make_client: Make, broker: Mosquitto, said: list[dict[str, str]], tmp_path: Path, worker: str
) -> None:
    with make_client("pole 17", identity=True, protocol=V5, worker=worker) as client:
        client.connect_async("127.0.0.1", broker.port)
        for qos in (0, 1, 2):
            client.publish("t", "x", qos)
            assert client.flush(20)
    with make_client("pole 17", identity=True, protocol=V5, worker=worker) as client:
        client.publish("t", "old", expires_after=1)
        client.publish("t", "new")
        time.sleep(1.1)
        client.connect_async("127.0.0.1", broker.port)
        assert client.flush(20)
    assert until(lambda: len(said) == 4)
    (segment,) = (tmp_path / "cache" / "journal").iterdir()
    epoch = segment.stem[-8:]
    assert [each["pmq"] for each in said] == [f"{epoch} {numbers} pole 17" for numbers in ("1 0", "2 1", "3 2", "5 3")]


def test_without_it_nothing_is_added(make_client: Make, broker: Mosquitto, said: list[dict[str, str]]) -> None:
    with make_client(protocol=V5) as client:
        client.connect_async("127.0.0.1", broker.port)
        client.publish("t", "x")
        assert client.flush(10) and until(lambda: len(said) == 1)
    assert said == [{}]


@pytest.mark.parametrize("options", [{}, {"protocol": MQTTProtocolVersion.MQTTv311}])
def test_mqtt_3_1_1_cannot_carry_it_and_that_is_said_before_anything_is_made(
    make_client: Make, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="identity=True needs protocol=MQTTv5"):
        make_client(identity=True, **options)
    assert not (tmp_path / "cache").exists()


def test_a_client_identifier_that_has_no_room_is_refused(make_client: Make) -> None:
    with pytest.raises(ValueError, match="client_id has 65001 bytes"):
        make_client("m" * 65001, identity=True, protocol=V5)
