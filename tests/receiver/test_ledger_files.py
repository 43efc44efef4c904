"""The ledger on storage: over restarts, power cuts at every place, damage, and a disk that is full."""

import os
from pathlib import Path

import pytest
from persistmq import CacheInUse, StoreError
from persistmq.receiver import state as states
from persistmq.receiver.identities import Identity
from persistmq.receiver.ledger import NEW, TWICE, Batch, Key, Ledger
from persistmq.receiver.state import LedgerFiles, LedgerJournal

from persistmq_core import checkpoint as checkpoints
from persistmq_core.segment import JOURNAL
from tests.support.rng import Rng
from tests.support.write_list_store import EIO, ENOSPC, PowerCut, WriteListStore


def take(journal: LedgerJournal, *numbers: int, client: str = "pole") -> None:
    """As Receiver does it; raises StoreError."""
    batch = Batch()
    for seq in numbers:
        journal.ledger.note(Identity(client, 7, seq), True, 5, batch)
    journal.write(batch, {"at": numbers[-1]})
    journal.ledger.settle(batch)
    journal.tidy()


def has(ledger: Ledger, seq: int, client: str = "pole") -> bool:
    return ledger.look(Identity(client, 7, seq), Batch()) == TWICE


def test_it_is_the_same_after_a_restart(tmp_path: Path) -> None:
    files = LedgerFiles(tmp_path)
    take(files, 1, 2, 5)
    take(files, 3)
    kept = files.ledger.streams
    files.close()
    files.close()
    again = LedgerFiles(tmp_path)
    assert again.ledger.streams == kept and again.notes == {"at": 3} and again.damaged == 0
    assert list(again.ledger.streams[Key("pole", 7)].gaps()) == [(4, 4)]
    again.close()


def test_one_receiver_at_a_time(tmp_path: Path) -> None:
    files = LedgerFiles(tmp_path)
    with pytest.raises(CacheInUse):
        LedgerFiles(tmp_path)
    files.close()
    LedgerFiles(tmp_path).close()


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    store = WriteListStore()
    journal = LedgerJournal(store, segment_bytes_max=2048)
    for seq in range(1, 2000):
        take(journal, seq, client="c%d" % (seq // 300))
    held = sum(len(content) for content in store.snapshot().values())
    assert held < 40_000
    again = LedgerJournal(store, segment_bytes_max=2048)
    assert again.ledger.streams == journal.ledger.streams
    assert again.damaged == 0


def test_a_power_cut_anywhere_takes_nothing_that_was_written() -> None:
    cuts = 0
    for step in range(1, 400):
        for seed in range(3):
            store = WriteListStore()
            store.crash_at = step
            sure: list[int] = []
            tried: list[int] = []
            try:
                journal = LedgerJournal(store, segment_bytes_max=1024)
                for seq in range(1, 60):
                    tried.append(seq)
                    take(journal, seq, client="p" * 100)
                    sure.append(seq)
                ended = True
            except PowerCut:
                ended = False
                cuts += 1
            store.power_up(Rng(seed))
            again = LedgerJournal(store, segment_bytes_max=1024)
            assert all(has(again.ledger, seq, "p" * 100) for seq in sure), (step, seed)
            assert not any(has(again.ledger, seq, "p" * 100) for seq in range(len(tried) + 1, 70))
            take(again, 100)
            assert has(LedgerJournal(store).ledger, 100)
        if ended:
            break
    assert cuts > 300


def test_a_write_that_failed_does_not_count_and_the_next_one_does() -> None:
    for call, errno in (("append", ENOSPC), ("sync", EIO)):
        store = WriteListStore()
        journal = LedgerJournal(store)
        take(journal, 1)
        store.fail_next(call, errno)
        with pytest.raises(StoreError):
            take(journal, 2)
        assert not has(journal.ledger, 2) and journal.notes == {"at": 1}
        take(journal, 3)
        again = LedgerJournal(store)
        assert [has(again.ledger, seq) for seq in (1, 2, 3)] == [True, False, True]
        assert again.damaged == 0


def test_a_disk_on_which_it_cannot_be_written_anew_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store = WriteListStore()
    journal = LedgerJournal(store, segment_bytes_max=1024)
    for seq in range(1, 100):
        store.fail_next("replace", EIO)
        take(journal, seq)
    assert "could not be written anew" in caplog.text
    again = LedgerJournal(store, segment_bytes_max=1024)
    assert all(has(again.ledger, seq) for seq in range(1, 100))


def test_what_is_damaged_may_come_again_and_the_rest_is_known() -> None:
    store = WriteListStore()
    journal = LedgerJournal(store)
    for seq in range(1, 6):
        take(journal, seq)
    (name,) = store.list(JOURNAL)
    content = store.snapshot()[name]
    store.corrupt(name, content.index(b"[3,3]"), b"[9,9]")
    again = LedgerJournal(store)
    assert [seq for seq in range(1, 10) if has(again.ledger, seq)] == [1, 2, 4, 5]
    assert again.damaged == 1
    take(again, 3)


def test_bytes_that_storage_cannot_give_back_are_stepped_over() -> None:
    store = WriteListStore()
    journal = LedgerJournal(store)
    take(journal, 1)
    store.fail_next("read", EIO, times=2, name=store.list(JOURNAL)[0])
    assert has(LedgerJournal(store).ledger, 1)


def test_a_record_that_is_not_the_receiver_s_is_damage() -> None:
    store = WriteListStore()
    journal = LedgerJournal(store)
    take(journal, 1)
    for content in (b"no", b"{}", b'{"streams": [{}], "notes": {}}', b'{"streams": [5], "notes": {}}', b"[]"):
        journal._append([content])
    take(journal, 2)
    again = LedgerJournal(store)
    assert again.damaged == 5 and has(again.ledger, 1) and has(again.ledger, 2)


def test_without_checkpoints_it_is_all_there() -> None:
    store = WriteListStore()
    journal = LedgerJournal(store, segment_bytes_max=1024)
    for seq in range(1, 100):
        take(journal, seq)
    for name in checkpoints.NAMES:
        store.corrupt(name, 30, b"\xff")
    again = LedgerJournal(store)
    assert all(has(again.ledger, seq) for seq in range(1, 100))


def test_a_state_directory_is_not_a_publisher_s_cache(tmp_path: Path) -> None:
    files = LedgerFiles(tmp_path)
    take(files, 1)
    files.close()
    assert os.listdir(tmp_path) == ["ledger"]


def test_what_is_put_aside_is_kept_once(tmp_path: Path) -> None:
    files = LedgerFiles(tmp_path)
    name = states.ASIDE + "abc"
    assert files.put_aside(name, {"topic": "t"}, b"\x00\n") and not files.put_aside(name, {"topic": "t"}, b"\x00\n")
    assert files.aside() == (1, (tmp_path / "ledger" / "quarantine" / name).stat().st_size)
    assert (tmp_path / "ledger" / "quarantine" / name).read_bytes() == b'{"topic": "t"}\n\x00\n'
    assert files.ledger.look(Identity("pole", 7, 1), Batch()) == NEW
    files.close()
