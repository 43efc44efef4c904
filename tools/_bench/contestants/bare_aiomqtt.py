"""aiomqtt: as many tasks as the window is wide, each publishing one message after the other."""

import asyncio
import socket
import time
from typing import Any

import aiomqtt

from _bench.meter import Meter
from _bench.wire import HOST, TOPIC

_TIMEOUT_S = 120
_WITHOUT_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def publish(port: int, messages: int, warm_up: int, payload_bytes: int, qos: int, window: int) -> dict[str, Any]:
    return asyncio.run(_publish(port, messages, warm_up, bytes(payload_bytes), qos, window))


async def _publish(port: int, messages: int, warm_up: int, payload: bytes, qos: int, window: int) -> dict[str, Any]:
    async with aiomqtt.Client(
        HOST,
        port,
        identifier=f"bench-aiomqtt-{time.monotonic_ns()}",
        max_inflight_messages=window,
        socket_options=[_WITHOUT_DELAY],
    ) as client:
        client.pending_calls_threshold = window  # else it warns of so many calls, which costs more than they do
        await _burst(client, warm_up, payload, qos, window)
        with Meter() as meter:
            await _burst(client, messages, payload, qos, window)
    return meter.figures(messages)


async def _burst(client: aiomqtt.Client, messages: int, payload: bytes, qos: int, window: int) -> None:
    numbers = iter(range(messages))

    async def publisher() -> None:
        for _ in numbers:
            await client.publish(TOPIC, payload, qos, timeout=_TIMEOUT_S)

    # publish() returns with the acknowledgement, and raises if there is none.
    await asyncio.gather(*(publisher() for _ in range(window)))
