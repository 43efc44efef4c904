"""A database that persistmq 0.1.4 was killed over, or is still at work on."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.main_job import processes
from tests.main_job.cache_files import contents
from tests.main_job.older_cache import numbered, write_database
from tests.main_job.takeover_case import left_of_0_1_4

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


def test_a_transaction_that_0_1_4_was_killed_in_is_undone(make_client: Make, tmp_path: Path, cache: Path) -> None:
    made = write_database(tmp_path / "made", numbered(300, "x" * 1000))
    connection = sqlite3.connect(made, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")  # so that it writes into the database before it commits
    connection.execute("BEGIN")
    connection.execute("UPDATE messages SET topic = 'half/done'")
    for name in ("database.sq3", "database.sq3-journal"):
        shutil.copy(made.parent / name, cache / name)
    connection.close()
    assert b"half/done" in (cache / "database.sq3").read_bytes()
    client = make_client()
    assert client.get_status()["accepted"] == 300
    assert len(left_of_0_1_4(cache)) == 1
    assert b"half/done" not in b"".join(map(bytes, filter(None, contents(cache).values())))


def test_a_database_with_a_write_ahead_log_is_read_with_it(make_client: Make, tmp_path: Path, cache: Path) -> None:
    made = write_database(tmp_path / "made", numbered(10))
    connection = sqlite3.connect(made, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executemany("INSERT INTO messages (topic, payload, qos) VALUES (?, ?, ?)", numbered(10, "more"))
    for name in ("database.sq3", "database.sq3-wal"):
        shutil.copy(made.parent / name, cache / name)
    connection.close()
    client = make_client()
    assert client.get_status()["accepted"] == 20
    assert len(left_of_0_1_4(cache)) == 1


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("SELECT * FROM messages").fetchone()
if sys.argv[2] == "locked":
    connection.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["open", "locked"])
def test_a_database_that_another_process_has_is_waited_for_and_left_for_the_next_start(
    make_client: Make, cache: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = write_database(cache, numbered(10))
    monkeypatch.setattr("persistmq.takeover._WAIT_S", 0.3)
    if how == "locked":
        monkeypatch.setattr("persistmq.older_caches.user_of", lambda path: 0)  # as another user's process is not seen
    with processes.start("-c", HOLDER, str(path), how) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        before = path.read_bytes()
        began = time.monotonic()
        client = make_client()
        assert 0.3 <= time.monotonic() - began < 10
        assert "left for the next start" in client.get_status()["takeover_error"]
        if how == "open":
            assert "process %d has it open" % holder.pid in client.get_status()["takeover_error"]
        client.publish("a", "new")  # it does not wait for that
        client.stop()
        assert path.read_bytes() == before
        client = make_client()
        assert client.get_status()["accepted"] == 1
        client.stop()
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait(10)
    client = make_client()
    assert (client.get_status()["accepted"], client.get_status()["takeover_error"]) == (11, "")


def test_a_process_that_ends_while_it_is_waited_for_delays_nothing_else(make_client: Make, cache: Path) -> None:
    path = write_database(cache, numbered(10))
    with processes.start("-c", HOLDER, str(path), "locked") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        assert holder.stdin is not None
        timer = threading.Timer(0.5, holder.stdin.close)
        timer.start()
        client = make_client()
        assert client.get_status()["accepted"] == 10
        timer.join()
