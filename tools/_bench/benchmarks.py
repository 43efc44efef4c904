"""All benchmarks, in the order in which they run."""

from typing import Protocol

from _bench.bundles import Bundles
from _bench.cache_types import CacheTypes
from _bench.footprints import BytesWritten, Day, Reopen
from _bench.links import Link
from _bench.local_queue import LocalQueue
from _bench.peers import Contestant
from _bench.report import Report
from _bench.runner import Runner
from _bench.scale import Scale
from _bench.storage import DurablePublish, PublishCall, SlowDisk
from _bench.sweeps import SWEEPS
from _bench.throughput import RACES


class Benchmark(Protocol):
    name: str
    title: str

    def contestants(self) -> list[Contestant]: ...
    def run(self, runner: Runner, scale: Scale, chosen: list[Contestant]) -> Report: ...


_IN_ORDER: list[Benchmark] = [
    *RACES,
    PublishCall(),
    DurablePublish(),
    SlowDisk(),
    Link(),
    Bundles(),
    Reopen(),
    BytesWritten(),
    Day(),
    LocalQueue(),
    CacheTypes(),
    *SWEEPS,
]
ALL = {benchmark.name: benchmark for benchmark in _IN_ORDER}
