"""The local queue table: putting messages where they are safe, and getting them out again."""

from _bench import spread
from _bench.peers import Contestant
from _bench.report import Report, number
from _bench.runner import Result, Runner
from _bench.scale import Scale
from _bench.sink import Sink

PAYLOAD_BYTES = 100
NEVER = "never"


class LocalQueue:
    name = "queue"
    title = "The queue alone, 100 B: put all, then get all"
    columns = ["contestant", "synced", "messages", "put/s", "min … max", "get/s", "bytes written per payload byte, put"]

    def contestants(self) -> list[Contestant]:
        return [
            _line("persistmq sync", "persistmq", how="sync", synced="each", share=0.2),
            _line("persistmq async", "persistmq", how="async", synced="groups"),
            _line("persistmq publish_many", "persistmq", how="many", synced="1000"),
            _line("append + fdatasync", "append_only", per_sync=1, synced="each", share=0.2),
            _line("append + fdatasync, 1000", "append_only", per_sync=1000, synced="1000"),
            _line("sqlite3 WAL", "sqlite_wal", per_commit=1, synced="each", share=0.1),
            _line("sqlite3 WAL, 100", "sqlite_wal", per_commit=100, synced="100"),
            _line("persist-queue SQLite", "persist_queue", "peer", store="rows", synced="each", share=0.1),
            _line("persist-queue file", "persist_queue", "peer", store="file", synced="each", share=0.1),
            _line("persist-queue ack", "persist_queue", "peer", store="ack", synced="each", share=0.1),
            _line("diskcache Deque", "diskcache_deque", "peer", synced=NEVER, share=0.1),
            _line("litequeue", "litequeue_queue", "peer", synced=NEVER, share=0.02),
            _line("queuelib", "queuelib_fifo", "peer", synced=NEVER),
        ]

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        def play(contestant: Contestant) -> Result:
            settings = dict(contestant.settings)
            function = settings["function"]
            own = Contestant(contestant.name, "queues", {}, contestant.kind)
            task = {key: value for key, value in settings.items() if key not in ("function", "synced")}
            task |= {"messages": contestant.count_of(scale.messages), "payload_bytes": PAYLOAD_BYTES}
            if function != "persistmq":
                return runner.process(own, function, **task)
            with Sink(PAYLOAD_BYTES) as sink:
                return runner.process(own, function, port=sink.port, **task)

        results = runner.rounds_of(chosen, play)
        report = Report(self.name, self.title, self.columns, rounds=dict(results))
        for contestant in chosen:
            name = contestant.name
            has_get = "get" in results[name][0]
            report.rows.append(
                [
                    name,
                    contestant.settings["synced"],
                    number(contestant.count_of(scale.messages)),
                    *spread.cells(results, name, "put"),
                    number(spread.middle(results, name, "get")) if has_get else "",
                    number(spread.middle(results, name, "written")),
                ]
            )
        report.notes.append("For persistmq get is the delivery, QoS 1, to a broker that only acknowledges.")
        return report


def _line(name: str, function: str, kind: str = "own", share: float = 1.0, **settings: object) -> Contestant:
    return Contestant(name, "queues", {"function": function, **settings}, kind, share)
