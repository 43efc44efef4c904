"""What PersistMQ costs beside time: memory and time of a start, bytes to the disk."""

import threading
import time
from typing import Any

from persistmq.store import FileStore

from _bench.contestants import ours
from _bench.meter import rss_bytes, written_bytes
from _bench.wire import HOST, TOPIC


def fill(cache_path: str, messages: int, payload_bytes: int) -> dict[str, Any]:
    """Leave a backlog behind."""
    client = ours.open_client(cache_path=cache_path, durability="sync")
    ours.fill(client, messages, bytes(payload_bytes), qos=1)
    client.stop()
    return {"messages": messages}


def reopen(port: int, cache_path: str) -> dict[str, Any]:
    """Begin on a backlog; a broker that acknowledges one message notes when its first PUBLISH came."""
    memory: list[int] = []
    answered = threading.Event()

    def note(*_: object) -> None:
        memory.append(rss_bytes())
        answered.set()

    memory.append(rss_bytes())
    began_ns = time.monotonic_ns()
    client = ours.open_client(cache_path=cache_path)
    client.on_delivered = note
    client.connect_async(HOST, port)
    if not answered.wait(120):
        raise TimeoutError(client.get_status()["down_reason"])
    client.stop(timeout=0)
    return {"began_ns": began_ns, "rss_growth_bytes": memory[1] - memory[0]}


def written(port: int, messages: int, payload_bytes: int, qos: int, **options: Any) -> dict[str, Any]:
    """A backlog, then its delivery: all that was written for it, by what is handed to the kernel and by what the
    kernel writes (pages, each time they change between two syncs).
    """
    handed = [0]
    _count(handed, "append")
    _count(handed, "replace")
    before = written_bytes()
    client = ours.open_client(**options)
    payload = bytes(payload_bytes)
    for _ in range(messages):
        client.publish(TOPIC, payload, qos)
    client.connect_async(HOST, port)
    ours.flush(client)
    ours.check(client, messages)
    client.stop()
    payloads = messages * payload_bytes
    return {"handed": handed[0] / payloads, "written": (written_bytes() - before) / payloads}


def _count(handed: list[int], name: str) -> None:
    real = getattr(FileStore, name)

    def counting(store: FileStore, file_name: str, view: Any) -> None:
        handed[0] += len(view)
        real(store, file_name, view)

    setattr(FileStore, name, counting)
