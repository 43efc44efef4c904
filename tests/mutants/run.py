"""Try mutants: copy the core, change it, and hunt in a process of its own."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .mutants import Mutant

ROOT = Path(__file__).resolve().parent.parent.parent
CORE = ROOT / "persistmq_core"
_CPU_SECONDS_MAX = 60  # of its own, whatever else the machine does
_SECONDS_MAX = 380


class Outcome:
    """``broken`` is "" if nothing was caught; ``error`` says why the mutant could not be tried."""

    def __init__(self, mutant: Mutant, broken: str = "", by: str = "", programs: int = 0, error: str = "") -> None:
        self.mutant = mutant
        self.broken = broken
        self.by = by
        self.programs = programs
        self.error = error
        self.seconds = 0.0


def changed(mutant: Mutant) -> str:
    """The source with the fault in it. Raises ValueError if its place is not there."""
    source = (CORE / mutant.file).read_text()
    count = source.count(mutant.old)
    if count != 1:
        raise ValueError(
            f"mutant {mutant.name}: its old text stands {count} times in persistmq_core/{mutant.file}, not once. "
            f"The source has changed; give the mutant a text that is there:\n{mutant.old}"
        )
    return source.replace(mutant.old, mutant.new)


def attempt(mutant: Mutant) -> Outcome:
    try:
        source = changed(mutant)
    except ValueError as error:
        return Outcome(mutant, error=str(error))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        core = Path(folder) / "persistmq_core"
        shutil.copytree(CORE, core, ignore=shutil.ignore_patterns("__pycache__"))
        (core / mutant.file).write_text(source)
        outcome = _hunt(mutant, folder)
    outcome.seconds = time.monotonic() - began
    return outcome


def _hunt(mutant: Mutant, folder: str) -> Outcome:
    command = [sys.executable, "-m", "tests.mutants.hunt", mutant.faults]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([folder, str(ROOT)]), PYTHONDONTWRITEBYTECODE="1")
    try:
        # From the folder, so that the changed core is the one that is found.
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS_MAX,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS_MAX, _CPU_SECONDS_MAX + 5)),  # noqa: PLW1509
        )
    except subprocess.TimeoutExpired:
        return Outcome(mutant, "it hangs", "no end within %d s" % _SECONDS_MAX)
    if done.returncode == -signal.SIGXCPU:
        return Outcome(mutant, "it hangs", "no end within %d s of CPU" % _CPU_SECONDS_MAX)
    if done.returncode:
        return Outcome(mutant, error=done.stderr[-2000:])
    broken, by, programs = done.stdout.rstrip("\n").split("\t")
    return Outcome(mutant, broken, by, int(programs))


def attempt_all(mutants: "list[Mutant]") -> "list[Outcome]":
    """Two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(attempt, mutants))
