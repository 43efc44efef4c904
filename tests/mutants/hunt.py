"""Run in a process of its own, on a core with one fault in it: look for a program or a cut that shows it.

    python -m tests.mutants.hunt "crash disk"      with the changed persistmq_core first on the path

Prints what was caught, by what, and after how many programs.
"""

import sys

from tests.simulation.explore import Explorer
from tests.simulation.laws import LawBroken
from tests.simulation.program import run
from tests.simulation.scenarios import SCENARIOS

_FIRST = 80  # programs of the kind that should meet it
_OTHERS = ("", "link", "broker", "crash", "disk", "damage", "refuse", "crash disk link broker", "kinds link broker")
_EACH = 25


def hunt(faults: str) -> "tuple[str, str, int]":
    """(what was broken, by which seed or cut, after how many programs); ("", "", n) if nothing was."""
    count = 0
    for kind, programs in ((faults, _FIRST), *[(other, _EACH) for other in _OTHERS if other != faults]):
        for seed in range(programs):
            count += 1
            found = _words(run, seed, 120, kind)
            if found:
                return found.split("\n")[0], 'seed %d "%s"' % (seed, kind), count
        if kind == faults:
            broken, cut = _cuts([name for name in sorted(SCENARIOS) if name.partition("-")[0] in faults.split(" ")])
            if broken:
                return broken, cut, count
    return _cuts(sorted(SCENARIOS)) + (count,)


def _cuts(scenarios: "list[str]") -> "tuple[str, str]":
    for scenario in scenarios:
        found = _words(Explorer, scenario, 1)
        if found:
            return found.split("\n")[0], found.rpartition("\ncut ")[2]
    return "", ""


def _words(call: object, *arguments: object) -> str:
    try:
        call(*arguments)
    except LawBroken as broken:
        return str(broken)
    except Exception as error:  # noqa: BLE001 - a fault may break anything
        return "raised: %r" % error
    return ""


if __name__ == "__main__":
    print("\t".join(str(part) for part in hunt(sys.argv[1])))
