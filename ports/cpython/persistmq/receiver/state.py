"""The ledger on storage, in a directory: what was handed out is appended to a journal, by the laws of the publisher's.

Each record adds to what the records before it say, and may be read twice. From time to time all is written anew, and
the checkpoint's cursor set to where that begins; what lies before it is removed. Damage is stepped over and reported:
what it held may be handed out again, and nothing is lost by it.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any

from persistmq_core import checkpoint as checkpoints
from persistmq_core.contracts import Store
from persistmq_core.errors import is_unreadable
from persistmq_core.journal import GAP, MESSAGE, Journal, JournalReader
from persistmq_core.limits import READ_BYTES, REMAINING_LENGTH_MAX, SEGMENT_BYTES_MAX
from persistmq_core.recovery import recover
from persistmq_core.spool import Spool

from ..chance import SystemRandom
from ..clock import unix_ms
from ..lock import CacheLock
from ..store import FileStore
from .ledger import Batch, Key, Ledger, Stream
from .ranges import Ranges

logger = logging.getLogger("persistmq.receiver")

ASIDE = "message-"  # how the names begin of what is put aside
_FOLDER = "ledger"  # of the state directory: a publisher's client that is given that directory does not send this
_TOPIC = "ledger"
_COUNTS = ("first", "closed_end", "closed", "received", "repeated", "last_ms")
_RECORD_STREAMS_MAX = 100  # in one record of a rewriting
_COPY_ATTEMPTS = 5
_GROWTH_MAX = 4  # times its size after the last rewriting, and a segment


class LedgerJournal:
    """The ledger in ``store``. Raises FormatError, OSError.

    ``damaged``: records, at most, that did not read. ``notes``: what was last stored with ``write``.
    """

    def __init__(self, store: Store, expects_all: bool = False, segment_bytes_max: int = SEGMENT_BYTES_MAX) -> None:
        self.damaged = 0
        self.notes: dict[str, Any] = {}  # of the output: where it stands
        self.ledger = Ledger(expects_all)
        self._store = store
        self._segment_bytes_max = segment_bytes_max
        found = recover(store, 1, SystemRandom())
        cache_id = found.checkpoint.cache_id
        self._checkpoint = found.checkpoint
        self._journal = Journal(store, segment_bytes_max, cache_id)
        self._journal.resume(
            found.end_seq, found.skipped, found.active_name, found.active_first, found.active_bytes, found.held_bytes
        )
        self._spool = Spool(self._journal, cache_id, inline_bytes_max=REMAINING_LENGTH_MAX)
        self._reader = JournalReader(store, cache_id, READ_BYTES)
        self._read(found.checkpoint.cursor)
        self._rewrite_bytes = self._allowed_bytes()
        if found.checkpoint.generation == 0:
            self._save(found.checkpoint.cursor)

    def write(self, batch: Batch, notes: "dict[str, Any] | None" = None) -> None:
        """Make it durable, and ``notes`` with it. Raises StoreError: nothing of it counts, and it may be tried again.

        The ledger itself is left as it is: see ``Ledger.settle``.
        """
        streams = [(key, self.ledger.with_counts(key, taken)) for key, taken in batch.streams.items()]
        all_notes = self.notes | (notes or {})
        self._append([_encode(streams, all_notes)])
        self.notes = all_notes

    def tidy(self) -> None:
        """Write all anew if the journal has grown for it. Behind ``Ledger.settle``. A full disk changes nothing."""
        if self._journal.appended_bytes - self._reader.reclaimed_bytes <= self._rewrite_bytes:
            return
        try:
            self._rewrite()
        except OSError as failure:
            logger.warning("the receiver's journal could not be written anew, it goes on growing: %s", failure)

    # --- inside ---

    def _read(self, seq: int) -> None:
        journal = self._journal
        skipped = self._checkpoint.skipped
        while seq < journal.end_seq:
            try:
                what = self._reader.peek(seq, journal.end_seq, journal.active_seq, journal.skipped)
            except OSError as failure:
                if not is_unreadable(failure):
                    raise
                continue  # the reader counts, and takes it for damage at last
            record = self._reader.record
            if what == MESSAGE:
                if not self._restore(bytes(record.payload)):
                    self.damaged += 1
                seq += 1
            elif what == GAP:
                newly_skipped = max(0, self._reader.gap_skipped - skipped)  # by writes that failed
                self.damaged += max(0, self._reader.gap_end - seq - newly_skipped)
                skipped += newly_skipped
                seq = self._reader.gap_end
            else:
                break
        if self._reader.damaged_bytes:
            logger.error(
                "%d bytes of the receiver's journal are damaged: messages may come again", self._reader.damaged_bytes
            )

    def _restore(self, content: bytes) -> bool:
        try:
            streams, notes = _decode(content)
        except (ValueError, KeyError, TypeError):
            return False
        for key, stored in streams:
            self.ledger.streams.setdefault(key, Stream()).restore(stored)
        self.notes |= notes
        return True

    def _append(self, contents: "Iterable[bytes]") -> int:
        """All of it or nothing. The number of the first record."""
        first_seq = self._spool.next_seq
        for content in contents:
            self._spool.stage(_TOPIC, content, 0, False, unix_ms())
        group = self._spool.take()
        if group is not None:
            group.write()
            self._spool.finish(group)
            if group.error is not None:
                raise group.error
        return first_seq

    def _rewrite(self) -> None:
        """All that is known, into a new segment; then those before it can go."""
        self._journal.seal()
        every = list(self.ledger.streams.items())
        parts = [every[at : at + _RECORD_STREAMS_MAX] for at in range(0, len(every), _RECORD_STREAMS_MAX)]
        first_seq = self._append([_encode(part, self.notes) for part in parts or [[]]])
        self._save(first_seq)
        journal = self._journal
        self._reader.rewind()
        self._reader.peek(first_seq, journal.end_seq, journal.active_seq, journal.skipped)  # it lists the segments
        self._reader.reclaim(first_seq)
        self._rewrite_bytes = self._allowed_bytes()

    def _save(self, cursor: int) -> None:
        state = self._checkpoint
        state.cursor = state.sent_bound = cursor
        state.skipped = min(self._journal.skipped, cursor - 1)
        state.delivered = cursor - 1 - state.skipped
        checkpoints.save(self._store, state)

    def _allowed_bytes(self) -> int:
        """How much the journal may have before it is written anew."""
        streams = self.ledger.streams.values()
        new_bytes = sum(200 + 40 * (len(stream.have) + len(stream.never)) for stream in streams)
        return self._segment_bytes_max + _GROWTH_MAX * new_bytes


class LedgerFiles(LedgerJournal):
    """The ledger in the directory ``path``. Raises CacheInUse if another receiver has it, FormatError, OSError."""

    def __init__(self, path: "str | os.PathLike[str]", expects_all: bool = False) -> None:
        folder = os.path.join(os.fspath(path), _FOLDER)
        self._lock = CacheLock(folder)
        try:
            self._files = FileStore(folder)
            super().__init__(self._files, expects_all)
        except BaseException:
            self._lock.release()
            raise

    def put_aside(self, name: str, head: "dict[str, Any]", payload: bytes) -> bool:
        """Keep a message under ``quarantine/``: a line of JSON, then its payload. Durable then; raises OSError.

        False if it was there already.
        """
        path = "quarantine/" + name
        if path in self._store.list("quarantine"):
            return False
        self._store.replace(path, json.dumps(head).encode() + b"\n" + payload)
        return True

    def aside(self) -> "tuple[int, int]":
        """How many messages lie there, and their bytes."""
        names = [name for name in self._files.list("quarantine") if name.startswith("quarantine/" + ASIDE)]
        return len(names), sum(self._files.size(name) for name in names)

    def close(self) -> None:
        """A second call does nothing."""
        self._files.close()
        self._lock.release()


def read_ledger(path: "str | os.PathLike[str]") -> Ledger:
    """What a receiver has stored there, which may be at work. Raises OSError, FormatError."""
    folder = os.path.join(os.fspath(path), _FOLDER)
    with tempfile.TemporaryDirectory() as copies:
        for attempt in range(_COPY_ATTEMPTS):  # files go while they are copied
            try:
                copy = shutil.copytree(folder, os.path.join(copies, str(attempt)), ignore=_nothing_else)
                break
            except (shutil.Error, FileNotFoundError):
                if attempt + 1 == _COPY_ATTEMPTS or not os.path.isdir(folder):
                    raise
        store = FileStore(copy)
        try:
            return LedgerJournal(store).ledger
        finally:
            store.close()


def _nothing_else(_folder: str, names: list[str]) -> list[str]:
    """Of a ledger's folder, what is not copied."""
    return [name for name in names if name in ("quarantine", "lock")]


def _encode(streams: "Iterable[tuple[Key, Stream]]", notes: "dict[str, Any]") -> bytes:
    found = [
        {"client": key.client, "epoch": key.epoch, "have": list(stream.have), "never": list(stream.never)}
        | {name: getattr(stream, name) for name in _COUNTS}
        for key, stream in streams
    ]
    return json.dumps({"streams": found, "notes": notes}, separators=(",", ":")).encode()


def _decode(content: bytes) -> "tuple[list[tuple[Key, Stream]], dict[str, Any]]":
    """Raises ValueError, KeyError or TypeError for what ``_encode`` has not made."""
    whole = json.loads(content)
    found = []
    for each in whole["streams"]:
        key = Key(each["client"], each["epoch"])
        have, never = Ranges(map(tuple, each["have"])), Ranges(map(tuple, each["never"]))
        found.append((key, Stream(**{name: each[name] for name in _COUNTS}, have=have, never=never)))
    return found, whole["notes"]
