"""How much of everything: the whole measurement, or about a minute of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    rounds: int
    messages: int  # of a burst through a broker


WHOLE = Scale(rounds=7, messages=50_000)
QUICK = Scale(rounds=2, messages=4_000)
