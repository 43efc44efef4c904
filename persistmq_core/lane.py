"""One journal, and what goes with it: who appends to it, and who delivers what it holds.

An engine has one lane, or two (``lanes.py``). Each is a cache of its own, with its own numbers and checkpoint.
"""

from .delivery import Delivery
from .journal import Journal
from .limits import SEQ_FIRST
from .spool import Spool


class Lane:
    """See ``open_lane``."""

    def __init__(self, journal: Journal, spool: Spool, delivery: Delivery) -> None:
        self.journal = journal
        self.spool = spool
        self.delivery = delivery

    def held_bytes(self) -> int:
        """Bytes of the journal's files and of large payloads."""
        reader = self.delivery.reader
        return reader.found_bytes() + self.journal.appended_bytes - reader.reclaimed_bytes

    def waiting(self) -> int:
        """Messages that are staged or stored, or about to be, and not settled."""
        accepted = self.spool.next_seq + self.spool.promised() - SEQ_FIRST - self.journal.skipped
        return accepted - self.delivery.checkpoint.settled()

    def add_accounts(self, total: "dict[str, int]") -> None:
        """Law 2: accepted == delivered + expired + evicted + refused + damaged + waiting."""
        state = self.delivery.checkpoint
        # Each number is read once, and accepted last: another thread may be settling messages meanwhile.
        found = {
            "delivered": state.delivered,
            "expired": state.expired,
            "evicted": state.evicted,
            "refused": state.refused,
            "damaged": state.damaged,
        }
        settled = sum(found.values())
        # A failed write may leave whole frames; if the header that knew of it is damaged, they are delivered and count.
        accepted = max(settled, self.spool.accepted())
        found["accepted"] = accepted
        found["waiting"] = accepted - settled
        for name, count in found.items():
            total[name] = total.get(name, 0) + count
