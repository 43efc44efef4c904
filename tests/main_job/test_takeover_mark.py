"""The mark that says how far the take-over of a database has come, and whose journal it speaks of."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.main_job.older_cache import numbered, write_database
from tests.main_job.takeover_case import FullDisk, deliver
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


def half_taken(make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of which 20 messages of 35 are in the journal; its mark."""
    write_database(cache, numbered(35))
    with monkeypatch.context() as patch:
        patch.setattr("persistmq.older_caches.BATCH_MESSAGES", 10)
        FullDisk(cache_type, patch, 2)
        client = make_client()
        assert client.get_status()["accepted"] == 20
        client.stop()
    return cache / "taken-over" / "mark"


def test_what_is_marked_as_taken_is_not_taken_again(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert half_taken(make_client, cache, cache_type, monkeypatch).exists()
    assert make_client().get_status()["accepted"] == 35


@pytest.mark.parametrize("harm", ["lost", "NUL", "cut", "bit"])
def test_a_mark_that_does_not_read_costs_no_message(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    mark = half_taken(make_client, cache, cache_type, monkeypatch)
    content = bytearray(mark.read_bytes())
    if harm == "lost":
        mark.unlink()
    elif harm == "NUL":
        mark.write_bytes(bytes(len(content)))
    elif harm == "cut":
        mark.write_bytes(content[:-3])
    else:
        content[-20] ^= 4
        mark.write_bytes(content)
    assert make_client().get_status()["accepted"] == 55  # the first 20 come twice


def test_a_database_that_0_1_4_has_changed_since_is_taken_from_its_beginning(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    half_taken(make_client, cache, cache_type, monkeypatch)
    (cache / "database.sq3").unlink()
    write_database(cache, numbered(15, "other"))  # whose rows have the same numbers
    assert make_client().get_status()["accepted"] == 35
    assert "was changed while it was taken over" in caplog.text


def test_a_mark_of_another_journal_does_not_count(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_taken(make_client, cache, cache_type, monkeypatch)
    for path in cache.iterdir():
        if path.name in ("journal", "payloads", "dead"):
            shutil.rmtree(path)
        elif path.name not in ("database.sq3", "taken-over", "quarantine"):
            path.unlink()
    assert make_client().get_status()["accepted"] == 35


def test_what_was_published_since_does_not_count_as_taken(
    make_client: Make, cache: Path, cache_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch under way was not written, and the database is then in use: its numbers go to others."""
    half_taken(make_client, cache, cache_type, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("persistmq.takeover._WAIT_S", 0.0)
        patch.setattr("persistmq.older_caches.user_of", lambda path: 1)
        client = make_client()
        client.publish_many([("a", "new %d" % number) for number in range(12)])
        client.stop()
    assert make_client().get_status()["accepted"] == 20 + 12 + 15


def test_originals_of_another_journal_are_kept(make_client: Make, broker: Mosquitto, cache: Path) -> None:
    write_database(cache, numbered(3))
    make_client().stop()
    [kept] = (cache / "taken-over").iterdir()
    other = kept.rename(kept.with_name(kept.name[:17] + "%08x" % (int(kept.name[17:25], 16) ^ 1) + kept.name[25:]))
    client = make_client()
    deliver(client, broker)
    client.stop()
    make_client().stop()
    assert other.exists()
