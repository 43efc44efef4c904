"""persistmq-receive, as a user runs it."""

import json
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq.receiver import Receiver
from persistmq.receiver.command import command, output_of

from tests.main_job import processes
from tests.main_job.receiver import until
from tests.main_job.test_broker_trouble import password_line
from tests.receiver.test_subscriber import Make
from tests.support.mosquitto import Mosquitto


@contextmanager
def receiving(broker: Mosquitto, *arguments: str, host: str = "127.0.0.1") -> "Iterator[subprocess.Popen[str]]":
    """The command at work; it is ended with SIGTERM."""
    where = ("-h", host, "-p", str(broker.port))
    before = broker.log_text().count("Received SUBSCRIBE")
    with processes.start("-m", "persistmq.receiver", *where, *arguments) as process:
        try:
            assert until(lambda: broker.log_text().count("Received SUBSCRIBE") > before, 20), process.poll()
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors


def ran(*arguments: str) -> Any:
    return CliRunner().invoke(command, list(arguments))


@pytest.mark.parametrize("kind", ["jsonl", "sqlite"])
def test_what_is_published_is_written_and_the_status_says_so(
    make_client: Make, broker: Mosquitto, tmp_path: Path, kind: str
) -> None:
    output = f"jsonl:{tmp_path}/out" if kind == "jsonl" else f"sqlite:///{tmp_path}/out"
    with receiving(broker, "-t", "a/#", "-t", "b", "-o", output), make_client(
        "pole", identity=True, protocol=MQTTProtocolVersion.MQTTv5
    ) as client:
        client.connect_async("127.0.0.1", broker.port)
        for topic in ("a/1", "b", "c", "a/2"):
            client.publish(topic, topic, 1)
        assert client.flush(20)
        assert until(lambda: "highest\": 4" in ran("-o", output, "--status", "--json").output, 20)
        result = ran("-o", output, "--status")  # while it is at work
        assert result.exit_code == 3
        assert "pole, epoch" in result.output and "3 received, 0 came again" in result.output
        assert "complete up to 2; 1 MISSING: 3" in result.output  # it was not subscribed to
        (stream,) = json.loads(ran("-o", output, "--status", "--json").output)
        assert (stream["client"], stream["gaps"], stream["missing"]) == ("pole", [[3, 3]], 1)
    if kind == "jsonl":
        topics = [json.loads(line)["topic"] for line in (tmp_path / "out").read_text().splitlines()]
    else:
        rows = sqlite3.connect(tmp_path / "out").execute("SELECT topic FROM messages ORDER BY id")
        topics = [topic for (topic,) in rows]
    assert topics == ["a/1", "b", "a/2"]


@pytest.mark.parametrize("version", ["311", "5"])
def test_a_subscription_of_an_earlier_run_goes_on_until_it_is_ended(
    make_client: Make, broker: Mosquitto, tmp_path: Path, version: str
) -> None:
    output = f"jsonl:{tmp_path}/out"
    expected = ["old/1", "old/2", "new/3", "new/4", "new/5"]

    def topics() -> list[str]:
        return [json.loads(line)["topic"] for line in (tmp_path / "out").read_text().splitlines()]

    client = make_client("pole")
    client.connect_async("127.0.0.1", broker.port)
    for number, arguments in (
        (1, ["-t", "old/#"]),
        (2, ["-t", "new/#"]),  # it was never told that the other one is not wanted any more
        (3, ["-t", "new/#", "-U", "old/#"]),
        (4, ["-t", "new/#"]),  # once is enough
        (5, ["-t", "new/#", "-U", "old/#", "-U", "never/there"]),
    ):
        with receiving(broker, *arguments, "-V", version, "-o", output):
            for topic in ("old/%d" % number, "new/%d" % number):
                if topic in expected or number > 2:
                    assert client.publish(topic, "x", 1).wait_for_publish(10)
            assert until(lambda last=expected[number - 1]: last in topics(), 10)  # type: ignore[misc]
    assert topics() == expected


def test_the_status_of_a_complete_stream_and_of_one_with_numbers_given_up(tmp_path: Path) -> None:
    output = f"jsonl:{tmp_path}/out"
    with Receiver(output_of(output, "", None, False)) as receiver:
        receiver.take("t", b"x", {"pmq": "00c0ffee 1 0 pole"})
        receiver.take("t", b"x", {"pmq": "00c0ffee 9 6 pole", "pmq-never": "2-6"})
        receiver.commit()
    result = ran("-o", output, "--status")
    assert result.exit_code == 0
    assert "  7 were given up by the publisher\n  complete\n" in result.output
    assert "pole, epoch 00c0ffee: 2 received, 0 came again\n  from 1 to 9, the last one on 20" in result.output


def test_user_password_and_tls(make_client: Make, tmp_path: Path) -> None:
    key, certificate, passwords = tmp_path / "key", tmp_path / "certificate", tmp_path / "passwords"
    passwords.write_text(password_line("user", "right"))
    passwords.chmod(0o600)
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    key.chmod(0o644)
    lines = [f"certfile {certificate}", f"keyfile {key}", f"password_file {passwords}"]
    options = ("--cafile", str(certificate), "-u", "user", "-P", "right", "-o", f"jsonl:{tmp_path}/out")
    with Mosquitto(config_lines=lines, allow_anonymous=False) as broker:
        with receiving(broker, *options):
            assert "as persistmq-receive" in broker.log_text() and "u'user'" in broker.log_text()
        with receiving(broker, *options, "--insecure", host="localhost"):
            pass


def test_it_says_on_stderr_that_it_is_connected(broker: Mosquitto, tmp_path: Path) -> None:
    with receiving(broker, "-t", "a/#", "-t", "b", "-o", f"jsonl:{tmp_path}/out") as process:
        assert process.stderr is not None and select.select([process.stderr], [], [], 10)[0]
        assert process.stderr.readline().endswith(f" INFO connected to 127.0.0.1:{broker.port}, subscribed to a/#, b\n")


def test_the_keyboard_ends_it_too(broker: Mosquitto, tmp_path: Path) -> None:
    with receiving(broker, "-o", f"jsonl:{tmp_path}/out") as process:
        process.send_signal(signal.SIGINT)
        process.wait(10)
        assert process.returncode == 0


@pytest.mark.parametrize(("arguments", "words"), [
    ((), "Missing option '-o'"),
    (("-o", "out.jsonl"), "the output is jsonl:FILE, or the URL of a database"),
    (("-o", "mysql://x/y"), "SQLite or PostgreSQL, not mysql"),
    (("-o", "jsonl:/dev/null/x"), "Not a directory"),
    (("-o", "jsonl:missing/folder/x.jsonl"), "/missing/folder'"),
    (("-o", "jsonl:missing/folder/x.jsonl", "--state", "state"), "No such file or directory: '"),
    (("-o", "sqlite:////no/such/folder/x"), "unable to open database file"),
    (("-o", "jsonl:/no/such/file", "--status"), "No such file or directory"),
    (("-o", "jsonl:x", "-h", "mqtt://x"), "host is a name or an address"),
    (("-o", "sqlite:///missing.db", "--table", "persistmq_ranges"), "table is 'persistmq_ranges': it must have a name"),
    (("-o", "sqlite:///missing.db", "--table", "PersistMQ_own"), "those that begin with persistmq_ are ours"),
    (("-o", "sqlite:///missing.db", "--table", ""), "table is ''"),
    (("-o", "sqlite:///missing.db", "--state", "missing"), "--state needs -o jsonl:FILE"),
    (("-o", "sqlite:///missing.db", "--state", "missing", "--status"), "--state needs -o jsonl:FILE"),
    (("-o", "jsonl:missing.jsonl", "--json"), "--json needs --status"),
    (("-o", "jsonl:missing.jsonl", "-U", "x/#/y"), "the topic filter 'x/#/y' has a # that is not its last level alone"),
    (("-o", "jsonl:missing.jsonl", "-t", "a", "-t", "x/y+"), "the topic filter 'x/y+' has a + that is not a level"),
])  # fmt: skip
def test_mistakes_are_said_in_one_line(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = ran(*arguments)
    assert result.exit_code in (1, 2) and words in result.output, result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("missing*")), "nothing is made for it"


def test_a_file_that_another_one_writes_is_refused(tmp_path: Path) -> None:
    output = f"jsonl:{tmp_path}/out"
    with Receiver(output_of(output, "", None, False)):
        result = ran("-o", output, "-h", "127.0.0.1", "-p", "1")
        assert result.exit_code == 1 and "in use" in result.output


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['click'] = None; from persistmq.receiver.__main__ import main; main()"
    done = processes.run("-c", program)
    assert done.returncode == 1 and "pip install persistmq[receiver]" in done.stderr
    program = (
        "import sys; sys.modules['sqlalchemy'] = None; from persistmq.receiver.__main__ import main;"
        "sys.argv[1:] = ['-o', 'sqlite:///x']; main()"
    )
    done = processes.run("-c", program)
    assert done.returncode == 1 and "pip install persistmq[receiver]" in done.stderr
    assert processes.run("-c", "import sys; sys.modules['click'] = None; import persistmq.receiver").returncode == 0


def test_help_names_all_options() -> None:
    found = subprocess.run([sys.executable, "-m", "persistmq.receiver", "--help"], capture_output=True, text=True,
                           check=True, env=None).stdout  # fmt: skip
    for option in ("--host", "--topic", "--output", "--status", "--cafile", "--from-first"):
        assert option in found
