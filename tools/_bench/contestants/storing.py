"""PersistMQ's cache without a broker: how fast messages become safe, and on a disk that is slow."""

import functools
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from _bench.meter import Meter
from _bench.wire import TOPIC


def store(
    messages: int, payload_bytes: int, threads: int, disk_ms: float = 0, **options: Any
) -> dict[str, Any]:
    """publish() with "sync" from so many threads; `messages` of them all together."""
    syncs = _slow_down(disk_ms)
    from _bench.contestants import ours  # noqa: PLC0415 - the store takes the disk's functions when it is imported

    client = ours.open_client(durability="sync", **options)
    payload = bytes(payload_bytes)
    client.publish(TOPIC, payload)  # the first one makes the segment
    each = max(1, messages // threads)
    begin = threading.Barrier(threads + 1)

    def publisher() -> None:
        begin.wait()
        for _ in range(each):
            client.publish(TOPIC, payload)

    crew = [threading.Thread(target=publisher) for _ in range(threads)]
    for thread in crew:
        thread.start()
    begin.wait()
    before = syncs[0]
    with Meter() as meter:
        for thread in crew:
            thread.join()
    accepted = client.get_status()["accepted"]
    client.stop()
    if accepted != each * threads + 1:
        raise RuntimeError(f"{each * threads + 1} messages were published, {accepted} accepted")
    return {**meter.figures(each * threads), "syncs": syncs[0] - before}


def publish(disk_ms: float = 0, **task: Any) -> dict[str, Any]:
    """`ours.publish` on a disk whose syncs take `disk_ms` longer."""
    syncs = _slow_down(disk_ms)
    from _bench.contestants import ours  # noqa: PLC0415 - see above

    result = ours.publish(**task)
    return {**result, "syncs": syncs[0]}


def _slow_down(disk_ms: float) -> list[int]:
    """Before persistmq is imported: each sync of a file or folder waits first. Returns the count of them."""
    syncs = [0]

    def slow(real: Callable[[int], None], descriptor: int) -> None:
        syncs[0] += 1
        if disk_ms:
            time.sleep(disk_ms / 1000)
        real(descriptor)

    os.fdatasync = functools.partial(slow, os.fdatasync)  # type: ignore[assignment]
    os.fsync = functools.partial(slow, os.fsync)  # type: ignore[assignment]
    return syncs
