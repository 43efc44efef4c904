"""The two slots of the checkpoint, read: the newest whole one counts. For the start only, as Options."""

from binascii import crc32
from struct import unpack_from

from .checkpoint import (
    EVICTED,
    EVICTED_BYTES,
    HAS_AHEAD,
    HAS_BUNDLES,
    HAS_IDENTITY,
    HEADER,
    IN_DOUBT,
    MAGIC,
    NAMES,
    NUMBERS,
    NUMBERS_AT,
    PLACES_AT,
    SESSION_KNOWN,
    Checkpoint,
)
from .contracts import Store
from .errors import FormatError, is_unreadable
from .limits import BUNDLES_BYTES_MAX, DISK_VERSION, UNTOLD_KEPT_MAX, WINDOW_MAX, const

_ENOENT = const(2)
_IDENTITY_HEAD_BYTES = const(6)  # the first two: how many ranges
_IDENTITY_RANGE_BYTES = const(24)
_IDENTITY_BYTES_MAX = _IDENTITY_HEAD_BYTES + _IDENTITY_RANGE_BYTES * UNTOLD_KEPT_MAX
_BYTES_MAX = PLACES_AT + WINDOW_MAX // 4 + BUNDLES_BYTES_MAX + _IDENTITY_BYTES_MAX + EVICTED_BYTES + 4


def decode(content: "bytes | bytearray") -> "Checkpoint | None":
    """None for bytes that are no whole checkpoint. Raises FormatError for a newer disk version."""
    if len(content) < PLACES_AT + 4:
        return None
    magic, version, flags, span, generation, cache_id, marker, repeated = unpack_from(HEADER, content, 0)
    if magic != MAGIC or unpack_from("<I", content, len(content) - 4)[0] != crc32(memoryview(content)[:-4]):
        return None
    if version > DISK_VERSION:
        raise FormatError("the checkpoint has disk version %d; this program reads up to %d" % (version, DISK_VERSION))
    bundles_at = identity_at = PLACES_AT + (span + 3) // 4
    if flags & HAS_BUNDLES and bundles_at + 2 <= len(content):
        identity_at += content[bundles_at] | content[bundles_at + 1] << 8
    evicted_at = identity_at
    if flags & HAS_IDENTITY and identity_at + _IDENTITY_HEAD_BYTES <= len(content):
        ranges = content[identity_at] | content[identity_at + 1] << 8
        evicted_at += _IDENTITY_HEAD_BYTES + _IDENTITY_RANGE_BYTES * ranges
    if not 0 < span <= WINDOW_MAX or len(content) - evicted_at - 4 not in (0, EVICTED_BYTES):
        return None
    state = Checkpoint(cache_id, span)
    state.generation = generation
    state.session_known = flags & SESSION_KNOWN != 0
    state.has_ahead = flags & HAS_AHEAD != 0
    state.in_doubt = flags & IN_DOUBT != 0
    state.bundles = bytes(content[bundles_at:identity_at])
    state.identity = bytes(content[identity_at:evicted_at])
    state.session_marker = marker
    state.repeated = repeated
    (
        state.cursor,
        state.sent_bound,
        state.delivered,
        state.expired,
        state.evicted,
        state.refused,
        state.damaged,
        state.skipped,
        ahead,
        skipped_ahead,
    ) = unpack_from(NUMBERS, content, NUMBERS_AT)
    state.end_seq = state.cursor + ahead
    state.end_skipped = state.skipped + skipped_ahead
    if len(content) > evicted_at + 4:
        state.evicted_first, state.evicted_end, state.evicted_skipped = unpack_from(EVICTED, content, evicted_at)
    for index in range(span):
        state.places[index] = content[PLACES_AT + (index >> 2)] >> ((index & 3) << 1) & 3
    return state


def load(store: Store) -> "tuple[Checkpoint | None, bool]":
    """The newest whole checkpoint, and whether a newer one may have been lost (a slot is there and does not read).

    Raises FormatError for a newer disk version, and OSError for what says nothing of the bytes: without a descriptor
    or memory for one a whole checkpoint would pass for a lost one, and all would be sent anew.
    """
    best = None
    doubtful = False
    for name in NAMES:
        count = 0
        content = bytearray()
        try:
            content = bytearray(min(store.size(name), _BYTES_MAX))
            count = store.read(name, 0, memoryview(content))
        except OSError as failure:
            if failure.args[:1] == (_ENOENT,):
                continue  # never written
            if not is_unreadable(failure):
                raise
        found = decode(bytes(memoryview(content)[:count]))
        if found is None:
            doubtful = True
        elif best is None:
            best = found
        else:
            # They differ by little, and in RAM (durability "spill") there is no end of them: so the number may wrap.
            if found.generation - best.generation & 0xFFFFFFFF < 1 << 31:
                best, found = found, best
            best.older_cursor = found.cursor
    return best, doubtful
