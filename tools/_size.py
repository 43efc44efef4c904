"""The table of tools/size: each file's .mpy, and the heap that it keeps once imported."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import _board

_README = _board.ROOT / "README.md"
_BEGIN = "<!-- sizes: written by tools/size -->\n"
_END = "<!-- end of sizes -->\n"
_TOLERANCE = 0.05  # the table is refreshed by hand; smaller changes are no news

_STUB = """\
class MQTTException(Exception):
    pass
class MQTTClient:
    def __init__(self, *more):
        self.ssl = None
"""
_SCRIPT = """\
import gc, umqtt.simple, select, struct, binascii, time, os, sys, json
gc.collect()
before = gc.mem_alloc()
def tell():
    gc.collect()
    print(json.dumps([gc.mem_alloc() - before, [name for name in sys.modules if name.startswith("persistmq")]]))
import persistmq
tell()
client = persistmq.PersistClient("x", cache_path="cache")
tell()
"""


def write():
    """Put the table of today between the markers of the README."""
    before, rest = _README.read_text().split(_BEGIN)
    after = rest.split(_END)[1]
    _README.write_text(before + _BEGIN + table() + _END + after)


def is_fresh():
    """The README's total is today's, as near as matters."""
    text = _README.read_text().split(_BEGIN)[1].split(_END)[0]
    total = next(line for line in text.splitlines() if "**all**" in line)
    written = int(total.split("|")[2].strip(" *").replace(",", ""))
    return abs(written - sum(mpy_bytes().values())) <= _TOLERANCE * written


def mpy_bytes(base_only=False):
    """Bytes of each .mpy, by its name without ending."""
    with tempfile.TemporaryDirectory() as folder:
        return {name[:-4]: Path(folder, name).stat().st_size for name in _board.compile_library(folder, base_only)}


def imported():
    """(heap, names of the modules) that the import keeps, then what a client does, on the 64-bit unix engine."""
    with tempfile.TemporaryDirectory() as folder:
        _board.compile_library(folder)
        stub = Path(folder, "umqtt", "simple.py")
        stub.parent.mkdir()
        stub.write_text(_STUB)
        engine = str(Path(sys.executable).parent / "micropython")
        environment = dict(os.environ, MICROPYPATH=f"{folder}:.frozen")
        command = [engine, "-X", "heapsize=1m", "-c", _SCRIPT]
        ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=folder)
    packages = ("persistmq", "persistmq_core")
    for heap_bytes, modules in map(json.loads, ran.stdout.splitlines()):
        yield heap_bytes, [f"{name}/__init__" if name in packages else name.replace(".", "/") for name in modules]


def table():
    """As Markdown."""
    sizes = mpy_bytes()
    (heap_bytes, at_start), (client_bytes, loaded) = imported()
    wanted_for = {module: option for option, modules in _board.OPTIONS.items() for module in modules}
    lines = ["| file | .mpy bytes | loaded |", "|---|---|---|"]
    for name, size in sorted(sizes.items()):
        seldom = "for the start" if name in at_start else wanted_for.get(name.rpartition("/")[2], "seldom")
        when = "always" if name in loaded else seldom
        lines.append(f"| `{name}` | {size:,} | {when} |")
    lines.append(f"| **the base** (`--base`) | **{sum(mpy_bytes(base_only=True).values()):,}** | |")
    lines.append(f"| **all** | **{sum(sizes.values()):,}** | |")
    lines.append("")
    heap = f"{heap_bytes:,} bytes, with a client: {client_bytes:,}"
    lines.append(f"Heap after the import: {heap}, on the 64-bit unix engine, whose objects are twice a board's.")
    return "\n".join(lines) + "\n"
