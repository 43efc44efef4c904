"""What a board's client is made of: its parameters checked, its parts put together. For the start only."""

from binascii import crc32

from persistmq_core.limits import (
    ACK_TIMEOUT_MS,
    RECONNECT_DELAY_MS_MAX,
    RECONNECT_DELAY_MS_MIN,
    REMAINING_LENGTH_MAX,
    SPILL_AFTER_MS,
    const,
)
from persistmq_core.opening import open_cache
from persistmq_core.options import Options

from .clock import Clock, SystemRandom
from .directory import exists
from .store import FileStore

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .client import PersistClient

_SPILL_BYTES = const(8192)
# Looked at where one of them is given: whether it can be, and does something.
_SELDOM = {
    "cache_bytes_max",
    "cache_messages_max",
    "on_full",
    "full_timeout_ms",
    "spill_bytes",
    "spill_after_ms",
    "backlog_share",
    "staged_bytes_max",
    "drain_messages_per_s",
    "drain_bytes_per_s",
}


class Start:
    """The parameters of PersistClient, and the parts that are made of them. Raises ValueError, FormatError, OSError."""

    def __init__(
        self,
        listener: "PersistClient",
        client_id: str,
        cache_type: "str | None" = "flat",
        cache_path: str = "./cache",
        *,
        durability: str = "sync",
        spill_bytes: int = _SPILL_BYTES,
        spill_after_ms: int = SPILL_AFTER_MS,
        window: int = 8,
        window_qos2: int = 8,
        ack_timeout_ms: int = ACK_TIMEOUT_MS,
        connect_timeout_ms: int = 10000,
        reconnect_delay_ms_min: int = RECONNECT_DELAY_MS_MIN,
        reconnect_delay_ms_max: int = RECONNECT_DELAY_MS_MAX,
        segment_bytes_max: int = 16384,
        inline_bytes_max: "int | None" = 4096,
        read_bytes: int = 512,
        send_bytes: int = 2048,
        staged_bytes_max: int = 1024,
        on_session_lost: str = "resend",
        cache_bytes_max: "int | None" = None,
        cache_messages_max: "int | None" = None,
        free_bytes_min: int = 0,
        on_full: str = "reject",
        full_timeout_ms: "int | None" = None,
        expires_after: "float | None" = None,
        drain: "str | None" = None,
        backlog_share: float = 0.5,
        drain_messages_per_s: "float | None" = None,
        drain_bytes_per_s: "float | None" = None,
        **bulk_options: object,
    ) -> None:
        if not isinstance(client_id, str) or not client_id:
            raise ValueError("client_id must be a string that is not empty, not %r" % (client_id,))
        _one_of("cache_type", cache_type, ("flat", None))
        _one_of("durability", durability, ("sync", "async", "spill"))
        _one_of("on_session_lost", on_session_lost, ("resend", "trust"))
        self.sync = durability != "async"
        self.staged_bytes_max = staged_bytes_max
        self.on_full = on_full
        self.full_timeout_ms = full_timeout_ms
        self.expires_s = 0
        if expires_after is not None:
            from persistmq_core.expiry import expiry_seconds  # noqa: PLC0415 - as few want it

            self.expires_s = expiry_seconds(expires_after)
        self.clock = Clock()
        self.connect_timeout_ms = connect_timeout_ms
        bulk = None
        if bulk_options:
            from .bundling import bulk_of  # noqa: PLC0415 - as few want it

            bulk = bulk_of(client_id, **bulk_options)
        store = FileStore(cache_path)
        if store.path in listener.clients:
            listener.clients[store.path].stop(0)  # two would give the same numbers to different messages
        self.stores = [store]
        lanes = pace = None
        if drain is not None or exists(store.path + "/ahead"):
            from persistmq_core.lanes import Lanes  # noqa: PLC0415 - as few have them, and they cost 6 KB

            if window_qos2 < 2:
                raise ValueError("window_qos2 must be 2 at least with drain=: each lane has half of it")
            self.stores.append(FileStore(cache_path + "/ahead"))
            lanes = Lanes(self.stores[1], drain or "in_order", backlog_share)
        if drain_messages_per_s or drain_bytes_per_s:
            from persistmq_core.pace import Pace  # noqa: PLC0415

            pace = Pace(drain_messages_per_s or 0, drain_bytes_per_s or 0)
        if durability == "spill":
            from persistmq_core.spill_store import SpillStore  # noqa: PLC0415 - as few want it

            store = SpillStore(store, spill_bytes)
        options = Options(
            window=window,
            window_qos2=window_qos2,
            # No more: each answer is to make room, so that what is sent then confirms it. A broker without TCP_NODELAY
            # (Mosquitto) waits for that before it sends the next ones, and nothing but that confirms at once here.
            in_flight_max=1,
            ack_timeout_ms=ack_timeout_ms,
            connect_timeout_ms=3 * connect_timeout_ms,  # the transport bounds each step; this bounds before_connect
            reconnect_delay_ms_min=reconnect_delay_ms_min,
            reconnect_delay_ms_max=reconnect_delay_ms_max,
            segment_bytes_max=segment_bytes_max,
            inline_bytes_max=REMAINING_LENGTH_MAX if inline_bytes_max is None else inline_bytes_max,
            read_bytes=read_bytes,
            send_bytes=send_bytes,
            session_marker=crc32(client_id.encode()),
            trust_lost_session=on_session_lost == "trust",
            cache_bytes_max=cache_bytes_max or 0,
            cache_messages_max=cache_messages_max or 0,
            free_bytes_min=free_bytes_min,
            clock=self.clock,
            lanes=lanes,
            pace=pace,
            spill_after_ms=spill_after_ms if durability == "spill" else 0,
            bulk=bulk,
        )
        self.opened = open_cache(store, SystemRandom(), options, listener)


def check(named: "dict[str, object]") -> None:
    """Raises ValueError for what cannot be, or does nothing without another parameter. ``named``: those that are given.

    It comes before the rest, which takes each by itself.
    """
    if not _SELDOM.isdisjoint(named):
        from persistmq_core.together import check_together  # noqa: PLC0415 - as few give one of these

        check_together(named, _SPILL_BYTES)


def _one_of(name: str, value: object, allowed: "tuple[str, ...]") -> None:
    if value not in allowed:
        raise ValueError("%s must be %s, not %r" % (name, " or ".join([repr(word) for word in allowed]), value))
