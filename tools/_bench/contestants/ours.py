"""PersistMQ as it lies here, used as any program uses it."""

import random
import threading
from typing import Any

from persistmq import PersistClient, PublishInfo

from _bench.meter import Meter
from _bench.wire import HOST, TOPIC

CACHE = "cache"  # in the process's own folder
MANY = 1000  # messages to a call of publish_many
_TIMEOUT_S = 120


def open_client(**options: Any) -> PersistClient:
    options = {"durability": "async", "cache_path": CACHE, **options}
    return PersistClient("bench", **options)


def connect(client: PersistClient, port: int) -> None:
    up = threading.Event()
    client.on_connection_up = lambda *_: up.set()
    client.connect_async(HOST, port)
    if not up.wait(_TIMEOUT_S):
        raise TimeoutError(client.get_status()["down_reason"])


def check(client: PersistClient, messages: int) -> None:
    status = client.get_status()
    if status["delivered"] != messages or status["waiting"] or status["connections"] > 1:
        raise RuntimeError(f"{messages} messages were to be delivered once, in one connection: {status}")


def flush(client: PersistClient) -> None:
    if not client.flush(_TIMEOUT_S):
        raise TimeoutError(f"not all was delivered: {client.get_status()}")


def publish(
    port: int, messages: int, warm_up: int, payload_bytes: int, qos: int, many: bool = False, **options: Any
) -> dict[str, Any]:
    """End to end: from the first publish() to the moment that flush() returns."""
    client = open_client(**options)
    connect(client, port)
    payload = bytes(payload_bytes)
    _publish(client, warm_up, payload, qos, many)
    flush(client)
    with Meter() as meter:
        _publish(client, messages, payload, qos, many)
        flush(client)
    check(client, warm_up + messages)
    client.stop()
    return meter.figures(messages)


def fill(client: PersistClient, messages: int, payload: bytes, qos: int) -> None:
    """A backlog on storage."""
    infos: list[PublishInfo] = []
    for first in range(0, messages, MANY):
        infos = client.publish_many([(TOPIC, payload)] * min(MANY, messages - first), qos)
    if infos and not infos[-1].wait_for_stored(_TIMEOUT_S):
        raise TimeoutError("the backlog was not stored")


def _publish(client: PersistClient, messages: int, payload: bytes, qos: int, many: bool) -> None:
    if many:
        for first in range(0, messages, MANY):
            client.publish_many([(TOPIC, payload)] * min(MANY, messages - first), qos)
        return
    for _ in range(messages):
        client.publish(TOPIC, payload, qos)


def drain(port: int, messages: int, payload_bytes: int, qos: int, **options: Any) -> dict[str, Any]:
    """A backlog that lies on storage, from connect_async() to the last acknowledgement."""
    client = open_client(**options)
    fill(client, messages, bytes(payload_bytes), qos)
    with Meter() as meter:
        client.connect_async(HOST, port)
        flush(client)
    check(client, messages)
    client.stop()
    return meter.figures(messages)


def drain_readings(port: int, messages: int, qos: int, **options: Any) -> dict[str, Any]:
    """The same of readings as there are in practice: JSON of some 60 bytes, of eight sensors, no two alike."""
    client = open_client(**options)
    choose = random.Random(1)
    batch = []
    for number in range(messages):
        reading = f'{{"t":{1767225600 + number / 8:.3f},"value":{choose.gauss(3.2, 0.4):.4f},"unit":"bar","ok":true}}'
        batch.append((f"plant/line-3/pump-{number % 8}/pressure", reading))
    infos = client.publish_many(batch, qos)
    if not infos[-1].wait_for_stored(_TIMEOUT_S):
        raise TimeoutError("the backlog was not stored")
    with Meter() as meter:
        client.connect_async(HOST, port)
        flush(client)
    check(client, messages)
    client.stop()
    return meter.figures(messages)
