"""Time, CPU and memory of the process that asks."""

import os
import resource
import time
from types import TracebackType

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Meter:
    """`with Meter() as meter:` around the timed part; `meter.figures(messages)` afterwards."""

    def __enter__(self) -> "Meter":
        self.cpu_s = cpu_s()
        self.seconds = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self.seconds
        self.cpu_s = cpu_s() - self.cpu_s

    def figures(self, messages: int) -> dict[str, float]:
        return {
            "messages": messages,
            "seconds": self.seconds,
            "per_second": messages / self.seconds,
            "cpu_us": self.cpu_s / messages * 1e6,
        }


def cpu_s() -> float:
    """User and system time of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rss_bytes() -> int:
    """Resident memory now (getrusage knows only the peak)."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * _PAGE_BYTES


def written_bytes() -> int:
    """What this process made the kernel write to storage, whole pages as the device sees them."""
    with open("/proc/self/io") as figures:
        return int(next(line.split()[1] for line in figures if line.startswith("write_bytes:")))
