"""Bundles beside those that persistmq 0.1.4 itself sends: the same bytes on the wire."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.main_job.receiver import Arrival, Receiver, until
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]
Message = tuple[str, "str | bytes"]

# Its worker, in the process that is killed: the messages lie in its cache, then it connects.
OLD = """
import json, sys
from pathlib import Path
import persistmq.client
from paho.mqtt import client as mqtt
assert not hasattr(persistmq.client.PersistClient, "flush"), persistmq.client.__file__
order = json.load(sys.stdin)
paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="old")
worker = persistmq.client.PersistMqWorker(
    paho, "127.0.0.1", order["port"], None, None, {}, Path(order["cache"]), order["count"], order["rewrite"]
)
worker.message_q = type("Empty", (), {"qsize": lambda self: 0, "empty": lambda self: True})()
worker.command_q = worker.message_q
for topic, text, octets in order["messages"]:
    payload = bytes.fromhex(octets) if text is None else text
    worker._put_data_to_cache({"topic": topic, "payload": payload, "qos": order["qos"]})
worker.run()
"""
PAYLOADS: tuple[str | bytes, ...] = (
    "21.5", "", "{\"value\": 3}", "\u20ac \u6e29\u5ea6", "x" * 300, "two\nlines\t",
    b"\x00\x01", b"\xff" * 70, "y" * 23, "z" * 24,
)  # fmt: skip


def arrivals_of_0_1_4(
    package: Path, folder: Path, broker: Mosquitto, receiver: Receiver, count: int, rewrite: str, qos: int,
    messages: list[Message], wanted: int,
) -> list[Arrival]:  # fmt: skip
    held = [(topic, what, "") if isinstance(what, str) else (topic, None, what.hex()) for topic, what in messages]
    order = {"port": broker.port, "cache": str(folder), "count": count, "rewrite": rewrite, "qos": qos}
    environment = os.environ | {"PYTHONPATH": str(package)}
    command = [sys.executable, "-P", "-c", OLD]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(order | {"messages": held}))
        process.stdin.close()
        assert until(lambda: len(receiver.arrivals) >= wanted, 30), receiver.arrivals
    finally:
        process.kill()
        process.wait()
    receiver.wait(wanted)
    return list(receiver.arrivals)


@pytest.mark.parametrize(
    ("rewrite", "topics", "qos"),
    [
        ("mixed/bulk", ["plant/line-3/pump-1/pressure", "plant/line-3/pump-2/pressure"], 2),
        ("bulk", ["dt/level", "dt/flow", "dt/\u6c34"], 1),
        ("mixed/bulk", ["a/b", "b", "long level/x"], 2),
    ],
)
def test_each_byte_on_the_wire_is_what_0_1_4_sends(
    make_client: Make, broker: Mosquitto, tmp_path: Path, package: Path, rewrite: str, topics: list[str], qos: int
) -> None:
    messages = [(topics[index % len(topics)], PAYLOADS[index % len(PAYLOADS)]) for index in range(34)]
    with Receiver(broker.port, name="of-0.1.4") as receiver:
        options = (package, tmp_path / "old", broker, receiver, 10, rewrite, qos, messages, 3 + 4)
        expected = arrivals_of_0_1_4(*options)
    assert [len(arrival.payload) > 400 for arrival in expected] == [True] * 3 + [False] * 4
    client = make_client(bulk_msg_count=10, bulk_topic_rewrite=rewrite)
    client.publish_many(messages, qos)
    with Receiver(broker.port, name="of-ours") as receiver:
        client.connect_async("127.0.0.1", broker.port)
        assert client.flush(20)
        receiver.wait(7)
        assert receiver.arrivals == expected
