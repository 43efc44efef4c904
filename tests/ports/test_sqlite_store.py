"""The store on SQLite: what becomes of a transaction that fails, of the device's room, and of a fork."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from persistmq import sqlite_store
from persistmq.sqlite_store import SqliteStore

from tests.main_job import processes
from tests.support.sqlite_case import CHECKPOINT, SEGMENT, FailingConnection, contents, database
from tests.support.store_files import read_all


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path)
    yield made
    made.close()


def full_disk() -> sqlite3.Error:
    failure = sqlite3.OperationalError("database or disk is full")
    failure.sqlite_errorcode = sqlite3.SQLITE_FULL
    return failure


def test_what_was_appended_is_lost_with_the_transaction_and_sync_says_so(store: SqliteStore) -> None:
    store.append(SEGMENT, b"before")
    store.sync(SEGMENT)
    failing = FailingConnection(store, "COMMIT", full_disk())
    store.append(SEGMENT, b"lost")
    with pytest.raises(OSError) as caught:
        store.replace("checkpoint.0", CHECKPOINT)  # the other side's: its failure undoes both
    assert caught.value.errno == errno.ENOSPC
    failing.heal()
    with pytest.raises(OSError) as caught:
        store.sync(SEGMENT)
    assert caught.value.errno == errno.ENOSPC
    assert contents(store) == {SEGMENT: b"before"}
    store.append(SEGMENT, b" and after")
    store.sync(SEGMENT)
    assert read_all(store, SEGMENT) == b"before and after"


def test_a_file_whose_making_failed_is_not_there(store: SqliteStore, path: Path) -> None:
    failing = FailingConnection(store, "COMMIT", full_disk())
    store.append(SEGMENT, b"lost")
    with pytest.raises(OSError, match="No space left"):
        store.sync(SEGMENT)
    failing.heal()
    assert store.list("journal") == []
    with pytest.raises(FileNotFoundError):
        store.size(SEGMENT)
    for call in ("remove", "move"):
        store.append(SEGMENT, b"kept")
        store.sync(SEGMENT)
        failing = FailingConnection(store, "COMMIT", full_disk())
        with pytest.raises(OSError, match="No space left"):
            getattr(store, call)(SEGMENT, *["journal/other"][: call == "move"])
        failing.heal()
        assert contents(store) == {SEGMENT: b"kept"}
        store.remove(SEGMENT)


def test_a_database_that_somebody_else_has_locked_is_busy_and_free_again(
    store: SqliteStore, path: Path
) -> None:
    assert store._writer is not None
    store._writer.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(database(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OSError, match="locked") as caught:
        store.append(SEGMENT, b"one")
    assert caught.value.errno == errno.EBUSY
    other.rollback()
    other.close()
    store.append(SEGMENT, b"two")
    store.sync(SEGMENT)
    assert read_all(store, SEGMENT) == b"two"


def test_a_file_of_4_gib_is_refused(store: SqliteStore) -> None:
    store.append(SEGMENT, b"one")
    store._files[SEGMENT].size = (1 << 32) - 3
    with pytest.raises(OSError) as caught:
        store.append(SEGMENT, b"two")
    assert caught.value.errno == errno.EFBIG


def test_numbers_of_files_that_are_gone_are_used_again_in_the_end(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "NUMBERS_MAX", 6)
    for number in range(20):
        store.append("journal/%d" % number, b"%d" % number)
        store.sync("journal/%d" % number)
        if number >= 3:
            store.remove("journal/%d" % (number - 3))
        kept = range(max(0, number - 2), number + 1)
        assert contents(store) == {"journal/%d" % other: b"%d" % other for other in kept}


# --- the device ---


def test_a_database_that_was_large_is_written_anew_when_it_is_nearly_empty(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_FREE_PAGES_MAX", 100)
    monkeypatch.setattr(sqlite_store, "_USED_PAGES_FEW", 50)
    store.append("journal/kept", b"kept" * 5000)
    store.append("journal/large", bytes(4_000_000))
    store.sync("journal/large")
    store.append("journal/next", b"next")
    store.sync("journal/next")
    large = database(path).stat().st_size
    free_before = store.free_bytes()
    store.remove("journal/large")
    assert database(path).stat().st_size < large / 10
    assert store.free_bytes() > free_before
    assert contents(store) == {"journal/kept": b"kept" * 5000, "journal/next": b"next"}


def test_room_is_kept_for_removing_and_what_was_removed_can_be_written_again(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("journal/first", bytes(1_000_000))
    store.sync("journal/first")
    real = os.statvfs(path)
    nearly_full = os.statvfs_result((*real[:3], 300, 500, *real[5:]))  # f_bfree and f_bavail, in blocks
    assert 500 * real.f_frsize < 2 << 20
    monkeypatch.setattr(os, "statvfs", lambda path: nearly_full)
    with pytest.raises(OSError, match="No space left") as caught:
        store.append("journal/second", bytes(1000))
    assert caught.value.errno == errno.ENOSPC
    assert store.free_bytes() == 0
    store.replace("checkpoint.0", CHECKPOINT)
    store.remove("journal/first")
    assert store.free_bytes() > 500_000
    store.append("journal/second", bytes(900_000))
    store.sync("journal/second")
    with pytest.raises(OSError, match="No space left"):
        store.append("journal/third", bytes(400_000))


# --- forks ---


FORK = """
import gc, os, sys
from persistmq.sqlite_store import SqliteStore
store = SqliteStore(sys.argv[1])
store.append("journal/1", b"one")
store.sync("journal/1")
store.append("journal/1", b"two")  # and the transaction stays open
go_on, tell = os.pipe()
child = os.fork()
if child == 0:
    os.read(go_on, 1)  # until the parent has written more, behind what the child knows of
    try:
        store.append("journal/1", b"child")
    except OSError as error:
        assert error.errno == 9
    else:
        os._exit(1)
    store.close()
    del store
    gc.collect()
    sys.exit(0)  # and the interpreter clears up
store.sync("journal/1")
for _ in range(100):
    store.append("journal/1", b"x" * 1000)
    store.sync("journal/1")
os.write(tell, b"!")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
store.append("journal/1", b"end")
store.sync("journal/1")
os._exit(0)
"""


def test_a_child_that_is_forked_in_the_middle_of_a_transaction_changes_nothing(path: Path) -> None:
    done = processes.run("-c", FORK, str(path))
    assert (done.returncode, done.stderr) == (0, "")
    store = SqliteStore(path)
    assert contents(store) == {"journal/1": b"onetwo" + b"x" * 100_000 + b"end"}
    store.close()
    bare = sqlite3.connect(database(path))
    assert bare.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    bare.close()
