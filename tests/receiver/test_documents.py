"""README and docs/receiver.md: their commands and examples do what they say."""

import re
import shlex
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import paho.mqtt.publish
import pytest

from tests.main_job import processes
from tests.main_job.receiver import until
from tests.support.mosquitto import Mosquitto

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = {name: (ROOT / name).read_text() for name in ("README.md", "docs/receiver.md")}


def commands(text: str) -> list[str]:
    lines = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).splitlines()
    return [line for line in lines if line.startswith("persistmq-receive")]


def examples(text: str, word: str) -> list[str]:
    return [example for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in example]


def test_both_documents_have_the_same_commands() -> None:
    assert commands(DOCUMENTS["README.md"]) == commands(DOCUMENTS["docs/receiver.md"]) != []
    assert all('pip install "persistmq[receiver]"' in text for text in DOCUMENTS.values())


def test_the_commands_and_the_publisher_s_example_together(tmp_path: Path) -> None:
    (publisher,) = examples(DOCUMENTS["README.md"], "identity=True")
    receive, status = commands(DOCUMENTS["README.md"])
    rows = tmp_path / "levels.db"
    with Mosquitto() as broker:

        def words(line: str) -> list[str]:
            line = line.replace("/var/lib/plant/levels.db", str(rows)).replace("broker.example", "127.0.0.1")
            name, *rest = shlex.split(line)
            assert name == "persistmq-receive"
            return ["-m", "persistmq.receiver", *rest]

        with processes.start(*words(receive), "-p", str(broker.port)) as receiver:
            try:
                assert until(lambda: "Received SUBSCRIBE" in broker.log_text(), 20)
                text = publisher.replace("/var/lib/pole/cache", str(tmp_path / "cache"))
                text = text.replace('"broker.example"', f'"127.0.0.1", {broker.port}')
                subprocess.run([sys.executable, "-c", text], check=True, timeout=30)
                select = "SELECT client, seq, payload FROM messages"
                assert until(lambda: sqlite3.connect(rows).execute(select).fetchall() == [("pole-17", 1, b"3.21")])
                done = processes.run(*words(status))
                assert done.returncode == 0 and "pole-17, epoch" in done.stdout and "complete" in done.stdout
            finally:
                receiver.terminate()


def test_the_command_and_the_publisher_s_example_with_bundles_together(tmp_path: Path) -> None:
    (publisher,) = examples(DOCUMENTS["README.md"], "bulk_form=")
    publish = '    client.publish("pole/17/level", 3.21)\n'
    assert publish in publisher
    receive = shlex.split(commands(DOCUMENTS["README.md"])[0])[1:]
    rows = tmp_path / "levels.db"
    with Mosquitto() as broker:
        at_it = f'"127.0.0.1", {broker.port}'
        places = {"broker.example": "127.0.0.1", "/var/lib/plant/levels.db": str(rows)}
        for name, place in places.items():
            receive = [word.replace(name, place) for word in receive]
        with processes.start("-m", "persistmq.receiver", *receive, "-p", str(broker.port)) as receiver:
            try:
                assert until(lambda: "Received SUBSCRIBE" in broker.log_text(), 20)
                many = '    client.publish_many([("pole/17/level", 3.21)] * 100 + [("pole/18/level", 3.21)] * 150)\n'
                text = publisher.replace("/var/lib/pole/cache", str(tmp_path / "cache"))
                text = text.replace(publish, "").replace('    client.connect_async("broker.example")\n', "")
                text += many + f"    client.connect_async({at_it})\n    assert client.flush(20)\n"
                subprocess.run([sys.executable, "-c", text], check=True, timeout=30)
                select = "SELECT topic, COUNT(*) FROM messages GROUP BY topic ORDER BY topic"
                expected = [("pole/17/level", 100), ("pole/18/level", 150)]
                assert until(lambda: sqlite3.connect(rows).execute(select).fetchall() == expected)
                assert "/mixed/bulk'" in broker.log_text()
            finally:
                receiver.terminate()


def test_the_example_without_a_broker(tmp_path: Path) -> None:
    (example,) = examples(DOCUMENTS["docs/receiver.md"], "receiver.take")
    text = example.replace("/var/lib/plant/receiver", str(tmp_path))
    for expected in ("pole-17/00c0ffee/1 b'3.21'\npole-17 1 []\n", "pole-17 1 []\n"):  # the second time it is none
        done = processes.run("-c", text)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr


def test_the_example_with_one(tmp_path: Path) -> None:
    (example,) = examples(DOCUMENTS["docs/receiver.md"], "subscriber.run")
    with Mosquitto() as broker:
        text = example.replace("/var/lib/plant/receiver", str(tmp_path))
        text = text.replace('"broker.example"', f'"127.0.0.1", {broker.port}')
        text = text.replace("on_message=print", "on_message=lambda message: (print(message.topic), subscriber.stop())")
        with processes.start("-c", text) as receiver:
            watchdog = threading.Timer(20, receiver.kill)
            watchdog.start()
            assert until(lambda: "Received SUBSCRIBE" in broker.log_text(), 20)
            paho.mqtt.publish.single("pole/17", "x", 1, hostname="127.0.0.1", port=broker.port)
            output, errors = receiver.communicate()
            watchdog.cancel()
    assert (receiver.returncode, output) == (0, "pole/17\n"), errors


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_to_other_documents_lead_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\((?!https?:|#)([^)\s#]+)", DOCUMENTS[name]):
        assert (folder / target).exists(), target
