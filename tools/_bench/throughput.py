"""End to end: from the first publish() to the moment the publisher knows that the last message was acknowledged."""

from dataclasses import dataclass

from _bench import spread
from _bench.broker import DEFAULT, WIDE
from _bench.peers import Contestant
from _bench.report import Goal, Report, number
from _bench.runner import Results, Runner
from _bench.scale import Scale

OURS = "persistmq"
OURS_MANY = "persistmq publish_many"
FLOOR = "floor loop"
PAYLOAD_BYTES = 100
_NEAR_FLOOR = {FLOOR: 0.9, "gmqtt": 1.0}
COLUMNS = ["contestant", "window", "keeps on storage", "msg/s", "min … max", "CPU µs/msg", "persistmq is"]


@dataclass(frozen=True)
class Race:
    """One table: everybody publishes the same burst."""

    name: str
    work: str
    qos: int
    window: int
    limits: str
    paho_windows: tuple[int, ...]
    goals: dict[str, float]  # begin of the peer's name: how many times as fast
    cpu_us_max: float = 0  # where paho's best setting takes paho_cpu_us; elsewhere the same part of that
    paho_cpu_us: float = 0
    counted: bool = False  # a subscriber counts on the same broker; only those take part that the goals name, and paho

    @property
    def title(self) -> str:
        return f"{self.work}, {'counting' if self.counted else 'no'} subscriber, {PAYLOAD_BYTES} B"

    def contestants(self) -> list[Contestant]:
        own = "window" if self.qos == 1 else "window_qos2"
        ours = {own: self.window}
        everybody = [
            Contestant(OURS, "ours", ours),
            Contestant(OURS_MANY, "ours", {**ours, "many": True}),
            Contestant(FLOOR, "floor", {"window": self.window}),
            _peer("gmqtt", "bare_gmqtt", self.window),
        ]
        everybody += [_peer("paho", "bare_paho", window) for window in self.paho_windows]
        if not self.counted:
            everybody += [
                _peer("aiomqtt", "bare_aiomqtt", min(self.window, 100)),
                _peer("mqttium memory", "bare_mqttium", self.window, sqlite=False),
                _peer("mqttium SQLite", "bare_mqttium", self.window, sqlite=True),
                Contestant("persistmq 0.1.4", "seed", {}, "seed", share=0.01),
            ]
        return everybody

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        results = runner.rounds_of(
            chosen,
            lambda contestant: runner.end_to_end(
                contestant, scale.messages, PAYLOAD_BYTES, self.qos, self.limits, self.counted
            ),
        )
        report = Report(self.name, self.title, COLUMNS, rounds=dict(results))
        for contestant in chosen:
            report.rows.append(_row(results, contestant, self.window))
        report.goals = self._goals(results)
        return report

    def _goals(self, results: Results) -> list[Goal]:
        goals = []
        for ours in (OURS, OURS_MANY):
            if ours not in results:
                continue
            for peer, bound in self.goals.items():
                other = spread.best(results, peer)
                if other:
                    times = spread.ratio(results, ours, other, "per_second")
                    goals.append(Goal(f"{ours} / {other}", times, at_least=bound, unit=" ×"))
            if self.cpu_us_max:
                cpu_us = spread.middle(results, ours, "cpu_us")
                goals.append(Goal(f"CPU of {ours}, µs/msg", cpu_us, at_most=self.cpu_us_max))
            paho = spread.best(results, "paho")
            if self.paho_cpu_us and paho:
                part = spread.ratio(results, ours, paho, "cpu_us")
                bound = self.cpu_us_max / self.paho_cpu_us
                goals.append(Goal(f"CPU of {ours} / {paho}", part, at_most=bound, unit=" ×"))
        return goals


def _peer(name: str, module: str, window: int, **settings: object) -> Contestant:
    return Contestant(f"{name} {window}", module, {"window": window, **settings}, "peer")


def _row(results: Results, contestant: Contestant, window: int) -> list[str]:
    name = contestant.name
    low, high = spread.span(results, name, "per_second")
    has_cpu = "cpu_us" in results[name][0]
    keeps = {"ours": "everything", "seed": "when late"}.get(contestant.module, "nothing")
    if contestant.settings.get("sqlite"):
        keeps = "what is in flight"
    return [
        name,
        number(contestant.settings.get("window", 1 if contestant.module == "seed" else window)),
        keeps,
        number(spread.middle(results, name, "per_second")),
        f"{number(low)} … {number(high)}",
        number(spread.middle(results, name, "cpu_us")) if has_cpu else "",
        f"{number(spread.ratio(results, OURS, name, 'per_second'))} ×" if OURS in results and name != OURS else "",
    ]


_WINDOWS = (20, 100, 1000)
_WIDE_TITLE = "window of 1000 on a broker that is configured for it"
RACES = [
    Race(
        "qos1",
        "QoS 1",
        1,
        1000,
        WIDE,
        _WINDOWS,
        goals={"paho": 3.5, "mqttium SQLite": 7},
        cpu_us_max=12,
        paho_cpu_us=37,
    ),
    Race(
        "qos2",
        "QoS 2, window of 20",
        2,
        20,
        DEFAULT,
        (20,),
        goals={"paho": 2, "mqttium SQLite": 3},
        cpu_us_max=20,
        paho_cpu_us=62,
    ),
    Race(
        "qos2-wide",
        f"QoS 2, {_WIDE_TITLE}",
        2,
        1000,
        WIDE,
        _WINDOWS,
        goals={"paho": 3, "mqttium SQLite": 4.5},
        cpu_us_max=20,
        paho_cpu_us=62,
    ),
    Race("qos1-counted", "QoS 1", 1, 1000, WIDE, (100,), goals=_NEAR_FLOOR, counted=True),
    Race("qos2-counted", "QoS 2, window of 20", 2, 20, DEFAULT, (20,), goals=_NEAR_FLOOR, counted=True),
    Race("qos2-wide-counted", f"QoS 2, {_WIDE_TITLE}", 2, 1000, WIDE, (100,), goals=_NEAR_FLOOR, counted=True),
]
