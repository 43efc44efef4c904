"""Where contestants and their libraries come from.

The peers are pinned in pyproject.toml (group `bench`) and are kept apart from what the tests run with. persistmq 0.1.4
has a folder of its own: it has our import name.
"""

import hashlib
import importlib.util
import os
import shutil
import sys
import tomllib
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import _setup

SEED = "persistmq"
_TOOLS = _setup.ROOT / "tools"


@dataclass(frozen=True)
class Contestant:
    """One line of a table: a module under `contestants/` and what it is called with."""

    name: str
    module: str
    settings: dict[str, Any] = field(default_factory=dict)
    kind: str = "own"  # "own": .venv is enough; "peer", "seed": see the module
    share: float = 1.0  # of the table's number of messages, for one that is much slower than the rest

    def count_of(self, messages: int) -> int:
        return max(5, int(messages * self.share))

    def environment(self) -> dict[str, str]:
        # The contestant's own libraries come first; PYTHONPATH of the user's must not put others before them.
        folders = [str(_TOOLS), *map(str, _folders(self.kind))]
        return dict(os.environ, PYTHONPATH=os.pathsep.join(folders))


def install(kinds: set[str]) -> None:
    """Fetch what these kinds need, once for each list of pins."""
    for kind in sorted(kinds - {"own"}):
        (folder,) = _folders(kind)
        if folder.exists():
            continue
        with _setup.alone():
            if folder.exists():
                continue  # the one we waited for has made it
            _setup.say(f"Installing what is compared with into {folder} (once) ...")
            for old in _setup.VENV.glob(f"bench-{kind}-*"):
                shutil.rmtree(old)
            part = folder.with_suffix(".part")
            _setup.pip_install("--target", part, *_pins(kind))
            part.rename(folder)


def versions(kinds: set[str]) -> dict[str, str]:
    found = {"Python": ".".join(map(str, sys.version_info[:3]))}
    for kind in sorted(kinds - {"own"}):
        (folder,) = _folders(kind)
        wanted = {pin.partition("==")[0] for pin in _pins(kind)}
        for package in distributions(path=[str(folder)]):
            if package.name.lower() in wanted:
                found[f"{package.name}" + (" (seed)" if package.name == SEED else "")] = package.version
    return found


def allow_plots() -> None:
    """matplotlib comes with the peers; .venv's own packages go first."""
    if importlib.util.find_spec("matplotlib") is None:
        install({"peer"})
        sys.path.append(str(_folders("peer")[0]))


def _pins(kind: str) -> list[str]:
    group = tomllib.loads((_setup.ROOT / "pyproject.toml").read_text())["dependency-groups"]["bench"]
    seed = [pin for pin in group if pin.partition("==")[0] == SEED]
    return seed if kind == "seed" else [pin for pin in group if pin not in seed]


def _folders(kind: str) -> list[Path]:
    if kind == "own":
        return []
    digest = hashlib.sha256("\n".join(_pins(kind)).encode()).hexdigest()[:12]
    return [_setup.VENV / f"bench-{kind}-{digest}"]
