"""The port's transport, with an ESP32's sockets, on both engines."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.board.engine import micropython
from tests.board.umqtt_package import umqtt_folder
from tests.wasm import engine

PORT = engine.ROOT / "ports" / "micropython" / "persistmq"
CHECKS = "tests/wasm/on_wasm/transport_checks.py"
RUNNER = "tests/wasm/on_wasm/run_checks.py"


def on_wasm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return engine.run(*arguments, mounts={"/lib": umqtt_folder(), "/lib/persistmq": PORT})


def on_unix(*arguments: str) -> "subprocess.CompletedProcess[str]":
    path = [engine.ROOT, PORT.parent, umqtt_folder()]
    return subprocess.run(
        [micropython(), "-X", "heapsize=16m", *arguments],
        cwd=engine.ROOT,
        env=dict(os.environ, MICROPYPATH=":".join(map(str, path))),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("run", [on_wasm, on_unix])
def test_all_checks_pass(run: "type[on_wasm]") -> None:
    ran = run(RUNNER)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.fullmatch(r"over lwIP: (\d+) passed, 0 failed\n", ran.stdout)
    assert found, ran.stdout
    assert int(found.group(1)) == Path(engine.ROOT, CHECKS).read_text().count("    def test_")
