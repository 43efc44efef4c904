"""What `tools/deploy --base` puts on a board is enough for a client without options, also when things go wrong."""

from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.board.conftest import accepted, figures
from tests.board.engine import Board, compile_library
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("base"), base_only=True)


def test_damage_is_read_around_and_what_ends_the_connection_is_parked(base: Path, tmp_path: Path) -> None:
    board = Board(base, tmp_path, heap="192k")
    folder = tmp_path / "cache"
    with PersistClient("board", cache_path=folder) as client:
        for number in range(40):
            client.publish("t", "stored-%d" % number)
        client.publish("t", "x" * 1200)
    (segment,) = (folder / "journal").iterdir()
    content = bytearray(segment.read_bytes())
    content[content.index(b"stored-20")] ^= 1
    segment.write_bytes(content)
    board.run("copy_cache", folder=str(folder), to="board")
    with Mosquitto(config_lines=["max_packet_size 1000"]) as broker, Receiver(broker.port) as receiver:
        output = board.run("main_job", port=broker.port, count=5, name="board", drain_s=30)
        found = figures(output)["after"]
        expected = ["stored-%d" % number for number in range(40) if number != 20] + accepted(output)
        assert [text.split()[0] for text in receiver.wait(44)] == expected
    assert (found["delivered"], found["damaged"], found["refused"], found["waiting"]) == (44, 1, 1, 0)
    board.run("copy_cache", folder=str(tmp_path / "back"), to="host")
    with PersistClient("board", cache_path=tmp_path / "back") as client:
        (letter,) = client.dead_letters
        assert letter.payload == b"x" * 1200


def test_an_option_that_is_not_on_the_board_says_which_module_it_lacks(base: Path, tmp_path: Path) -> None:
    output, code = Board(base, tmp_path).run_until_cut("main_job", client={"drain": "live_first"})
    assert code == 1
    assert "ImportError: no module named 'persistmq_core.lanes'" in output
