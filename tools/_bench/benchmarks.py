"""All benchmarks, in the order in which they run."""

from typing import Protocol

from _bench.peers import Contestant
from _bench.report import Report
from _bench.runner import Runner
from _bench.scale import Scale
from _bench.throughput import RACES


class Benchmark(Protocol):
    name: str
    title: str

    def contestants(self) -> list[Contestant]: ...
    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report: ...


_IN_ORDER: list[Benchmark] = [*RACES]
ALL = {benchmark.name: benchmark for benchmark in _IN_ORDER}
