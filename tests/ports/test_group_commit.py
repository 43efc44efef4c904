"""Many callers, one sync: what a signal handler may do in the middle of it, and what the end leaves."""

from collections.abc import Callable
from typing import Any

import pytest
from persistmq.group_commit import GroupCommit

from persistmq_core import spool as spools
from persistmq_core.errors import StoreError
from persistmq_core.journal import MESSAGE, Journal, JournalReader
from persistmq_core.record import encode
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


def once(work: Callable[[], object]) -> Callable[[], None]:
    left = [work]

    def signal() -> None:
        if left:
            left.pop()()

    return signal


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


def test_who_led_a_group_that_failed_is_told_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache()
    monkeypatch.setattr(cache.commits, "_queue", lambda _seq: pytest.fail("it waits"))
    for _ in range(3):
        cache.store.fail_next("sync", ENOSPC)
        with pytest.raises(StoreError):
            cache.publish(b"a")
    cache.publish(b"b")
    assert cache.stored() == [b"b"]


@pytest.mark.parametrize("call", ["stage", "stage_now", "stage_all"])
@pytest.mark.parametrize("where", ["in the write", "in the framing"])
def test_what_a_signal_handler_is_told_was_not_accepted_is_not_stored(
    call: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache()
    told: list[str] = []

    def handler() -> None:
        message: Any = [[("t", b"handler", 1, False)]] if call == "stage_all" else ["t", b"handler", 1, False]
        try:
            cache.commits.commit(getattr(cache.commits, call)(*message))
        except StoreError as error:
            told.append(str(error))

    signal = once(handler)
    real_sync = cache.store.sync

    def sync(name: str) -> None:
        signal()
        real_sync(name)

    def frame(*arguments: Any) -> bytes:
        signal()
        return encode(*arguments)

    if where == "in the write":
        cache.store.sync = sync
    else:
        monkeypatch.setattr(spools, "encode", frame)
    cache.publish(b"one")
    cache.publish(b"two")
    assert (cache.stored(), cache.journal.end_seq) == ([b"one", b"two"], 3)
    assert len(told) == 1


def test_async_a_signal_handler_may_publish_while_its_thread_writes() -> None:
    cache = Cache(keep_failed=True)
    signal = once(lambda: cache.stage(b"handler"))
    real_sync = cache.store.sync

    def sync(name: str) -> None:
        signal()
        real_sync(name)

    cache.store.sync = sync
    cache.stage(b"one")
    assert cache.commits.commit_staged()
    assert cache.commits.staged() == 1
    assert cache.commits.commit_staged()
    assert cache.stored() == [b"one", b"handler"]
