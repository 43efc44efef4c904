"""How long publish() itself takes, call by call."""

import time
from typing import Any

from _bench.contestants import ours
from _bench.wire import TOPIC


def back_to_back(port: int, messages: int, payload_bytes: int, qos: int) -> dict[str, Any]:
    """One call after another while the engine delivers as fast as it can."""
    client = ours.open_client()
    ours.connect(client, port)
    durations_ns = _calls(client, messages, bytes(payload_bytes), qos, 0)
    return _finish(client, messages, durations_ns)


def paced(port: int, messages: int, payload_bytes: int, qos: int, pause_us: int, backlog: int) -> dict[str, Any]:
    """Now and then a call, as a measuring device does it, while a backlog drains."""
    client = ours.open_client()
    ours.fill(client, backlog, bytes(payload_bytes), qos)
    ours.connect(client, port)
    durations_ns = _calls(client, messages, bytes(payload_bytes), qos, pause_us)
    was_draining = client.get_status()["waiting"] > 0
    return {**_finish(client, backlog + messages, durations_ns), "drained_to_the_end": was_draining}


def _calls(client: Any, messages: int, payload: bytes, qos: int, pause_us: int) -> list[int]:
    durations_ns = [0] * messages
    publish, clock, sleep = client.publish, time.perf_counter_ns, time.sleep
    for number in range(messages):
        if pause_us:
            sleep(pause_us / 1e6)
        began = clock()
        publish(TOPIC, payload, qos)
        durations_ns[number] = clock() - began
    return durations_ns


def _finish(client: Any, messages: int, durations_ns: list[int]) -> dict[str, Any]:
    ours.flush(client)
    ours.check(client, messages)
    client.stop()
    durations_ns.sort()
    count = len(durations_ns)
    return {
        "median_us": durations_ns[count // 2] / 1000,
        "p99_us": durations_ns[count * 99 // 100] / 1000,
        "p999_us": durations_ns[count * 999 // 1000] / 1000,
        "longest_us": durations_ns[-1] / 1000,
    }
