"""A broker that does as it is told, and a transport for each version of MQTT."""

from collections.abc import Iterator

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq.transport import PahoTransport

from tests.support.scripted_broker import ScriptedBroker


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as scripted:
        yield scripted


@pytest.fixture
def transport() -> Iterator[PahoTransport]:
    made = PahoTransport("tester", 5000)
    yield made
    made.release()


@pytest.fixture
def transport_v5() -> Iterator[PahoTransport]:
    made = PahoTransport("tester", 5000, protocol=MQTTProtocolVersion.MQTTv5)
    yield made
    made.release()
