"""Time that never goes back, from a counter that wraps; and chance."""

import os
import time

from persistmq_core import contracts

# Unix seconds of where time.time() counts from: 2000 on most boards.
EPOCH = 946684800 if time.gmtime(0)[0] == 2000 else 0
_SET_SINCE = 1704067200  # 2024: a clock that shows less was never set


class Clock(contracts.Clock):
    """Milliseconds since this object was made. To be asked at least every six days: the counter wraps after twelve."""

    def __init__(self) -> None:
        self._last_ticks = time.ticks_ms()
        self._now_ms = 0

    def now_ms(self) -> int:
        ticks = time.ticks_ms()
        self._now_ms += time.ticks_diff(ticks, self._last_ticks)
        self._last_ticks = ticks
        return self._now_ms

    def unix_ms(self) -> int:
        seconds = int(time.time()) + EPOCH
        return seconds * 1000 if seconds >= _SET_SINCE else 0

    def stamp_ms(self) -> int:
        """For a message that is accepted now."""
        return self.unix_ms() or self.now_ms()


class SystemRandom(contracts.Random):
    """The board's own source."""

    def below(self, bound: int) -> int:
        return int.from_bytes(os.urandom(4), "little") % bound
