"""Giving up the oldest messages when the cache is full: a range of numbers behind the window that is settled at once.

The accounts and the range are on storage before a file goes (law 5). The walk of the delivery passes the range when it
comes there.
"""

from .checkpoint import Checkpoint
from .contracts import Listener
from .journal import Journal, JournalReader
from .window import SETTLE, Window

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .payload_files import PayloadFiles


class Eviction:
    """The range is in the checkpoint: ``evicted_first``, ``evicted_end``, ``evicted_skipped``."""

    def __init__(
        self,
        state: Checkpoint,
        window: Window,
        journal: Journal,
        reader: JournalReader,
        payloads: "PayloadFiles | None" = None,
    ) -> None:
        self._payloads = payloads
        self._state = state
        self._window = window
        self._journal = journal
        self._reader = reader

    def evict(
        self, sent_end: int, messages: int, wanted_bytes: int, save: "object", listener: Listener
    ) -> None:
        """Give up what ``plan`` finds, and tell of it when ``save`` has made that durable. Raises OSError."""
        state = self._state
        before = state.evicted_first, state.evicted_end, state.evicted_skipped, state.evicted
        evicted = self.plan(sent_end, messages, wanted_bytes)
        if not evicted:
            return
        try:
            save()  # type: ignore[operator]
        except (OSError, MemoryError):
            state.evicted_first, state.evicted_end, state.evicted_skipped, state.evicted = before
            raise
        for begin, end in evicted:
            for seq in range(begin, end):
                listener.dropped(seq, "evicted", 0)

    def plan(self, sent_end: int, messages: int, wanted_bytes: int) -> "list[tuple[int, int]]":
        """Extend the range until so many messages and bytes of files are free of it, as far as that goes.

        ``sent_end``: numbers before it may have been sent. Returns the runs of messages that are evicted with it.
        Raises OSError.
        """
        state = self._state
        touched = max(self._window.end, state.evicted_end)
        first = max(touched, sent_end)
        extends = state.evicted_end > self._window.end
        if extends and first > state.evicted_end:
            return []  # a second range
        journal = self._journal
        runs = self._reader.runs(first - 1, journal.end_seq, journal.active_seq, journal.skipped)
        evicted: list[tuple[int, int]] = []
        end = first
        skipped = 0
        for run_first, found_end, next_first, next_skipped, run_bytes in runs:
            if messages <= 0 and wanted_bytes <= 0:
                break
            if run_first > end:  # its beginning is lost: the walk has to find that
                if extends:
                    break
                first = end = run_first
            # A checkpoint that was lost may have known of more: what is missing there need not have been skipped.
            run_end = found_end
            if next_skipped >= 0:
                counted = state.skipped + state.evicted_skipped + skipped
                run_end = max(run_end, next_first - max(0, next_skipped - counted))
            if run_first < first and run_end < first <= next_first:
                # Numbers that never were a message: into the range with them, or they would be looked for in a file
                # whose end is not known when the next one is gone.
                first = end = max(touched, run_end)
            begin = max(end, run_first)
            stop = max(begin, run_end)
            freed = 0
            if self._payloads is not None and wanted_bytes > 0:
                freed_end, freed = self._payloads.freed_by(begin, stop, wanted_bytes)
                wanted_bytes -= freed
                if wanted_bytes <= 0 or not run_bytes:
                    stop = max(freed_end, min(stop, begin + messages))
            elif wanted_bytes <= 0:
                stop = min(stop, begin + messages)
            if wanted_bytes > 0 and not run_bytes and not freed:
                break
            if stop > begin:
                evicted.append((begin, stop))
            messages -= stop - begin
            if stop < run_end:
                end = stop
                break
            if run_first >= first:
                wanted_bytes -= run_bytes
            skipped += next_first - stop
            end = next_first
        if evicted:
            if state.evicted_end == first:
                first, skipped = state.evicted_first, skipped + state.evicted_skipped
            state.evicted_first, state.evicted_end, state.evicted_skipped = first, end, skipped
            state.evicted += sum([stop - begin for begin, stop in evicted])
        return evicted

    def covers(self, seq: int) -> bool:
        """``seq`` was evicted, or is a number that never was a message, among such."""
        return self._state.evicted_first <= seq < self._state.evicted_end

    def passes(self, seq: int) -> int:
        """The walk is at ``seq``, which is covered: settle what has a place in the window; where it goes on."""
        state = self._state
        window = self._window
        state.skipped += state.evicted_skipped
        state.evicted_skipped = 0
        if window.cursor == seq and window.jump(state.evicted_end):
            return state.evicted_end
        while seq < state.evicted_end and window.has_room(seq):
            window.move(seq, SETTLE)
            seq += 1
        window.advance()
        return max(seq, window.cursor)
