"""One journal, and what goes with it: who appends to it, and who delivers what it holds.

An engine has one lane, or two (``lanes.py``). Each is a cache of its own, with its own numbers and checkpoint.
"""

from .contracts import Listener, Random, Store
from .delivery import Delivery
from .journal import Journal
from .limits import INLINE_BYTES_MAX, SEQ_FIRST
from .segment import PAYLOADS
from .spool import Spool

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .bulk import Bulk


class Lane:
    """Recovers it. The parameters are Engine's; ``id_first``, ``id_span``: see Delivery.

    Raises FormatError for a newer disk version, OSError.
    """

    def __init__(
        self,
        store: Store,
        listener: Listener,
        random: Random,
        window: int,
        window_qos2: int,
        segment_bytes_max: int,
        read_bytes: int,
        send_bytes: int,
        session_marker: int,
        ahead_windows: int,
        followed: "tuple[int, int, int] | None",
        id_first: int,
        id_span: int,
        identity: str = "",
        bulk: "Bulk | None" = None,
        span: int = 0,
        inline_bytes_max: int = INLINE_BYTES_MAX,
    ) -> None:
        from .recovery import recover  # noqa: PLC0415 - needed once: a board's port lets go of it

        found = recover(store, max(window, window_qos2, span), random, read_bytes, ahead_windows)
        if followed is not None:
            # Who appends knows what its files hold, better than who finds them.
            found.end_seq, found.active_first, found.skipped = followed
            found.active_name = ""
        payload_names = store.list(PAYLOADS)
        if payload_names:
            from .payloads import survey  # noqa: PLC0415 - only here: few boards have such

            survey(store, payload_names, found, followed is None)
        cache_id = found.checkpoint.cache_id
        self.journal = Journal(store, segment_bytes_max, cache_id)
        self.journal.resume(
            found.end_seq, found.skipped, found.active_name, found.active_first, found.active_bytes, found.held_bytes
        )
        self.spool = Spool(self.journal, cache_id, store, send_bytes, inline_bytes_max)
        if found.checkpoint.session_marker != session_marker:
            found.checkpoint.session_known = False
        parts = store, self.journal, found, listener, window, window_qos2, read_bytes, send_bytes, id_first, id_span
        if bulk is not None or found.checkpoint.bundles:
            from .bulk import BulkDelivery  # noqa: PLC0415 - only here: it is half as large as the delivery itself

            self.delivery: Delivery = BulkDelivery(*parts, bulk)
            identity = identity or self.delivery.client_id
        else:
            self.delivery = Delivery(*parts)
        self.delivery.ahead_windows = ahead_windows
        if identity:
            from .identity import Identity  # noqa: PLC0415 - only where it is wanted, as Room

            self.delivery.identity = Identity(identity, found, random)
        else:
            found.checkpoint.identity = b""

    def held_bytes(self) -> int:
        """Bytes of the journal's files and of large payloads."""
        return self.journal.appended_bytes - self.delivery.reader.reclaimed_bytes

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
