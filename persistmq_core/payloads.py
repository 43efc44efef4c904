"""Large payloads: each has a file of its own beside the journal, which is written before the record that needs it.

It is written under a number of its own, so that no other message has to wait for it, and gets the number of its message
when the record is about to be appended. So what power or an error leaves behind has a name by which it is known
(``survey``). ``payload_files.py`` is the side that delivers.
"""

from binascii import crc32
from struct import pack

from .contracts import Store
from .errors import StoreError, is_unreadable
from .journal import Journal
from .limits import PAYLOAD_SYNC_BYTES
from .segment import PAYLOADS, quarantine

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .recovery import Recovered

FILE = ".bin"
PART = ".part"


def payload_name(seq: int, cache_id: int) -> str:
    """``payloads/<seq>-<cache id>.bin``, in hexadecimal."""
    return "%s/%016x-%08x%s" % (PAYLOADS, seq, cache_id, FILE)


def part_name(number: int, cache_id: int) -> str:
    """Of a file that is being written: its message has no number yet."""
    return "%s/%016x-%08x%s" % (PAYLOADS, number, cache_id, PART)


def parse_name(name: str) -> "tuple[int, int, str] | None":
    """(number, cache id, ending) of one of these names; None for a name that is not ours."""
    base = name[len(PAYLOADS) + 1 :]
    ending = base[25:]
    if len(base) < 29 or base[16] != "-" or ending not in (FILE, PART):
        return None
    try:
        return int(base[:16], 16), int(base[17:25], 16), ending
    except ValueError:
        return None


def survey(store: Store, names: "list[str]", found: "Recovered", is_alone: bool) -> None:
    """What is in the folder when a start has looked through the journal. Raises OSError.

    ``is_alone``: nobody else has the cache. Then what was never finished is removed, and what lies beyond the end of
    the journal: its record was never appended, unless that end is in doubt.
    """
    cache_id = found.checkpoint.cache_id
    for name in names:
        parsed = parse_name(name)
        if parsed is None:
            continue
        seq = parsed[0]
        if not is_alone:
            if parsed[2] != FILE or seq >= found.end_seq:
                continue  # somebody writes it
        elif parsed[1] != cache_id:
            quarantine(store, name)
            continue
        elif parsed[2] == PART or seq >= found.records_end:
            if parsed[2] == PART or found.end_is_sure:
                store.remove(name)
            else:
                quarantine(store, name)
            continue
        elif found.durable_cursor <= seq < found.checkpoint.cursor:
            quarantine(store, name)  # no checkpoint says that its message was settled, and there is no record
            continue
        found.held_bytes += bytes_of(store, name)
        found.payload_seqs.append(seq)
    found.payload_seqs.sort()


def bytes_of(store: Store, name: str) -> int:
    """How many the file has; 0 if not even that reads."""
    try:
        return store.size(name)
    except OSError as failure:
        if not is_unreadable(failure):
            raise
        return 0


class LargePayload:
    """One payload: ``size`` bytes of ``source``, which has the buffer protocol or ``readinto``."""

    def __init__(self, store: Store, source: "object", size: int, cache_id: int, number: int) -> None:
        self.size = size
        self.seq = 0  # of its message, once it is staged
        self.frame = b""  # and its record
        self._store = store
        self._source = source
        self._cache_id = cache_id
        self._crc = cache_id
        self._name = part_name(number, cache_id)
        self._may_have_moved = False  # an attempt at that failed, when it had happened perhaps

    def write(self, piece_bytes: int) -> None:
        """Copy it to storage, durably. Raises StoreError, ValueError if the source ends early, what that raises."""
        source = self._source
        buffer = None
        if hasattr(source, "readinto"):
            buffer = memoryview(bytearray(min(piece_bytes, self.size)))
        else:
            source = memoryview(source)  # type: ignore[arg-type]
        at = 0
        while at < self.size:
            end = min(at + piece_bytes, self.size)
            piece = source[at:end] if buffer is None else _read(source, buffer[: end - at])  # type: ignore[index]
            self._crc = crc32(piece, self._crc)
            try:
                self._store.append(self._name, piece)
                # Not all at the end: what others sync meanwhile would have to wait for all of it.
                if end == self.size or end // PAYLOAD_SYNC_BYTES > at // PAYLOAD_SYNC_BYTES:
                    self._store.sync(self._name)
            except OSError as failure:
                code = failure.args[0] if failure.args and isinstance(failure.args[0], int) else 0
                raise StoreError(code, "the payload could not be stored: %s" % failure)  # noqa: B904 - portable
            at = end
        self._source = None  # the application's bytes are its own again

    def is_among(self, frames: "list[bytes]", first_seq: int) -> bool:
        """Its number is taken. Else, after a signal, somebody else may have it."""
        index = self.seq - first_seq
        return 0 <= index < len(frames) and frames[index] is self.frame

    def reference(self) -> bytes:
        """What stands in the record."""
        return pack("<II", self.size, self._crc)

    def settle(self, journal: Journal) -> None:
        """Give the file the name of its message, if it has not got that yet. Raises OSError."""
        name = payload_name(self.seq, self._cache_id)
        if name == self._name:
            return
        self._move_back(name)
        self._may_have_moved = True
        self._store.move(self._name, name)
        self._may_have_moved = False
        self._name = name
        journal.appended_bytes += self.size
        if journal.payload_seqs is not None:
            journal.payload_seqs.append(self.seq)

    def _move_back(self, name: str) -> None:
        """So that it is moved again, durably this time, or removed."""
        if self._may_have_moved and name in self._store.list(PAYLOADS):
            self._store.move(name, self._name)
        self._may_have_moved = False

    def discard(self, journal: Journal) -> None:
        """The message was not accepted."""
        try:
            self._move_back(payload_name(self.seq, self._cache_id))
            self._store.remove(self._name)
        except OSError:
            return  # never made, or the disk is at fault: then it is found with what is lost, or at a start
        if self._name == payload_name(self.seq, self._cache_id):
            journal.appended_bytes -= self.size


class LargeMessages:
    """What a spool knows of messages with such payloads, until they are stored."""

    def __init__(self) -> None:
        self.files = 0  # that were begun
        self.promised = 0  # messages that have room, and are not staged yet
        self.promised_bytes = 0  # of these, and of payloads whose messages are not stored yet
        self._staged: list[LargePayload] = []

    def stage(self, payloads: "list[LargePayload]") -> None:
        """Their frames are about to be staged."""
        self._staged = self._staged + payloads

    def take(self, frames: "list[bytes]", first_seq: int) -> "list[LargePayload]":
        """Those whose frames are among these, which are taken as well."""
        staged, self._staged = self._staged, []
        return [payload for payload in staged if payload.is_among(frames, first_seq)]

    def stored(self, payloads: "list[LargePayload]") -> None:
        """With their messages."""
        self.promised_bytes -= sum([payload.size for payload in payloads])

    def discard(self, payloads: "list[LargePayload]", journal: Journal) -> None:
        """Their messages could not be stored, and their callers are told so."""
        self.stored(payloads)
        for payload in payloads:
            payload.discard(journal)


def _read(source: "object", buffer: memoryview) -> memoryview:
    at = 0
    while at < len(buffer):
        count = source.readinto(buffer[at:])  # type: ignore[attr-defined]
        if not count:
            raise ValueError("the payload's file has become shorter")
        at += count
    return buffer
