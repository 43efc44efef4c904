"""What goes ahead of a backlog, on a board."""

from pathlib import Path

from tests.board.engine import Board
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto


def test_alarms_and_live_messages_do_not_wait_for_the_backlog(
    library: Path, tmp_path: Path, broker: Mosquitto, receiver: Receiver
) -> None:
    output = Board(library, tmp_path, heap="208k").run("lanes_job", port=broker.port)
    assert output.endswith("done\n")
    assert int(output.split("worst ")[1].split()[0]) < 1000
    found = receiver.wait(49)
    assert len(found) == len(set(found)) == 49
    assert found[:2] == ["alarm 0", "alarm 1"]
    for lane, count in (("old", 40), ("live", 5)):
        assert [text for text in found if text.startswith(lane)] == [f"{lane} {number}" for number in range(count)]
    assert found.index("live 4") < found.index("old 39")
