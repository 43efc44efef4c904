"""tools/bench as a user runs it, small: what it prints, what it writes, and what it does when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCH = str(ROOT / "tools" / "bench")
# Contestants for which nothing has to be fetched.
SMALL = ["--quick", "--messages", "300", "--rounds", "2", "--contestants", "persistmq", "floor loop", "QoS 1, one*"]


def run(*options: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([BENCH, *options], cwd=cwd, capture_output=True, text=True, timeout=100, check=False)


def test_it_prints_tables_with_goals_and_writes_every_figure(tmp_path: Path) -> None:
    done = run("--only", "qos1", "publish-call", "--out", "results", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("CPU:", "kernel:", "file system:", "Mosquitto:", "persistmq:", "msg/s", "floor loop", "goals reached"):
        assert word in done.stdout
    found = json.loads((tmp_path / "results" / "results.json").read_text())
    assert found["rounds"] == 2 and found["quick"] is True and found["machine"]["CPU"]
    race = found["benchmarks"]["qos1"]
    assert set(race["rounds"]) == {"persistmq", "floor loop"}
    for rounds in race["rounds"].values():
        assert len(rounds) == 2
        for figures in rounds:
            assert figures["messages"] == 300 and figures["per_second"] > 0 and figures["cpu_us"] >= 0
    assert [len(row) for row in race["rows"]] == [len(race["columns"])] * 2
    calls = found["benchmarks"]["publish-call"]
    for goal in race["goals"] + calls["goals"]:
        assert goal["verdict"] in ("reached", "short") and goal["value"] >= 0
        assert f"{goal['verdict']}" in done.stdout and goal["goal"] in done.stdout
    (rounds,) = calls["rounds"].values()
    assert all(0 < figures["median_us"] <= figures["p999_us"] <= figures["longest_us"] for figures in rounds)


def test_a_day_is_delivered_and_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = run("--quick", "--only", "day", "reopen", "--rounds", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 h" in done.stdout and "100,000" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_contestant_that_loses_a_message_gives_no_figure() -> None:
    """The count behind each figure is checked, by the contestant and by the subscriber."""
    program = (
        "import sys; sys.path[:0] = ['tools']\n"
        "import tempfile, pathlib, _mosquitto\n"
        "from _bench.peers import Contestant\n"
        "from _bench.runner import BenchFailed, Runner\n"
        "from _bench.broker import WIDE\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    runner = Runner(_mosquitto.get(), pathlib.Path(folder), 1, print)\n"
        "    liar = Contestant('liar', 'floor', {'window': 10})\n"
        "    real, runner.process = runner.process, lambda *_, **task: real(*_, **task | {'messages': 90})\n"
        "    runner.subscriber_wait_s = 1\n"
        "    try:\n"
        "        runner.end_to_end(liar, 100, 10, 1, WIDE, counted=True)\n"
        "    except BenchFailed as failure:\n"
        "        print(failure)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "liar: 105 were acknowledged, 95 came out" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("options", [["--only", "nothing"], ["--rounds", "0"], ["--messages", "x"]])
def test_what_cannot_be_is_an_error_of_usage(options: list[str], tmp_path: Path) -> None:
    done = run(*options, cwd=tmp_path)
    assert done.returncode == 2 and "usage:" in done.stderr


def test_every_benchmark_has_its_place_in_the_page() -> None:
    listed = subprocess.run([BENCH, "--help"], capture_output=True, text=True, check=True).stdout
    names = [line.split()[0] for line in listed.partition("Benchmarks:")[2].splitlines() if line.strip()]
    page = (ROOT / "docs" / "performance.md").read_text()
    assert len(names) > 10
    for name in [*names, "machine"]:
        assert page.count(f"<!-- bench: {name} -->") == 1
