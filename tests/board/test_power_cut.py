"""Power that fails anywhere: in the middle of a write to the flash, and between any two instructions."""

import random
import time

import pytest

from tests.board.conftest import accepted, figures
from tests.board.engine import Board
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(90)
CLIENT = {"segment_bytes_max": 2048, "reconnect_delay_ms_min": 5, "reconnect_delay_ms_max": 20}


def judge(receiver: Receiver, all_accepted: list[str], boots: int) -> None:
    """Nothing lost, nothing twice. A publish() that did not return may have been stored: one for each boot."""
    came = [text.split()[0] for text in receiver.wait(len(all_accepted))]
    assert len(came) == len(set(came)), "delivered twice"
    assert set(all_accepted) <= set(came), "lost"
    assert len(came) <= len(all_accepted) + boots
    own = [text for text in came if text in set(all_accepted)]
    assert own == all_accepted, "out of order"


def test_cut_in_the_middle_of_a_write(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    choose = random.Random(4)
    all_accepted = []
    boots = 36
    for boot in range(boots):
        output, code = board.run_until_cut(
            "main_job",
            port=broker.port,
            name="b%d" % boot,
            count=1000,
            drain_s=0,
            cut_after=boot if boot < 12 else choose.randrange(300),
            batch=choose.choice([1, 1, 7]),
            client=CLIENT,
        )
        assert code == -9, output
        all_accepted += accepted(output)
    last = figures(board.run("main_job", port=broker.port, client=CLIENT))
    assert last["drained"]
    judge(receiver, all_accepted, boots)
    counted = last["after"]
    assert counted["accepted"] == counted["delivered"] >= len(all_accepted)
    assert counted["damaged"] == counted["refused"] == counted["waiting"] == 0


def test_killed_at_any_moment(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    choose = random.Random(5)
    all_accepted = []
    boots = 10
    for boot in range(boots):
        with board.start("main_job", port=broker.port, name="k%d" % boot, count=100000, client=CLIENT) as process:
            assert process.stdout is not None
            first_line = process.stdout.readline()  # it has begun
            time.sleep(choose.random() * 0.05)
            process.kill()
            rest = process.stdout.read()
        lines = (first_line + rest).rpartition("\n")[0]  # the last line may be half a line
        all_accepted += accepted(lines)
    assert figures(board.run("main_job", port=broker.port, client=CLIENT))["drained"]
    judge(receiver, all_accepted, boots)
