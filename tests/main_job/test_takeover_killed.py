"""Taking over what 0.1.4 left, killed at each of its steps, or the power cut there: nothing lost, nothing twice."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.main_job.cache_files import stored_payloads
from tests.main_job.older_cache import numbered, payloads, write_database, write_pickles
from tests.main_job.receiver import Receiver, until
from tests.support import tally
from tests.support.dying_os import DEAD, DyingOs
from tests.support.forked import in_child
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]

PICKLES = numbered(7, "pickle")
ROWS = numbered(11, "row")
ALL = [*payloads(PICKLES), *payloads(ROWS)]
BATCH = 4
LIFE_S_MAX = 60


def with_small_batches(patch: pytest.MonkeyPatch) -> None:
    for module in ("older_caches", "takeover"):
        patch.setattr("persistmq.%s.BATCH_MESSAGES" % module, BATCH)


def dies(cut: int, cache: Path, cache_type: str, power_cut: bool, port: int) -> bool:
    """A life that ends at the call number ``cut``; False if it has come to its end before. ``port`` 0: no broker."""

    def life() -> None:
        signal.alarm(LIFE_S_MAX)
        with_small_batches(pytest.MonkeyPatch())
        DyingOs(cut, str(cache), power_cut).install()
        client = PersistClient("tester", cache_path=cache, cache_type=cache_type, reconnect_delay_ms_min=10)
        if port:
            client.connect_async("127.0.0.1", port)
            assert client.flush(20)
            client.stop()

    status = in_child(life)
    assert status in (0, DEAD)
    return status == DEAD


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The directory that 0.1.4 left."""
    write_pickles(tmp_path / "original", PICKLES)
    write_database(tmp_path / "original", ROWS)
    return tmp_path / "original"


def count(what: str, cuts: int) -> None:
    print(what, cuts)
    tally.count("take-overs of 0.1.4's caches that were " + what, cuts)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("cache_type", "power_cut"),
    [("flat", False), ("flat", True), ("sqlite", False)],
    ids=["flat-kill", "flat-power", "sqlite-kill"],
)
def test_killed_at_any_step_the_next_start_has_each_message_once_and_in_order(
    make_client: Make, original: Path, tmp_path: Path, cache_type: str, power_cut: bool
) -> None:
    cuts = 0
    while True:
        cache = tmp_path / ("cache-%d" % cuts)
        shutil.copytree(original, cache)
        if not dies(cuts, cache, cache_type, power_cut, 0):
            break
        client = make_client(cache_path=cache, cache_type=cache_type)
        client.publish("a", "new")
        assert stored_payloads(client) == [*ALL, "new"], cuts
        assert client.get_status()["takeover_error"] == ""
        client.stop(timeout=0)
        shutil.rmtree(cache)
        cuts += 1
    assert cuts > 60
    count("cut short by %s, %s" % ("a power cut" if power_cut else "a kill", cache_type), cuts)


@pytest.mark.timeout(400)
def test_killed_again_and_again_it_comes_to_an_end_with_each_message_once(
    make_client: Make, original: Path, tmp_path: Path
) -> None:
    """Each life has one step more than the one before, and begins where that one has left it."""
    for power_cut in (False, True):
        for stride in (1, 3, 7):
            cache = tmp_path / ("cache-%s-%d" % (power_cut, stride))
            shutil.copytree(original, cache)
            cut = 0
            while dies(cut, cache, "flat", power_cut, 0):
                cut += stride
            client = make_client(cache_path=cache)
            assert stored_payloads(client) == ALL
            client.stop(timeout=0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cache_type", ["flat", "sqlite"])
def test_killed_while_it_delivers_each_message_reaches_the_broker_once(
    broker: Mosquitto, original: Path, tmp_path: Path, cache_type: str, make_client: Make
) -> None:
    cuts = 0
    cut = 0
    while True:
        cache = tmp_path / ("cache-%d" % cut)
        shutil.copytree(original, cache)
        with Receiver(broker.port, name="receiver-%d" % cut) as receiver:
            if not dies(cut, cache, cache_type, False, broker.port):
                break
            client = make_client(cache_path=cache, cache_type=cache_type)
            client.publish("a", "new")
            client.connect_async("127.0.0.1", broker.port)
            assert client.flush(20)
            assert until(lambda: len(receiver.arrivals) > len(ALL))  # noqa: B023 - called here
            assert receiver.payloads == [*ALL, "new"], cut
            assert until(lambda: not (cache / "taken-over").exists())  # noqa: B023
            client.stop()
        shutil.rmtree(cache)
        cuts += 1
        cut += 3
    assert cuts > 30
    count("killed up to the last acknowledgement, " + cache_type, cuts)
