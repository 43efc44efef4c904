"""The same from publish() to a row, in bundles: all of one or nothing, whatever is killed."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.receiver.lives import BATCH
from tests.receiver.test_end_to_end import Nursery, Soak, check
from tests.support.mosquitto import Mosquitto

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
KILLS = 200 if LONG else 12

pytestmark = pytest.mark.timeout(1800 if LONG else 120)


class InBundles(Soak):
    batch = BATCH

    def __init__(self, folder: Path, form: str, kills: int, keeps: bool) -> None:
        super().__init__(folder, f"sqlite:///{folder}/rows.db", kills, keeps)
        self.form = form


@pytest.mark.parametrize("form", ["persistmq", "compressed"])
def test_each_message_is_a_row_once_over_kills_of_publisher_and_receiver_and_restarts_of_the_broker(
    tmp_path: Path, form: str
) -> None:
    soak = InBundles(tmp_path, form, KILLS, keeps=True).run()
    note = check(soak)
    assert soak.stream.missing() == 0, note
    assert soak.bundles > 5 * KILLS, "%d bundles: %s" % (soak.bundles, note)


def test_none_is_there_twice_and_what_a_killed_broker_lost_is_named(tmp_path: Path) -> None:
    soak = InBundles(tmp_path, "persistmq", KILLS, keeps=False).run()
    note = check(soak)
    assert soak.stream.missing() > 0, "the broker lost nothing, so nothing was shown: " + note
    assert soak.bundles > 5 * KILLS, "%d bundles: %s" % (soak.bundles, note)


class WithoutIdentity(InBundles):
    """The simple form: rows are known by their payload. The receiver lives, for nobody could tell it what it had."""

    last_receiver = "end receiver"

    def __init__(self, folder: Path, kills: int, restarts: bool) -> None:
        super().__init__(folder, "simple", kills, keeps=True)
        self._restarts = restarts

    def _one_life(self, rng: random.Random, broker: Mosquitto, nursery: Nursery) -> None:
        time.sleep(rng.uniform(0.1, 0.5))
        if self._restarts and rng.randrange(3):
            broker.stop()
            time.sleep(rng.uniform(0, 0.1))
            broker.start()
            time.sleep(rng.uniform(0, 0.4))

    def _has_arrived(self, last: int) -> bool:
        return last in self._rows()

    def _rows(self) -> Iterator[int]:
        with sa.create_engine(self.output).connect() as connection:
            for (payload,) in connection.execute(sa.text("SELECT payload FROM messages")):
                yield int(payload)


@pytest.mark.parametrize("restarts", [False, True])
def test_of_the_simple_form_no_message_is_lost_and_none_comes_twice_but_by_a_restarted_broker(
    tmp_path: Path, restarts: bool
) -> None:
    soak = WithoutIdentity(tmp_path, KILLS, restarts).run()
    counts = Counter(soak.rows)
    twice = [payload for payload, count in counts.items() if count > 1]
    words = "seed %d: %d published, %d rows, %d came twice, %d bundles, %d repeats of the broker"
    note = words % (soak.seed, len(soak.published), len(soak.rows), len(twice), soak.bundles, soak.repeats)
    print(note)
    assert soak.published <= counts.keys(), note
    assert len(counts.keys() - soak.published) <= KILLS * BATCH, note
    assert len(twice) <= (10 * soak.repeats if restarts else 0), note  # a bundle has ten
    assert soak.bundles > 5 * KILLS and len(soak.published) > 20 * KILLS, note
