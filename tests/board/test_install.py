"""From this tree onto a board: mip by package.json, and tools/deploy, both by the real mpremote."""

import json
import re
import shutil
import socket
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


def tool(name: str, *arguments: str, root: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run a command of ``tools`` as a user does: by its path."""
    command = [str(root / "tools" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=80, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the commands read and write; its .venv is ours."""
    for folder in ("persistmq_core", "ports/micropython", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / "tree" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "package.json", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / "tree" / name)
    (tmp_path / "tree" / ".venv").symlink_to(sys.prefix)
    return tmp_path / "tree"


def test_package_json_lists_the_tree() -> None:
    assert (ROOT / "package.json").read_text() == _board.package_json(), "it is stale: run tools/mip"


def test_mip_installs_what_it_lists(bridge: ReplBridge, tmp_path: Path) -> None:
    package = json.loads((ROOT / "package.json").read_text())
    assert package["deps"] == [["umqtt.simple", "latest"]]
    package["deps"] = []  # it comes from the internet; boards have it
    # The small files of both folders; all of them would take half a minute.
    package["urls"] = [pair for pair in package["urls"] if (ROOT / pair[1]).stat().st_size < 2500]
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


@pytest.mark.parametrize("arguments", [(), ("--base",)])
def test_deploy_compiles_copies_compares_and_starts(
    bridge: ReplBridge, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    lib = tmp_path / "board" / "lib"
    shutil.copytree(umqtt_folder() / "umqtt", lib / "umqtt")
    example = tmp_path / "example.py"
    example.write_text(
        "from persistmq import PersistClient\n"
        "client = PersistClient('deployed', cache_path='cache')\n"
        "client.publish('t', 'stored')\n"
        "open('started', 'w').close()\n"
    )
    (lib / "persistmq_core").mkdir()
    (lib / "persistmq_core" / "__init__.py").write_text("raise OSError('what mip installed once')")
    (lib / "persistmq_core" / "engine.mpy").write_text("of another version")
    done = tool("deploy", bridge.address, "--example", str(example), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "their sha256 agree" in done.stdout
    assert not list(lib.glob("persistmq*/*.py"))
    sent = sorted(path.relative_to(lib).as_posix() for path in lib.glob("persistmq*/*.mpy"))
    assert sent == sorted(name + ".mpy" for name in _size.mpy_bytes(base_only=bool(arguments)))
    assert (tmp_path / "board" / "main.py").read_bytes() == example.read_bytes()
    assert "started" in mpremote(bridge, "resume", "fs", "ls")
    assert list((tmp_path / "board" / "cache" / "journal").iterdir())


def test_deploy_says_what_it_wants_and_what_went_wrong() -> None:
    assert "tools/deploy PORT" in tool("deploy", "--help").stdout
    without = tool("deploy")
    assert without.returncode != 0
    assert "tools/deploy PORT" in without.stderr
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = "socket://127.0.0.1:%d" % nobody_listens.getsockname()[1]
        failed = tool("deploy", port)
    assert failed.returncode != 0
    assert "failed on " + port in failed.stderr
    assert "Traceback" not in failed.stderr.partition("failed on ")[0]


def test_mip_writes_the_package_json_of_its_tree(tree: Path) -> None:
    (tree / "persistmq_core" / "one_more.py").write_text("")
    assert tool("mip", root=tree).returncode == 0
    urls = json.loads((tree / "package.json").read_text())["urls"]
    assert ["persistmq_core/one_more.py", "persistmq_core/one_more.py"] in urls
    (tree / "persistmq_core" / "one_more.py").unlink()
    assert tool("mip", root=tree).returncode == 0
    assert (tree / "package.json").read_text() == (ROOT / "package.json").read_text()


def test_size_writes_its_table_and_says_when_it_is_stale(tree: Path) -> None:
    with open(tree / "persistmq_core" / "engine.py", "a") as engine:
        engine.write("".join("def more_%d(): return %d * %r\n" % (index, index, "word" * 9) for index in range(300)))
    stale = tool("size", "--check", root=tree)
    assert stale.returncode != 0
    assert "stale: run tools/size" in stale.stderr
    assert (tree / "README.md").read_text() == (ROOT / "README.md").read_text(), "--check changed it"
    written = tool("size", root=tree)
    assert written.returncode == 0, written.stderr
    assert tool("size", "--check", root=tree).returncode == 0
    old, new = (ROOT / "README.md").read_text(), (tree / "README.md").read_text()
    assert table_total(new) > table_total(old) + 2000
    assert int(re.findall(r"Heap after the import: ([0-9,]+) bytes", new)[0].replace(",", "")) > 50000
    assert new.partition("<!-- sizes")[0] == old.partition("<!-- sizes")[0]
    assert new.partition("<!-- end of sizes")[2] == old.partition("<!-- end of sizes")[2]


def table_total(readme: str) -> int:
    return int(re.findall(r"\*\*all\*\* \| \*\*([0-9,]+)", readme)[0].replace(",", ""))


def test_the_sizes_in_the_readme_are_those_of_the_tree_and_within_the_goal() -> None:
    assert _size.is_fresh(), "run tools/size"
    assert sum(_size.mpy_bytes(base_only=True).values()) <= 48 * 1024
