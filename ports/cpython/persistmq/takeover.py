"""Taking over the messages that persistmq 0.1.4 left in the cache directory: in order, once, whatever is cut short.

A batch of them is written to the journal as one group. Before that a mark says which ones these are and which numbers
they get, so a start that finds the mark looks whether the journal has these numbers. An original of which all is in the
journal is moved to ``taken-over/``; its name there says before which number that is, and when all before it is settled
the original is removed. So a message is in an original until it is settled.

What cannot be taken over is moved to ``quarantine/``, and reported. Nothing of this keeps a client from starting. While
the disk has no room for it ``publish()`` fails, as it would anyway: new messages go behind the old ones.
"""

import errno
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from persistmq_core.contracts import Store
from persistmq_core.engine import Engine
from persistmq_core.errors import StoreError, is_unreadable
from persistmq_core.journal import MESSAGE, NOTHING, JournalReader
from persistmq_core.limits import READS_BEFORE_DAMAGED
from persistmq_core.prepared import accept
from persistmq_core.spool import IsLarge, Spool

from . import clock, directory, older_caches
from .delivery_elsewhere import DeliveryElsewhere
from .delivery_here import DeliveryHere
from .group_commit import GroupCommit
from .older_caches import BATCH_BYTES, BATCH_MESSAGES, DATABASE, Database, InUse, Message
from .takeover_mark import Mark

logger = logging.getLogger("persistmq")

KEPT = "taken-over"
_WAIT_S = 10.0  # for another process that has the database
_LOOK_AGAIN_S = 0.1
_RETRY_MS_MIN = 1000
_RETRY_MS_MAX = 60_000
_REPORTS_MAX = 100  # of single messages, in the log
_NEVER_MS = 1 << 30


def take_over(
    cache_path: str | os.PathLike[str], store: Store, engine: Engine, commits: GroupCommit
) -> "TakeOver | None":
    """Do it, before anything is published. None if nothing is left to do, to keep or to say."""
    path = os.path.abspath(cache_path)
    if not os.path.isdir(path + "/" + KEPT) and not older_caches.names(path):
        return None
    found = TakeOver(path, store, engine, commits)
    found.run()
    found.settle(engine.lanes[0].delivery.cursor())
    return None if found.is_done() else found


class _Immovable(Exception):
    """An original must stay where it is. The mark says what of it is in the journal."""


class TakeOver:
    """Into the first lane of ``engine``, whose files are in ``store``. ``error``: why not all is taken over, or "".
    ``is_pending``: publish() must wait for it.
    """

    def __init__(self, path: str, store: Store, engine: Engine, commits: GroupCommit) -> None:
        self.error = ""
        self.is_pending = False
        self._said = ""
        self._path = path
        self._store = store
        self._lane = engine.lanes[0]
        self._spill = engine.spill
        self._commits = commits
        self._cache_id = self._lane.delivery.checkpoint.cache_id
        self._mark = Mark(path + "/" + KEPT, self._cache_id)
        self._errno = 0
        self._count = 0
        self._refused: set[int] = set()
        self._wait_s = _WAIT_S
        self._retry_at_ms = 0
        self._retry_ms = _RETRY_MS_MIN
        self._kept: deque[tuple[int, str]] = deque()
        if os.path.isdir(path + "/" + KEPT):
            self._list_kept()

    def is_done(self) -> bool:
        """Nothing waits, nothing is kept, and there is nothing to say."""
        return not self.is_pending and not self._kept and not self.error

    def check(self, start: Callable[[], None]) -> None:
        """Before a message is published: raises StoreError while older ones wait for the disk.

        ``start``: begins the thread that tries again.
        """
        if self.is_pending:
            start()
            raise StoreError(self._errno, self.error)

    def turn(self, now_ms: int, delivery: DeliveryHere | DeliveryElsewhere) -> int:
        """By the client's thread: try again if it is time, and remove what is settled.

        Returns for how many milliseconds there is nothing to do.
        """
        if self.is_pending and now_ms >= self._retry_at_ms and not self._commits.is_held():
            end_seq = self._lane.journal.end_seq
            self.run()
            if self._lane.journal.end_seq > end_seq:
                delivery.appended()
        self._stay_on_storage()
        self.settle(delivery.cursors()[0])
        return max(100, self._retry_at_ms - now_ms) if self.is_pending else _NEVER_MS

    def _stay_on_storage(self) -> None:
        """Durability "spill": what waits in RAM would be taken for stored, and its numbers for given."""
        if self.is_pending and self._spill is not None:
            self._spill.wanted = True

    def settle(self, cursor: int) -> None:
        """Remove the originals of which all is settled: every number before ``cursor`` is."""
        while self._kept and self._kept[0][0] <= cursor:
            _, name = self._kept.popleft()
            with suppress(OSError):  # it is found again at the next start
                os.unlink(self._full(name))
            self._remove_folder()

    def _remove_folder(self) -> None:
        if not self._kept:
            with suppress(OSError):  # there is something else in it
                os.rmdir(self._full(KEPT))

    def run(self) -> None:
        """Take over all that can be now. Raises for nothing that it finds."""
        self._said = ""
        must_wait = False
        self._commits.hold()
        try:
            self._run()
        except _Immovable as failure:
            self._say("what persistmq 0.1.4 left cannot be moved: %s", failure)
        except OSError as failure:
            # Nothing else may be written meanwhile: it would get the numbers that the mark names.
            must_wait = True
            self._errno = failure.errno or errno.EIO
            self._say("messages of persistmq 0.1.4 wait to be taken over: %s", failure)
            self._retry_at_ms = clock.now_ms() + self._retry_ms
            self._retry_ms = min(2 * self._retry_ms, _RETRY_MS_MAX)
        finally:
            self._commits.let_go()
        self._remove_folder()
        # Not before: other threads look at these.
        self.error = self._said
        self.is_pending = must_wait
        self._wait_s = 0.0  # by the thread that delivers
        self._stay_on_storage()
        if self._count:
            logger.info("%d messages of persistmq 0.1.4 were taken over", self._count)
            self._count = 0

    # --- the steps ---

    def _run(self) -> None:
        self._mark.read()
        self._resolve()
        self._take_pickles()
        self._take_database()
        if self._mark.is_there():
            if older_caches.names(self._path):
                self._mark.forget_batch()  # what is published from now on may get its numbers
                self._mark.write()
            else:
                self._mark.remove()

    def _resolve(self) -> None:
        """What of the batch that was under way is in the journal?"""
        mark = self._mark
        if not mark.first_seqs:
            return
        found = self._in_journal(mark.first_seqs, len(mark.keys))
        if not found:
            return
        first_seq = max(mark.first_seqs)
        for index in sorted(found):
            name = mark.keys[index]
            if isinstance(name, str) and os.path.lexists(self._full(name)):
                self._keep(name, first_seq + index + 1)
        self._sync_folders()
        mark.settle_batch([mark.keys[index] for index in found])

    def _in_journal(self, first_seqs: "list[int]", count: int) -> "set[int]":
        """Which of so many messages are there, or were; they were tried under each of these first numbers."""
        journal = self._lane.journal
        if self._lane.delivery.cursor() > min(first_seqs):
            return set(range(count))  # it goes no further than what was stored and said to be
        reader = JournalReader(self._store, self._cache_id)
        found = set()
        for first_seq in sorted(first_seqs):
            reader.rewind()
            seq = first_seq
            while seq < min(first_seq + count, journal.end_seq):
                kind = self._peek(reader, seq)
                if kind == NOTHING:
                    break
                if kind == MESSAGE:
                    found.add(seq - first_seq)
                    seq += 1
                else:
                    seq = max(seq + 1, reader.gap_end)
        return found

    def _peek(self, reader: JournalReader, seq: int) -> int:
        journal = self._lane.journal
        for _ in range(READS_BEFORE_DAMAGED):
            try:
                return reader.peek(seq, journal.end_seq, journal.active_seq, journal.skipped)
            except OSError as failure:
                if not is_unreadable(failure):
                    raise
        return reader.peek(seq, journal.end_seq, journal.active_seq, journal.skipped)

    def _take_pickles(self) -> None:
        names = [name for name in older_caches.names(self._path) if older_caches.is_pickle(name)]
        while names:
            batch: list[tuple[int | str, Message]] = []
            size = 0
            while names and len(batch) < BATCH_MESSAGES and size < BATCH_BYTES:
                name = names.pop(0)
                try:
                    batch.append((name, older_caches.read_pickle(self._full(name))))
                    size += os.stat(self._full(name)).st_size
                except FileNotFoundError:
                    continue
                except (ValueError, OSError) as error:
                    self._set_aside(name, str(error))
            if batch:
                first_seq = self._write(batch)
                for index, (key, _) in enumerate(batch):
                    self._keep(str(key), first_seq + index + 1)
                self._sync_folders()

    def _take_database(self) -> None:
        present = [name for name in older_caches.names(self._path) if not older_caches.is_pickle(name)]
        if DATABASE not in present:
            for name in present:
                self._set_aside(name, "there is no database that it belongs to")
            return
        if not older_caches.is_plain_file(self._full(DATABASE)):
            self._set_aside(DATABASE, "it is no file")
            return
        try:
            database = self._open()
        except InUse as error:
            self._say(f"{DATABASE} of persistmq 0.1.4 is left for the next start: %s", error)
            return
        except ValueError as error:
            self._set_aside(DATABASE, str(error))
            return
        except OSError as error:
            self._say(f"{DATABASE} of persistmq 0.1.4 cannot be opened: %s", error)
            return
        try:
            self._take_rows(database)
        finally:
            database.close()
        if database.lost or self._mark.is_flawed:
            words = "at least %d of its messages do not read" % database.lost if database.lost else "see the log"
            self._set_aside(DATABASE, "not all of it could be taken over: " + words)
            return
        until = self._lane.journal.end_seq
        for name in (DATABASE, *older_caches.SIDE_FILES):
            if os.path.lexists(self._full(name)):
                self._keep(name, until)
        self._sync_folders()

    def _open(self) -> Database:
        """Raises InUse, ValueError, OSError."""
        deadline = time.monotonic() + self._wait_s
        while pid := older_caches.user_of(self._full(DATABASE)):
            if time.monotonic() >= deadline:
                raise InUse("process %d has it open" % pid)
            time.sleep(_LOOK_AGAIN_S)
        return Database(self._full(DATABASE), self._wait_s, self._refuse_row)

    def _take_rows(self, database: Database) -> None:
        mark = self._mark
        if mark.fingerprint != database.fingerprint:
            if mark.fingerprint is not None:
                logger.warning("%s was changed while it was taken over: some of it may come twice", DATABASE)
            mark.begin_database(database.fingerprint)
        while batch := database.batch(mark.done, set(mark.taken)):
            mark.is_flawed = mark.is_flawed or database.lost > 0
            self._write(batch)

    def _write(self, batch: "Sequence[tuple[int | str, Message]]") -> int:
        """To the journal, durably; returns the number of the first. Raises StoreError, OSError."""
        spool = self._lane.spool
        mark = self._mark
        first_seq = spool.next_seq
        mark.begin_batch([key for key, _ in batch], first_seq)
        mark.write()
        room, spool.room = spool.room, None  # they are on this disk already, and none is to be given up for another
        try:
            _stage(spool, [message for _, message in batch])
            group = spool.take()
            assert group is not None
            group.write()
            spool.finish(group)
        finally:
            spool.room = room
        if group.error is not None:
            spool.discard(group)
            raise group.error
        mark.settle_batch(mark.keys)
        self._count += len(batch)
        return first_seq

    # --- originals ---

    def _keep(self, name: str, until: int) -> None:
        """Move it to where it is until all before the number ``until`` is settled."""
        os.makedirs(self._full(KEPT), directory.FOLDER_MODE, exist_ok=True)
        kept = "%s/%016x-%08x-%s" % (KEPT, until, self._cache_id, name)
        try:
            os.rename(self._full(name), self._full(kept))
        except PermissionError as error:
            raise _Immovable(error) from error
        self._kept.append((until, kept))

    def _list_kept(self) -> None:
        found = []
        for name in os.listdir(self._full(KEPT)):
            until, _, rest = name.partition("-")
            cache_id = rest.partition("-")[0]
            with suppress(ValueError):
                if int(cache_id, 16) == self._cache_id:
                    found.append((int(until, 16), KEPT + "/" + name))
        self._kept.extend(sorted(found))

    def _sync_folders(self) -> None:
        if os.path.isdir(self._full(KEPT)):
            directory.sync_folder(self._full(KEPT))
        directory.sync_folder(self._path)

    def _set_aside(self, name: str, reason: str) -> None:
        endings = [other[len(DATABASE) :] for other in older_caches.SIDE_FILES] if name == DATABASE else []
        try:
            aside = directory.set_aside(self._path, name, endings)
        except PermissionError as error:
            raise _Immovable(error) from error
        self._say(f"{name} of persistmq 0.1.4 is now {aside}: %s", reason)

    def _refuse_row(self, number: int, reason: str) -> None:
        self._mark.is_flawed = True
        if number in self._refused:
            return  # by an earlier try
        self._refused.add(number)
        if len(self._refused) <= _REPORTS_MAX:
            logger.error("message %d of %s cannot be sent: %s", number, DATABASE, reason)

    def _say(self, words: str, reason: object) -> None:
        self._said = words % reason
        logger.error(words, reason)

    def _full(self, name: str) -> str:
        return self._path + "/" + name


def _stage(spool: Spool, messages: list[Message]) -> None:
    """Raises StoreError."""
    try:
        spool.stage_all(messages, clock.stamp_ms())
    except IsLarge:
        accept(spool, messages, 0, clock.stamp_ms, lambda full: None)
