"""A backlog over a long link: what counts there is how well the window is used."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from _bench import spread
from _bench.broker import WIDE, Broker
from _bench.peers import Contestant
from _bench.report import Goal, Report, number
from _bench.runner import BenchFailed, Result, Runner
from _bench.scale import Scale

PAYLOAD_BYTES = 100


def contestants_of(qos: int, window: int) -> list[Contestant]:
    own = "window" if qos == 1 else "window_qos2"
    share = min(1.0, window / 200)
    row = f"QoS {qos}, window {window}"
    return [
        Contestant(f"{row}: persistmq", "ours", {own: window, "qos": qos}, share=share),
        Contestant(f"{row}: floor loop", "floor", {"window": window, "qos": qos}, share=share),
        Contestant(f"{row}: paho", "bare_paho", {"window": window, "qos": qos}, "peer", share=share),
    ]


class Link:
    name = "link"
    title = "A backlog over a long link, from connecting to the last acknowledgement, 100 B"
    columns = ["round trip", "QoS, window", "contestant", "messages", "msg/s", "min … max"]
    _rows = ((1, 1000), (2, 20), (2, 1000))

    def contestants(self) -> list[Contestant]:
        seed = Contestant("QoS 2, window 1: persistmq 0.1.4", "seed", {"qos": 2}, "seed", share=0.001)
        return [contestant for row in self._rows for contestant in contestants_of(*row)] + [seed]

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        report = Report(self.name, self.title, self.columns)
        for rtt_ms in scale.rtts_ms:
            results = runner.rounds_of(chosen, partial(drain, runner, scale.link_messages, rtt_ms), scale.slow_rounds)
            report.rounds[f"{rtt_ms} ms"] = results
            for contestant in chosen:
                row, _, who = contestant.name.partition(": ")
                messages = number(results[contestant.name][0]["messages"])
                cells = spread.cells(results, contestant.name, "per_second")
                report.rows.append([f"{rtt_ms} ms", row, who, messages, *cells])
            report.goals += _goals(results, rtt_ms)
        return report


def _goals(results: dict[str, list[Result]], rtt_ms: int) -> list[Goal]:
    goals = []
    seed = "QoS 2, window 1: persistmq 0.1.4"
    for row in ("QoS 1, window 1000", "QoS 2, window 20", "QoS 2, window 1000"):
        ours, floor = f"{row}: persistmq", f"{row}: floor loop"
        if ours in results and floor in results:
            times = spread.ratio(results, ours, floor, "per_second")
            goals.append(Goal(f"{rtt_ms} ms, {row}: persistmq / floor loop", times, at_least=0.95, unit=" ×"))
        if ours in results and seed in results and row.startswith("QoS 2"):
            times = spread.ratio(results, ours, seed, "per_second")
            bound = 25 if row.endswith(" 20") else 500
            goals.append(Goal(f"{rtt_ms} ms, {row}: persistmq / 0.1.4", times, at_least=bound, unit=" ×"))
    return goals


def drain(runner: Runner, messages: int, rtt_ms: int, contestant: Contestant) -> Result:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(runner.new_folder()))
        broker = stack.enter_context(Broker(runner.mosquitto, folder, WIDE))
        port = stack.enter_context(long_link(broker.port, rtt_ms / 2)).port if rtt_ms else broker.port
        count = contestant.count_of(messages)
        return runner.process(contestant, "drain", port=port, messages=count, payload_bytes=PAYLOAD_BYTES)


class LongLink:
    """The process of `forwarder.py`. ``port``: to connect to."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process = process
        self.port = port

    def end(self) -> tuple[int, int]:
        """How many bytes went there and back."""
        self._process.terminate()
        assert self._process.stdout
        there, back = self._process.stdout.readline().split()
        return int(there), int(back)


@contextmanager
def long_link(target_port: int, delay_ms: float) -> Iterator[LongLink]:
    command = [sys.executable, "-m", "_bench.forwarder", str(target_port), str(delay_ms)]
    environment = Contestant("forwarder", "").environment()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                raise BenchFailed("the forwarder did not come up")
            yield LongLink(process, int(line))
        finally:
            process.kill()
