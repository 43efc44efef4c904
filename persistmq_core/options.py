"""What an engine may be told, checked. For the start only: a board's port lets go of it then."""

from .limits import (
    ACK_TIMEOUT_MS,
    AHEAD_WINDOWS,
    AHEAD_WINDOWS_BOUNDED,
    CHECKPOINT_DELAY_MS,
    CONNECT_TIMEOUT_MS,
    INLINE_BYTES_MAX,
    READ_BYTES,
    RECONNECT_DELAY_MS_MAX,
    RECONNECT_DELAY_MS_MIN,
    REMAINING_LENGTH_MAX,
    SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN,
    SEGMENTS_MIN,
    SEND_BYTES,
    SURVEYED_MAX,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    WINDOW_QOS2_DEFAULT,
    const,
)

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .bulk_options import Bulk
    from .contracts import Clock
    from .lanes import Lanes
    from .pace import Pace

_MS_MAX = const(1 << 29)
_MANY = 1 << 62


class Options:
    """All times are milliseconds. Raises ValueError for a parameter out of range.

    ``session_marker``: a number that changes when the MQTT session is another one (CRC-32 of the client id).
    ``trust_lost_session``: where the broker lost its session, a message whose PUBREC had come counts as delivered
    (instead of being sent again, which may give a duplicate).
    ``cache_bytes_max``, ``cache_messages_max``, ``free_bytes_min``: see Room; 0 is no bound.
    ``followed``: somebody else appends to the journal, and this is its ``end_seq``, ``active_seq`` and ``skipped``.
    The engine only delivers: ``journal.follow`` tells it of more. Nothing may be appended while it is made.
    ``lanes``: a second lane, which goes ahead of this one. ``pace``: of the backlog.
    ``spill_after_ms``: the store is a SpillStore, see Spill; 0: it is not.
    ``identity``: the MQTT client identifier, if messages are to carry it with epoch and number (MQTT 5 only).
    ``bulk``: many messages that wait are sent as one.
    ``inline_bytes_max``: a payload that is longer gets a file of its own (``prepared.py``).
    ``surveyed_max``: see ``recover``.
    ``in_flight_max``: with QoS 2 to PUBCOMP; 0: ``window``, or twice ``window_qos2`` if that is more.
    ``gather_ms``: a checkpoint for PUBRECs waits so long for others that are due, to serve them as well.
    """

    def __init__(
        self,
        window: int = WINDOW_DEFAULT,
        window_qos2: int = WINDOW_QOS2_DEFAULT,
        ack_timeout_ms: int = ACK_TIMEOUT_MS,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        reconnect_delay_ms_min: int = RECONNECT_DELAY_MS_MIN,
        reconnect_delay_ms_max: int = RECONNECT_DELAY_MS_MAX,
        checkpoint_delay_ms: int = CHECKPOINT_DELAY_MS,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        read_bytes: int = READ_BYTES,
        send_bytes: int = SEND_BYTES,
        session_marker: int = 0,
        trust_lost_session: bool = False,
        cache_bytes_max: int = 0,
        cache_messages_max: int = 0,
        free_bytes_min: int = 0,
        followed: "tuple[int, int, int] | None" = None,
        clock: "Clock | None" = None,
        lanes: "Lanes | None" = None,
        pace: "Pace | None" = None,
        spill_after_ms: int = 0,
        identity: str = "",
        bulk: "Bulk | None" = None,
        inline_bytes_max: int = INLINE_BYTES_MAX,
        gather_ms: int = 0,
        surveyed_max: int = SURVEYED_MAX,
        in_flight_max: int = 0,
    ) -> None:
        _check("window", window, 1, WINDOW_MAX)
        _check("window_qos2", window_qos2, 1, WINDOW_MAX)
        _check("ack_timeout_ms", ack_timeout_ms, 1, _MS_MAX)
        _check("connect_timeout_ms", connect_timeout_ms, 1, _MS_MAX)
        _check("reconnect_delay_ms_min", reconnect_delay_ms_min, 1, _MS_MAX)
        _check("reconnect_delay_ms_max", reconnect_delay_ms_max, reconnect_delay_ms_min, _MS_MAX)
        _check("checkpoint_delay_ms", checkpoint_delay_ms, 0, _MS_MAX)
        _check("segment_bytes_max", segment_bytes_max, SEGMENT_BYTES_MIN, 1 << 30)
        _check("free_bytes_min", free_bytes_min, 0, _MANY)
        _check("inline_bytes_max", inline_bytes_max, 0, REMAINING_LENGTH_MAX)
        _check("gather_ms", gather_ms, 0, 1 << 29)
        # QoS 2 takes two round trips. With PUBREL a message leaves window_qos2, and as many may wait for PUBCOMP.
        in_flight_max = in_flight_max or min(2 * window_qos2, WINDOW_MAX)
        if cache_messages_max:
            _check("cache_messages_max", cache_messages_max, 1, _MANY)
            # What may be in flight is never evicted, and after a power cut that is twice the window.
            quarter = max(1, cache_messages_max // 4)
            window = min(window, quarter)
            window_qos2 = min(window_qos2, quarter)
            in_flight_max = min(in_flight_max, quarter)
        if cache_bytes_max:
            _check("cache_bytes_max", cache_bytes_max, SEGMENTS_MIN * SEGMENT_BYTES_MIN, _MANY)
            # Space comes back by whole segments: a cache that is one segment would be full for ever.
            segment_bytes_max = min(segment_bytes_max, cache_bytes_max // SEGMENTS_MIN)
        if spill_after_ms:
            _check("spill_after_ms", spill_after_ms, 1, _MS_MAX)
            if lanes is not None:
                raise ValueError("messages of a cache with two lanes cannot wait in RAM (spill_after_ms)")
        self.window = window
        self.window_qos2 = window_qos2
        self.in_flight_max = max(window, window_qos2, in_flight_max)
        self.ack_timeout_ms = ack_timeout_ms
        self.connect_timeout_ms = connect_timeout_ms
        self.reconnect_delay_ms_min = reconnect_delay_ms_min
        self.reconnect_delay_ms_max = reconnect_delay_ms_max
        self.checkpoint_delay_ms = checkpoint_delay_ms
        self.segment_bytes_max = segment_bytes_max
        self.read_bytes = read_bytes
        self.send_bytes = send_bytes
        self.session_marker = session_marker
        self.trust_lost_session = trust_lost_session
        self.cache_bytes_max = cache_bytes_max
        self.cache_messages_max = cache_messages_max
        self.free_bytes_min = free_bytes_min
        self.followed = followed
        self.clock = clock
        self.lanes = lanes
        self.pace = pace
        self.spill_after_ms = spill_after_ms
        self.identity = identity
        self.bulk = bulk
        self.span = bulk.span(window_qos2, cache_messages_max) if bulk is not None else 0  # of numbers in bundles
        self.inline_bytes_max = inline_bytes_max
        self.gather_ms = gather_ms
        self.surveyed_max = surveyed_max
        self.has_bounds = bool(cache_bytes_max or cache_messages_max or free_bytes_min)
        self.ahead_windows = AHEAD_WINDOWS_BOUNDED if self.has_bounds else AHEAD_WINDOWS


def _check(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError("%s must be a whole number from %d to %d, not %r" % (name, low, high, value))
