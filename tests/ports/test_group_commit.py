"""Many callers, one sync: what the end leaves."""

from typing import Any

from persistmq.group_commit import GroupCommit

from persistmq_core.journal import MESSAGE, Journal, JournalReader
from persistmq_core.spool import Spool
from tests.support.journal_files import CACHE_ID
from tests.support.write_list_store import ENOSPC, WriteListStore


class Cache:
    """``keep_failed``: see GroupCommit."""

    def __init__(self, keep_failed: bool = False) -> None:
        self.store: Any = WriteListStore()
        self.journal = Journal(self.store, 1024, CACHE_ID)
        self.journal.resume(1, 0, "", 0, 0)
        self.spool = Spool(self.journal, CACHE_ID)
        self.commits = GroupCommit(self.spool, self.journal, keep_failed)

    def stage(self, payload: bytes) -> int:
        return self.commits.stage("t", payload, 1, False)

    def publish(self, payload: bytes) -> None:
        self.commits.commit(self.stage(payload))

    def stored(self) -> list[bytes]:
        """What will be delivered."""
        reader = JournalReader(self.store, CACHE_ID)
        journal = self.journal
        found = []
        seq = 1
        while seq < journal.end_seq:
            if reader.peek(seq, journal.end_seq, journal.active_seq, journal.skipped) == MESSAGE:
                assert reader.record is not None
                found.append(bytes(reader.record.payload))
                seq += 1
            else:
                seq = reader.gap_end
        return found


def test_the_end_writes_what_was_staged_behind_a_group_that_had_failed() -> None:
    cache = Cache(keep_failed=True)
    cache.stage(b"a")
    cache.store.fail_next("sync", ENOSPC)
    assert not cache.commits.commit_staged()
    for payload in (b"b", b"c"):
        cache.stage(payload)
    cache.commits.end()
    assert (cache.stored(), cache.commits.staged()) == ([b"a", b"b", b"c"], 0)


def test_the_end_on_a_disk_that_still_fails_leaves_all_of_it() -> None:
    cache = Cache(keep_failed=True)
    cache.stage(b"a")
    cache.store.fail_next("sync", ENOSPC)
    cache.commits.commit_staged()
    cache.stage(b"b")
    cache.store.fail_next("sync", ENOSPC)
    cache.commits.end()
    assert (cache.stored(), cache.commits.staged()) == ([], 2)
