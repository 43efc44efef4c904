"""What wraps: packet identifiers at 60,000, integers that get longer, the counter of milliseconds."""

import os
import random
from pathlib import Path

import pytest

from persistmq_core.checkpoint import Checkpoint
from persistmq_core.segment import encode_header, segment_name
from tests.board.conftest import accepted, figures
from tests.board.engine import Board
from tests.board.scripted import Conversation, ScriptedServer, acknowledge_all
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
IDENTIFIERS = 60000
pytestmark = pytest.mark.timeout(60)


def as_if_delivered(board: Board, scratch: Path, first_seq: int) -> None:
    """Put the cache onto the flash that would be there had all before ``first_seq`` been delivered."""
    cache_id = 7
    state = Checkpoint(cache_id, 8)
    state.cursor = state.sent_bound = first_seq
    state.delivered = first_seq - 1
    state.generation = 2
    folder = scratch / "cache"
    (folder / "journal").mkdir(parents=True)
    (folder / "checkpoint.0").write_bytes(state.encode())
    (folder / segment_name(first_seq, cache_id)).write_bytes(encode_header(first_seq, 0, cache_id))
    board.run("copy_cache", folder=str(folder), to="board")


@pytest.mark.parametrize("first_seq", [65530, (1 << 30) - 10, (1 << 32) - 10])
def test_sequence_numbers_get_longer(
    board: Board, broker: Mosquitto, receiver: Receiver, tmp_path: Path, first_seq: int
) -> None:
    as_if_delivered(board, tmp_path, first_seq)
    output = board.run("main_job", port=broker.port, count=30, client={"segment_bytes_max": 1024})
    assert [text.split()[0] for text in receiver.wait(30)] == accepted(output)
    assert figures(output)["after"]["delivered"] == first_seq + 29


@pytest.mark.parametrize("qos", [1, 2])
def test_identifiers_wrap_within_some_hundred_messages(
    board: Board, broker: Mosquitto, receiver: Receiver, tmp_path: Path, qos: int
) -> None:
    first_seq = IDENTIFIERS - 150
    as_if_delivered(board, tmp_path, first_seq)
    output = board.run("main_job", port=broker.port, count=400, qos=qos, payload_bytes=20, batch=5)
    assert [text.split()[0] for text in receiver.wait(400)] == accepted(output)
    after = figures(output)["after"]
    assert after["delivered"] == first_seq - 1 + 400
    assert (after["connections"], after["repeated"]) == (1, 0)
    log = broker.log_text()
    assert "m%d, 't'" % IDENTIFIERS in log
    assert "m1, 't'" in log.partition("m%d, 't'" % IDENTIFIERS)[2]


def test_power_cuts_while_identifiers_wrap(board: Board, broker: Mosquitto, receiver: Receiver, tmp_path: Path) -> None:
    as_if_delivered(board, tmp_path, IDENTIFIERS - 40)
    choose = random.Random(6)
    stored: list[str] = []
    boots = 12
    for boot in range(boots):
        output, code = board.run_until_cut(
            "main_job",
            port=broker.port,
            name="w%d" % boot,
            count=1000,
            cut_after=60 + choose.randrange(140),
            batch=choose.choice([1, 4, 8]),
            client={"segment_bytes_max": 2048, "reconnect_delay_ms_min": 5, "reconnect_delay_ms_max": 20},
        )
        assert code == -9, output
        stored += accepted(output)
    last = figures(board.run("main_job", port=broker.port))["after"]
    assert last["delivered"] == last["accepted"] > IDENTIFIERS + 30, "it did not get beyond the wrap"
    came = [text.split()[0] for text in receiver.wait(len(stored))]
    assert len(came) == len(set(came)), "delivered twice"
    assert [text for text in came if text in set(stored)] == stored
    assert len(came) <= len(stored) + boots  # a publish() that did not return may have been stored


@pytest.mark.skipif(not LONG, reason="PERSISTMQ_LONG=1 runs it")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("qos", [1, 2])
def test_more_messages_than_there_are_identifiers(
    board: Board, broker: Mosquitto, receiver: Receiver, qos: int
) -> None:
    count = 66000
    options = {"count": count, "qos": qos, "payload_bytes": 20, "flush_each": 500, "quiet": True}
    board.heap = "256k"  # collects less often
    found = figures(board.run("main_job", port=broker.port, timeout_s=500, **options))
    print("%d messages of QoS %d in %.1f s" % (count, qos, found["took_ms"] / 1000))
    came = receiver.wait(count, timeout_s=60)
    assert [text.split()[0] for text in came] == ["a-%d" % number for number in range(count)]
    assert found["drained"]
    assert found["after"]["delivered"] == count
    assert (found["after"]["connections"], found["after"]["repeated"]) == (1, 0)
    assert found["journal_files"] == 1


def test_time_goes_on_when_the_counter_of_milliseconds_wraps(board: Board) -> None:
    """It wraps while an acknowledgement is waited for, which must not be for ever."""

    def answer_some(conversation: Conversation) -> None:
        conversation.welcome()
        for _ in range(5):
            conversation.sock.sendall(b"\x40\x02" + conversation.take_message()[1])
        while True:
            conversation.packet()

    def answer_all(conversation: Conversation) -> None:
        acknowledge_all(conversation, session_present=True)

    board.heap = "160k"  # the counter is more code on the board
    with ScriptedServer(answer_some, answer_all) as server:
        found = figures(
            board.run(
                "main_job",
                port=server.port,
                count=30,
                qos=1,
                pause_ms=5,
                counter_left_ms=300,
                client={"ack_timeout_ms": 600, "reconnect_delay_ms_min": 5, "reconnect_delay_ms_max": 50},
            )
        )
        assert server.connections == 2
    assert found["drained"]
    assert found["after"]["delivered"] == 30
    assert found["after"]["connections"] == 2, "the silence was not noticed, or noticed where there was none"
