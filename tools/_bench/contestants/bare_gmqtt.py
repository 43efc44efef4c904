"""gmqtt, in memory. It has no window of its own: what is not acknowledged is counted in its own store of messages."""

import asyncio
import time
from typing import Any

import gmqtt
from gmqtt.mqtt.constants import MQTTv311
from gmqtt.storage import PersistentStorage

from _bench.meter import Meter
from _bench.wire import HOST, TOPIC

_TIMEOUT_S = 120


class _Window(PersistentStorage):
    """Says when something was acknowledged, which gmqtt has no callback for."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged = 0
        self.progress = asyncio.Event()

    def under_way(self) -> int:
        return len(self._messages)

    def remove_message_by_mid(self, mid: int) -> None:
        super().remove_message_by_mid(mid)
        self.acknowledged += 1
        self.progress.set()


def publish(port: int, messages: int, warm_up: int, payload_bytes: int, qos: int, window: int) -> dict[str, Any]:
    return asyncio.run(_publish(port, messages, warm_up, bytes(payload_bytes), qos, window))


async def _publish(port: int, messages: int, warm_up: int, payload: bytes, qos: int, window: int) -> dict[str, Any]:
    storage = _Window()
    client = gmqtt.Client(f"bench-gmqtt-{time.monotonic_ns()}", persistent_storage=storage)
    await client.connect(HOST, port, version=MQTTv311)
    await _burst(client, storage, warm_up, payload, qos, window)
    with Meter() as meter:
        await _burst(client, storage, messages, payload, qos, window)
    if storage.acknowledged != warm_up + messages:
        raise RuntimeError(f"{storage.acknowledged} acknowledgements for {warm_up + messages} messages")
    await client.disconnect()
    return meter.figures(messages)


async def _burst(client: gmqtt.Client, storage: _Window, messages: int, payload: bytes, qos: int, window: int) -> None:
    left = messages
    while left or not storage.is_empty:
        room = min(left, window - storage.under_way())
        for _ in range(room):
            client.publish(TOPIC, payload, qos)
        left -= room
        storage.progress.clear()
        await asyncio.wait_for(storage.progress.wait(), _TIMEOUT_S)
