"""What it costs beside time: starting on a backlog, bytes to the disk, a long day."""

from functools import partial
from pathlib import Path

from _bench import spread
from _bench.broker import DEFAULT, WIDE, Broker
from _bench.peers import Contestant
from _bench.report import Goal, Report, number
from _bench.runner import Result, Runner
from _bench.scale import Scale
from _bench.sink import Sink

_MIB = 1 << 20


class Reopen:
    name = "reopen"
    title = "Start on a backlog of 200 B messages: from PersistClient(...) to the first PUBLISH at the broker"
    columns = ["backlog", "ms to the first PUBLISH", "min … max", "RSS growth, MiB"]
    _payload_bytes = 200

    def contestants(self) -> list[Contestant]:
        return [Contestant("persistmq", "footprint")]

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        report = Report(self.name, self.title, self.columns)
        for backlog in scale.backlogs if chosen else ():
            with runner.new_folder() as folder:
                cache_path = folder + "/cache"
                runner.process(
                    chosen[0], "fill", cache_path=cache_path, messages=backlog, payload_bytes=self._payload_bytes
                )
                results = runner.rounds_of(chosen, partial(self._play, runner, cache_path))
            report.rounds[str(backlog)] = results
            name = chosen[0].name
            rss_mib = spread.middle(results, name, "rss_growth_bytes") / _MIB
            report.rows.append([number(backlog), *spread.cells(results, name, "first_ms"), number(rss_mib)])
            if backlog >= 1_000_000:
                words = f"{backlog:,} messages"
                first_ms = spread.middle(results, name, "first_ms")
                report.goals.append(Goal(f"{words}: ms to the first PUBLISH", first_ms, at_most=100))
                report.goals.append(Goal(f"{words}: RSS growth, MiB", rss_mib, at_most=5))
            if backlog == 10_000_000:
                # Noise: the fastest of these starts is no slower than the slowest on a tenth of the backlog.
                fastest_ms = spread.span(results, name, "first_ms")[0]
                slowest_ms = spread.span(report.rounds["1000000"], name, "first_ms")[1]
                report.goals.append(
                    Goal("10,000,000 and 1,000,000: the same", fastest_ms / slowest_ms, at_most=1, unit=" ×")
                )
        report.notes.append("The files were just written, so they are in the page cache.")
        return report

    def _play(self, runner: Runner, cache_path: str, contestant: Contestant) -> Result:
        with Sink(self._payload_bytes, acknowledges_max=1) as sink:
            result = runner.process(contestant, "reopen", cache_path=cache_path, port=sink.port)
            return {**result, "first_ms": (sink.first_publish_ns - result["began_ns"]) / 1e6}


class BytesWritten:
    name = "bytes"
    title = "Bytes written for each byte of payload: a backlog of 100 B messages, then its delivery"
    columns = ["work", "handed to the kernel", "written by the kernel", "min … max"]

    def contestants(self) -> list[Contestant]:
        return [
            Contestant("QoS 1", "footprint", {"qos": 1}),
            Contestant("QoS 2, window 1000", "footprint", {"qos": 2, "window_qos2": 1000}),
            Contestant("QoS 2, window 20", "footprint", {"qos": 2}),
        ]

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        def play(contestant: Contestant) -> Result:
            limits = WIDE if "window_qos2" in contestant.settings else DEFAULT
            with runner.new_folder() as folder, Broker(runner.mosquitto, Path(folder), limits) as broker:
                task = {"port": broker.port, "messages": scale.messages, "payload_bytes": 100}
                return runner.process(contestant, "written", **task)

        results = runner.rounds_of(chosen, play)
        report = Report(self.name, self.title, self.columns, rounds=dict(results))
        for contestant in chosen:
            name = contestant.name
            handed = spread.middle(results, name, "handed")
            report.rows.append([name, number(handed), *spread.cells(results, name, "written")])
            report.goals.append(Goal(f"{name}: bytes handed to the kernel", handed, at_most=1.5))
            written = spread.middle(results, name, "written")
            report.goals.append(Goal(f"{name}: bytes written by the kernel", written, at_most=1.5))
        return report


class Day:
    name = "day"
    title = "A day of 10 messages a second, QoS 1 and 2 in turn: what grows"
    columns = ["after", "RSS, MiB", "files", "bytes in files", "bytes of checkpoints"]

    def contestants(self) -> list[Contestant]:
        return [Contestant("persistmq", "day")]

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        report = Report(self.name, f"{self.title} ({scale.hours} h)", self.columns)
        for contestant in chosen:
            result = runner.process(contestant, "day", hours=scale.hours, payload_bytes=100)
            hours = result["hours"]
            report.rounds = {contestant.name: [result]}
            shown = sorted({1, 2, 3, 6, 12, 18, 24, scale.hours})
            for hour in [hour for hour in shown if hour <= scale.hours]:
                found = hours[hour - 1]
                cells = [number(found[figure]) for figure in ("files", "file_bytes", "checkpoint_bytes")]
                report.rows.append([f"{hour} h", f"{found['rss_bytes'] / _MIB:.2f}", *cells])
            if len(hours) > 1:
                grown = (hours[-1]["rss_bytes"] - hours[0]["rss_bytes"]) / _MIB
                report.goals.append(Goal("RSS growth from the first hour on, MiB", grown, at_most=0.25))
                for figure, words in (("files", "files"), ("checkpoint_bytes", "bytes of checkpoints")):
                    more = hours[-1][figure] - max(found[figure] for found in hours[: len(hours) // 2])
                    report.goals.append(Goal(f"{words}, more than in the first half", more, at_most=0))
        return report
