"""A broker that does as it is told, a transport for each version of MQTT, and where a cache goes."""

from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A cache directory that is not there yet."""
    return tmp_path / "cache"
