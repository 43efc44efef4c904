"""The parts of the port, each on the real engine: the store's promises, the clock, Wi-Fi, what comes in."""

import pytest

from tests.board.engine import Board


@pytest.mark.parametrize("script", ["store_checks", "part_checks"])
def test_the_script_on_the_board_says_all_good(board: Board, script: str) -> None:
    board.heap = "512k"  # the FAT is in RAM
    assert board.run(script).splitlines()[-1] == "all good"
