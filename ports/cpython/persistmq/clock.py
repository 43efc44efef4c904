"""The two clocks: one that only goes on, and the time of day."""

import time

from persistmq_core.contracts import Clock
from persistmq_core.limits import CLOCK_VALID_MS


def now_ms() -> int:
    """Milliseconds since some moment, the same for all processes until the device starts again."""
    return time.monotonic_ns() // 1_000_000


def unix_ms() -> int:
    """Unix time in milliseconds; 0 if the clock was never set."""
    found = time.time_ns() // 1_000_000
    return found if found >= CLOCK_VALID_MS else 0


def stamp_ms() -> int:
    """When a message is accepted, as records have it: ``unix_ms``, or ``now_ms`` while the clock was never set."""
    return unix_ms() or now_ms()


class SystemClock(Clock):
    """For the engine."""

    def unix_ms(self) -> int:
        return unix_ms()
