"""What a message costs a board's flash, and what happens when that flash is full."""

from tests.support.rng import Rng

from .board import Board
from .flash import blank

MESSAGES = 400
PAYLOAD_BYTES = 100


def wear(messages_per_sync: int) -> "tuple[float, float]":
    """(erases, bytes programmed) for each message, from publish to reclaimed."""
    board = Board(blank(128), segment_bytes_max=32768, checkpoint_delay_ms=1000)
    board.boot()
    for _ in range(MESSAGES // messages_per_sync):
        board.publish(messages_per_sync, 2, PAYLOAD_BYTES)
        # Delivered before the next, as by a board that sends now and then.
        board.world.run(1500)
    board.drain()
    board.judge()
    return board.flash.erases / MESSAGES, board.flash.bytes_programmed / MESSAGES


def test_erases_and_bytes_for_each_message() -> None:
    figures = {count: wear(count) for count in (1, 10, 40)}
    for count, (erases, programmed) in figures.items():
        print("%2d to a sync: %.3f erases, %d bytes programmed for each message" % (count, erases, programmed))
    # One message to a sync: littlefs copies the block that a file ends in at each flush.
    assert figures[1][0] < 1.5
    assert figures[40][0] < 0.15
    assert figures[40][1] < 700


def full_board(window: int) -> Board:
    """Published for so long without a broker that nothing fits any more."""
    board = Board(blank(16), window=window)
    board.broker.listening = False
    board.boot()
    while board.publish(1, 2, 300):
        board.world.run(10)
    for _ in range(20):
        board.publish(1, 2, 1)
    return board


def test_a_full_flash_refuses_and_then_delivers_all_that_it_took() -> None:
    for window in (1, 16):
        board = full_board(window)
        taken = len(board.promised)
        assert taken > 50
        board.broker.listening = True
        board.drain()
        assert board.publish(1, 2, 300), "there is no room after all was delivered"
        board.drain()
        board.judge()


def test_a_full_flash_is_still_full_after_a_reboot_and_loses_nothing() -> None:
    board = full_board(16)
    board.store.abandon()
    board.boot()
    board.broker.listening = True
    board.drain()
    board.judge()


def spilling_board() -> Board:
    """A board with a healthy link, whose messages wait in RAM."""
    board = Board(blank(128), segment_bytes_max=32768, checkpoint_delay_ms=1000, spill_bytes=8192, spill_after_ms=1000)
    board.boot()
    board.world.online()
    for _ in range(3):
        board.publish(1, 2, PAYLOAD_BYTES)
        board.world.run(1500)
    return board


def cost(board: Board, erases: int, programmed: int) -> "tuple[int, int]":
    return board.flash.erases - erases, board.flash.bytes_programmed - programmed


def test_messages_that_wait_in_ram_cost_nothing_and_a_broken_link_little() -> None:
    board = spilling_board()
    before = board.flash.erases, board.flash.bytes_programmed
    for _ in range(5000):
        board.publish(1, 2, PAYLOAD_BYTES)
        board.world.run(5)
    board.world.run(5000)
    assert cost(board, *before) == (0, 0)

    for _ in range(20):  # nothing waits when the link breaks
        board.world.link.cut()
        board.world.run(10_000)
    assert cost(board, *before) == (0, 0)

    flaps = 20
    for _ in range(flaps):  # one message waits each time; and RAM is used again
        board.world.link.freeze()
        board.publish(1, 2, PAYLOAD_BYTES)
        board.world.run(10)
        board.world.link.cut()
        board.world.run(10)
        board.world.link.thaw()
        board.drain()
        board.world.run(5000)
        for _ in range(3):
            board.publish(1, 2, PAYLOAD_BYTES)
            board.world.run(1500)
    erases, programmed = cost(board, *before)
    print("a flap with one message that waits: %.1f erases, %d bytes" % (erases / flaps, programmed / flaps))
    assert erases / flaps < 6
    board.judge()


def test_a_power_cut_while_messages_wait_in_ram_takes_these() -> None:
    board = spilling_board()
    for _ in range(10):
        board.publish(1, 2, PAYLOAD_BYTES)
    taken = board.promised[-10:]
    del board.promised[-10:]
    board.die(Rng(1))
    board.boot()
    board.publish(1, 2, PAYLOAD_BYTES)
    board.drain()
    came = board.world.arrived()
    assert [payload for payload in board.promised if payload not in came] == []
    assert len(set(came)) == len(came) <= len(board.promised) + len(taken)
    board.check_accounts()
