"""The files of large payloads, for the side that delivers: found at start, read in pieces, removed.

A message's record says how long its payload is, and its CRC; the file has the message's number in its name. How they
come there is ``prepared.py``.
"""

from binascii import crc32

from .contracts import Store
from .dead_letters import FOLDER as DEAD
from .dead_letters import dead_letter_name
from .errors import is_unreadable
from .journal import Journal, JournalReader
from .limits import READS_BEFORE_DAMAGED
from .payloads import FILE, bytes_of, parse_name, payload_name
from .record import Record
from .segment import PAYLOADS, quarantine
from .window import REFUSED, WAITING, Window


class Stream:
    """One payload on its way to the transport."""

    def __init__(self, files: "PayloadFiles", seq: int, name: str, size: int, crc: int, cache_id: int) -> None:
        self._files = files
        self.seq = seq
        self.name = name
        self.left = self.size = size  # left: not handed out yet
        self.crc = cache_id  # of what was
        self.crc_wanted = crc

    def next_piece(self) -> "memoryview | None":
        """What follows; valid until the next one. None: it is damaged, and the packet must not be completed.

        Raises OSError, and may be called again.
        """
        return self._files.next_piece(self)


class PayloadFiles:
    """Of one cache. ``seqs``: the numbers of those that were there at the start. ``save``: Delivery's.

    Methods that touch storage raise OSError and may be called again.
    """

    def __init__(
        self,
        store: Store,
        journal: Journal,
        reader: JournalReader,
        cache_id: int,
        piece_bytes: int,
        seqs: "list[int]",
        save: "object",
    ) -> None:
        self._save = save
        self._store = store
        self._journal = journal
        self._reader = reader
        self._cache_id = cache_id
        self._piece_bytes = piece_bytes
        self._buffer = memoryview(b"")
        self._seqs = seqs  # of those that are there, as far as known, in order
        self._damaged: list[int] = []  # found to be so, and still to be moved aside
        self._failed_seq = 0  # whose file failed to read
        self._failed_at = 0  # and where; -1: not even its size
        self._failures = 0  # how often in a row

    def note(self, seq: int) -> None:
        """The walk has come to a message that has a file."""
        self._look()
        if not self._seqs or self._seqs[-1] < seq:
            self._seqs.append(seq)

    def _look(self) -> None:
        """Take over the numbers that the publishing side has noted."""
        fresh = self._journal.payload_seqs
        while fresh:
            seq = fresh[0]
            if not self._seqs or self._seqs[-1] < seq:
                self._seqs.append(seq)
            fresh.pop(0)  # last: without memory for it, it must not be forgotten

    # --- sending ---


    def open(self, seq: int, record: Record) -> "Stream | None":
        """Begin to read it. None: it is damaged, and moved aside, or is not there."""
        name = payload_name(seq, self._cache_id)
        if seq not in self._damaged:
            try:
                if self._store.size(name) >= record.apart_bytes:
                    return Stream(self, seq, name, record.apart_bytes, record.apart_crc, self._cache_id)
            except OSError as failure:
                if not self._is_damage(seq, -1, name, failure):
                    raise
            self._damaged.append(seq)
        self.set_aside(seq)
        self._damaged.remove(seq)
        return None

    def next_piece(self, stream: Stream) -> "memoryview | None":
        """See Stream."""
        count = min(stream.left, self._piece_bytes)
        if len(self._buffer) < count:
            self._buffer = memoryview(bytearray(count))
        piece = self._buffer[:count]
        at = stream.size - stream.left
        try:
            got = self._store.read(stream.name, at, piece)
        except OSError as failure:
            if not self._is_damage(stream.seq, at, stream.name, failure):
                raise
            got = 0
        if at == self._failed_at and stream.seq == self._failed_seq:
            self._failures = 0
        stream.crc = crc32(piece, stream.crc)
        stream.left -= count
        if got < count or (stream.left == 0 and stream.crc != stream.crc_wanted):
            self._damaged.append(stream.seq)
            return None
        return piece

    def _is_damage(self, seq: int, at: int, name: str, failure: OSError) -> bool:
        """Whether a failure to read means that the file is lost; it is counted if it may become that."""
        if not is_unreadable(failure):
            return name not in self._store.list(PAYLOADS)
        if seq != self._failed_seq or at != self._failed_at:
            self._failed_seq = seq
            self._failed_at = at
            self._failures = 0
        if self._failures >= READS_BEFORE_DAMAGED:
            self._save()  # type: ignore[operator] # as for records: on a device that is gone altogether this raises
            return True
        self._failures += 1
        return False

    # --- the end of them ---

    def set_aside(self, seq: int) -> None:
        """Its message is lost: what is there of it goes to quarantine."""
        name = payload_name(seq, self._cache_id)
        if self._exists(name):
            size = bytes_of(self._store, name)
            quarantine(self._store, name)
            self._reader.damaged_bytes += size
            self._reader.reclaimed_bytes += size
        self._forget(seq)

    def set_aside_all(self, seq: int, end_seq: int, window: Window) -> None:
        """The same for those numbers from ``seq`` on that are not settled, if their records are lost."""
        for name in self._store.list(PAYLOADS):
            parsed = parse_name(name)
            if parsed is None or parsed[1:] != (self._cache_id, FILE) or not seq <= parsed[0] < end_seq:
                continue
            if window.state(parsed[0]) in (WAITING, REFUSED):
                self.set_aside(parsed[0])

    def reclaim(self, cursor: int, first_seq: int, end_seq: int, stream: "Stream | None" = None) -> None:
        """Remove those of messages before ``cursor``, and of those between the other two numbers.

        ``stream``: but for the one that is being read: a broker may have answered before it has it all.
        """
        self._look()
        if stream is not None:
            cursor = min(cursor, stream.seq)
        seqs = self._seqs
        while seqs and seqs[0] < cursor:
            self._remove(seqs[0])
        if seqs and first_seq < end_seq:
            for seq in [seq for seq in seqs if first_seq <= seq < end_seq]:
                self._remove(seq)

    def _remove(self, seq: int) -> None:
        name = payload_name(seq, self._cache_id)
        if self._exists(name):
            size = bytes_of(self._store, name)
            self._store.remove(name)
            self._reader.reclaimed_bytes += size
        self._forget(seq)

    def _exists(self, name: str) -> bool:
        try:
            self._store.size(name)
        except OSError as failure:
            if not is_unreadable(failure):
                return name in self._store.list(PAYLOADS)
        return True

    def _forget(self, seq: int) -> None:
        if seq in self._seqs:
            self._seqs.remove(seq)

    def freed_by(self, begin: int, stop: int, wanted_bytes: int) -> "tuple[int, int]":
        """Up to where messages from ``begin`` on must go until ``wanted_bytes`` of files are free, as far as that goes
        before ``stop``; and how many bytes it is.
        """
        self._look()
        end = begin
        freed = 0
        for seq in self._seqs:
            name = payload_name(seq, self._cache_id)
            if freed < wanted_bytes and begin <= seq < stop and self._exists(name):
                freed += bytes_of(self._store, name)
                end = seq + 1
        return end, freed

    # --- dead letters ---

    def parked(self, seq: int, reason_code: int) -> int:
        """The reason with which it is to be parked, or was before; -1 if there is nothing of it."""
        if self._exists(payload_name(seq, self._cache_id)):
            return reason_code
        begins = dead_letter_name(seq, self._cache_id, 0)[: -len("00.seg")]
        for name in self._store.list(DEAD):
            if name.startswith(begins) and name.endswith(FILE):
                return int(name[len(begins) : -len(FILE)], 16)
        return -1

    def park(self, seq: int, reason_code: int) -> None:
        """Its dead letter is written: move it there."""
        name = payload_name(seq, self._cache_id)
        if self._exists(name):
            size = bytes_of(self._store, name)
            self._store.move(name, dead_letter_name(seq, self._cache_id, reason_code)[: -len(".seg")] + FILE)
            self._reader.reclaimed_bytes += size
        self._forget(seq)
