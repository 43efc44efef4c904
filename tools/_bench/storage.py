"""What the disk gives, what a slow one takes, and how long publish() holds its caller."""

from pathlib import Path

from _bench import spread
from _bench.broker import DEFAULT, WIDE, Broker
from _bench.peers import Contestant
from _bench.report import Goal, Report, number
from _bench.runner import Result, Runner
from _bench.scale import Scale

PAYLOAD_BYTES = 100
RECORD_BYTES = PAYLOAD_BYTES + 45  # a frame of ours: header, CRC, topic
SLOW_MS = 5


class DurablePublish:
    name = "sync"
    title = 'publish() with "sync" against the disk itself, 100 B'
    columns = ["contestant", "msg/s", "min … max", "µs each", "messages per sync"]

    def contestants(self) -> list[Contestant]:
        threads = [Contestant(_threads(count), "storing", {"threads": count}) for count in (1, 16, 64)]
        return [Contestant("append + fdatasync", "disk"), *threads]

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        def play(contestant: Contestant) -> Result:
            if contestant.module == "disk":
                return runner.process(contestant, "append", messages=scale.syncs, record_bytes=RECORD_BYTES)
            messages = scale.syncs * min(8, contestant.settings["threads"])
            return runner.process(contestant, "store", messages=messages, payload_bytes=PAYLOAD_BYTES)

        results = runner.rounds_of(chosen, play)
        report = Report(self.name, self.title, self.columns, rounds=dict(results))
        for contestant in chosen:
            name = contestant.name
            syncs = results[name][0].get("syncs", 0)
            report.rows.append(
                [
                    name,
                    *spread.cells(results, name, "per_second"),
                    number(1e6 / spread.middle(results, name, "per_second")),
                    number(results[name][0]["messages"] / syncs) if syncs else "1",
                ]
            )
        one = _threads(1)
        if one in results and "append + fdatasync" in results:
            times = spread.ratio(results, one, "append + fdatasync", "per_second")
            report.goals.append(Goal("1 thread / append + fdatasync", times, at_least=0.8, unit=" ×"))
        if one in results and _threads(16) in results:
            times = spread.ratio(results, _threads(16), one, "per_second")
            report.goals.append(Goal("16 threads / 1 thread", times, at_least=8, unit=" ×"))
        return report


class SlowDisk:
    name = "slow-disk"
    title = f"A disk whose fdatasync takes {SLOW_MS} ms longer, 100 B"
    columns = ["work", "disk", "msg/s", "min … max", "syncs"]
    _works = (
        ("async, QoS 1", {"qos": 1}, WIDE),
        ("async, QoS 2, window 1000", {"qos": 2, "window_qos2": 1000}, WIDE),
        ("async, QoS 2, window 20", {"qos": 2}, DEFAULT),
        ("sync, 1 thread", {"threads": 1}, ""),
        ("sync, 64 threads", {"threads": 64}, ""),
    )

    def contestants(self) -> list[Contestant]:
        found = []
        for work, settings, limits in self._works:
            for disk, disk_ms in (("fast", 0), ("slow", SLOW_MS)):
                if disk == "slow" or limits:
                    share = 0.1 if work.endswith("window 20") else 1.0  # it waits for the disk most of the time
                    found.append(
                        Contestant(f"{work}: {disk}", "storing", {**settings, "disk_ms": disk_ms}, share=share)
                    )
        return found

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        limits_of = {work: limits for work, _, limits in self._works}

        def play(contestant: Contestant) -> Result:
            limits = limits_of[contestant.name.partition(":")[0]]
            threads = contestant.settings.get("threads")
            if threads:
                messages = scale.syncs // 10 * threads
                return runner.process(contestant, "store", messages=messages, payload_bytes=PAYLOAD_BYTES)
            with runner.new_folder() as folder, Broker(runner.mosquitto, Path(folder), limits) as broker:
                messages = contestant.count_of(scale.messages)
                task = {"port": broker.port, "messages": messages, "payload_bytes": PAYLOAD_BYTES}
                return runner.process(contestant, "publish", warm_up=messages // 50, **task)

        results = runner.rounds_of(chosen, play)
        report = Report(self.name, self.title, self.columns, rounds=dict(results))
        for contestant in chosen:
            work, _, disk = contestant.name.partition(": ")
            syncs = number(spread.middle(results, contestant.name, "syncs"))
            report.rows.append([work, disk, *spread.cells(results, contestant.name, "per_second"), syncs])
        for work in ("async, QoS 1", "async, QoS 2, window 1000"):
            slow, fast = f"{work}: slow", f"{work}: fast"
            if slow in results and fast in results:
                times = spread.ratio(results, slow, fast, "per_second")
                report.goals.append(Goal(f"{work}: slow disk / fast disk", times, at_least=0.9, unit=" ×"))
        if {"sync, 1 thread: slow", "sync, 64 threads: slow"} <= results.keys():
            times = spread.ratio(results, "sync, 64 threads: slow", "sync, 1 thread: slow", "per_second")
            report.goals.append(Goal("sync: 64 threads / 1 thread", times, at_least=40, unit=" ×"))
        report.notes.append(
            f"QoS 2 with a window of 20 stores PUBRECs before it sends PUBRELs: 20 messages to a sync of {SLOW_MS} ms "
            f"are {20 * 1000 // SLOW_MS:,} a second, on any publisher that keeps this promise."
        )
        return report


class PublishCall:
    name = "publish-call"
    title = 'publish() itself, "async", 100 B: how long the caller is held'
    columns = ["calls", "median µs", "99 % µs", "99.9 % µs", "longest µs"]

    def contestants(self) -> list[Contestant]:
        found = [
            Contestant(f"QoS {qos}, one after another", "calls", {"function": "back_to_back", "qos": qos})
            for qos in (1, 2)
        ]
        paced = {"function": "paced", "qos": 1, "pause_us": 200}
        return [*found, Contestant("QoS 1, 200 µs apart, beside a backlog", "calls", paced)]

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        def play(contestant: Contestant) -> Result:
            task = {"payload_bytes": PAYLOAD_BYTES, "messages": scale.messages}
            function = contestant.settings["function"]
            if function == "paced":
                task = {**task, "messages": scale.messages // 20, "backlog": 2 * scale.messages}
            with runner.new_folder() as folder, Broker(runner.mosquitto, Path(folder), DEFAULT) as broker:
                return runner.process(contestant, function, port=broker.port, **task)

        results = runner.rounds_of(chosen, play)
        report = Report(self.name, self.title, self.columns, rounds=dict(results))
        for contestant in chosen:
            name = contestant.name
            figures = ("median_us", "p99_us", "p999_us", "longest_us")
            report.rows.append([name, *(number(spread.middle(results, name, figure)) for figure in figures)])
            median_us = spread.middle(results, name, "median_us")
            report.goals.append(Goal(f"{name}: median µs", median_us, at_most=6))
            p999_us = spread.middle(results, name, "p999_us")
            report.goals.append(Goal(f"{name}: 99.9 % µs", p999_us, at_most=1000))
        return report


def _threads(count: int) -> str:
    return f"persistmq, {count} thread{'s' if count > 1 else ''}"
