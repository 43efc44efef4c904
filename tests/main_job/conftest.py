"""A broker, a receiver at it and clients that are stopped, for each test its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from persistmq import PersistClient

from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

QUICK = {"reconnect_delay_ms_min": 20, "reconnect_delay_ms_max": 100}


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as started:
        yield started


@pytest.fixture
def receiver(broker: Mosquitto) -> Iterator[Receiver]:
    with Receiver(broker.port) as subscribed:
        yield subscribed


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[Callable[..., PersistClient]]:
    """A function that makes a client on ``tmp_path/cache``, with short delays; all of them are stopped in the end."""
    made: list[PersistClient] = []

    def make(client_id: str = "tester", **options: Any) -> PersistClient:
        client = PersistClient(client_id, **({"cache_path": tmp_path / "cache"} | QUICK | options))
        made.append(client)
        return client

    yield make
    for client in made:
        client.stop(timeout=0.5)
