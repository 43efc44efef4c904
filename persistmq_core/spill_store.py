"""Files in RAM in front of those on storage (durability "spill"): what is appended is kept until it must be written.

A store over another one. What lies above it (journal, delivery) sees one directory and does not know where a file is.
While checkpoints are kept as well, those on storage say what a power cut leaves: a block of numbers that are used up,
none of them a message, and a session with the broker of which nothing is known.
"""

from struct import unpack_from

from .checkpoint import NAMES, SENT_BOUND_AT, Checkpoint
from .contracts import Store
from .limits import SPILL_BYTES_MAX, SPILL_BYTES_MIN, SPILL_NUMBERS, const
from .segment import PAYLOADS, parse_name
from .slots import decode

_ENOENT = const(2)
TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .spool import Spool

# Where what is appended goes, and where checkpoints go.
STORED = const(0)  # both to storage
ENTERING = const(1)  # to RAM, and to storage
IN_RAM = const(2)  # both to RAM
LEAVING = const(3)  # all files are on storage again, and the checkpoint that says so is not: nothing can be appended


class NoLock:
    """For a port with one thread."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class RamFile:
    """What was appended, as it came."""

    def __init__(self) -> None:
        self.bytes = 0
        self.stored = 0  # so many of them are on storage, synced; -1: a write failed, and what stands there is no use
        self.pieces: list[bytes] = []
        self._index = 0  # of the piece that was read last, and where it begins
        self._start = 0

    def add(self, view: "bytes | bytearray | memoryview") -> None:
        self.pieces.append(view if isinstance(view, bytes) else bytes(view))
        self.bytes += len(view)

    def whole(self) -> "bytes | None":
        """All in one piece; None if a board's heap has too many holes for that."""
        try:
            return b"".join(self.pieces)
        except MemoryError:
            return None

    def read(self, offset: int, buffer: memoryview) -> int:
        if offset < self._start:
            self._index = self._start = 0
        count = 0
        while count < len(buffer) and self._index < len(self.pieces):
            piece = self.pieces[self._index]
            at = offset + count - self._start
            if at >= len(piece):
                self._index += 1
                self._start += len(piece)
                continue
            part = min(len(piece) - at, len(buffer) - count)
            buffer[count : count + part] = memoryview(piece)[at : at + part]
            count += part
        return count


class SpillStore(Store):
    """``store``: where files go in the end. ``spill_bytes``: of files in RAM, at most. Raises ValueError for these.

    ``lock``: of a port with threads, for ``with``; what is read while nothing is in RAM does not take it.
    ``numbers``: how many sequence numbers are used up at once by what is only in RAM.
    One thread appends and syncs, one does everything else, as with any store; both may ``spill``.
    """

    def __init__(
        self, store: Store, spill_bytes: int, lock: "NoLock | None" = None, numbers: int = SPILL_NUMBERS
    ) -> None:
        if not isinstance(spill_bytes, int) or not SPILL_BYTES_MIN <= spill_bytes <= SPILL_BYTES_MAX:
            words = "spill_bytes must be a whole number from %d to %d, not %r"
            raise ValueError(words % (SPILL_BYTES_MIN, SPILL_BYTES_MAX, spill_bytes))
        self.spill_bytes = spill_bytes
        self.state = STORED
        self.is_entering = False  # nothing that is kept may be sent yet
        self.keeps_no_more = False  # the next append writes all that is in RAM, and goes to storage itself
        self.has_appended = False  # to storage, since RAM was left
        self.first_seq = 0  # of the first record that was kept since ENTERING, 0 if none was
        self.ram_bytes = 0
        self.spool: "Spool | None" = None  # which gives the numbers
        self.spills = 0  # how often RAM was left
        self.needs_checkpoint = False  # one of the slots still says that numbers are used up
        self._store = store
        self._lock = lock or NoLock()
        self._numbers = numbers
        self._reserved_end = 0  # numbers before it are used up, as the checkpoints on storage say
        self._files: dict[str, RamFile] = {}
        self._slots: dict[str, bytearray] = {}  # checkpoints that are only in RAM
        self._newest = ""  # of these
        self._growing = ""  # the file on storage that was appended to last: the rest of a group follows it there
        self._witness = ""  # the same, removed: ``tidy`` does it

    # --- what the engine decides, on its thread ---

    def keep_appends(self) -> None:
        """ENTERING: from now on what is appended to a new file is kept in RAM."""
        with self._lock:
            self.keeps_no_more = False
            self.first_seq = 0
            self.is_entering = True
            self.state = ENTERING

    def keep_checkpoints(self) -> None:
        """IN_RAM, with the next checkpoint: it is kept, and numbers are used up on storage in its place.

        All that is on storage must be settled; nothing that is in RAM may have been sent.
        """
        with self._lock:
            if self.state == ENTERING:
                self._reserved_end = 0
                self.state = IN_RAM

    def entered(self) -> None:
        """Two checkpoints were kept: what is in RAM may be sent."""
        self.is_entering = False

    def is_over(self) -> bool:
        """Records and checkpoints go to storage, all of them."""
        return self.state == STORED

    def holds(self, seq: int) -> bool:
        """The record is only in RAM: a power cut would take it. For any thread."""
        return self.state != STORED and 0 < self.first_seq <= seq

    def keeps_back(self, seq: int) -> bool:
        """It may not be sent yet: storage does not say that its number is used up."""
        return self.is_entering and self.holds(seq)

    def spill(self) -> None:
        """STORED: write the files, then the checkpoint. Raises OSError, and may then be called again: nothing is lost.

        Also called by ``append``, on its thread.
        """
        with self._lock:
            self._spill()

    def tidy(self) -> None:
        """After ``spill``: remove what was kept until then."""
        if self._witness and self.state == STORED:
            try:
                self._store.remove(self._witness)
            except OSError:
                return  # the next time, or the next start does it
            self._witness = ""

    # --- the contract ---

    def list(self, folder: str) -> "list[str]":
        kept: list[str] = []
        if self.state != STORED:
            with self._lock:
                kept = [name for name in self._files if name.startswith(folder + "/")]
        # Storage last: what the other thread writes meanwhile is in both then, else it might be in neither.
        found = self._store.list(folder)
        if self._witness in found:
            found.remove(self._witness)
        return found + [name for name in kept if name not in found]

    def size(self, name: str) -> int:
        self._check(name)
        if self.state != STORED:
            with self._lock:
                if name in self._files:
                    return self._files[name].bytes
        return self._store.size(name)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        self._check(name)
        if self.state != STORED:
            with self._lock:
                if name in self._files:
                    return self._files[name].read(offset, buffer)
        return self._store.read(name, offset, buffer)

    def append(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        if name.startswith(PAYLOADS):  # too large for RAM; what has no record after a power cut is removed
            self._store.append(name, view)
            return
        with self._lock:
            if self.state != STORED and (name != self._growing or self.state == LEAVING):
                if self._has_room(len(view)):
                    try:
                        self._keep(name, view)
                        return
                    except MemoryError:
                        pass  # less than spill_bytes is free
                self._spill()
            self._growing = ""  # unless all goes well: what failed does not grow any more
            self._store.append(name, view)
            self._growing = name
            self.has_appended = True

    def sync(self, name: str) -> None:
        if name.startswith(PAYLOADS):
            self._store.sync(name)
            return
        with self._lock:
            if name not in self._files:
                growing, self._growing = self._growing, ""
                self._store.sync(name)
                self._growing = growing

    def replace(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        if name in NAMES and self.state not in (STORED, ENTERING):
            with self._lock:
                if self.state == IN_RAM:
                    slot = self._slots.get(name)
                    if slot is None or len(slot) != len(view):
                        self._slots[name] = bytearray(view)
                    else:
                        slot[:] = view
                    self._newest = name
                    if unpack_from("<Q", view, SENT_BOUND_AT)[0] > self._reserved_end:
                        self._reserve(self._slots[name])
                    return
                self._store.replace(name, view)
                if self.state == LEAVING:
                    self._is_stored(False)
                return
        self._store.replace(name, view)

    def move(self, name: str, new_name: str) -> None:
        if name in self._files:
            self.spill()
        self._store.move(name, new_name)

    def remove(self, name: str) -> None:
        if self.state != STORED:
            with self._lock:
                file = self._files.get(name)
                if file is not None:
                    if file.stored:
                        self._remove_stored(name)
                    self._files.pop(name)
                    self.ram_bytes -= file.bytes
                    return
                if name == self._growing:
                    # Should both checkpoints be damaged, this is all that storage knows of the cache and its numbers.
                    if self._witness:
                        self._store.remove(self._witness)
                    self._witness = name
                    return
        self._store.remove(name)

    def free_bytes(self) -> int:
        return self._store.free_bytes() - self.ram_bytes

    def _check(self, name: str) -> None:
        if name == self._witness:
            raise OSError(_ENOENT, "removed: " + name)

    # --- with the lock held ---

    def _has_room(self, count: int) -> bool:
        is_keeping = self.state in (ENTERING, IN_RAM) and not self.keeps_no_more
        return is_keeping and self.ram_bytes + count <= self.spill_bytes

    def _keep(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        file = self._files.get(name)
        if file is None:
            segment = parse_name(name)
            file = RamFile()
            file.add(view)
            self._files[name] = file  # without memory for it there is no file
            if not self.first_seq and segment is not None:
                self.first_seq = segment[0]
        else:
            file.add(view)
        self.ram_bytes += len(view)

    def _reserve(self, content: bytearray) -> None:
        """Let the checkpoints on storage say that numbers are used up to a block beyond all that were given or may
        be sent.

        In both slots, so that no damage to one of them brings back an older truth. Raises OSError.
        """
        state: Checkpoint = decode(content)  # type: ignore[assignment] # it was made a moment ago
        state.cursor = state.sent_bound = max(state.sent_bound, state.evicted_end, self._next_seq()) + self._numbers
        state.skipped = state.cursor - 1 - state.settled()  # all that are in no account; SEQ_FIRST is 1
        state.evicted_first = state.evicted_end = state.evicted_skipped = 0
        state.session_known = False
        state.in_doubt = True  # two such jumps are a whole round of packet identifiers
        state.places = bytearray(len(state.places))
        for generation in (state.generation, state.generation - 1):
            state.generation = generation
            self._store.replace(NAMES[generation & 1], state.encode())
        self._reserved_end = state.cursor

    def _next_seq(self) -> int:
        return self.spool.next_seq if self.spool is not None else 0

    def _spill(self) -> None:
        if self.state == STORED:
            return
        if self._newest and self._next_seq() > self._reserved_end:
            # Power may fail in the middle of this: then no record that was written may count.
            self._reserve(self._slots[self._newest])
        for name in sorted(self._files):
            self._write(name, self._files[name])
        self._files = {}
        self.ram_bytes = 0
        in_both = True
        if self._newest:
            # From here on nothing can go back: should this fail, it may have been written all the same.
            self.state = LEAVING
            newest = self._newest
            self._store.replace(newest, self._slots[newest])
            in_both = self._replace_other(NAMES[1 - NAMES.index(newest)])
        self._is_stored(in_both)

    def _replace_other(self, name: str) -> bool:
        try:
            state: Checkpoint = decode(self._slots[self._newest])  # type: ignore[assignment] # it was made here
            state.generation -= 1  # the next one may have the newest's, if a save failed before
            self._store.replace(name, state.encode())
        except (OSError, MemoryError):
            return False  # the next checkpoint goes there
        return True

    def _is_stored(self, in_both: bool) -> None:
        self.state = STORED
        self.is_entering = False
        self.needs_checkpoint = not in_both
        self.spills += 1
        self.has_appended = False
        self._growing = ""
        self._slots = {}
        self._newest = ""

    def _write(self, name: str, file: RamFile) -> None:
        if file.stored == file.bytes:
            return
        whole = file.whole()
        begin = file.stored
        if begin < 0 or (begin and whole is None):
            # What failed once is never tried again on the same bytes.
            self._remove_stored(name)
            begin = 0
        file.stored = -1  # unless all goes well: also if a signal ends this half way
        if whole is None:
            for piece in file.pieces:
                self._store.append(name, piece)
        else:
            # Most often from 0; else it has grown since an attempt that failed at another file.
            self._store.append(name, memoryview(whole)[begin:])
        self._store.sync(name)
        file.stored = file.bytes

    def _remove_stored(self, name: str) -> None:
        if name in self._store.list(name[: name.find("/")]):
            self._store.remove(name)
