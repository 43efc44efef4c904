"""When to connect again: decorrelated jitter, so that a fleet does not come back in step."""


from .contracts import Random


class Backoff:
    """Delays between ``delay_ms_min`` and ``delay_ms_max``."""

    def __init__(self, delay_ms_min: int, delay_ms_max: int, random: Random) -> None:
        self._min = delay_ms_min
        self._max = delay_ms_max
        self._random = random
        self._last = 0

    def reset(self) -> None:
        """Something good happened: the next delay is a short one."""
        self._last = 0

    def lasted(self, duration_ms: int) -> None:
        """A connection did. A long one was good, also if nothing in it could be acknowledged (QoS 0)."""
        if duration_ms >= self._max:
            self.reset()

    def next_ms(self) -> int:
        """A delay drawn between the shortest and three times the one before."""
        if self._last == 0:
            self._last = self._min
            return self._min
        high = min(self._max, self._last * 3)
        self._last = self._min + self._random.below(max(1, high - self._min + 1))
        return self._last

    def longest_ms(self) -> int:
        """For a refusal that only a person can mend."""
        self._last = self._max
        return self._max
