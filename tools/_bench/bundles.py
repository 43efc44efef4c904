"""A backlog over a long link, message by message and in bundles: how fast, and how many bytes on the wire."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from _bench import spread
from _bench.broker import WIDE, Broker
from _bench.links import long_link
from _bench.peers import Contestant
from _bench.report import Goal, Report, number
from _bench.runner import Result, Results, Runner
from _bench.scale import Scale

RTT_MS = 400
_WINDOW = 20
_ROWS = tuple(f"QoS {qos}, window {_WINDOW}" for qos in (1, 2))
_COUNT = 100  # messages in a bundle
_HOW = {
    "singly": {},
    "simple": {"bulk_msg_count": _COUNT},
    "persistmq": {"bulk_msg_count": _COUNT, "bulk_form": "persistmq"},
    "persistmq, compressed": {"bulk_msg_count": _COUNT, "bulk_form": "persistmq", "bulk_compress": True},
}


class Bundles:
    name = "bundles"
    title = f"A backlog of readings over a round trip of {RTT_MS} ms, bundles of {_COUNT}"
    columns = ["QoS, window", "sent", "messages", "msg/s", "min … max", "bytes/msg there", "bytes/msg back", "singly ×"]

    def contestants(self) -> list[Contestant]:
        found = []
        for qos, row in enumerate(_ROWS, 1):
            window = {"window": _WINDOW} if qos == 1 else {"window_qos2": _WINDOW}
            for how, options in _HOW.items():
                share = 1.0 if options else 0.1
                found.append(Contestant(f"{row}: {how}", "ours", {"qos": qos, **window, **options}, share=share))
        return found

    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report:
        report = Report(self.name, self.title, self.columns)
        results = runner.rounds_of(chosen, partial(_drain, runner, scale.link_messages), scale.slow_rounds)
        report.rounds = dict(results)
        for contestant in chosen:
            row, _, how = contestant.name.partition(": ")
            cells = [row, how, number(results[contestant.name][0]["messages"])]
            cells += spread.cells(results, contestant.name, "per_second")
            cells += [number(spread.middle(results, contestant.name, side)) for side in ("there", "back")]
            times = _times(results, row, how, "per_second")
            report.rows.append([*cells, f"{number(times)} ×" if times else ""])
        for row in _ROWS:
            for how in ("simple", "persistmq"):
                if times := _times(results, row, how, "per_second"):
                    report.goals.append(Goal(f"{row}: {how} / singly", times, at_least=20, unit=" ×"))
            if share := _times(results, row, "persistmq, compressed", "there"):
                report.goals.append(Goal(f"{row}: bytes there, compressed / singly", share, at_most=0.5, unit=" ×"))
        return report


def _times(results: Results, row: str, how: str, figure: str) -> float:
    """In comparison with what goes singly; 0 if one of both did not run."""
    one, other = f"{row}: {how}", f"{row}: singly"
    return spread.ratio(results, one, other, figure) if one in results and other in results and one != other else 0


def _drain(runner: Runner, messages: int, contestant: Contestant) -> Result:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(runner.new_folder()))
        broker = stack.enter_context(Broker(runner.mosquitto, folder, WIDE))
        link = stack.enter_context(long_link(broker.port, RTT_MS / 2))
        count = contestant.count_of(messages)
        result = runner.process(contestant, "drain_readings", port=link.port, messages=count)
        there, back = link.end()
    return result | {"there": there / count, "back": back / count}
