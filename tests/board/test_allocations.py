"""How much memory the steady path asks for: each byte is the collector's work later, and a hole in a board's heap.

On the 64-bit engine, where objects take twice what they take on a board. The bounds are what was measured, and
less than one object more: who lowers a figure lowers its bound. (-s prints the figures.)
"""

from pathlib import Path

import pytest

from tests.board.conftest import figures
from tests.board.engine import Board
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)
# Payload 100 bytes, topic 13. 64 of it are the info; 32 are time.time(), a float there and a small integer on a board.
PUBLISH_BYTES = 115
STEP_BYTES = {0: 280, 1: 280, 2: 290}  # by QoS: all steps of one message, one message at a time


@pytest.fixture(scope="module")
def measured(library: Path, tmp_path_factory: pytest.TempPathFactory) -> "dict[str, float]":
    board = Board(library, tmp_path_factory.mktemp("board"), heap="1m")
    with Mosquitto() as broker:
        found = figures(board.run("allocation_job", port=broker.port, count=100))
    for name in sorted(found):
        print("%-10s %8.1f" % (name, found[name]))
    return found


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_publish_allocates_no_more_than_it_did(measured: "dict[str, float]", qos: int) -> None:
    assert 60 < measured["publish %d" % qos] <= PUBLISH_BYTES


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_steps_of_a_message_allocate_no_more_than_they_did(measured: "dict[str, float]", qos: int) -> None:
    # One to send, one for each answer; what is woken between them has nothing to do and does not count.
    steps = measured["steps %d" % qos]
    assert qos + 1 <= steps < qos + 3
    step_bytes = measured["step %d" % qos] - (steps - qos - 1) * measured["idle"]
    print("steps of a message of QoS %d: %d bytes" % (qos, step_bytes))
    assert 200 < step_bytes <= STEP_BYTES[qos]


def test_a_step_with_nothing_to_do_allocates_nothing(measured: "dict[str, float]") -> None:
    assert measured["idle"] == 0
