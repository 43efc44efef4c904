"""The verdict: what was accepted, by the ledger, against what was delivered, by the scorekeeper. No I/O."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# (life of the publisher, number of the reading). The life is in it because a publisher that was killed between
# the return of publish() and its line in the ledger takes the same number again in its next life.
Reading = tuple[int, int]


@dataclass(frozen=True)
class Verdict:
    accepted: int
    delivered: int  # different readings
    lost: list[Reading]
    duplicated: list[Reading]
    out_of_order: int
    last_instant: list[Reading]  # delivered, not in the ledger: accepted in the instant before a kill
    unexplained: int  # more of those than kills, which can cause one each


def judge(ledger: Iterable[Reading], deliveries: Sequence[Reading], kills: int) -> Verdict:
    accepted = set(ledger)
    times = Counter(deliveries)
    highest: Reading = (0, 0)
    out_of_order = 0
    for reading in times:  # a Counter keeps the order of the first deliveries
        if reading < highest:
            out_of_order += 1
        highest = max(highest, reading)
    last_instant = sorted(times.keys() - accepted)
    return Verdict(
        accepted=len(accepted) + len(last_instant),
        delivered=len(times),
        lost=sorted(accepted - times.keys()),
        duplicated=sorted(reading for reading, count in times.items() if count > 1),
        out_of_order=out_of_order,
        last_instant=last_instant,
        unexplained=max(0, len(last_instant) - kills),
    )
