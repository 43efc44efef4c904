"""Bundles on a board: a backlog in a few messages, over power cuts, in little RAM."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from persistmq import PersistClient

from persistmq_core import slots
from persistmq_core.bundles import decode
from tests.board.conftest import accepted, figures
from tests.board.engine import Board
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto
from tests.support.unbundle import messages_of

pytestmark = pytest.mark.timeout(90)
REWRITE = "mixed/bulk"


@pytest.fixture
def board(library: Path, tmp_path: Path) -> Board:
    return Board(library, tmp_path, heap="192k")  # the main job runs in 128 KB


def bundles(form: str, **options: object) -> dict[str, object]:
    return {"bulk_msg_count": 8, "bulk_form": form, **options}


def held(receiver: Receiver) -> Iterator[str]:
    """All messages, in bundles or alone, without their padding."""
    for arrival in list(receiver.arrivals):
        for _, payload, _, _ in messages_of(tuple(arrival), REWRITE):
            yield payload.decode().split()[0]


def came(receiver: Receiver, count: int) -> list[str]:
    until(lambda: len(list(held(receiver))) >= count)
    receiver.wait(len(receiver.arrivals))
    return list(held(receiver))


@pytest.mark.parametrize("form", ["simple", "persistmq"])
def test_a_backlog_goes_in_bundles(board: Board, broker: Mosquitto, receiver: Receiver, form: str) -> None:
    stored = board.run("main_job", count=200, drain_s=0, topic="a/b/c", client=bundles(form))
    output = board.run("main_job", port=broker.port, count=0, client=bundles(form))
    found = figures(output)
    assert found["drained"]
    assert came(receiver, 200) == accepted(stored)
    assert len(receiver.arrivals) == 25
    assert {arrival.qos for arrival in receiver.arrivals} == {2}
    assert found["after"]["delivered"] == 200
    assert found["after"]["connections"] == 1, "it ran out of memory and began again"
    assert found["journal_files"] == 1


@pytest.mark.parametrize("form", ["simple", "persistmq"])
def test_each_message_comes_once_over_power_cuts_in_the_middle_of_a_backlog(
    board: Board, broker: Mosquitto, receiver: Receiver, form: str
) -> None:
    choose = random.Random(6)
    all_accepted = accepted(board.run("main_job", count=300, name="a", drain_s=0, client=bundles(form)))
    boots = 0
    client = bundles(form, reconnect_delay_ms_min=5, reconnect_delay_ms_max=20)
    while True:
        output, code = board.run_until_cut(
            "main_job",
            port=broker.port,
            name="b%d" % boots,
            count=3,
            batch=100,
            cut_after=choose.randrange(8, 60),
            client=client,
        )
        all_accepted += accepted(output)
        if code == 0:
            break
        boots += 1
        assert boots < 60
    assert boots > 3
    last = figures(board.run("main_job", port=broker.port, client=client))
    assert last["drained"]
    found = came(receiver, len(all_accepted))
    assert len(found) == len(set(found)), "delivered twice"
    assert set(all_accepted) <= set(found), "lost"
    assert len(found) <= len(all_accepted) + boots
    counted = last["after"]
    assert counted["accepted"] == counted["delivered"]
    assert counted["damaged"] == counted["refused"] == counted["waiting"] == 0
    assert len(receiver.arrivals) < len(found) / 2


@pytest.mark.parametrize("form", ["simple", "persistmq"])
def test_each_message_comes_once_over_kills_of_the_board_at_any_moment_and_restarts_of_the_broker(
    board: Board, tmp_path: Path, form: str
) -> None:
    choose = random.Random(7)
    client = bundles(form, reconnect_delay_ms_min=5, reconnect_delay_ms_max=20, on_full="block", cache_messages_max=300)
    (tmp_path / "sessions").mkdir()
    with Mosquitto(persistence_dir=tmp_path / "sessions") as broker, Receiver(broker.port) as receiver:
        all_accepted = []
        boots = 16
        for boot in range(boots):
            job = {"name": "k%d" % boot, "count": 100000, "batch": 40, "payload_bytes": 30}
            with board.start("main_job", port=broker.port, client=client, **job) as process:
                assert process.stdout is not None
                first_line = process.stdout.readline()  # it has begun
                time.sleep(choose.random() * 0.6)
                if boot % 4 == 2:
                    broker.stop()
                    broker.start()
                    time.sleep(choose.random() * 0.2)
                process.kill()
                rest = process.stdout.read()
            all_accepted += accepted((first_line + rest).rpartition("\n")[0])  # the last line may be half a line
        last = figures(board.run("main_job", port=broker.port, client=client))
        assert last["drained"]
        found = came(receiver, len(all_accepted))
        assert receiver.sessions_lost == 0
        bundled = sum(len(messages_of(tuple(arrival), REWRITE)) > 1 for arrival in receiver.arrivals)
    assert len(found) == len(set(found)), "delivered twice"
    assert set(all_accepted) <= set(found), "lost"
    assert len(found) <= len(all_accepted) + boots
    assert bundled > 2 * boots
    counted = last["after"]
    assert counted["accepted"] == counted["delivered"] == len(found)
    assert counted["damaged"] == counted["refused"] == counted["repeated"] == 0


@pytest.mark.parametrize("form", ["simple", "persistmq"])
def test_a_gateway_ends_the_bundles_that_a_board_began(
    board: Board, broker: Mosquitto, receiver: Receiver, tmp_path: Path, form: str
) -> None:
    stored = accepted(board.run("main_job", count=100, drain_s=0, client=bundles(form)))
    folder = tmp_path / "cache"
    in_flight: dict[int, int] = {}
    flash = board.flash.read_bytes()
    for cut_after in range(5, 30):
        board.flash.write_bytes(flash)
        board.run_until_cut("main_job", port=broker.port, cut_after=cut_after, client=bundles(form))
        board.run("copy_cache", folder=str(folder), to="host")
        states = [slots.decode((folder / name).read_bytes()) for name in ("checkpoint.0", "checkpoint.1")]
        in_flight = decode(max(states, key=lambda state: state.generation))[3]
        if in_flight:
            break
    assert in_flight
    with PersistClient("board", cache_path=folder) as client:
        client.connect_async("127.0.0.1", broker.port)
        assert client.flush(10)
        status = client.get_status()
    assert (status["delivered"], status["waiting"], status["repeated"]) == (100, 0, 0)
    assert came(receiver, 100) == stored


def test_parameters_that_cannot_be_are_named(board: Board) -> None:
    for client, words in (
        ({"bulk_msg_count": 1}, "bulk_msg_count must be 0"),
        ({"bulk_compress": True}, "bulk_form, bulk_compress and bulk_bytes_max need bulk_msg_count"),
        ({"bulk_size": 5}, "unexpected keyword argument 'bulk_size'"),
        ({"bulk_msg_count": 5, "bulk_form": "persistmq", "bulk_compress": True}, "this firmware cannot compress"),
    ):
        output, code = board.run_until_cut("main_job", client=client)
        assert code == 1 and words in output
