"""CPython and MicroPython do the same and write the same bytes: a gateway reads a board's cache, and the other way."""

import pytest

from tests.simulation.digest import digest
from tests.test_portable_on_micropython import run_on_micropython

SEEDS = 30
STEPS = 80
SCRIPT = """
from tests.simulation.digest import digest
for seed in range(%d):
    print(digest(seed, %d, %r))
"""


@pytest.mark.parametrize("faults", ["", "crash disk link broker", "damage crash"])
def test_the_same_seed_leaves_the_same_trace_and_the_same_bytes(faults: str) -> None:
    ran = run_on_micropython("-c", SCRIPT % (SEEDS, STEPS, faults))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    here = [digest(seed, STEPS, faults) for seed in range(SEEDS)]
    assert ran.stdout.splitlines() == here
    assert len(set(here)) == SEEDS, "programs that all do the same compare nothing"
