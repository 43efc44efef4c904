"""Brokers that die, stand still or forget; a flash that is full; a heap that is too small."""

import time
from pathlib import Path

import pytest

from tests.board.conftest import accepted, figures
from tests.board.engine import Board
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)


def names(receiver: Receiver, count: int) -> list[str]:
    return [text.split()[0] for text in receiver.wait(count)]


def test_a_broker_that_is_stopped_and_started_again_and_again(board: Board, tmp_path: Path) -> None:
    with Mosquitto(persistence_dir=tmp_path / "sessions") as broker:
        (tmp_path / "sessions").mkdir(exist_ok=True)
        with Receiver(broker.port) as receiver:
            with board.start("main_job", port=broker.port, count=1500, payload_bytes=20, pause_ms=1) as process:
                for _ in range(3):
                    seen = len(receiver.arrivals)
                    assert until(lambda seen=seen: len(receiver.arrivals) > seen + 20)
                    broker.restart()
                output, _ = process.communicate(timeout=40)
            assert sorted(names(receiver, 1500)) == sorted(accepted(output))
            assert figures(output)["after"]["connections"] == 4


def test_a_broker_that_is_killed_loses_its_sessions_and_nothing_is_lost(board: Board, broker: Mosquitto) -> None:
    # What the broker had taken and not passed on yet dies with it, and may not be counted: a QoS 0 receiver shows that
    # everything came at least once. Repeats are what MQTT has no means against, and are counted.
    with Receiver(broker.port, qos=0) as receiver:
        with board.start("main_job", port=broker.port, count=400, payload_bytes=20, pause_ms=1) as process:
            assert until(lambda: len(receiver.arrivals) > 50)
            broker.kill()
            broker.start()
            output, _ = process.communicate(timeout=40)
        found = figures(output)
        assert found["drained"]
        assert found["after"]["delivered"] == found["after"]["accepted"] == 400
        assert found["after"]["repeated"] <= 8


def test_a_frozen_broker_is_noticed(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    client = {"ack_timeout_ms": 400}
    with board.start("main_job", port=broker.port, count=800, pause_ms=1, client=client) as process:
        assert until(lambda: len(receiver.arrivals) > 20)
        broker.freeze()
        time.sleep(0.8)
        broker.thaw()
        output, _ = process.communicate(timeout=40)
    assert sorted(names(receiver, 800)) == sorted(accepted(output))
    assert figures(output)["after"]["connections"] > 1


def test_a_flash_that_is_full(board: Board, library: Path, tmp_path: Path, broker: Mosquitto) -> None:
    small = Board(library, tmp_path, blocks=16)
    client = {"segment_bytes_max": 4096}
    output = small.run("main_job", count=1000, drain_s=0, client=client)
    stored = accepted(output)
    assert "refused a-999 StoreError" in output
    assert 100 < len(stored) < 1000
    with Receiver(broker.port) as receiver:
        last = figures(small.run("main_job", port=broker.port, count=1, name="after", client=client))
        assert last["drained"]
        assert [name for name in names(receiver, len(stored)) if name != "after-0"] == stored
    assert last["after"]["damaged"] == 0
    more = small.run("main_job", count=10, name="more", drain_s=0, client=client)
    assert len(accepted(more)) == 10, "there is room again"


@pytest.mark.parametrize("payload_bytes", [20, 90])
def test_a_full_flash_refuses_and_drains_without_a_restart(
    board: Board, broker: Mosquitto, receiver: Receiver, payload_bytes: int
) -> None:
    found = figures(board.run("full_job", port=broker.port, payload_bytes=payload_bytes))
    assert found["files"] <= 16, "as many as the flash can hold full ones: a write that is refused begins none"
    assert found["waiting"] == found["stored"] > 1000
    assert found["staged"] == 0
    assert found["drained"], found
    assert found["drained_again"], found
    assert found["after"]["delivered"] == found["after"]["accepted"] == found["stored"] + 50
    assert len(receiver.wait(found["stored"] + 50)) == found["stored"] + 50


@pytest.mark.parametrize("free_bytes_max", [600, 1500])
def test_a_heap_so_small_that_memory_errors_come(
    board: Board, broker: Mosquitto, receiver: Receiver, free_bytes_max: int
) -> None:
    board.heap = "160k"  # of which the job eats all but so much
    output = board.run("hungry_job", port=broker.port, count=150, free_bytes_max=free_bytes_max)
    stored = accepted(output)
    assert "refused" in output
    assert len(stored) > 2
    last = figures(board.run("main_job", port=broker.port))
    assert last["drained"]
    came = names(receiver, len(stored))
    assert came == stored
    assert last["after"]["accepted"] == len(stored)
    assert last["after"]["damaged"] == 0
