"""The types of the cache beside each other."""

from pathlib import Path

from _bench import spread
from _bench.broker import WIDE, Broker
from _bench.peers import Contestant
from _bench.report import Report, number
from _bench.runner import Result, Runner
from _bench.scale import Scale

PAYLOAD_BYTES = 100
TYPES = ("flat", "sqlite")
# What is done, by which function of which contestant, and which figure counts.
_WORKS = {
    "sync, 1 thread, msg/s": ("storing", "store", {"threads": 1}, "per_second"),
    "sync, 16 threads, msg/s": ("storing", "store", {"threads": 16}, "per_second"),
    "async, QoS 1, to the last acknowledgement, msg/s": ("ours", "publish", {"qos": 1}, "per_second"),
    "async, QoS 2, window 1000, msg/s": ("ours", "publish", {"qos": 2, "window_qos2": 1000}, "per_second"),
    "a backlog, delivered with QoS 1, msg/s": ("ours", "drain", {"qos": 1}, "per_second"),
    "CPU of that, µs a message": ("ours", "drain", {"qos": 1}, "cpu_us"),
    "bytes written for each byte of payload": ("footprint", "written", {"qos": 1}, "written"),
}


class CacheTypes:
    name = "cache-types"
    title = f"cache_type, {PAYLOAD_BYTES} B"
    columns = ["work", *TYPES, "sqlite / flat", "min … max"]

    def contestants(self) -> list[Contestant]:
        return [
            Contestant(f"{work}: {kind}", module, {**settings, "cache_type": kind})
            for work, (module, _, settings, _) in _WORKS.items()
            for kind in TYPES
        ]

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        def play(contestant: Contestant) -> Result:
            _, function, settings, _ = _WORKS[contestant.name.rpartition(": ")[0]]
            task = {"payload_bytes": PAYLOAD_BYTES, "messages": scale.messages // 2}
            if function == "store":
                task["messages"] = scale.syncs * settings["threads"] // 2
                return runner.process(contestant, function, **task)
            if function == "publish":
                task["warm_up"] = scale.messages // 100
            with runner.new_folder() as folder, Broker(runner.mosquitto, Path(folder), WIDE) as broker:
                return runner.process(contestant, function, port=broker.port, **task)

        results = runner.rounds_of(chosen, play)
        report = Report(self.name, self.title, self.columns, rounds=dict(results))
        for work, (_, _, _, figure) in _WORKS.items():
            flat, sqlite = (f"{work}: {kind}" for kind in TYPES)
            if flat not in results or sqlite not in results:
                continue
            pairs = zip(results[sqlite], results[flat], strict=True)
            ratios = [mine[figure] / its[figure] for mine, its in pairs]
            middles = [number(spread.middle(results, name, figure)) for name in (flat, sqlite)]
            between = f"{min(ratios):.2f} … {max(ratios):.2f}"
            report.rows.append([work, *middles, f"{spread.ratio(results, sqlite, flat, figure):.2f}", between])
        return report
