"""What became of messages and of the connection: told by the engine, passed on to the application."""

from persistmq_core.contracts import Listener
from persistmq_core.limits import const
from persistmq_core.packets import packet_id

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from collections.abc import Callable

_DROPS_KEPT = const(16)  # how many undeliverable messages are remembered by number, for their infos


class Outcomes(Listener):
    """The callbacks get this object first: ``f(client, ...)``. None: not wanted."""

    def __init__(self) -> None:
        self.on_delivered = None  # f(client, seq)
        self.on_dropped = None  # f(client, seq, account, reason)
        self.on_connection_up = None  # f(client, session_present)
        self.on_connection_down = None  # f(client, reason)
        self.callback_error = ""  # the last exception in one of them
        self._last_seq = 0
        self._drops = []  # (seq, account, reason)

    def drop_of(self, seq: int) -> "tuple[int, str, str] | None":
        """Why a message will not be delivered; the last 16 since the start are remembered."""
        for drop in self._drops:
            if drop[0] == seq:
                return drop
        return None

    @property
    def last_mid(self) -> "int | None":
        """The packet identifier of the message that was delivered last."""
        return packet_id(self._last_seq) if self._last_seq else None

    def delivered(self, seq: int) -> None:
        self._last_seq = seq
        if self.on_delivered is not None:
            self._tell(self.on_delivered, seq)

    def dropped(self, seq: int, account: str, reason_code: int) -> None:
        words = "its bytes on storage were damaged" if account == "damaged" else account
        if account == "refused":
            from persistmq_core.reasons import reason_words  # noqa: PLC0415 - rarely needed

            words = reason_words(reason_code)
        if len(self._drops) >= _DROPS_KEPT:
            self._drops.pop(0)
        self._drops.append((seq, account, words))
        self._tell(self.on_dropped, seq, account, words)

    def connected(self, session_present: bool) -> None:
        self._tell(self.on_connection_up, session_present)

    def disconnected(self, reason: str) -> None:
        self._tell(self.on_connection_down, reason)

    def _tell(self, callback: "Callable[..., object] | None", *arguments: object) -> None:
        if callback is None:
            return
        try:
            callback(self, *arguments)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the messages behind it go on
            self.callback_error = "in a callback: %s: %s" % (type(failure).__name__, failure)
