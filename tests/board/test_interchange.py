"""A cache goes from a board to a gateway and back, also in the middle of a handshake: one format, one core."""

import struct
from binascii import crc32
from pathlib import Path

import pytest
from persistmq import PersistClient

from persistmq_core import checkpoint
from tests.board.conftest import accepted, figures
from tests.board.engine import Board
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)
QUICK = {"reconnect_delay_ms_min": 20, "reconnect_delay_ms_max": 100}


def texts(receiver: Receiver, count: int) -> list[str]:
    return [text.split()[0] for text in receiver.wait(count)]


@pytest.mark.parametrize("cut_after", [120, 333])
def test_from_a_board_to_a_gateway(
    board: Board, broker: Mosquitto, receiver: Receiver, tmp_path: Path, cut_after: int
) -> None:
    output, code = board.run_until_cut("main_job", port=broker.port, count=1000, cut_after=cut_after, batch=3)
    assert code == -9
    stored = accepted(output)
    board.run("copy_cache", folder=str(tmp_path / "cache"), to="host")
    with PersistClient("board", cache_path=tmp_path / "cache", **QUICK) as client:
        waiting = client.get_status()["waiting"]
        assert waiting
        client.connect_async("127.0.0.1", broker.port)
        client.publish("t", "gateway")
        assert client.flush(10)
        status = client.get_status()
    came = texts(receiver, len(stored) + 1)
    assert len(came) == len(set(came))
    assert came[: len(stored)] == stored
    assert came[-1] == "gateway"
    assert len(came) - len(stored) <= 2  # one publish() may have been cut short after it was stored
    assert status["accepted"] == status["delivered"] == len(came)
    assert status["damaged"] == status["repeated"] == 0


def test_from_a_gateway_to_a_board(board: Board, broker: Mosquitto, receiver: Receiver, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    client = PersistClient("board", cache_path=folder, **QUICK)
    client.connect_async("127.0.0.1", broker.port)
    expected = ["delivered-%d" % number for number in range(5)]
    for text in expected:
        client.publish("t", text)
    assert client.flush(10)
    broker.freeze()  # what follows is sent, and not answered
    later = ["waiting-%d" % number for number in range(60)]
    for text in later:
        client.publish("t", text + " " * 80)
    client.stop(timeout=0.2)
    broker.thaw()
    board.run("copy_cache", folder=str(folder), to="board")
    output = board.run("main_job", port=broker.port, count=3, name="board")
    expected += later + accepted(output)
    assert texts(receiver, len(expected)) == expected
    after = figures(output)["after"]
    assert after["accepted"] == after["delivered"] == len(expected)
    assert after["repeated"] == 0


def test_a_newer_version_is_left_untouched(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    newer = checkpoint.Checkpoint(7, 8).encode()
    newer[4] = 2
    newer[-4:] = struct.pack("<I", crc32(newer[:-4]))
    (folder / "checkpoint.0").write_bytes(newer)
    board.run("copy_cache", folder=str(folder), to="board")
    output, code = board.run_until_cut("main_job", count=1)
    assert code == 1
    assert "FormatError" in output
    assert "disk version 2" in output
    board.run("copy_cache", folder=str(tmp_path / "back"), to="host")
    assert (tmp_path / "back" / "checkpoint.0").read_bytes() == newer
