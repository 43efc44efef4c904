"""How much memory the steady path asks for: each byte is the collector's work later, and a hole in a board's heap.

On the 64-bit engine, where objects take twice what they take on a board. A median is what a message costs; the mean has
what each new segment costs, too. Who lowers a figure lowers its bound. (-s prints the figures.)
"""

from pathlib import Path
from typing import Any

import pytest

from tests.board.conftest import figures
from tests.board.engine import Board
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)
CLOCK_BYTES = 32  # time.time(): a float here, a small integer on a board
PUBLISH_BYTES = 64 + CLOCK_BYTES  # the info that publish() returns
# (publish, step). The bytes of a str. Two views, of what was read and its payload, if it is longer or shorter than what
# was read before.
EXTRA_BYTES = {"text": (32, 0), "lengths that vary": (0, 64), "expires": (0, CLOCK_BYTES)}
SEGMENT_BYTES = 75  # of the mean: some 110 messages share what a new segment costs


@pytest.fixture(scope="module")
def measured(library: Path, tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Any]":
    return measure(library, tmp_path_factory.mktemp("board"), {})


def measure(library: Path, folder: Path, client: "dict[str, Any]") -> "dict[str, Any]":
    board = Board(library, folder, heap="1m")
    with Mosquitto() as broker:
        found = figures(board.run("allocation_job", port=broker.port, count=100, client=client))
    for name in sorted(found):
        print(name, found[name])
    return found


def test_the_measure_shows_what_is_allocated(measured: "dict[str, Any]") -> None:
    assert 100 < measured["a hundred bytes"] <= 192


@pytest.mark.parametrize(
    "kind",
    ["QoS 0", "QoS 1", "QoS 2", "four topics", "lengths that vary", "text", "bytearray", "expires"],
)
def test_a_message_allocates_its_info_and_nothing_else(measured: "dict[str, Any]", kind: str) -> None:
    found = measured[kind]
    in_publish, in_steps = EXTRA_BYTES.get(kind, (0, 0))
    assert found["publish"] == PUBLISH_BYTES + in_publish
    assert found["step"] == in_steps
    assert found["mean publish"] + found["mean step"] < PUBLISH_BYTES + in_publish + in_steps + SEGMENT_BYTES
    assert found["steps"] >= (int(kind[-1]) if kind.startswith("QoS") else 2) + 1


def test_a_bound_of_the_cache_costs_nothing(library: Path, tmp_path: Path) -> None:
    bounds = {"cache_bytes_max": 200000, "cache_messages_max": 1000, "free_bytes_min": 4096}
    found = measure(library, tmp_path, bounds)["QoS 2"]
    assert (found["publish"], found["step"]) == (PUBLISH_BYTES, 0)


def test_a_step_with_nothing_to_do_allocates_nothing(measured: "dict[str, Any]") -> None:
    assert measured["idle"] == 0
