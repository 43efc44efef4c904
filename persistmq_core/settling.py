"""What becomes of messages, on storage: the checkpoint with window and accounts, dead letters, files that are freed."""

from . import checkpoint as checkpoints
from .contracts import Listener, Store
from .journal import MESSAGE, Journal, JournalReader
from .limits import AHEAD_WINDOWS, PACKET_ID_SPAN, SEND_BYTES
from .record import Record
from .segment import PAYLOADS
from .window import NO_CHANGE, ORPHAN, REFUSE, RELEASED, SETTLE, STORED, WAITING, Window

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .clock_jumps import ClockJumps
    from .eviction import Eviction
    from .identity import Identity
    from .pace import Pace
    from .payload_files import PayloadFiles, Stream
    from .recovery import Recovered
    from .spill_store import SpillStore


class Settling:
    """Window, checkpoint and reader of one cache. Methods that touch storage raise OSError and may be called again."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        found: "Recovered",
        listener: Listener,
        window: int,
        window_qos2: int,
        read_bytes: int,
        send_bytes: int = SEND_BYTES,
        id_first: int = 1,
        id_span: int = PACKET_ID_SPAN,
    ) -> None:
        """``id_first``, ``id_span``: number n has packet identifier ``id_first + n % id_span`` (law 4)."""
        self.checkpoint = found.checkpoint
        self.window = Window(len(found.checkpoint.places))
        self.window.load(found.checkpoint.cursor, found.checkpoint.places)
        # Of messages in flight, before the broker's Receive Maximum.
        self.limit = max(window, window_qos2)
        self.limit_qos1 = window  # when one follows that is not of QoS 2
        self.limit_qos2 = window_qos2  # of those that are not released
        self.ahead_windows = AHEAD_WINDOWS  # how far the sent bound is set
        self.spill_store: "SpillStore | None" = None
        self.strays = 0  # acknowledgements that meant nothing
        self.refusals = 0  # acknowledgements that said no
        self.unsaved = False  # something was settled since the last checkpoint
        self.may_repeat = found.may_repeat  # what is settled at the broker, until has_resent
        self.identity: Identity | None = None  # which messages carry, if they do
        self.reader = found.reader or JournalReader(store, found.checkpoint.cache_id, read_bytes)
        self._fetcher = JournalReader(store, found.checkpoint.cache_id, read_bytes)  # away from the walk
        self._fetched_seq = 0
        self.pace: Pace | None = None  # of the backlog
        self.jumps: ClockJumps | None = None  # of the clock, if messages expire
        self.backlog_end = 0  # numbers before it were there when the connection began
        self.makes_bundles = False  # asks _bundle() at each message
        self.only_resends = False  # begins nothing that cannot have been in flight when the connection began
        self.has_released = self.window.count(RELEASED) > 0  # handshakes of QoS 2 went on in this session
        self._connected = False
        self._store = store
        self._journal = journal
        self._listener = listener
        self._send_bytes = send_bytes
        self._id_first = id_first
        self._id_span = id_span
        self._durable_cursor = found.durable_cursor
        self._boot_seq = found.end_seq  # the first number of this start
        self._boot_ms = 0
        self._next = self.window.cursor  # the walk: everything before it is sent in this connection, or settled
        self._walked = 0  # it was there before, in this connection, and was set back: PUBRELs before it are in _release
        # After a restart nobody knows what was sent, but nothing beyond the bound was, and nothing that is new.
        self._sent_bound = found.checkpoint.sent_bound
        self._sent_end = min(self._sent_bound, found.end_seq)
        self._bound_reached = False  # a save must move it before more is sent
        self._in_both = False  # the next save goes into both slots: what the older one says must not come back
        self._dup_end = 0  # numbers before it go with DUP: they may have been sent in this session before
        self._received: list[int] = []  # PUBREC came, not on storage yet, in order of arrival
        self._release: list[int] = []  # on storage, PUBREL to be sent, in that order (4.6)
        self._handed: list[int] = []  # QoS 0 in the bytes that the transport is taking
        self._expired: list[int] = []  # settled, and that is not on storage yet
        self._refused: list[tuple[int, int]] = []  # (seq, reason), to be parked
        self._oldest = 0
        self._waits_since = 0
        self.stream: Stream | None = None  # a large payload, of which the transport has the beginning
        self._payloads: PayloadFiles | None = None
        journal.payload_seqs = []
        if found.payload_seqs:
            self._payload_files(found.payload_seqs)

    def has_both_slots(self) -> bool:
        """Both slots of the checkpoint were written, and say what may be believed."""
        state = self.checkpoint
        # Or the older one says that numbers are used up, by messages in RAM that have been written since.
        return state.generation >= 2 and state.older_cursor <= state.cursor

    def must_save(self) -> bool:
        """Something waits for a checkpoint: a PUBREL, or what is urgent."""
        return bool(self._received) or self.is_urgent()

    def is_urgent(self) -> bool:
        """A dead letter waits for a checkpoint, or what expired, or numbers beyond the bound."""
        is_new = self.identity is not None and self.identity.is_new
        return bool(self._refused or self._expired or self._bound_reached or is_new)

    def save(self) -> None:
        """Park what was refused, then make cursor, window and accounts durable. Raises OSError."""
        self._park()
        self._save()

    def _save(self) -> None:
        state = self.checkpoint
        state.cursor = self.window.cursor
        state.sent_bound = self._bound()
        state.touched = self.window.store(state.places)
        if self.spill_store is None or self.spill_store.is_over():  # else its end is in RAM
            journal = self._journal
            state.end_skipped = journal.skipped  # first: see Journal
            state.end_seq = journal.end_seq
        if self.identity is not None:
            state.identity = self.identity.encode()
        checkpoints.save(self._store, state)
        if self._in_both:
            checkpoints.save(self._store, state)
            self._in_both = False
        state.older_cursor = 0
        if self.identity is not None:
            self.identity.is_new = False
        self._durable_cursor = state.cursor
        self._sent_bound = state.sent_bound
        self._bound_reached = False
        self.unsaved = False
        if self._expired:
            for seq in self._expired:
                self._listener.dropped(seq, "expired", 0)
            self._expired = []  # another one: see cursor()
        self.has_released = self.has_released or bool(self._received)
        for seq in self._received:
            self.window.move(seq, STORED)
            if seq < self._next or seq < self._walked:
                self._release.append(seq)  # else the walk comes by
        self._received.clear()

    def _bound(self) -> int:
        """Numbers from here on are not sent before the next save."""
        ahead = self.ahead_windows * self.window.span if self._connected else 0
        return max(self._sent_end, self.window.cursor + ahead)

    def evict(self, messages: int, wanted_bytes: int) -> None:
        """Give up the oldest that were never sent: so many messages, or files of so many bytes, as far as that goes."""
        # Saved without parking what was refused: there may be no room for that.
        self._eviction().evict(self._sent_end, messages, wanted_bytes, self._save, self._listener)

    def _eviction(self) -> "Eviction":
        from .eviction import Eviction  # noqa: PLC0415 - only here: a board without bounds has no room for it

        payloads = self._payload_files() if self._payloads is not None or self._journal.payload_seqs else None
        return Eviction(self.checkpoint, self.window, self._journal, self.reader, payloads)

    def _payload_files(self, seqs: "list[int] | None" = None) -> "PayloadFiles":
        if self._payloads is None:
            from .payload_files import PayloadFiles  # noqa: PLC0415 - only here: few boards have such

            cache_id = self.checkpoint.cache_id
            self._payloads = PayloadFiles(
                self._store, self._journal, self.reader, cache_id, self._send_bytes, seqs or [], self.save
            )
        return self._payloads

    def could_reclaim(self) -> bool:
        """A checkpoint now would free a segment."""
        return self.reader.could_reclaim(self.window.cursor)

    def reclaim(self) -> None:
        """Free the segments behind the cursor that is on storage (law 5), and those that were evicted."""
        evicted_first = self.checkpoint.evicted_first
        evicted_end = self.checkpoint.evicted_end
        self.reader.reclaim(self._durable_cursor, evicted_first, evicted_end)
        if self._payloads is not None:
            self._payloads.reclaim(self._durable_cursor, evicted_first, evicted_end, self.stream)

    def refuse(self, seq: int, reason_code: int) -> bool:
        """It will not be sent again; parked with the next ``save``. False if its state does not allow it."""
        if seq >= self._journal.end_seq:
            return False  # the next message's number, of which nobody may be told
        if self.window.state(seq) == ORPHAN:
            return self.window.move(seq, SETTLE) != NO_CHANGE
        if seq < self._sent_end and self.window.state(seq) == WAITING:
            self.has_released = True  # the broker may go on holding its identifier, until the session is a new one
        self._refused.append((seq, reason_code))  # first: without memory for it, it must not be REFUSED for ever
        if self.window.move(seq, REFUSE) == NO_CHANGE:
            self._refused.pop()
            return False
        return True

    def _park(self) -> None:
        if not self._refused:
            return
        from .dead_letters import park  # noqa: PLC0415 - only here: on most boards nothing is refused

        while self._refused:
            seq, reason = self._refused[0]
            if self.stream is not None and self.stream.seq == seq:
                break  # its file is being read
            record = self._fetch(seq)
            files = None
            if record is not None and record.is_apart():
                files = self._payload_files()
                reason = files.parked(seq, reason)
            account = "damaged"
            if record is not None and reason >= 0:
                account = "refused"
                park(self._store, record, self.checkpoint.cache_id, reason)
                if files is not None:
                    files.park(seq, reason)
            else:
                self._set_aside(seq, seq + 1)
            # Before anybody is told: without memory for that, it must not be parked and counted again.
            self._refused.pop(0)
            self.checkpoint.refused += account == "refused"
            self.checkpoint.damaged += account == "damaged"
            self.window.move(seq, SETTLE)
            self.window.advance()
            self.unsaved = True
            self._never(seq, seq + 1)
            self._listener.dropped(seq, account, reason)

    def _fetch(self, seq: int) -> "Record | None":
        """Read one record again. One reader does it all, which counts failures and goes on where it stands."""
        if seq < self._fetched_seq:
            self._fetcher.rewind()
        self._fetched_seq = seq
        journal = self._journal
        found = self._fetcher.peek(seq, journal.end_seq, journal.active_seq, journal.skipped)
        return self._fetcher.record if found == MESSAGE else None

    def _set_aside(self, seq: int, end_seq: int) -> None:
        """These records are lost: if their payloads have files, these go to quarantine."""
        if self._store.list(PAYLOADS):
            self._payload_files().set_aside_all(seq, end_seq, self.window)

    def _delivered(self, seq: int) -> None:
        self.checkpoint.delivered += 1
        self.unsaved = True
        if self.identity is not None:
            self.identity.delivered(seq)
        self._listener.delivered(seq)

    def _never(self, first: int, end: int) -> None:
        """Receivers are to know that these do not come."""
        if self.identity is not None:
            self.identity.never(first, end)
