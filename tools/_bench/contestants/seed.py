"""persistmq 0.1.4, the product that this one continues: a worker process and a message at a time."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

from persistmq.client import PersistClient

from _bench.meter import Meter
from _bench.wire import HOST, TOPIC

_TIMEOUT_S = 120


def publish(port: int, messages: int, warm_up: int, payload_bytes: int, qos: int) -> dict[str, Any]:
    client = _open()
    client.connect_async(HOST, port)
    payload = bytes(payload_bytes)
    _burst(client, warm_up, payload, qos, warm_up)
    with Meter() as meter:
        _burst(client, messages, payload, qos, warm_up + messages)
    client.stop()
    return _without_cpu(meter.figures(messages))


def drain(port: int, messages: int, payload_bytes: int, qos: int) -> dict[str, Any]:
    """Messages that wait in its queue when it begins to connect."""
    client = _open()
    payload = bytes(payload_bytes)
    for _ in range(messages):
        client.publish(TOPIC, payload, qos)
    with Meter() as meter:
        client.connect_async(HOST, port)
        _wait(client, messages)
    client.stop()
    return _without_cpu(meter.figures(messages))


def _open() -> PersistClient:
    multiprocessing.set_start_method("fork")  # the only one that it can start with
    return PersistClient(client_id=f"bench-seed-{time.monotonic_ns()}", cache_path=Path("cache"))


def _burst(client: PersistClient, messages: int, payload: bytes, qos: int, last_mid: int) -> None:
    for _ in range(messages):
        client.publish(TOPIC, payload, qos)
    _wait(client, last_mid)


def _wait(client: PersistClient, last_mid: int) -> None:
    """It numbers what it sends from 1 on, and has nothing else that says how far it is."""
    deadline = time.monotonic() + _TIMEOUT_S
    while (status := client.get_status())["cached_items"] or (status["last_mid"] or 0) < last_mid:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all was delivered: {status}")
        time.sleep(0.002)


def _without_cpu(figures: dict[str, Any]) -> dict[str, Any]:
    """Its work is done in two more processes."""
    del figures["cpu_us"]
    return figures
