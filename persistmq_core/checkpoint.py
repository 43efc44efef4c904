"""The small file that makes the ack cursor, the window and the accounts durable.

Two names are written in turn, ``checkpoint.0`` and ``checkpoint.1``; the newest whole one counts. So a store's
``replace`` need not be atomic, and a damaged checkpoint falls back to the one before.
"""

from binascii import crc32
from struct import pack_into

from .contracts import Store
from .errors import is_unreadable
from .limits import DISK_VERSION, READS_BEFORE_DAMAGED, SEQ_FIRST, const
from .segment import quarantine

NAMES = ("checkpoint.0", "checkpoint.1")

# magic, disk version, flags, window places, generation, cache id, session marker, repeated
HEADER = "<4sBBHIIII"
# Cursor, sent bound, then the accounts; then, beyond cursor and skipped ones, the journal's end.
NUMBERS = "<QQQQQQQQII"
NUMBERS_AT = const(24)
SENT_BOUND_AT = const(32)
PLACES_AT = const(96)
# Behind the places: bundles and identity, if the flags say so, then the range that was evicted, if there is one.
EVICTED = "<QQQ"
EVICTED_BYTES = const(24)
MAGIC = b"PMQC"
# Flags.
SESSION_KNOWN = const(1)
HAS_AHEAD = const(2)
HAS_BUNDLES = const(4)
HAS_IDENTITY = const(8)
IN_DOUBT = const(16)

# Two bits for each place of the window.
PLACE_WAITING = const(0)
PLACE_DONE = const(1)
PLACE_RELEASED = const(2)  # PUBREC is on storage: PUBREL from now on, never PUBLISH
PLACE_ORPHAN = const(3)  # its record is lost and accounted for; PUBREL makes the broker forget the identifier
# Never on storage: what recovery makes of places that the bundles say more of.
PLACE_CARRIED = const(4)
PLACE_CARRIER = const(5)  # the first of a bundle, WAITING


class Checkpoint:
    """The delivering side's durable state. ``places`` holds one byte (PLACE_...) for each place from ``cursor`` on."""

    def __init__(self, cache_id: int, span: int) -> None:
        self.generation = 0
        self.cache_id = cache_id
        self.has_ahead = False  # there is a second lane, and something of it may have been sent
        self.session_known = False  # the broker's session for session_marker is ours to resume
        self.in_doubt = False  # both slots were lost: the broker may hold identifiers, of messages or of bundles
        self.session_marker = 0
        self.cursor = SEQ_FIRST  # all sequence numbers before it are settled
        self.sent_bound = SEQ_FIRST  # no number from here on can have been on the wire: a save comes first
        self.delivered = 0
        self.expired = 0
        self.evicted = 0
        self.refused = 0
        self.damaged = 0
        self.skipped = 0  # sequence numbers that never were an accepted message
        # What the journal had on storage: should it end earlier, the numbers between are lost.
        self.end_seq = SEQ_FIRST
        self.end_skipped = 0  # numbers below that which are no accepted message
        self.repeated = 0  # sent again although the broker may have had them (its session was lost)
        # Numbers beyond the window that are in their accounts already, and how many of them never were a message.
        self.evicted_first = 0
        self.evicted_end = 0
        self.evicted_skipped = 0
        self.bundles = b""  # those in flight, as ``bundles`` encodes them; empty where none are made
        self.identity = b""  # as ``Identity`` encodes it; empty while messages go without
        self.places = bytearray(span)
        self.touched = span  # places from here on are PLACE_WAITING
        self._content = bytearray()  # what encode() made last
        self._checked = memoryview(b"")  # all of it but the CRC
        self._packed = 0  # how many places may be set in it
        self.failures = 0  # how often in a row a slot could not be written
        self.older_cursor = 0  # what the other slot said when this one was read

    def settled(self) -> int:
        """Messages that are in their final account."""
        return self.delivered + self.expired + self.evicted + self.refused + self.damaged

    def encode(self) -> bytearray:
        """Its bytes, valid until the next call."""
        span = len(self.places)
        bundles_at = PLACES_AT + (span + 3) // 4
        identity_at = bundles_at + len(self.bundles)
        evicted_at = identity_at + len(self.identity)
        has_evicted = self.evicted_end > self.cursor
        content_bytes = evicted_at + (EVICTED_BYTES if has_evicted else 0) + 4
        out = self._content
        if len(out) != content_bytes:
            out = bytearray(content_bytes)
            self._checked = memoryview(out)[:-4]
            self._content = out
            self._packed = 0
        pack_into(
            HEADER,
            out,
            0,
            MAGIC,
            DISK_VERSION,
            (SESSION_KNOWN if self.session_known else 0)
            | (HAS_AHEAD if self.has_ahead else 0)
            | (HAS_BUNDLES if self.bundles else 0)
            | (HAS_IDENTITY if self.identity else 0)
            | (IN_DOUBT if self.in_doubt else 0),
            span,
            self.generation & 0xFFFFFFFF,
            self.cache_id,
            self.session_marker,
            self.repeated & 0xFFFFFFFF,
        )
        pack_into(
            NUMBERS,
            out,
            NUMBERS_AT,
            self.cursor,
            self.sent_bound,
            self.delivered,
            self.expired,
            self.evicted,
            self.refused,
            self.damaged,
            self.skipped,
            max(0, self.end_seq - self.cursor),
            max(0, self.end_skipped - self.skipped),
        )
        for index in range(0, self._packed, 4):
            out[PLACES_AT + (index >> 2)] = 0
        self._packed = touched = self.touched  # mostly few of a gateway's window
        places = self.places
        for index in range(touched):
            place = places[index]
            if place:
                out[PLACES_AT + (index >> 2)] |= place << ((index & 3) << 1)
        if self.bundles:
            out[bundles_at:identity_at] = self.bundles
        if self.identity:
            out[identity_at:evicted_at] = self.identity
        if has_evicted:
            pack_into(EVICTED, out, evicted_at, self.evicted_first, self.evicted_end, self.evicted_skipped)
        pack_into("<I", out, len(out) - 4, crc32(self._checked))
        return out


def save(store: Store, state: Checkpoint) -> None:
    """Write the next generation over the older of the two slots. Raises OSError; then the older state still stands."""
    state.generation += 1
    name = NAMES[state.generation & 1]
    try:
        store.replace(name, state.encode())
    except (OSError, MemoryError) as failure:
        state.generation -= 1  # so that the retry goes to the same slot, never over the newest whole one
        state.failures = state.failures + 1 if is_unreadable(failure) else 0
        if state.failures >= READS_BEFORE_DAMAGED:  # a bad place under it: the next one is made anew
            state.failures = 0
            quarantine(store, name)
        raise
    state.failures = 0
