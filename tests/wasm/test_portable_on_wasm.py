"""The tests of ``tests/portable`` on the second engine."""

import re

from tests.test_portable_on_micropython import expected_count
from tests.wasm import engine


def test_all_of_them_run_and_pass() -> None:
    ran = engine.run("tests/run_portable.py")
    last_line = ran.stdout.rstrip().rpartition("\n")[2]
    found = re.fullmatch(r"portable: (\d+) passed, (\d+) failed", last_line)
    assert found, ran.stdout + ran.stderr
    assert found.group(2) == "0", ran.stdout
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(found.group(1)) == expected_count() > 0
    assert ran.stdout.rstrip() == last_line, "a portable test printed something"


def test_it_is_what_it_is_taken_for() -> None:
    ran = engine.run("tests/wasm/on_wasm/facts.py")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert ran.stdout == "micropython %s 2147483647 1073741824 False\n" % engine.VERSION


def test_a_script_that_breaks_is_a_failure_with_its_words() -> None:
    ran = engine.run("tests/wasm/on_wasm/facts.py", "break")
    assert ran.returncode == 1
    assert "ValueError: as told" in ran.stdout
    assert 'File "/tests/wasm/on_wasm/facts.py"' in ran.stdout
