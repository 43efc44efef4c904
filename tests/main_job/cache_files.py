"""A cache directory, looked at and changed from outside."""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from persistmq import PersistClient

from persistmq_core.journal import MESSAGE, JournalReader
from persistmq_core.limits import READS_BEFORE_DAMAGED


def contents(cache: Path) -> "dict[str, bytes | None]":
    """Every file and folder (None) with its bytes; without the lock file, which has the pid of whoever came last."""
    paths = [path for path in cache.rglob("*") if path != cache / "lock"]
    return {str(path.relative_to(cache)): path.read_bytes() if path.is_file() else None for path in paths}


@contextmanager
def nothing_changes_in(cache: Path) -> Iterator[None]:
    before = contents(cache)
    yield
    assert contents(cache) == before


def make_newer(path: Path) -> None:
    """Give a segment or checkpoint the next disk version, with a CRC that is right."""
    content = bytearray(path.read_bytes())
    content[4] += 1
    crc_at = 28 if content[:4] == b"PMQJ" else len(content) - 4
    struct.pack_into("<I", content, crc_at, zlib.crc32(content[:crc_at]))
    path.write_bytes(content)


def dead_letters(client: PersistClient) -> dict[str, bytes]:
    store = client._stores[0]
    letters = {}
    for name in store.list("dead"):
        content = bytearray(store.size(name))
        store.read(name, 0, memoryview(content))
        letters[name] = bytes(content)
    return letters


def before_each_sync(client: PersistClient, monkeypatch: pytest.MonkeyPatch, wait: Callable[[], object]) -> None:
    """A disk of the test's own: ``wait`` is called before what was appended is synced, on the thread that does so."""
    sync = client._stores[0].sync

    def waiting_sync(name: str) -> None:
        wait()
        sync(name)

    monkeypatch.setattr(client._stores[0], "sync", waiting_sync)


def stored_payloads(client: PersistClient) -> list[str]:
    """What is in the ordinary lane's journal, in order. The client has no connection."""
    lane = client._engine.lanes[0]
    journal = lane.journal
    reader = JournalReader(client._stores[0], lane.delivery.checkpoint.cache_id)
    found = []
    for seq in range(lane.delivery.cursor(), journal.end_seq):
        for tries_left in range(READS_BEFORE_DAMAGED, -1, -1):
            try:
                kind = reader.peek(seq, journal.end_seq, journal.active_seq, journal.skipped)
                break
            except OSError as error:
                assert tries_left, error
        if kind == MESSAGE:
            assert reader.record is not None
            found.append(bytes(reader.record.payload).decode(errors="backslashreplace"))
    return found
