"""From this tree onto a board: mip by package.json, and tools/deploy, both by the real mpremote."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.board.engine import ROOT
from tests.board.repl_bridge import ReplBridge
from tests.board.umqtt_package import umqtt_folder

pytestmark = pytest.mark.timeout(90)
sys.path.insert(0, str(ROOT / "tools"))
import _board  # noqa: E402
import _size  # noqa: E402


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[ReplBridge]:
    sandbox = tmp_path / "board"
    (sandbox / "lib").mkdir(parents=True)
    with ReplBridge(sandbox, ":.frozen:%s" % (sandbox / "lib")) as running:
        yield running


def mpremote(bridge: ReplBridge, *arguments: str) -> str:
    command = [sys.executable, "-m", "mpremote", "connect", bridge.address, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_package_json_lists_the_tree() -> None:
    assert (ROOT / "package.json").read_text() == _board.package_json(), "it is stale: run tools/mip"


def test_mip_installs_what_it_lists(bridge: ReplBridge, tmp_path: Path) -> None:
    package = json.loads((ROOT / "package.json").read_text())
    assert package["deps"] == [["umqtt.simple", "latest"]]
    package["deps"] = []  # it comes from the internet; boards have it
    # The small files of both folders; all of them would take half a minute.
    package["urls"] = [pair for pair in package["urls"] if (ROOT / pair[1]).stat().st_size < 1600]
    assert {name.split("/")[0] for name, _ in package["urls"]} == {"persistmq", "persistmq_core"}
    copy = tmp_path / "tree"
    for _, source in package["urls"]:
        (copy / source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, copy / source)
    (copy / "package.json").write_text(json.dumps(package))
    mpremote(bridge, "mip", "install", str(copy / "package.json"))
    for name, source in package["urls"]:
        assert (tmp_path / "board" / "lib" / name).read_bytes() == (ROOT / source).read_bytes()
    assert "1000" in mpremote(bridge, "exec", "from persistmq_core.errors import *; print(1000)")


def test_deploy_compiles_copies_compares_and_starts(bridge: ReplBridge, tmp_path: Path) -> None:
    lib = tmp_path / "board" / "lib"
    shutil.copytree(umqtt_folder() / "umqtt", lib / "umqtt")
    example = tmp_path / "example.py"
    example.write_text(
        "from persistmq import PersistClient\n"
        "client = PersistClient('deployed', cache_path='cache')\n"
        "client.publish('t', 'stored')\n"
        "open('started', 'w').close()\n"
    )
    script = "import sys; sys.path.insert(0, %r); import _deploy; _deploy.main(sys.argv[1:])" % str(ROOT / "tools")
    command = [sys.executable, "-c", script, bridge.address, "--example", str(example)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=80, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "their sha256 agree" in done.stdout
    assert not list(lib.glob("persistmq*/*.py"))
    assert len(list(lib.glob("persistmq*/*.mpy"))) == len(list(_board.sources()))
    assert (tmp_path / "board" / "main.py").read_bytes() == example.read_bytes()
    assert "started" in mpremote(bridge, "resume", "fs", "ls")
    assert list((tmp_path / "board" / "cache" / "journal").iterdir())


def test_the_sizes_in_the_readme_are_those_of_the_tree_and_within_the_goal() -> None:
    assert _size.is_fresh(), "run tools/size"
    assert sum(_size.mpy_bytes().values()) <= 48 * 1024
