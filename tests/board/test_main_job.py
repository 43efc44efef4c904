"""The main job: QoS 2, window 8, payload 100 B, every message on littlefs, a real broker, a hard limit to the heap."""

import pytest

from tests.board.conftest import accepted, figures
from tests.board.engine import Board
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)


def received(receiver: Receiver, count: int) -> list[str]:
    """What came, without the padding."""
    return [text.split()[0] for text in receiver.wait(count)]


def test_it_runs_to_the_end_in_128_kb_and_wears_the_flash_little(
    board: Board, broker: Mosquitto, receiver: Receiver
) -> None:
    output = board.run("main_job", port=broker.port, count=500, client={"window": 8, "window_qos2": 8})
    found = figures(output)
    assert received(receiver, 500) == accepted(output)
    assert len(accepted(output)) == 500
    assert {arrival.qos for arrival in receiver.arrivals} == {2}
    assert found["drained"]
    assert found["after"]["delivered"] == 500
    assert found["after"]["connections"] == 1, "it ran out of memory and began again"
    assert found["erases"] / 500 <= 1.1
    assert found["checkpoint_bytes"] <= 128, "beyond that littlefs does not keep it inline"
    assert found["journal_files"] == 1, "what was delivered was not reclaimed"


@pytest.mark.parametrize("qos", [0, 1])
def test_the_other_qos(board: Board, broker: Mosquitto, receiver: Receiver, qos: int) -> None:
    output = board.run("main_job", port=broker.port, count=100, qos=qos)
    assert received(receiver, 100) == accepted(output)
    assert {arrival.qos for arrival in receiver.arrivals} == {qos}


def test_forty_messages_to_a_sync(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    board.heap = "160k"  # 40 staged messages are 7 KB
    client = {"durability": "async", "staged_bytes_max": 8192, "segment_bytes_max": 65536}
    output = board.run("main_job", port=broker.port, count=1200, batch=40, first=1, client=client)
    assert received(receiver, 1200) == accepted(output)
    assert figures(output)["erases"] / 1200 <= 0.08


def test_memory_does_not_grow_with_the_backlog(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    ends = []
    for name, count in (("a", 50), ("b", 600)):
        stored = board.run("main_job", count=count, name=name, drain_s=0)
        assert figures(stored)["status"]["waiting"] == count
        ends.append(figures(board.run("main_job", port=broker.port, count=0))["heap_at_end"])
        board.erase()
    assert abs(ends[1] - ends[0]) < 1024
    assert len(set(received(receiver, 650))) == 650


def test_what_was_stored_without_a_broker_is_sent_on_another_day(
    board: Board, broker: Mosquitto, receiver: Receiver
) -> None:
    expected = []
    for wake in range(4):  # the deep-sleep pattern
        output = board.run("main_job", count=3, name="wake%d" % wake, drain_s=0)
        expected += accepted(output)
    output = board.run("main_job", port=broker.port, count=3, name="wake4")
    assert received(receiver, 15) == expected + accepted(output)
    assert figures(output)["after"]["accepted"] == figures(output)["after"]["delivered"] == 15


def test_topics_and_payloads_in_any_language(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    topic = "m\u00fcnchen/\u6e29\u5ea6/\U0001f321"
    board.run("main_job", port=broker.port, count=5, topic=topic, name="\u00b0C", connect={"keepalive": 5})
    assert received(receiver, 5) == ["\u00b0C-%d" % number for number in range(5)]
    assert {arrival.topic for arrival in receiver.arrivals} == {topic}


def test_user_and_password(board: Board, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Mosquitto(allow_anonymous=False) as broker:
        options = {"port": broker.port, "count": 1, "drain_s": 0.3, "stop_s": 0}
        status = figures(board.run("main_job", connect={"user": "\u00fcser", "password": "p\u00e4ss"}, **options))
        assert "not authorized" in status["status"]["down_reason"]
        assert status["after"]["waiting"] == 1


def test_beside_other_tasks(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    output = board.run("asyncio_job", port=broker.port, count=40)
    assert sorted(received(receiver, 40)) == sorted(accepted(output))
    assert figures(output)["after"]["delivered"] == 40
