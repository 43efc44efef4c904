"""What a message costs a board's flash, and what happens when that flash is full."""

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
