"""From publish() to a row, once, over SIGKILL of publisher, broker and receiver; and what the broker lost is named."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from persistmq.receiver.command import ledger_of
from persistmq.receiver.ledger import Stream

from tests.main_job import processes
from tests.main_job.receiver import until
from tests.support.mosquitto import Mosquitto
from tests.support.postgres import Postgres

LONG = bool(os.environ.get("PERSISTMQ_LONG"))


class Nursery:
    """See lives.py."""

    def __init__(self, port: int, folder: Path, output: str, form: str = "") -> None:
        self._errors = open(folder / "errors", "w+")  # noqa: SIM115 - closed in __exit__
        arguments = ("-m", "tests.receiver.lives", str(port), str(folder), output, form)
        self._process = processes.start(*arguments, stderr=self._errors)

    def order(self, words: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(words, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-4000:]

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its standard input, and that ends it
            pass
        self._errors.close()


class Soak:
    """``kills`` of each. ``keeps``: the broker stores its sessions, and is stopped in order; or it is killed, and
    forgets all that it had acknowledged."""

    form = ""  # of bundles, if they are made: see lives.py
    last_receiver = "kill receiver"  # so that the broker knows it
    batch = 1  # messages that may have been accepted in the last instant

    def __init__(self, folder: Path, output: str, kills: int, keeps: bool, server: "Postgres | None" = None) -> None:
        self.seed = int(os.environ.get("PERSISTMQ_SEED") or random.randrange(1 << 20))
        print("seed", self.seed)
        self.folder = folder
        self.output = output
        self.kills = kills
        self.keeps = keeps
        self.server = server
        self.published: set[int] = set()
        self.rows: list[int] = []
        self.stream = Stream()
        self.repeats = 0  # that the broker sent the receiver, with DUP
        self.bundles = 0  # PUBLISHes that were such, at the broker: in, and out

    def run(self) -> "Soak":
        rng = random.Random(self.seed)
        sessions = self.folder / "broker"
        sessions.mkdir()
        with (
            Mosquitto(persistence_dir=sessions if self.keeps else None) as broker,
            Nursery(broker.port, self.folder, self.output, self.form) as nursery,
        ):
            nursery.order("begin receiver 0")
            assert until(lambda: "soak-receiver" in broker.log_text(), 30), nursery.errors()
            self._await_subscription(broker)
            for life in range(1, self.kills + 1):
                nursery.order("begin publisher %d" % life)
                self._one_life(rng, broker, nursery)
                assert nursery.order("kill publisher") == str(-signal.SIGKILL), nursery.errors()
            subscriptions = self._subscriptions(broker)
            nursery.order(self.last_receiver)
            nursery.order("begin receiver 0")
            assert until(lambda: self._subscriptions(broker) > subscriptions, 30), nursery.errors()
            nursery.order("drain publisher %d" % (self.kills + 1))
            assert nursery.order("end publisher") == "0", nursery.errors()
            last = max(self._published())
            assert until(lambda: self._has_arrived(last), 30), nursery.errors()
            time.sleep(0.3)  # in which nothing more should come
            assert nursery.order("end receiver") == "0", nursery.errors()
            log_text = broker.log_text()
            self.bundles = log_text.count("/bulk'")
            self.repeats = log_text.count("Sending PUBLISH to soak-receiver (d1")
        self.published = self._published()
        self.rows = sorted(self._rows())
        self.stream = self._stream()
        return self

    def _one_life(self, rng: random.Random, broker: Mosquitto, nursery: Nursery) -> None:
        """Up to the death of the publisher. The receiver dies in two of three, and the broker."""
        time.sleep(rng.uniform(0, 0.3))
        if rng.randrange(3):
            assert nursery.order("kill receiver") == str(-signal.SIGKILL), nursery.errors()
            time.sleep(rng.uniform(0, 0.1))
            nursery.order("begin receiver 0")
            time.sleep(rng.uniform(0, 0.5))
        if rng.randrange(3):
            broker.stop() if self.keeps else broker.kill()
            time.sleep(rng.uniform(0, 0.1))
            broker.start()
            time.sleep(rng.uniform(0, 0.4))
        if self.server is not None and not rng.randrange(4):
            self.server.kill()
            self.server.start()

    def _await_subscription(self, broker: Mosquitto) -> None:
        assert until(lambda: self._subscriptions(broker) > 0, 20)

    @staticmethod
    def _subscriptions(broker: Mosquitto) -> int:
        return broker.log_text().count("Received SUBSCRIBE from soak-receiver")

    def _has_arrived(self, last: int) -> bool:
        return self._stream().highest() >= last

    def _published(self) -> set[int]:
        return set(map(int, (self.folder / "published").read_text().split()))

    def _stream(self) -> Stream:
        streams = list(ledger_of(self.output, None).streams.values())
        return streams[0] if len(streams) == 1 else Stream()

    def _rows(self) -> Iterator[int]:
        if self.output.startswith("jsonl:"):
            for line in Path(self.output[6:]).read_bytes().splitlines():
                yield json.loads(line)["seq"]
            return
        with sa.create_engine(self.output.replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
            for (seq,) in connection.execute(sa.text("SELECT seq FROM messages")):
                yield seq


def check(soak: Soak) -> str:
    """What holds whatever was killed: nothing twice, and what is missing is named."""
    rows = set(soak.rows)
    gaps = {seq for first, last in soak.stream.gaps() for seq in range(first, last + 1)}
    lost = soak.published - rows
    note = "seed %d: %d published, %d rows, %d lost, %d came again" % (
        soak.seed, len(soak.published), len(soak.rows), len(lost), soak.stream.repeated,
    )  # fmt: skip
    print(note)
    twice = [seq for seq, count in Counter(soak.rows).items() if count > 1]
    assert twice == [], note
    assert not gaps & rows, note
    assert lost <= gaps, "not named: %s; %s" % (sorted(lost - gaps)[:5], note)
    # Accepted in the last instant: publish() had returned, and its line was not written.
    assert len((rows | gaps) - soak.published) <= soak.kills * soak.batch, note
    assert rows | gaps == set(range(1, soak.stream.highest() + 1)), note
    assert len(rows) == soak.stream.received, note
    assert len(soak.published) > 20 * soak.kills, "too little was published to mean anything: " + note
    return note


OUTPUTS = ["sqlite", "jsonl", "postgresql"]


@pytest.fixture
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    if request.param == "postgresql":
        with Postgres() as server:
            yield server.url, server
    else:
        yield {"sqlite": f"sqlite:///{tmp_path}/rows.db", "jsonl": f"jsonl:{tmp_path}/rows.jsonl"}[request.param], None


def run(folder: Path, output: tuple[str, Any], kills: int, keeps: bool) -> None:
    soak = Soak(folder, output[0], kills, keeps, output[1] if kills > 20 else None).run()
    note = check(soak)
    if keeps:
        assert soak.stream.missing() == 0, note
    else:
        assert soak.stream.missing() > 0, "the broker lost nothing, so nothing was shown: " + note


@pytest.mark.parametrize("output", OUTPUTS, indirect=True)
def test_each_message_is_a_row_once_over_10_kills_of_publisher_and_receiver(
    tmp_path: Path, output: tuple[str, Any]
) -> None:
    run(tmp_path, output, 10, keeps=True)


@pytest.mark.parametrize("output", OUTPUTS[:2], indirect=True)
def test_none_is_there_twice_and_what_is_lost_is_named_over_10_kills_of_the_broker_too(
    tmp_path: Path, output: tuple[str, Any]
) -> None:
    run(tmp_path, output, 10, keeps=False)


@pytest.mark.skipif(not LONG, reason="PERSISTMQ_LONG=1 runs it")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("output", OUTPUTS, indirect=True)
def test_the_same_over_200_kills(tmp_path: Path, output: tuple[str, Any], keeps: bool) -> None:
    run(tmp_path, output, 200, keeps)
