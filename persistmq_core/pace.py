"""How fast the backlog goes out, so that it leaves room on the link for what is new."""

from .limits import const

_BURST_US = const(100000)  # what was not used goes no further than that


class Pace:
    """``messages_per_s``, ``bytes_per_s`` (of topic and payload): whichever is slower; 0: no bound."""

    def __init__(self, messages_per_s: float = 0, bytes_per_s: float = 0) -> None:
        self._us_per_message = int(1000000 / messages_per_s) if messages_per_s else 0
        self._us_per_byte = 1000000 / bytes_per_s if bytes_per_s else 0
        self._next_us = 0  # when the next one may go
        self.holds = False  # something waits for its time

    def due_ms(self, now_ms: int) -> int:
        """For how many milliseconds nothing may go; 0: now."""
        left_us = self._next_us - now_ms * 1000
        self.holds = left_us > 0
        return (left_us + 999) // 1000 if left_us > 0 else 0

    def spend(self, now_ms: int, count_bytes: int) -> None:
        """One message of so many bytes goes."""
        took_us = max(self._us_per_message, int(self._us_per_byte * count_bytes))
        self._next_us = max(self._next_us, now_ms * 1000 - _BURST_US) + took_us
