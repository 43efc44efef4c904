"""A broker that keeps the sessions of receivers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """It keeps the receiver's session when it is restarted."""
    (tmp_path / "sessions").mkdir()
    with Mosquitto(persistence_dir=tmp_path / "sessions") as started:
        yield started
