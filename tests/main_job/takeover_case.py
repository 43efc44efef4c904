"""What the tests of taking over share."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from persistmq import PersistClient
from persistmq.sqlite_store import SqliteStore
from persistmq.store import FileStore

from tests.support.mosquitto import Mosquitto


def deliver(client: PersistClient, broker: Mosquitto) -> None:
    """Connect, and wait until the broker has everything."""
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20), client.get_status()


def left_of_0_1_4(cache: Path) -> list[str]:
    """The originals that are still there, wherever in the directory."""
    names = [str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()]
    return sorted(name for name in names if name.startswith("taken-over") or "sq3" in name or ".pkl" in name)


class FullDisk:
    """The cache's files take no more bytes, from the append number ``good_appends`` on, until there is room."""

    def __init__(self, cache_type: str, monkeypatch: pytest.MonkeyPatch, good_appends: int) -> None:
        store_class = FileStore if cache_type == "flat" else SqliteStore
        self._append = store_class.append
        self.left = good_appends
        monkeypatch.setattr(store_class, "append", lambda *call: self.append(*call))  # noqa: PLW0108 - as a method

    def append(self, store: Any, name: str, view: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._append(store, name, view)
