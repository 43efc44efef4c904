"""One file of the journal: its name, its header, and reading its frames one after the other.

A cut tail and a damaged middle are two things. The tail of the last segment may be a publish() that had not returned;
it is left in silence. Bytes that do not read, with a whole frame behind them, are damage, and are reported.
"""

from binascii import crc32
from struct import pack, unpack_from

from .contracts import Store
from .errors import FormatError, is_unreadable
from .limits import DISK_VERSION, READ_BYTES, const
from .record import FRAME_BYTES_MIN, INCOMPLETE, MARKER, NO_FRAME, Record

JOURNAL = "journal"
QUARANTINE = "quarantine"
PAYLOADS = "payloads"
HEADER_BYTES = const(32)

_HEADER = "<4sBBHQQI"  # magic, disk version, zero, header bytes, first seq, skipped before, cache id
_CRC_AT = const(28)
_MAGIC = b"PMQJ"

# What SegmentReader.next() found.
END = const(0)  # nothing (more) that reads; tail_bytes says how much lies there unread
RECORD = const(1)


def segment_name(first_seq: int, cache_id: int, ending: str = "seg") -> str:
    """``journal/<first seq>-<cache id>.seg``, in hexadecimal, so that names sort by sequence number."""
    return "%s/%016x-%08x.%s" % (JOURNAL, first_seq, cache_id, ending)


def parse_name(name: str) -> "tuple[int, int, str] | None":
    """(first seq, cache id, ending) of a segment's name; None for a name that is not ours."""
    base = name[len(JOURNAL) + 1 :]
    if len(base) != 29 or base[16] != "-" or base[25] != "." or base[26:] not in ("seg", "bad"):
        return None
    try:
        return int(base[:16], 16), int(base[17:25], 16), base[26:]
    except ValueError:
        return None


def encode_header(first_seq: int, skipped_before: int, cache_id: int) -> bytes:
    """``skipped_before``: how many sequence numbers below ``first_seq`` were never given to a message that counts."""
    head = pack(_HEADER, _MAGIC, DISK_VERSION, 0, HEADER_BYTES, first_seq, skipped_before, cache_id)
    return head + pack("<I", crc32(head))


def read_header(store: Store, name: str) -> "tuple[int, int, int] | None":
    """(first seq, skipped before, cache id) from the file, None if it does not read.

    Raises FormatError for a newer disk version, OSError from the store.
    """
    head = bytearray(HEADER_BYTES)
    if store.read(name, 0, memoryview(head)) < HEADER_BYTES:
        return None
    magic, version, _, _, first_seq, skipped_before, cache_id = unpack_from(_HEADER, head, 0)
    if magic != _MAGIC or unpack_from("<I", head, _CRC_AT)[0] != crc32(memoryview(head)[:_CRC_AT]):
        return None
    if version > DISK_VERSION:
        raise FormatError("%s has disk version %d; this program reads up to %d" % (name, version, DISK_VERSION))
    return first_seq, skipped_before, cache_id


def quarantine(store: Store, name: str) -> None:
    """Move a file aside under a free name. Nothing that did not read is ever deleted."""
    base = QUARANTINE + "/" + name.replace("/", "-")
    taken = store.list(QUARANTINE)
    new_name = base
    count = 1
    while new_name in taken:
        new_name = "%s.%d" % (base, count)
        count += 1
    store.move(name, new_name)


class SegmentReader:
    """Reads the frames of one segment in order, over one buffer, across damage."""

    def __init__(
        self,
        store: Store,
        name: str,
        first_seq: int,
        cache_id: int,
        read_bytes: int = READ_BYTES,
        buffer: "memoryview | None" = None,
        record: "Record | None" = None,
    ) -> None:
        """``buffer``: of ``read_bytes``, from a reader that is not used any more. ``record``: for what is found."""
        self.name = name
        self.first_seq = first_seq
        self.record: "Record | None" = None  # what next() found
        self.end_seq = first_seq  # one more than the last whole record's
        self.end_offset = HEADER_BYTES  # where that record ends
        self.damaged_bytes = 0  # in the middle, so far
        self.tail_bytes = 0  # behind the last whole record, where END was found; preallocated zeros do not count
        self.reads_around = False  # take bytes that do not read for damaged ones, instead of raising OSError
        self.unreadable_end = 0  # file offset behind the last of these
        self._store = store
        self._cache_id = cache_id
        self.buffer = buffer or memoryview(bytearray(read_bytes))
        self._buffer = self.buffer  # or one of its own for a frame that is larger
        self._measured = record or Record()
        self._start = 0  # file offset of the buffer's first byte
        self._filled = 0

    def next(self) -> int:
        """RECORD (see ``record``) or END. After END it may be called again: the file may have grown."""
        offset = self.end_offset
        frame_bytes = self._frame_at(offset)
        if frame_bytes <= 0:
            offset = self._next_frame(offset)
            if offset < 0:
                self.record = None
                return END
            frame_bytes = self._frame_at(offset)
            self.damaged_bytes += offset - self.end_offset
        self.record = self._measured
        self.end_seq = self._measured.seq + 1
        self.end_offset = offset + frame_bytes
        self.tail_bytes = 0
        return RECORD

    def next_in_buffer(self) -> bool:
        """What ``next`` does nearly always: True if the next number's frame lies whole in the buffer."""
        # With a local name more MicroPython would take memory from the heap for each call.
        at = self.end_offset - self._start
        if at < 0:
            return False
        seq = self.end_seq
        frame_bytes = self._measured.follow(self._buffer, at, self._filled - at, seq, self._cache_id)
        if not frame_bytes:
            return False
        self.record = self._measured
        self.end_seq = seq + 1
        self.end_offset += frame_bytes
        self.tail_bytes = 0
        return True

    def _have(self, offset: int, wanted: int) -> int:
        """Bring file bytes from ``offset`` into the buffer, ``wanted`` of them if there are; return how many it has."""
        have = self._start + self._filled - offset
        if offset >= self._start and have >= wanted:
            return have
        # A frame larger than the buffer gets one of its own, for as long as it is being read.
        self._buffer = self.buffer if wanted <= len(self.buffer) else memoryview(bytearray(wanted))
        self._filled = 0  # a read that fails leaves nothing to be believed
        self._start = offset
        self._filled = self._read(offset)
        return self._filled

    def _read(self, offset: int) -> int:
        try:
            return self._store.read(self.name, offset, self._buffer)
        except OSError as failure:
            if not self.reads_around or not is_unreadable(failure):
                raise
        from .unreadable import read_around  # noqa: PLC0415 - only here: on most boards it never happens

        count, unreadable_end = read_around(self._store, self.name, offset, self._buffer)
        if unreadable_end:
            self.unreadable_end = max(self.unreadable_end, offset + unreadable_end)
        return count

    def _frame_at(self, offset: int) -> int:
        """Bytes of the whole, plausible frame at ``offset`` (it is in ``_measured``), or INCOMPLETE or NO_FRAME."""
        record = self._measured
        have = self._have(offset, FRAME_BYTES_MIN)
        frame_bytes = record.measure(self._buffer, offset - self._start, have)
        if frame_bytes <= 0:
            return frame_bytes
        # Numbers are contiguous in a segment: behind n unread bytes at most n / FRAME_BYTES_MIN can be missing.
        seq = self.first_seq + (record.seq - self.first_seq & 0xFFFFFFFF)
        if not self.end_seq <= seq <= self.end_seq + (offset - self.end_offset) // FRAME_BYTES_MIN:
            return NO_FRAME
        if frame_bytes > have:
            if frame_bytes > self._store.size(self.name) - offset:
                return INCOMPLETE  # before a buffer is made for what a damaged length promises
            if self._have(offset, frame_bytes) < frame_bytes:
                return INCOMPLETE
            return self._frame_at(offset)  # it was read anew
        record.seq = seq
        return frame_bytes if record.is_whole(self._cache_id) else NO_FRAME

    def _next_frame(self, offset: int) -> int:
        """Where the next whole frame begins behind ``offset``; -1 if there is none (and sets ``tail_bytes``)."""
        last = offset  # behind the last byte that is not zero
        while True:
            have = self._have(offset, len(MARKER))
            if have == 0:
                self.tail_bytes = last - self.end_offset
                return -1
            at = offset - self._start
            chunk = bytes(self._buffer[at : at + have])
            solid = len(chunk.rstrip(b"\0"))
            if solid:
                last = offset + solid
            found = chunk.find(MARKER, 0 if offset > self.end_offset else 1)
            if found < 0:
                # The marker may straddle two reads.
                offset += have - 1 if have > 1 and chunk[-1:] == MARKER[:1] else have
                continue
            offset += found
            if self._frame_at(offset) > 0:
                return offset
            offset += 1
