"""mqttium by publish_many, in memory or with its SQLite store: the peer that keeps messages on storage too."""

import asyncio
import time
from typing import Any

from mqttium.api import AsyncClient, PublishMessage
from mqttium.persistence import SqliteInflightStore

from _bench.meter import Meter
from _bench.wire import HOST, TOPIC

_TIMEOUT_S = 120


def publish(
    port: int, messages: int, warm_up: int, payload_bytes: int, qos: int, window: int, sqlite: bool
) -> dict[str, Any]:
    return asyncio.run(_publish(port, messages, warm_up, bytes(payload_bytes), qos, window, sqlite))


async def _publish(
    port: int, messages: int, warm_up: int, payload: bytes, qos: int, window: int, sqlite: bool
) -> dict[str, Any]:
    store = SqliteInflightStore("mqttium.sqlite") if sqlite else None
    client = AsyncClient(f"bench-mqttium-{time.monotonic_ns()}", max_outbound_inflight=window, store=store)
    await client.connect(HOST, port)
    await _burst(client, warm_up, payload, qos)
    with Meter() as meter:
        await _burst(client, messages, payload, qos)
    await client.disconnect()
    if store:
        store.close()
    return meter.figures(messages)


async def _burst(client: AsyncClient, messages: int, payload: bytes, qos: int) -> None:
    receipt = await client.publish_many(PublishMessage(TOPIC, payload, qos=qos) for _ in range(messages))
    # Raises if one of them was not acknowledged.
    await asyncio.wait_for(receipt.wait(), _TIMEOUT_S)
    if receipt.submitted != messages:
        raise RuntimeError(f"{receipt.submitted} of {messages} were published")
