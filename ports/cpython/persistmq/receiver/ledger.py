"""Which numbers of each publisher have been handed out: what is new, what comes twice, what is missing.

A ``Ledger`` has what is durable; a ``Batch`` what was taken since, until it is durable together with the messages.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .identities import Identity
from .ranges import Ranges

# Bounds of the RAM that somebody can make this use up by what he sends.
STREAMS_MAX = 10_000
RANGES_MAX = 20_000  # of one stream; a stream without gaps has one

NEW, TWICE, LATE = range(3)  # what a number is


class Key(NamedTuple):
    """One stream of numbers."""

    client: str
    epoch: int


@dataclass
class Stream:
    """``first``: the first number that is expected, 0 while none is known; a retained message of old does not say.

    ``closed_end``: below it single numbers are not told apart any more, because there were too many gaps; ``closed``
    says how many numbers are missing there. ``never``: numbers that the publisher gave up; one may come all the same.
    """

    first: int = 0
    closed_end: int = 0
    closed: int = 0
    received: int = 0
    repeated: int = 0
    last_ms: int = 0
    have: Ranges = field(default_factory=Ranges)
    never: Ranges = field(default_factory=Ranges)

    def highest(self) -> int:
        """The last number that came."""
        return self.have.highest()

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Runs of numbers that are missing: below the last that came, and nobody gave them up."""
        if self.first:
            for first, last in self.have.missing(max(self.first, self.closed_end), self.highest()):
                yield from self.never.missing(first, last)

    def missing(self) -> int:
        """How many numbers are missing."""
        return self.closed + sum(last - first + 1 for first, last in self.gaps())

    def complete_to(self) -> int:
        """From ``first`` to this number nothing is missing; ``first`` - 1 if that is missing itself."""
        if self.closed:
            return self.first - 1
        for first, _ in self.gaps():
            return first - 1
        return self.highest()

    def given_up(self) -> int:
        """How many numbers below the last that came were given up, and did not come, as far as they are told apart."""
        return sum(
            last - first + 1
            for begin, end in self.have.missing(max(1, self.closed_end), self.highest())
            for first, last in _common(self.never, begin, end)
        )

    def merge(self, other: "Stream") -> None:
        """What the other one has came behind this."""
        self.first = _least(self.first, other.first)
        self.received += other.received
        self.repeated += other.repeated
        self.last_ms = max(self.last_ms, other.last_ms)
        self.have.update(other.have)
        self.never.update(other.never)
        self.close(other.closed_end, other.closed)

    def restore(self, stored: "Stream") -> None:
        """What was stored of it at some time: counts are those of that time. May be called again, and out of order."""
        self.first = _least(self.first, stored.first)
        self.received = max(self.received, stored.received)
        self.repeated = max(self.repeated, stored.repeated)
        self.last_ms = max(self.last_ms, stored.last_ms)
        self.have.update(stored.have)
        self.never.update(stored.never)
        self.close(max(self.closed_end, stored.closed_end), 0)
        self.closed = max(self.closed, stored.closed)

    def close(self, end: int, missing: int) -> None:
        """Forget single numbers below ``end``; ``missing`` more are missing there."""
        self.closed_end = max(self.closed_end, end)
        self.have.drop_before(self.closed_end)
        self.never.drop_before(self.closed_end)
        self.closed += missing

    def must_close(self) -> "tuple[int, int] | None":
        """With too many ranges: what ``close`` is to be called with."""
        if len(self.have) + len(self.never) <= RANGES_MAX:
            return None
        end = list(self.have)[len(self.have) // 2][0]
        missing = 0
        for first, last in self.gaps():
            missing += max(0, min(last, end - 1) - first + 1)
        return end, missing


class Batch:
    """What was taken and is not durable yet."""

    def __init__(self) -> None:
        self.streams: dict[Key, Stream] = {}

    def of(self, key: Key) -> Stream:
        """What there is of one stream."""
        stream = self.streams.get(key)
        if stream is None:
            stream = self.streams[key] = Stream()
        return stream

    def __bool__(self) -> bool:
        return any(stream.have or stream.never or stream.closed_end for stream in self.streams.values())


class Ledger:
    """All streams. ``expects_all``: of a new one the numbers from 1 on are expected, not those from its first on."""

    def __init__(self, expects_all: bool = False) -> None:
        self.expects_all = expects_all
        self.streams: dict[Key, Stream] = {}

    def look(self, identity: Identity, batch: Batch) -> int:
        """NEW, TWICE, or LATE: so old that it cannot be told."""
        key = Key(identity.client, identity.epoch)
        for streams in (self.streams, batch.streams):
            stream = streams.get(key)
            if stream is not None:
                if identity.seq in stream.have:
                    return TWICE
                if identity.seq < stream.closed_end:
                    return LATE
        return NEW

    def has_room(self, key: Key, batch: Batch) -> bool:
        """A stream that was never seen before can be followed, too."""
        if key in self.streams or key in batch.streams:
            return True
        return len(self.streams) + len(batch.streams) < STREAMS_MAX

    def note(self, identity: Identity, is_live: bool, now_ms: int, batch: Batch) -> None:
        """A NEW one is handed out. ``is_live``: it is no retained message, which may be as old as can be."""
        stream = batch.of(Key(identity.client, identity.epoch))
        stream.have.add(identity.seq, identity.seq)
        stream.received += 1
        stream.last_ms = max(stream.last_ms, now_ms)
        if is_live:
            begin = 1 if self.expects_all else identity.seq
            stream.first = min(stream.first, begin) if stream.first else begin

    def note_never(self, key: Key, first: int, last: int, batch: Batch) -> None:
        """The publisher gave these up."""
        known = self.streams.get(key)
        if known is None or any(known.never.missing(first, last)):
            batch.of(key).never.add(first, last)

    def with_counts(self, key: Key, taken: Stream) -> Stream:
        """What is to be stored of a batch's stream: its own ranges, and what all counts will be."""
        known = self.streams.get(key) or Stream()
        return Stream(
            first=_least(known.first, taken.first),
            closed_end=max(known.closed_end, taken.closed_end),
            closed=known.closed + taken.closed,
            received=known.received + taken.received,
            repeated=known.repeated + taken.repeated,
            last_ms=max(known.last_ms, taken.last_ms),
            have=taken.have,
            never=taken.never,
        )

    def settle(self, batch: Batch) -> Batch:
        """``batch`` is durable. Returns what has to become durable next, because of too many gaps."""
        after = Batch()
        for key, taken in batch.streams.items():
            stream = self.streams.get(key)
            if stream is None:
                stream = self.streams[key] = Stream()
            stream.merge(taken)
            closing = stream.must_close()
            if closing is not None:
                end, missing = closing
                after.of(key).closed_end = end
                after.of(key).closed = missing
        return after


def _least(one: int, other: int) -> int:
    """The smaller of two numbers, of which 0 is none."""
    return min(one, other) if one and other else one or other


def _common(ranges: Ranges, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Runs from ``begin`` to ``end`` that are in ``ranges``."""
    at = begin
    for first, last in ranges.missing(begin, end):
        if first > at:
            yield at, first - 1
        at = last + 1
    if at <= end:
        yield at, end
