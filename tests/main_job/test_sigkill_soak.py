"""A publisher that is killed again and again, at a broker that is restarted: nothing is lost, nothing comes twice."""

import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.main_job import processes
from tests.main_job.receiver import Receiver, until
from tests.main_job.soak_publisher import ENDS
from tests.support.mosquitto import Mosquitto
from tests.support.unbundle import messages_of

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
Message = tuple[int, int]  # (life of the publisher, its number there)


class Nursery:
    """The process whose children are killed. See soak_publisher.py."""

    def __init__(self, port: int, folder: Path, *options: str) -> None:
        self._ledger = folder / "ledger"
        self._errors = open(folder / "errors", "w+")  # noqa: SIM115 - closed in __exit__
        files = (str(folder / "cache"), str(self._ledger))
        self._process = processes.start(
            "-m", "tests.main_job.soak_publisher", str(port), *files, *options, stderr=self._errors
        )

    def order(self, words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(words, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def drain(self, life: int) -> "dict[str, int]":
        """A last life, to its good end; its status."""
        status: dict[str, int] = json.loads(self.order("drain %d" % life) or "{}")
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "0", self.errors()
        return status

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def ledger(self) -> list[Message]:
        lines = self._ledger.read_text().splitlines()
        return [(int(life), int(number)) for life, number in map(str.split, lines)]

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its standard input, and that ends it
            pass
        self._errors.close()


class Soak:
    def __init__(
        self,
        folder: Path,
        kills: int,
        durability: str,
        worker: str = "thread",
        cache_type: str = "flat",
        bulk_form: str = "",
    ) -> None:
        self.seed = int(os.environ.get("PERSISTMQ_SEED") or random.randrange(1 << 20))
        print("seed", self.seed)
        self.kills = kills
        self.folder = folder
        self.durability = durability
        self.worker = worker
        self.cache_type = cache_type
        self.bulk_form = bulk_form
        self.bundles = 0
        self.ledger: list[Message] = []
        self.arrived: dict[int, list[Message]] = {1: [], 2: []}
        self.status: dict[str, int] = {}

    def run(self) -> "Soak":
        rng = random.Random(self.seed)
        sessions = self.folder / "broker"
        sessions.mkdir()
        with (
            Mosquitto(persistence_dir=sessions) as broker,
            Receiver(broker.port) as receiver,
            Nursery(
                broker.port, self.folder, self.durability, str(self.seed), self.worker, self.cache_type, self.bulk_form
            ) as nursery,
        ):
            for life in range(1, self.kills + 1):
                assert nursery.order("begin %d" % life).isdigit()
                self._one_life(rng, broker, life)
                assert nursery.order("kill") == str(-signal.SIGKILL), nursery.errors()
            broker.start()
            self.status = nursery.drain(self.kills + 1)
            self.ledger = nursery.ledger()
            # What the client counts as delivered is at the broker; it may still be on its way from there to here.
            until(lambda: len(set(self._payloads(receiver))) >= self.status["delivered"], 15)
            time.sleep(0.2)
            assert receiver.sessions_lost == 0, "the broker lost the receiver's session: nothing is known"
            for payload in self._payloads(receiver):
                was_life, number, qos, _ = payload.split(" ")
                self.arrived[int(qos)].append((int(was_life), int(number)))
        return self

    def _payloads(self, receiver: Receiver) -> list[str]:
        """Of all messages, also of those in bundles."""
        found = []
        for arrival in list(receiver.arrivals):
            held = messages_of(arrival, "bulk")
            self.bundles += held != [arrival]
            found += [payload.decode() for _, payload, _, _ in held]
        return found

    @staticmethod
    def _one_life(rng: random.Random, broker: Mosquitto, life: int) -> None:
        """Up to the moment of its death. The broker is away now and then, over the end of a life or within one."""
        if life % 10 == 2:
            time.sleep(rng.uniform(0, 0.4))
            broker.stop()
        elif life % 10 == 4:
            broker.start()
        elif life % 10 == 7:
            time.sleep(rng.uniform(0, 0.4))
            broker.restart()
        # Half of the kills meet the start, or the first connection and what is repeated there.
        time.sleep(rng.uniform(0, rng.choice((0.06, 0.5))))

    def everything(self) -> set[Message]:
        return {*self.arrived[1], *self.arrived[2]}


def summary(soak: Soak) -> str:
    figures = {name: len(soak.arrived[name]) for name in soak.arrived}
    return "seed %d, arrived by QoS %s, ledger %d, status %s" % (soak.seed, figures, len(soak.ledger), soak.status)


def check_what_holds_always(soak: Soak) -> None:
    note = summary(soak)
    print(note)
    status = soak.status
    assert status["waiting"] == 0, note
    assert status["accepted"] == status["delivered"] == sum(status[name] for name in ENDS), note
    assert status["repeated"] == 0, "the broker lost the publisher's session: " + note
    twice = [message for message, count in Counter(soak.arrived[2]).items() if count > 1]
    assert twice == [], "QoS 2 came twice: " + note
    assert soak.arrived[2] == sorted(soak.arrived[2]), "QoS 2 came out of order: " + note
    first_of_each = list(dict.fromkeys(soak.arrived[1]))
    assert first_of_each == sorted(first_of_each), "QoS 1 came out of order: " + note
    assert len(soak.everything()) == status["delivered"], note


def test_what_publish_accepted_arrives_and_with_qos_2_once_and_in_order_over_50_kills(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 50, "sync").run()
    check_everything(soak)


def test_the_same_over_25_kills_of_applications_that_have_a_worker_process(tmp_path: Path) -> None:
    check_everything(Soak(tmp_path, 25, "sync", "process").run())


def test_the_same_over_25_kills_on_a_database(tmp_path: Path) -> None:
    check_everything(Soak(tmp_path, 25, "sync", cache_type="sqlite").run())


@pytest.mark.parametrize("bulk_form", ["simple", "persistmq"])
def test_the_same_over_25_kills_with_bundles(tmp_path: Path, bulk_form: str) -> None:
    soak = Soak(tmp_path, 25, "sync", bulk_form=bulk_form).run()
    check_everything(soak)
    assert soak.bundles > 25, "there were few bundles: " + summary(soak)


@pytest.mark.skipif(not LONG, reason="PERSISTMQ_LONG=1 runs it")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bulk_form", ["simple", "persistmq"])
def test_the_same_over_500_kills_with_bundles(tmp_path: Path, bulk_form: str) -> None:
    check_everything(Soak(tmp_path, 500, "sync", bulk_form=bulk_form).run())


@pytest.mark.skipif(not LONG, reason="PERSISTMQ_LONG=1 runs it")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cache_type", ["flat", "sqlite"])
def test_what_publish_accepted_arrives_and_with_qos_2_once_and_in_order_over_500_kills(
    tmp_path: Path, cache_type: str
) -> None:
    check_everything(Soak(tmp_path, 500, "sync", cache_type=cache_type).run())


def check_everything(soak: Soak) -> None:
    check_what_holds_always(soak)
    note = summary(soak)
    lost = sorted(set(soak.ledger) - soak.everything())
    assert lost == [], "%d lost, the first is %s: %s" % (len(lost), lost[0], note)
    # Accepted in the last instant: publish() had returned, the line in the ledger was not written. One for each kill.
    last_instant = Counter(life for life, _ in soak.everything() - set(soak.ledger))
    assert all(count == 1 for count in last_instant.values()), "%s %s" % (last_instant, note)
    assert len(soak.ledger) > soak.kills * 5, "too little was published to mean anything: " + note


def test_what_wait_for_stored_confirmed_in_async_arrives_over_15_kills(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 15, "async").run()
    check_what_holds_always(soak)
    came = defaultdict(set)
    for life, number in soak.everything():
        came[life].add(number)
    for life, confirmed in soak.ledger:
        lost = set(range(1, confirmed + 1)) - came[life]
        assert not lost, "life %d, confirmed up to %d, lost %s: %s" % (life, confirmed, sorted(lost), summary(soak))
    for life, numbers in came.items():
        assert len(numbers) == max(numbers), "a hole in life %d: %s" % (life, summary(soak))
    assert len(soak.ledger) > soak.kills, "too little was confirmed to mean anything: " + summary(soak)
