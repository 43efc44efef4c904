"""durability="spill" on a board: its flash is left alone while the link is healthy."""

from pathlib import Path

import pytest

from tests.board.conftest import accepted, figures
from tests.board.engine import Board
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def small(library: Path, tmp_path: Path) -> Board:
    return Board(library, tmp_path, heap="160k")


def names(receiver: Receiver, count: int) -> list[str]:
    return [text.split()[0] for text in receiver.wait(count)]


def test_thousands_of_messages_cost_no_erase_and_no_byte(
    small: Board, broker: Mosquitto, receiver: Receiver
) -> None:
    output = small.run("spill_job", port=broker.port, count=3000, timeout_s=80)
    found = figures(output)
    assert (found["erases"], found["programmed_bytes"]) == (0, 0)
    sent = accepted(output)
    assert names(receiver, len(sent)) == sent
    status = found["status"]
    assert status["accepted"] == status["delivered"] == len(sent) and status["in_ram"] == 0
    again = figures(small.run("spill_job", port=broker.port, first=10000))
    assert again["first_status"]["delivered"] == len(sent), "stop() has written the accounts"


@pytest.mark.parametrize("wants_it", [False, True])
def test_a_broker_that_does_not_answer_makes_it_write_all(
    wants_it: bool, small: Board, broker: Mosquitto, receiver: Receiver
) -> None:
    client = {"spill_after_ms": 300}
    process = small.start("spill_job", port=broker.port, count=50, how="frozen", wants_it=wants_it, client=client)
    with process:
        assert process.stdout is not None and process.stdin is not None
        lines = []
        while not lines or lines[-1] != "in RAM\n":
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        broker.freeze()
        process.stdin.write("go on\n")
        process.stdin.flush()
        lines += process.stdout.readlines()
    assert process.returncode == -9
    output = "".join(lines)
    found = figures(output)
    assert found["waiting"] == 10 and found["spilled"][1] > 1000, "the power failed when it was written"
    broker.thaw()
    again = figures(small.run("spill_job", port=broker.port, first=1000))
    assert again["first_status"]["waiting"] == 10
    sent = accepted(output) + ["m-1000"]
    arrived = names(receiver, len(sent))
    assert arrived[: len(sent)] == sent and len(set(arrived)) == len(arrived)


def test_a_power_cut_takes_what_waits_in_ram_and_the_next_start_goes_on(
    small: Board, broker: Mosquitto, receiver: Receiver
) -> None:
    last = []
    for life in range(4):
        output, code = small.run_until_cut("spill_job", port=broker.port, count=20, how="cut", first=1000 * life)
        assert code == -9
        found = figures(output)["first_status"]
        assert (found["damaged"], found["waiting"], found["damaged_bytes"]) == (0, 0, 0)
        assert found["accepted"] == found["delivered"]
        last += accepted(output)[:-5]
    output = small.run("spill_job", port=broker.port, first=4000)
    last += accepted(output)
    arrived = names(receiver, len(last))
    assert arrived == last, "those that went lost were never sent"


def test_stop_before_a_deep_sleep_writes_all(small: Board, broker: Mosquitto, receiver: Receiver) -> None:
    output, _ = small.run_until_cut("spill_job", port=broker.port, count=10, how="sleep")
    status = figures(output)["status"]
    assert (status["in_ram"], status["store_error"]) == (0, "")
    again = small.run("spill_job", port=broker.port, first=1000)
    assert figures(again)["first_status"]["waiting"] == 5
    sent = accepted(output) + accepted(again)
    assert names(receiver, len(sent)) == sent


def test_what_cannot_be_together_is_said(small: Board, broker: Mosquitto) -> None:
    for client, words in (
        ({"drain": "live_first"}, "two lanes cannot wait in RAM"),
        ({"spill_bytes": 100}, "spill_bytes must be a whole number from 2048"),
        ({"spill_after_ms": 0}, "spill_after_ms must be 1 at least"),
    ):
        output, code = small.run_until_cut("spill_job", port=broker.port, client=client)
        assert code != 0 and words in output
