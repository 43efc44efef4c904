"""Bounds of the cache, and messages that expire, on a board."""

from pathlib import Path

from tests.board.engine import Board
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto


def test_a_cache_with_bounds_refuses_evicts_waits_and_lets_messages_expire(
    library: Path, tmp_path: Path, broker: Mosquitto, receiver: Receiver
) -> None:
    output = Board(library, tmp_path, heap="184k").run("bounds_job", port=broker.port)
    assert "cache_messages_max is 16" in output and output.endswith("done\n")
    evicted = int(output.split("evicted ")[1].split()[0])
    assert 100 < evicted < 250
    expected = ["a%d" % number for number in range(17)]
    expected += ["b%d" % number + "." * 90 for number in range(evicted, 300)] + ["b300"]
    expected += ["c%d" % number for number in range(100)]
    assert until(lambda: len(receiver.arrivals) >= len(expected))
    assert [arrival.payload.decode() for arrival in receiver.arrivals] == expected
