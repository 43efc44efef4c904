"""A broker, a receiver at it and clients that are stopped, for each test its own."""

import os
import subprocess
import sys
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
def cache_type() -> str:
    """Of the clients that ``make_client`` makes; a module with BOTH_CACHE_TYPES has its tests run with each."""
    return "flat"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 0.1.4 and what it needs: tools/test has one, and else it is fetched."""
    named = os.environ.get("PERSISTMQ_0_1_4")
    if named:
        return Path(named)
    folder = tmp_path_factory.mktemp("persistmq-0.1.4")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--target", str(folder), "persistmq==0.1.4"], check=True)
    return folder


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = metafunc.definition.iter_markers("parametrize")
    is_given = any("cache_type" in mark.args[0] for mark in marks)
    if "cache_type" in metafunc.fixturenames and not is_given and getattr(metafunc.module, "BOTH_CACHE_TYPES", False):
        metafunc.parametrize("cache_type", ["flat", "sqlite"])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The directory of the clients that ``make_client`` makes, before there is one."""
    path = tmp_path / "cache"
    path.mkdir()
    return path


@pytest.fixture
def make_client(tmp_path: Path, cache_type: str) -> Iterator[Callable[..., PersistClient]]:
    """A function that makes a client on ``tmp_path/cache``, with short delays; all of them are stopped in the end."""
    made: list[PersistClient] = []

    def make(client_id: str = "tester", **options: Any) -> PersistClient:
        usual = {"cache_path": tmp_path / "cache", "cache_type": cache_type} | QUICK
        client = PersistClient(client_id, **(usual | options))
        made.append(client)
        return client

    yield make
    for client in made:
        client.stop(timeout=0.5)
