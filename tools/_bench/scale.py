"""How much of everything: the whole measurement, or about a minute of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    rounds: int
    slow_rounds: int  # of what takes minutes
    messages: int  # of a burst through a broker
    syncs: int  # messages of a thread that waits for the disk each time
    link_messages: int
    rtts_ms: tuple[int, ...]
    backlogs: tuple[int, ...]  # of messages, to reopen
    hours: int
    sweep: int  # every so many points of a plot


WHOLE = Scale(
    rounds=5,
    slow_rounds=3,
    messages=100_000,
    syncs=5_000,
    link_messages=10_000,
    rtts_ms=(100, 400),
    backlogs=(1_000, 100_000, 1_000_000, 10_000_000),
    hours=24,
    sweep=1,
)
QUICK = Scale(
    rounds=1,
    slow_rounds=1,
    messages=4_000,
    syncs=300,
    link_messages=2_000,
    rtts_ms=(100,),
    backlogs=(1_000, 100_000),
    hours=1,
    sweep=2,
)
