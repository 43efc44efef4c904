"""A board with a flash of its own, a broker, and a receiver at it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.board.engine import Board, compile_library
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("lib"))


@pytest.fixture
def board(library: Path, tmp_path: Path) -> Board:
    return Board(library, tmp_path)


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as started:
        yield started


@pytest.fixture
def receiver(broker: Mosquitto) -> Iterator[Receiver]:
    with Receiver(broker.port) as subscribed:
        yield subscribed


def figures(output: str) -> dict[str, Any]:
    """What the script said last."""
    last = output.rstrip().rpartition("\n")[2]
    assert last.startswith("figures "), output
    found: dict[str, Any] = json.loads(last[len("figures ") :])
    return found


def accepted(output: str) -> list[str]:
    """The messages whose publish() returned."""
    return [line.split()[1] for line in output.splitlines() if line.startswith("accepted ")]
