"""Time that never goes back, from a counter that wraps."""

import time

_UNIX_SECONDS_OF_2000 = 946684800
_YEAR_MIN = 2024  # a clock that shows less was never set


class Clock:
    """Milliseconds since this object was made. To be asked at least every six days: the counter wraps after twelve."""

    def __init__(self) -> None:
        self._last_ticks = time.ticks_ms()
        self._now_ms = 0

    def now_ms(self) -> int:
        ticks = time.ticks_ms()
        self._now_ms += time.ticks_diff(ticks, self._last_ticks)
        self._last_ticks = ticks
        return self._now_ms


def unix_ms() -> int:
    """Unix time in milliseconds, 0 while the clock was not set."""
    seconds = time.time()
    if time.gmtime(seconds)[0] < _YEAR_MIN:
        return 0
    if time.gmtime(0)[0] == 2000:  # most boards count from there
        seconds += _UNIX_SECONDS_OF_2000
    return int(seconds) * 1000
