"""tools/bench: PersistMQ beside its peers, the floor and the disk, on this machine, in one run."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import _mosquitto

from _bench import documents, machine, peers, plots
from _bench.benchmarks import ALL
from _bench.printing import Printer
from _bench.report import Report
from _bench.runner import BenchFailed, Runner
from _bench.scale import QUICK, WHOLE


def main() -> None:
    options = _parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that the finally below is reached
    scale = QUICK if options.quick else WHOLE
    if options.messages:
        scale = replace(scale, messages=options.messages)
    printer = Printer()
    mosquitto = _mosquitto.get()
    if not mosquitto:
        sys.exit(_mosquitto.NOT_FOUND)
    chosen = [(benchmark, _chosen(benchmark.contestants(), options.contestants)) for benchmark in options.only]
    kinds = {contestant.kind for _, contestants in chosen for contestant in contestants}
    peers.install(kinds)
    folder = Path(tempfile.mkdtemp(prefix="persistmq-bench-"))
    try:
        facts = machine.describe(folder, mosquitto, peers.versions(kinds))
        printer.facts(facts)
        if machine.is_in_memory(folder):
            printer.warn(f"{folder.parent} is in memory: figures of storage mean nothing. Set TMPDIR to a disk.")
        runner = Runner(mosquitto, folder, options.rounds or scale.rounds, printer.progress)
        reports = []
        failed = []
        for benchmark, contestants in chosen:
            if not contestants:
                continue
            began = time.monotonic()
            try:
                report: Report = benchmark.run(runner, scale, contestants)
            except BenchFailed as failure:
                failed.append(benchmark.name)
                printer.warn(f"{benchmark.name}: {failure}")
                continue
            report.seconds = time.monotonic() - began
            reports.append(report)
            printer.report(report)
        if options.write_docs:
            documents.write(facts, runner.rounds, options.quick, reports)
        if options.out:
            _write(options.out, facts, runner.rounds, options.quick, reports)
        printer.goals(reports)
        sys.exit(f"FAILED: {', '.join(failed)}" if failed else 0)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        printer.close()
        shutil.rmtree(folder, ignore_errors=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Benchmarks:\n" + "\n".join(f"  {name:18} {benchmark.title}" for name, benchmark in ALL.items()),
    )
    parser.add_argument("--quick", action="store_true", help="about a minute, to see that all runs; figures are rough")
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=list(ALL), default=list(ALL), help="these (below)")
    parser.add_argument("--contestants", metavar="NAME", nargs="+", help="only these; * and ? as in a shell")
    parser.add_argument("--rounds", type=int, help=f"default: {WHOLE.rounds}, with --quick {QUICK.rounds}")
    parser.add_argument("--messages", type=int, help=f"of a burst: {WHOLE.messages}, with --quick {QUICK.messages}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write results.json and the plots there")
    parser.add_argument("--write-docs", action="store_true", help="put the tables and plots into docs/performance.md")
    options = parser.parse_args()
    if any(value is not None and value < 1 for value in (options.rounds, options.messages)):
        parser.error("--rounds and --messages start at 1")
    options.only = [ALL[name] for name in options.only]
    return options


def _chosen(contestants: list[peers.Contestant], patterns: list[str] | None) -> list[peers.Contestant]:
    if patterns is None:
        return contestants
    return [one for one in contestants if any(fnmatch(one.name, pattern) for pattern in patterns)]


def _write(out: Path, facts: dict[str, str], rounds: int, is_quick: bool, reports: list[Report]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    found = {
        "machine": facts,
        "rounds": rounds,
        "quick": is_quick,
        "benchmarks": {report.name: report.as_json() for report in reports},
    }
    for report in reports:
        if report.plot:
            plots.draw(report, out)
    (out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
