"""Everything at once: a network, a disk, a clock and processes that misbehave while four threads publish."""

import errno
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.main_job import processes
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto
from tests.support.tcp_proxy import TcpProxy

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
SECONDS = 180 if LONG else 18
DAY_S = 86400
_SECOND_CLIENT = """
import sys
from persistmq import CacheInUse, PersistClient
try:
    PersistClient("second", cache_path=sys.argv[1])
except CacheInUse as error:
    print("in use by", error.pid)
"""

BOTH_CACHE_TYPES = True


class HardTimes:
    """A publisher process behind a bad network, and the one who makes its life hard."""

    def __init__(self, folder: Path, broker: Mosquitto, proxy: TcpProxy, cache_type: str) -> None:
        self.seed = int(os.environ.get("PERSISTMQ_SEED") or random.randrange(1 << 20))
        print("seed", self.seed)
        self.folder = folder
        self.happened: Counter[str] = Counter()
        self._rng = random.Random(self.seed)
        self._broker = broker
        self._proxy = proxy
        options = (str(proxy.port), str(folder / "cache"), str(folder / "ledger"), str(self.seed), cache_type)
        self._errors = open(folder / "errors", "w+")  # noqa: SIM115 - closed in end()
        self._process = processes.start("-m", "tests.main_job.hard_publisher", *options, stderr=self._errors)

    def order(self, words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(words, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        kinds = (self.freeze_broker, self.stop_publisher, self.reset, self.stall, self.cut, self.delay, self.refuse,
                 self.break_disk, self.fill_disk, self.move_clock, self.fork, self.second_client)  # fmt: skip
        rounds = 0
        while time.monotonic() < deadline:
            # Each in turn, so that none is left out, and then as it comes.
            kind = kinds[rounds] if rounds < len(kinds) else self._rng.choice(kinds)
            rounds += 1
            kind()
            self.happened[kind.__name__] += 1
            time.sleep(self._rng.uniform(0, 0.3))

    def freeze_broker(self) -> None:
        self._broker.freeze()
        self._pause(1.5)
        self._broker.thaw()

    def stop_publisher(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        self._pause(1.5)
        self._process.send_signal(signal.SIGCONT)

    def reset(self) -> None:
        for _ in range(self._rng.randrange(1, 6)):
            self._proxy.reset()
            self._pause(0.15)

    def stall(self) -> None:
        self._proxy.is_stalled = True
        self._pause(1.5)
        self._proxy.is_stalled = False

    def cut(self) -> None:
        """In the middle of a packet, in either direction."""
        for _ in range(4):
            self._proxy.cut_after = self._rng.randrange(1, 3000)
            self._pause(0.3)

    def delay(self) -> None:
        self._proxy.delay_s = self._rng.choice((0.05, 0.2, 0.6))
        self._pause(1.0)
        self._proxy.delay_s = 0.0

    def refuse(self) -> None:
        self._proxy.refuses = True
        self._proxy.reset()
        self._pause(0.7)
        self._proxy.refuses = False

    def break_disk(self) -> None:
        self._break_disk(errno.EIO)

    def fill_disk(self) -> None:
        self._break_disk(errno.ENOSPC)

    def move_clock(self) -> None:
        assert self.order("clock %d" % self._rng.choice((-DAY_S, 0, DAY_S))) == "done", self.errors()

    def fork(self) -> None:
        assert self.order("fork") == "refused", self.errors()

    def second_client(self) -> None:
        ran = processes.run("-c", _SECOND_CLIENT, str(self.folder / "cache"))
        assert ran.stdout.strip() == "in use by %d" % self._process.pid, ran.stderr

    def drain(self) -> "dict[str, int]":
        self._proxy.heal()
        status: dict[str, int] = json.loads(self.order("drain") or "{}")
        assert self._process.wait(30) == 0, self.errors()
        return status

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        with self._process:
            pass
        self._errors.close()

    def _break_disk(self, number: int) -> None:
        assert self.order("disk %d %d" % (number, self._rng.choice((5, 30, 100)))) == "done", self.errors()
        self._pause(1.2)
        assert self.order("disk 0 0") == "done", self.errors()

    def _pause(self, seconds_max: float) -> None:
        time.sleep(self._rng.uniform(0.02, seconds_max))


@pytest.mark.timeout(600)
def test_what_publish_returned_for_is_delivered_with_qos_2_once_and_in_order(
    tmp_path: Path, cache_type: str
) -> None:
    with (
        Mosquitto() as broker,
        Receiver(broker.port, "hard") as receiver,
        TcpProxy(broker.port) as proxy,
    ):
        times = HardTimes(tmp_path, broker, proxy, cache_type)
        try:
            times.run(SECONDS)
            status = times.drain()
            until(lambda: len(set(receiver.payloads)) >= status["delivered"], 15)
            time.sleep(0.2)
        finally:
            times.end()
        note = "seed %d, %s, %d connections, %s" % (times.seed, dict(times.happened), proxy.connections, status)
        print(note)
        arrived = [tuple(map(int, payload.split()[:3])) for payload in receiver.payloads]
        assert receiver.sessions_lost == 0, note
    check(arrived, tmp_path, status, note)


def check(arrived: "list[tuple[int, ...]]", folder: Path, status: "dict[str, int]", note: str) -> None:
    """``arrived`` and the ledger hold (thread, number, QoS)."""
    ledger = {tuple(map(int, line.split())) for line in (folder / "ledger").read_text().splitlines()}
    assert len(ledger) > 200, "too little was published to mean anything: " + note
    lost = sorted(ledger - set(arrived))
    assert lost == [], "%d lost, the first is %s: %s" % (len(lost), lost[0], note)
    assert status["waiting"] == status["damaged"] == status["refused"] == 0, note
    assert status["accepted"] == status["delivered"] == len(ledger), note
    assert set(arrived) == ledger, "what publish() raised for came too: " + note
    of_qos_2 = [message for message in arrived if message[2] == 2]
    assert len(of_qos_2) == len(set(of_qos_2)), "QoS 2 came twice: " + note
    for thread in range(4):
        for qos in (1, 2):
            numbers = [number for was_thread, number, was_qos in arrived if (was_thread, was_qos) == (thread, qos)]
            first_of_each = list(dict.fromkeys(numbers))
            assert first_of_each == sorted(first_of_each), "out of order: " + note
