"""When the time of day is set: by how much the stamps of messages accepted before that are wrong.

A gateway without a battery for its clock starts with the date of its software, and is months ahead when it has found a
time server. What it has accepted until then is not months old.
"""

from .limits import CLOCK_VALID_MS, const

_JUMP_MS = const(2000)  # less is a clock that is slewed
_JUMPS_MAX = const(16)


class ClockJumps:
    """Knows what this start has seen, so it is asked about messages of this start only."""

    def __init__(self) -> None:
        self._ahead_ms = 0  # of the engine's time; 0: the clock was not valid yet
        self._jumps: list[tuple[int, int]] = []  # (stamps up to this one, are behind by so much)

    def watch(self, now_ms: int, unix_ms: int) -> None:
        """Now and then: both clocks."""
        if unix_ms < CLOCK_VALID_MS:
            return
        ahead_ms = unix_ms - now_ms
        jump_ms = ahead_ms - self._ahead_ms
        if self._ahead_ms and not -_JUMP_MS < jump_ms < _JUMP_MS:
            # Set back, the clock gives some stamps twice: these count for the later ones, which makes nothing older.
            before_ms = unix_ms - jump_ms
            self._jumps.append((min(before_ms, unix_ms), jump_ms))
            if len(self._jumps) > _JUMPS_MAX:
                (_, older), (stamp_ms, newer) = self._jumps[:2]
                self._jumps[:2] = [(stamp_ms, older + newer)]
        self._ahead_ms = ahead_ms

    def behind_ms(self, accepted_ms: int) -> int:
        """By how much a message with this stamp looks older than it is."""
        behind_ms = 0
        for stamp_ms, jump_ms in self._jumps:
            if CLOCK_VALID_MS <= accepted_ms <= stamp_ms:
                behind_ms += jump_ms
                accepted_ms += jump_ms  # what the clock of the next jump would have said
        return behind_ms
