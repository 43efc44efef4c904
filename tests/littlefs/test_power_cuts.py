"""The power of a board fails at each single program and erase of its flash: nothing that was promised is lost."""

import copy
import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support import tally
from tests.support.flash_board import live, settings
from tests.support.rng import Rng

from .board import Board
from .flash import blank

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
PROGRAMS = 2000 if LONG else 120
LIVES = 25  # of each program


def first_seed() -> int:
    # The ordinary run is the same each time; the long one looks where nobody has looked.
    seed = int(os.environ.get("PERSISTMQ_SEED") or (random.randrange(1 << 20) if LONG else 1))
    print("seed", seed)
    return seed


def life(board: Board) -> Iterator[None]:
    """A program that publishes and delivers, with several segments, an outage, and a drained backlog."""
    for index in range(24):
        board.publish(1 + index % 3, 1 + index % 2, (20, 150, 400)[index % 3])
        board.world.run(30)
        yield
    board.broker.listening = False
    board.world.link.cut()
    for index in range(8):
        board.publish(3, 2 - index % 2, 200)
        board.world.run(30)
        yield
    board.broker.listening = True
    board.drain()
    yield


class Cuts:
    """At each operation of ``board`` a second board comes up with the flash as it is, a third with it half done."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.reboots = 0
        self.failure: BaseException | None = None

    def here(self, half_image: Callable[[], bytes]) -> None:
        for image in (bytes(self.board.image), half_image()):
            try:
                self.come_up(image)
            except Exception as failure:  # noqa: BLE001 - littlefs is between here and the test, nothing passes through it
                self.failure = self.failure or failure
                print("cut before operation %d, half done: %s" % (self.reboots // 2, self.reboots % 2))
            self.reboots += 1

    def come_up(self, image: bytes) -> None:
        board = self.board
        other = Board(bytearray(image), copy.deepcopy(board.broker), **board.options)
        other.published, other.promised = list(board.published), list(board.promised)
        other.broker.restart(True)
        other.broker.listening = True
        other.boot()
        other.publish(1, 2, 10)  # its number and identifier are nobody else's
        other.drain()
        other.judge()


def test_a_cut_at_each_operation_whole_and_half_loses_nothing() -> None:
    began = time.monotonic()
    board = Board(blank(32))
    cuts = Cuts(board)
    board.before_each = cuts.here
    board.boot()
    for _ in life(board):
        if cuts.failure is not None:
            raise cuts.failure
    board.judge()
    print("%d reboots at %d operations in %.1f s" % (cuts.reboots, board.flash.operations, time.monotonic() - began))
    tally.count("reboots on littlefs", cuts.reboots)
    assert cuts.reboots == 2 * board.flash.operations > 1000


def random_program(seed: int) -> int:
    """The number of reboots."""
    rng = Rng(seed)
    board = Board(blank(rng.pick((12, 24, 64))), **settings(rng))
    live(board, rng, LIVES)
    return board.reboots


def test_random_programs_are_cut_again_and_again() -> None:
    began = time.monotonic()
    first = first_seed()
    reboots = 0
    for seed in range(first, first + PROGRAMS):
        try:
            reboots += random_program(seed)
        except (AssertionError, OSError) as error:
            pytest.fail("seed %d: %r" % (seed, error))
    print("%d reboots of %d programs in %.1f s" % (reboots, PROGRAMS, time.monotonic() - began))
    tally.count("reboots on littlefs", reboots)
    assert reboots >= PROGRAMS * LIVES
