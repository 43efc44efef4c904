"""Large payloads on a board: larger than its RAM, from a file, and through power cuts."""

import pytest

from tests.board.conftest import Board
from tests.board.engine import BLOCK_BYTES
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(120)

UNIT = b"0123456789abcdef" * 32
RAM = UNIT * 9
FILE_BYTES = 100_000
FILE = (UNIT * 200)[:FILE_BYTES]


@pytest.fixture
def roomy(board: Board) -> Board:
    board._blocks = 100  # 400 KB
    board.heap = "176k"
    board.erase()
    return board


def check(receiver: Receiver) -> None:
    came = [(arrival.topic, arrival.payload) for arrival in receiver.arrivals if arrival.topic != "fills"]
    expected = [("small", b"before"), ("ram", RAM), ("file", FILE)]
    assert came == [*expected, ("small", b"behind"), ("ram", RAM), ("small", b"last")]
    assert {arrival.payload for arrival in receiver.arrivals if arrival.topic == "fills"} == {RAM}


@pytest.mark.parametrize("durability", ["sync", "async", "spill"])
def test_one_from_ram_and_one_that_is_larger_than_it(
    roomy: Board, broker: Mosquitto, receiver: Receiver, durability: str
) -> None:
    options = {"port": broker.port, "file_bytes": FILE_BYTES, "client": {"durability": durability}}
    output = roomy.run("large_job", order="both", **options)
    assert output.rstrip().endswith("left []\nall good"), output
    receiver.wait(6)
    check(receiver)


def test_what_is_published_in_one_life_is_delivered_in_the_next(
    roomy: Board, broker: Mosquitto, receiver: Receiver
) -> None:
    options = {"port": broker.port, "file_bytes": FILE_BYTES, "client": {"cache_bytes_max": 50 * BLOCK_BYTES}}
    output = roomy.run("large_job", order="publish", **options)
    assert "cache_bytes_max is 204800" in output
    output = roomy.run("large_job", order="deliver", **options)
    assert output.rstrip().endswith("left []\nall good"), output
    receiver.wait(6)
    check(receiver)


def test_power_that_fails_anywhere_leaves_no_litter_and_nothing_comes_twice(
    roomy: Board, broker: Mosquitto, receiver: Receiver
) -> None:
    """Each life writes some flash more than the one before, then it is cut."""
    options = {"port": broker.port, "file_bytes": 30_000, "client": {}}
    for cut_after in range(3, 200, 19):
        roomy.run_until_cut("large_job", order="both", cut_after=cut_after, **options)
    roomy.run("large_job", order="deliver", **options)
    receiver.wait(1)
    output = roomy.run("large_job", order="deliver", **options)
    assert "waiting 0" in output
    assert output.rstrip().endswith("left []\nall good"), output
    whole = {b"before", RAM, (UNIT * 60)[:30_000], b"behind", RAM, b"last", RAM}
    assert {arrival.payload for arrival in receiver.arrivals} <= whole
