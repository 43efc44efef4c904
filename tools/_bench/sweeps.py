"""How throughput moves with one quantity: window, payload, round trip, backlog. Each is a table and a plot."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from _bench import spread
from _bench.broker import WIDE
from _bench.links import contestants_of, drain
from _bench.peers import Contestant
from _bench.report import Plot, Report, number
from _bench.runner import Result, Runner
from _bench.scale import Scale

BURST_BYTES_MAX = 1 << 28  # of payload in one burst; large messages come in smaller numbers


@dataclass(frozen=True)
class Sweep:
    """`line_up(x)`: contestants by the name of their line. `play(runner, scale, x, contestant)`: one figure."""

    name: str
    title: str
    x_label: str
    points: tuple[int, ...]
    line_up: Callable[[int], dict[str, Contestant]]
    play: Callable[[Runner, Scale, int, Contestant], Result]

    def contestants(self) -> list[Contestant]:
        """For what has to be installed; the lines are the same at each point."""
        return [Contestant(line, one.module, kind=one.kind) for line, one in self.line_up(self.points[0]).items()]

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        lines = [contestant.name for contestant in chosen]
        report = Report(self.name, self.title, [self.x_label, *lines])
        plot = Plot(self.x_label, "messages per second", {line: [] for line in lines})
        for x in self.points[:: scale.sweep]:
            line_up = {line: contestant for line, contestant in self.line_up(x).items() if line in lines}
            results = runner.rounds_of(list(line_up.values()), partial(self.play, runner, scale, x), scale.slow_rounds)
            report.rounds[str(x)] = results
            cells = []
            for line, contestant in line_up.items():
                low, high = spread.span(results, contestant.name, "per_second")
                median = spread.middle(results, contestant.name, "per_second")
                plot.lines[line].append((x, low, median, high))
                cells.append(number(median))
            report.rows.append([number(x), *cells])
        report.plot = plot
        return report


def _windows(x: int) -> dict[str, Contestant]:
    lines = {}
    for qos in (1, 2):
        own = "window" if qos == 1 else "window_qos2"
        lines[f"persistmq QoS {qos}"] = Contestant(f"persistmq QoS {qos}", "ours", {own: x, "qos": qos})
        lines[f"floor QoS {qos}"] = Contestant(f"floor QoS {qos}", "floor", {"window": x, "qos": qos})
        lines[f"paho QoS {qos}"] = Contestant(
            f"paho QoS {qos}", "bare_paho", {"window": x, "qos": qos}, "peer", share=0.2
        )
    return lines


def _payloads(_x: int) -> dict[str, Contestant]:
    return {
        "persistmq": Contestant("persistmq", "ours", {"window": 100}),
        "floor": Contestant("floor", "floor", {"window": 100}),
        "paho": Contestant("paho", "bare_paho", {"window": 100}, "peer"),
        "mqttium SQLite": Contestant("mqttium SQLite", "bare_mqttium", {"window": 100, "sqlite": True}, "peer"),
    }


def _long_links(_x: int) -> dict[str, Contestant]:
    contestants = [one for row in ((1, 1000), (2, 1000)) for one in contestants_of(*row)]
    return {contestant.name: contestant for contestant in contestants}


def _backlogs(_x: int) -> dict[str, Contestant]:
    return {
        "persistmq QoS 1": Contestant("persistmq QoS 1", "ours", {"qos": 1}),
        "persistmq QoS 2, window 1000": Contestant("persistmq QoS 2", "ours", {"qos": 2, "window_qos2": 1000}),
        "floor QoS 1": Contestant("floor QoS 1", "floor", {"qos": 1, "window": 1000}),
    }


def _burst(runner: Runner, scale: Scale, x: int, contestant: Contestant) -> Result:
    qos = contestant.settings["qos"]
    # A window of 1 waits for the broker each time.
    messages = min(scale.messages, 2_000 * x) // 2
    return runner.end_to_end(contestant, messages, 100, qos, WIDE)


def _payload(runner: Runner, scale: Scale, x: int, contestant: Contestant) -> Result:
    messages = max(100, min(scale.messages // 4, BURST_BYTES_MAX // x))
    return runner.end_to_end(contestant, messages, x, 1, WIDE)


def _link(runner: Runner, scale: Scale, x: int, contestant: Contestant) -> Result:
    return drain(runner, scale.link_messages, x, contestant)


def _backlog(runner: Runner, _scale: Scale, x: int, contestant: Contestant) -> Result:
    return drain(runner, x, 0, contestant)


SWEEPS = [
    Sweep("window", "Throughput and window, 100 B", "window", (1, 5, 20, 100, 1000, 10000), _windows, _burst),
    Sweep("payload", "Throughput and payload, QoS 1, window of 100", "payload, bytes",
          (16, 100, 1024, 8192, 65536, 1048576), _payloads, _payload),
    Sweep("latency", "Draining a backlog and the link's round trip, 100 B, window of 1000", "round trip, ms",
          (0, 10, 50, 100, 200, 400), _long_links, _link),
    Sweep("backlog", "Draining and the size of the backlog, 100 B", "backlog, messages",
          (1_000, 10_000, 100_000, 1_000_000), _backlogs, _backlog),
]  # fmt: skip
