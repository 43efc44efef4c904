"""The processes that get killed: python -m tests.receiver.lives PORT FOLDER OUTPUT [FORM]

With FORM ("simple", "persistmq", "compressed") the publisher makes bundles, of batches of BATCH.
A nursery, so that a life does not begin with the import of half the standard library: each is a fork of it. It reads
"begin publisher LIFE", "drain publisher LIFE" (ends when all is delivered), "begin receiver 0", "kill NAME" and
"end NAME" (waits, with SIGTERM for the receiver) and answers each with one line: the pid, or the exit status. When its
input ends, so do its children and it.
"""

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import click
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq import PersistClient
from persistmq.receiver import Subscriber
from persistmq.receiver.command import command

LIFE_S_MAX = 300  # nobody lives on if nobody kills
BATCH = 25


def publish(life: int, port: int, folder: Path, form: str, is_last: bool) -> None:
    """QoS 1 and 2; each number that ``publish()`` returned is a line of ``published``.

    In the simple form QoS 2, and each payload: nobody can tell a repeat.
    """
    rng = random.Random(life)
    published = os.open(folder / "published", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    client = PersistClient(
        "soak",
        cache_path=folder / "cache",
        protocol=MQTTProtocolVersion.MQTTv5,
        identity=form != "simple",
        bulk_msg_count=10 if form else 0,
        bulk_topic_rewrite="bulk",
        bulk_form="persistmq" if form not in ("", "simple") else "simple",
        bulk_compress=form == "compressed",
        ack_timeout_ms=5000,
        reconnect_delay_ms_min=10,
        reconnect_delay_ms_max=100,
        segment_bytes_max=8192,
    )
    client.connect_async("127.0.0.1", port)
    began = time.monotonic()
    count = 0
    while not is_last and time.monotonic() - began < LIFE_S_MAX:
        if form:
            payloads = ["%d" % (life * 1_000_000 + count + place) for place in range(BATCH)]
            count += BATCH
            qos = 2 if form == "simple" else rng.choice((1, 2))
            infos = client.publish_many([("soak/%d" % rng.randrange(3), payload) for payload in payloads], qos)
            numbers = payloads if form == "simple" else [str(info.seq) for info in infos]
            os.write(published, "\n".join([*numbers, ""]).encode())
            time.sleep(rng.choice((0.002, 0.01, 0.03)))
            continue
        info = client.publish("soak/%d" % rng.randrange(3), "%d %d" % (life, rng.randrange(1000)), rng.choice((1, 2)))
        os.write(published, b"%d\n" % info.seq)
        time.sleep(rng.choice((0, 0, 0.001)))
    if not client.flush(60):
        raise TimeoutError("not delivered: %r" % client.get_status())
    # And one more, at which a receiver sees what it missed before.
    number = life * 1_000_000
    info = client.publish("soak/last", number, 2 if form == "simple" else 1)
    os.write(published, b"%d\n" % (number if form == "simple" else info.seq))
    if not client.flush(60):
        raise TimeoutError("not delivered: %r" % client.get_status())
    client.stop()


def receive(port: int, folder: Path, output: str) -> None:
    """The command, as a service manager runs it that begins it again, but for quicker attempts to connect."""
    Subscriber.__init__.__kwdefaults__.update(reconnect_delay_ms_min=10, reconnect_delay_ms_max=100)
    where = ["-h", "127.0.0.1", "-p", str(port), "-t", "soak/#", "-i", "soak-receiver", "--from-first", "-o", output]
    where += ["--bulk-topic", "bulk"]
    while True:
        try:
            command.main(where, standalone_mode=False)
            return
        except click.ClickException as error:  # the database is not there yet
            print(error.format_message(), file=sys.stderr)
            time.sleep(0.05)


def main(port: int, folder: Path, output: str, form: str = "") -> None:
    pids: dict[str, int] = {}
    for line in sys.stdin:
        what, name, *rest = line.split()
        if what in ("begin", "drain"):
            pid = os.fork()
            if pid == 0:
                _live(what, name, int(rest[0]), port, folder, output, form)
            pids[name] = pid
            answer = pid
        else:
            if what == "kill":
                os.kill(pids[name], signal.SIGKILL)
            elif name == "receiver":
                os.kill(pids[name], signal.SIGTERM)
            answer = os.waitstatus_to_exitcode(os.waitpid(pids.pop(name), 0)[1])
        print(answer, flush=True)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)


def _live(what: str, name: str, life: int, port: int, folder: Path, output: str, form: str) -> None:
    status = 1
    try:
        signal.alarm(LIFE_S_MAX)
        if name == "publisher":
            publish(life, port, folder, form, what == "drain")
        else:
            receive(port, folder, output)
        status = 0
    except BaseException:  # noqa: BLE001 - the test reads it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
