"""A cache is opened: what recovery finds becomes lanes that append and deliver. For the start only, as Options."""

from .contracts import Listener, Random, Store
from .delivery import Delivery
from .journal import Journal
from .lane import Lane
from .limits import PACKET_ID_AHEAD, PACKET_ID_AHEAD_SPAN, PACKET_ID_SPAN, WINDOW_AHEAD_MAX, WINDOW_MAX
from .options import Options
from .recovery import recover
from .segment import PAYLOADS
from .spool import Spool

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .lanes import Lanes
    from .spill import Spill


class Opened:
    """What an Engine is made of, beside its transport."""

    def __init__(self, random: Random, options: Options, listener: Listener, lanes: "list[Lane]") -> None:
        self.random = random
        self.options = options
        self.listener = listener
        self.lanes = lanes
        self.spill: Spill | None = None


def open_cache(store: Store, random: Random, options: Options, listener: "Listener | None" = None) -> Opened:
    """Recover it. Raises FormatError for a cache of a newer disk version, which is left untouched; OSError."""
    listener = listener or Listener()
    opened = Opened(random, options, listener, [])
    lane = open_lane(store, random, options, listener, 1, PACKET_ID_SPAN, WINDOW_MAX)
    lane.delivery.pace = options.pace
    lanes = opened.lanes
    lanes.append(lane)
    if options.lanes is not None:
        store_ahead = options.lanes.store
        listener_ahead = options.lanes.listener(listener)
        ahead = open_lane(
            store_ahead, random, options, listener_ahead, PACKET_ID_AHEAD, PACKET_ID_AHEAD_SPAN, WINDOW_AHEAD_MAX
        )
        options.lanes.join(lane, ahead)
        lanes.append(ahead)
    if options.has_bounds:
        from .room import Room  # noqa: PLC0415 - only here: a board without bounds has no room for it

        room = Room(store, lanes, options.cache_bytes_max, options.cache_messages_max, options.free_bytes_min)
        for each in lanes:
            each.spool.room = room
    if options.spill_after_ms:
        from .spill import Spill  # noqa: PLC0415 - only here: most have no use for it

        opened.spill = Spill(store, lane, options.spill_after_ms, options.segment_bytes_max)
    _reserve(options.lanes or lane.delivery)
    return opened


def open_lane(
    store: Store, random: Random, options: Options, listener: Listener, id_first: int, id_span: int, places_max: int
) -> Lane:
    """``id_first``, ``id_span``: see Delivery. ``places_max``: of the window. Raises FormatError, OSError."""
    window = min(options.window, places_max)
    window_qos2 = min(options.window_qos2, places_max)
    span = max(min(options.in_flight_max, places_max), min(options.span, places_max))
    found = recover(store, span, random, options.read_bytes, options.ahead_windows, options.surveyed_max)
    if options.followed is not None:
        # Who appends knows what its files hold, better than who finds them.
        found.end_seq, found.active_first, found.skipped = options.followed
        found.active_name = ""
    payload_names = store.list(PAYLOADS)
    if payload_names:
        from .payloads import survey  # noqa: PLC0415 - only here: few boards have such

        survey(store, payload_names, found, options.followed is None)
    cache_id = found.checkpoint.cache_id
    journal = Journal(store, options.segment_bytes_max, cache_id)
    journal.resume(
        found.end_seq, found.skipped, found.active_name, found.active_first, found.active_bytes, found.held_bytes
    )
    spool = Spool(journal, cache_id, store, options.send_bytes, options.inline_bytes_max)
    if found.checkpoint.session_marker != options.session_marker:
        found.checkpoint.session_known = False
    read_bytes = options.read_bytes
    if found.segments:
        from .many_segments import ManySegmentsReader  # noqa: PLC0415 - only here: no board has so many

        found.reader = ManySegmentsReader(store, cache_id, read_bytes, found.segments)
    parts = store, journal, found, listener, window, window_qos2, read_bytes, options.send_bytes, id_first, id_span
    identity = options.identity
    if options.bulk is not None or found.checkpoint.bundles:
        from .bulk import BulkDelivery  # noqa: PLC0415 - only here: it is half as large as the delivery itself

        in_bundles = BulkDelivery(*parts, options.bulk)
        identity = identity or in_bundles.client_id
        delivery: Delivery = in_bundles
    else:
        delivery = Delivery(*parts)
    delivery.ahead_windows = options.ahead_windows
    delivery.limit = min(options.in_flight_max, delivery.window.span)
    if identity:
        from .identity import Identity  # noqa: PLC0415 - only where it is wanted, as Room

        delivery.identity = Identity(identity, found, random)
    else:
        found.checkpoint.identity = b""
    return Lane(journal, spool, delivery)


def _reserve(delivery: "Delivery | Lanes") -> None:
    """Write both checkpoints of a new cache at once: when the disk is full of messages they need no more room.

    Without them nothing may be sent, and so nothing would ever be freed.
    """
    while not delivery.has_both_slots():
        try:
            delivery.save()
        except OSError:
            return  # the disk may be full of other things, and be free again when there is something to send
