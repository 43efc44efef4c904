"""The port's own store on a real littlefs, rebooted thousands of times: the power fails at any program or erase."""

import os
import random
import time
from typing import Any

import pytest

from tests.board.conftest import figures
from tests.board.engine import Board
from tests.support import tally

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
PROGRAMS = 800 if LONG else 40
LIVES = 25  # of each program
PROGRAMS_EACH = 40  # in one process

pytestmark = pytest.mark.timeout(600 if LONG else 60)


def first_seed() -> int:
    # The ordinary run is the same each time; the long one looks where nobody has looked.
    seed = int(os.environ.get("PERSISTMQ_SEED") or (random.randrange(1 << 20) if LONG else 1))
    print("seed", seed)
    return seed


def options(seed: int, fault: str = "") -> dict[str, Any]:
    return {"first_seed": seed, "programs": PROGRAMS_EACH, "lives": LIVES, "fault": fault}


def test_each_life_is_cut_and_nothing_is_lost_nothing_comes_twice_and_the_accounts_are_right(board: Board) -> None:
    board.heap = "4m"  # the broker is in it as well
    began = time.monotonic()
    first = first_seed()
    reboots = 0
    for seed in range(first, first + PROGRAMS, PROGRAMS_EACH):
        reboots += figures(board.run("lives_job", timeout_s=60, **options(seed)))["reboots"]
    print("%d reboots of %d programs in %.1f s" % (reboots, PROGRAMS, time.monotonic() - began))
    tally.count("reboots of MicroPython's own store on littlefs", reboots)
    assert reboots == PROGRAMS * LIVES


@pytest.mark.parametrize("fault", ["sync", "handle", "replace"])
def test_a_store_that_breaks_its_contract_is_caught(board: Board, fault: str) -> None:
    board.heap = "4m"
    output, code = board.run_until_cut("lives_job", **options(1, fault))
    assert code == 1
    assert "AssertionError" in output
    assert "seed 1, life " in output
