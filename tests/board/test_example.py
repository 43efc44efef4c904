"""The example in ``examples``, as it stands, with a fake ``machine`` and ``network``: three days of a sensor node."""

import re
from pathlib import Path

import pytest

from tests.board.engine import ROOT, Board
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)
EXAMPLE = ROOT / "examples" / "esp32_sensor.py"


def test_it_wakes_stores_sleeps_and_delivers_every_tenth_time(
    board: Board, broker: Mosquitto, receiver: Receiver, tmp_path: Path
) -> None:
    text = EXAMPLE.read_text()
    mine = text.replace('"broker.example", 1883', '"127.0.0.1", %d' % broker.port).replace('"/cache"', '"/flash/cache"')
    assert mine.count("127.0.0.1") == mine.count("/flash/cache") == 1
    (tmp_path / "main.py").write_text(mine)
    board.heap = "160k"  # main.py is compiled on the board
    for wake in range(1, 21):
        output = board.run("example_job", example=str(tmp_path / "main.py"), memory=str(tmp_path / "rtc"))
        assert output.splitlines()[-1] == "asleep for 60000 ms"
        assert ("delivered: True" in output) == (wake % 10 == 0), output
        assert ("joined my-network" in output) == (wake % 10 == 0)
    came = receiver.wait(20)
    assert len(came) == 20
    assert all(re.fullmatch(r"\d+ 1\.234", text) for text in came)
    assert {arrival.topic for arrival in receiver.arrivals} == {"poles/pole-17/volts"}


def test_it_sleeps_whatever_its_sensor_raises(board: Board, tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    broken = text.replace(".read_uv()", ".broken()").replace('"/cache"', '"/flash/cache"')
    assert broken.count(".broken()") == 1
    (tmp_path / "main.py").write_text(broken)
    board.heap = "160k"
    lines = board.run("example_job", example=str(tmp_path / "main.py"), memory=str(tmp_path / "rtc")).splitlines()
    assert "AttributeError" in lines[-2] and lines[-1] == "asleep for 60000 ms"
