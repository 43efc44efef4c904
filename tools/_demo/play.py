"""The demo: readings are published all the time while broker, publisher and connection fail in turn."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import _mosquitto
import _setup
from _demo.broker import Broker
from _demo.device import Device
from _demo.judge import judge
from _demo.scorekeeper import Scorekeeper
from _demo.view import View

MESSAGES = 6000
SECONDS_PER_ROUND = 12  # what the faults of one round take, about; the readings are spread over it
PUBLISHING_SECONDS_MAX = 45  # where storage is too slow for all of them, unless --messages asked for them
QUIET_SECONDS = 15  # nothing moved for so long: what is not there now does not come any more

WITHOUT_MOSQUITTO = """\
Neither is Mosquitto here nor could it be fetched, so a broker in Python (amqtt) stands in for it. It keeps its
sessions in memory and does not resume a QoS 2 handshake that was cut. So here the broker is never stopped, only
frozen, and the readings go out with QoS 1: what you see is that nothing is lost. Duplicates belong to QoS 1.
For the whole demo: sudo apt-get install mosquitto"""


class Demo:
    def __init__(self, folder: Path, mosquitto: "str | None", messages: int, rounds: int, seed: int) -> None:
        self.qos = 2 if mosquitto else 1
        self.random = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.messages = messages
        self.broker = Broker(mosquitto, folder)
        self.keeper = Scorekeeper(self.broker.port, self.qos)
        self.device = Device(folder, self.broker.port, messages, messages / (SECONDS_PER_ROUND * rounds), self.qos)
        self.view = View(messages)
        self.scenes = [self.kill_publisher, self.freeze_broker]
        if mosquitto:
            self.scenes += [self.stop_broker, self.kill_publisher_without_broker, self.kill_publisher_in_drain]

    def run(self, rounds: int, seconds_max: float) -> int:
        self.view.start()
        began = time.monotonic()
        self.broker.start()
        self.keeper.start()
        self.device.start()
        self.view.event(f"broker on port {self.broker.port}, publisher and scorekeeper are up")
        for _ in range(rounds):
            for scene in self.random.sample(self.scenes, len(self.scenes)):
                self.watch(self.random.uniform(0.2, 0.8))
                scene()
        self.view.event("no more faults; waiting until all is delivered")
        self.drain(began + seconds_max)
        self.view.close()
        return self.verdict(time.monotonic() - began)

    # The scenes. Each leaves everything up.

    def stop_broker(self) -> None:
        self.note("broker stopped")
        self.broker.stop()
        self.watch(self.random.uniform(1, 2))
        self.broker.start()
        self.view.event("broker is back")

    def freeze_broker(self) -> None:
        """For longer than the publisher waits for an acknowledgement: it has to give the connection up."""
        self.next_delivery()
        self.note("connection frozen")
        self.broker.freeze()
        self.watch(self.random.uniform(2.5, 3))
        self.broker.thaw()
        self.view.event("connection thawed")

    def kill_publisher(self) -> None:
        self.next_delivery()
        self.note("publisher killed")
        self.device.kill()
        self.watch(self.random.uniform(0.1, 0.5))
        self.restart_publisher()

    def kill_publisher_without_broker(self) -> None:
        self.note("broker stopped")
        self.broker.stop()
        self.watch(self.random.uniform(0.4, 0.8))
        self.note("publisher killed")
        self.device.kill()
        self.watch(self.random.uniform(0.1, 0.3))
        self.restart_publisher()
        self.watch(self.random.uniform(0.4, 0.8))
        self.broker.start()
        self.view.event("broker is back")

    def kill_publisher_in_drain(self) -> None:
        """In the few milliseconds in which the backlog of an outage goes out, handshakes of every kind are open."""
        self.note("broker stopped")
        self.broker.stop()
        self.watch(self.random.uniform(1, 1.5))
        self.broker.start()
        self.view.event("broker is back")
        self.next_delivery()
        time.sleep(self.random.uniform(0, 0.015))
        self.note("publisher killed")
        self.device.kill()
        self.watch(self.random.uniform(0.1, 0.3))
        self.restart_publisher()

    def restart_publisher(self) -> None:
        self.device.start()
        self.view.event(f"publisher starts its life {self.device.life}")

    def note(self, fault: str) -> None:
        self.faults[fault] += 1
        self.view.event(fault)

    # Waiting

    def next_delivery(self) -> None:
        """Until right after the next delivery, so that a fault meets messages on their way."""
        self.keeper.delivery.clear()
        self.keeper.delivery.wait(2)

    def watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.look()
            time.sleep(min(0.05, left))

    def look(self) -> None:
        self.device.check()
        waiting = self.device.status.get("waiting", 0)
        alive = self.device.is_alive()
        state = f"waiting {waiting}, broker {self.broker.state}, publisher {'up' if alive else 'down'}"
        self.view.update(self.device.accepted(), self.keeper.different, state)

    def drain(self, publish_until: float) -> None:
        """Until the publisher says that nothing waits and the scorekeeper has it all, or nothing moves any more."""
        asked = False
        seen, moved = (0, 0), time.monotonic()
        while time.monotonic() - moved < QUIET_SECONDS:
            self.watch(0.1)
            counts = (self.device.accepted(), self.keeper.different)
            if counts != seen:
                seen, moved = counts, time.monotonic()
            if self.device.drained and counts[1] >= counts[0]:
                break
            if not asked and counts[0] < self.messages and time.monotonic() > publish_until:
                asked = True
                self.device.finish()
                self.view.event(f"storage is slow here: {counts[0]} readings have to be enough")
        self.watch(0.5)  # for a duplicate that comes late

    # The end

    def verdict(self, seconds: float) -> int:
        verdict = judge(self.device.ledger(), list(self.keeper.deliveries), self.device.kills)
        notes = Counter({"repeated to the scorekeeper by Mosquitto itself": self.keeper.repeated_by_broker})
        self.view.table(verdict, self.faults + notes)  # the sum leaves out what did not happen
        wrong = []
        if not verdict.delivered:
            wrong.append("Nothing was delivered.")
        if verdict.lost:
            wrong.append(f"Lost, as (life, reading): {verdict.lost[:10]}")
        if verdict.duplicated and self.qos == 2:
            wrong.append(f"Delivered more than once, as (life, reading): {verdict.duplicated[:10]}")
        if verdict.unexplained:
            wrong.append(f"Delivered, but never accepted: {verdict.unexplained}")
        if self.device.accounts_wrong:
            wrong.append(f"The client's accounts did not add up, first in {self.device.accounts_wrong[0]}")
        if not self.device.drained:
            wrong.append(f"The publisher never had everything delivered. Its last status: {self.device.status}")
        if self.keeper.sessions_lost:
            wrong.append("The broker forgot the scorekeeper's session, so this count is not to be trusted.")
        for line in wrong:
            self.view.console.print(line, style="bold red", markup=False, soft_wrap=True)
        if not wrong:
            once = " and nothing came twice" if not verdict.duplicated else " (QoS 1 may double, and did)"
            self.view.console.print(
                f"Nothing was lost{once}. The client's accounts added up in each of {self.device.statuses} "
                f"statuses. {seconds:.0f} s.",
                soft_wrap=True,
            )
        return 1 if wrong else 0

    def close(self) -> None:
        self.view.close()
        self.device.close()
        self.keeper.close()
        self.broker.close()


def play() -> None:
    parser = argparse.ArgumentParser(prog="tools/demo", description=__doc__)
    parser.add_argument("--messages", type=int, help=f"readings to publish (default: up to {MESSAGES})")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything fails (default: 3, 12 s each)")
    parser.add_argument("--seed", type=int, help="for the same order of faults again (default: a new one, printed)")
    options = parser.parse_args()
    if options.rounds < 1 or (options.messages is not None and options.messages < 1):
        parser.error("--rounds and --messages start at 1")
    seed = random.randrange(100_000) if options.seed is None else options.seed
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that the finally below is reached

    mosquitto = _mosquitto.get()
    if not mosquitto:
        print(WITHOUT_MOSQUITTO)
        _setup.pip_install("amqtt")
    messages = options.messages or MESSAGES
    seconds_max = float("inf") if options.messages else max(PUBLISHING_SECONDS_MAX, SECONDS_PER_ROUND * options.rounds)
    folder = Path(tempfile.mkdtemp(prefix="persistmq-demo-"))
    demo = Demo(folder, mosquitto, messages, options.rounds, seed)
    try:
        demo.view.console.print(f"Broker: {mosquitto or 'amqtt'}. The same faults again: tools/demo --seed {seed}")
        sys.exit(demo.run(options.rounds, seconds_max))
    except KeyboardInterrupt:
        demo.view.event("interrupted; cleaning up")
        sys.exit(130)
    finally:
        demo.close()
        shutil.rmtree(folder, ignore_errors=True)
