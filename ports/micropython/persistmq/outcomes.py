"""What became of messages and of the connection: told by the engine, passed on to the application."""

from persistmq_core.contracts import Listener
from persistmq_core.dead_letters import reason_words
from persistmq_core.limits import const
from persistmq_core.packets import packet_id

_DROPS_KEPT = const(16)  # how many undeliverable messages are remembered by number, for their infos


class Outcomes(Listener):
    """The callbacks get this object first: ``f(client, ...)``. None: not wanted."""

    def __init__(self) -> None:
        self.on_delivered = None  # f(client, seq)
        self.on_dropped = None  # f(client, seq, account, reason)
        self.on_connection_up = None  # f(client, session_present)
        self.on_connection_down = None  # f(client, reason)
        self.callback_error = ""  # the last exception in one of them
        self.last_mid = None
        self._drops = []  # (seq, account, reason)

    def drop_of(self, seq: int) -> "tuple[int, str, str] | None":
        """Why a message will not be delivered; the last 16 since the start are remembered."""
        for drop in self._drops:
            if drop[0] == seq:
                return drop
        return None

    def delivered(self, seq: int) -> None:
        self.last_mid = packet_id(seq)
        self._tell(self.on_delivered, seq)

    def dropped(self, seq: int, account: str, reason_code: int) -> None:
        words = reason_words(reason_code) if account == "refused" else "its bytes on storage were damaged"
        if len(self._drops) >= _DROPS_KEPT:
            self._drops.pop(0)
        self._drops.append((seq, account, words))
        self._tell(self.on_dropped, seq, account, words)

    def connected(self, session_present: bool) -> None:
        self._tell(self.on_connection_up, session_present)

    def disconnected(self, reason: str) -> None:
        self._tell(self.on_connection_down, reason)

    def _tell(self, callback: object, *arguments: object) -> None:
        if callback is None:
            return
        try:
            callback(self, *arguments)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the messages behind it go on
            self.callback_error = "in a callback: %s: %s" % (type(failure).__name__, failure)
