"""The disk's floor: append to a file and fdatasync, and nothing else."""

import os
from typing import Any

from _bench.meter import Meter, written_bytes


def append(messages: int, record_bytes: int, per_sync: int = 1) -> dict[str, Any]:
    """`per_sync` records are written with one call and share one sync."""
    descriptor = os.open("journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    group = bytes(record_bytes * per_sync)
    os.write(descriptor, group)
    os.fdatasync(descriptor)
    groups = max(1, messages // per_sync)
    before = written_bytes()
    with Meter() as meter:
        for _ in range(groups):
            os.write(descriptor, group)
            os.fdatasync(descriptor)
    written = written_bytes() - before
    os.close(descriptor)
    return {**meter.figures(groups * per_sync), "written_bytes": written}
