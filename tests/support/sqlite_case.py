"""What the tests of the store on SQLite share."""

import sqlite3
from pathlib import Path

from persistmq import directory
from persistmq.sqlite_store import SqliteStore

from .store_files import read_all

SEGMENT = "journal/0000000000000001-00000007.seg"
CHECKPOINT = b"checkpoint" * 20


def contents(store: SqliteStore) -> dict[str, bytes]:
    """Every file with its bytes; of the checkpoints the first."""
    folders = {name.rpartition("/")[0] for name in store._files}
    listed = {name: read_all(store, name) for folder in folders for name in store.list(folder)}
    return listed | {name: read_all(store, name) for name in ("checkpoint.0",) if name in store._files}


def database(path: Path) -> Path:
    """The file of the database in a cache directory."""
    return path / directory.DATABASE


class FailingConnection:
    """Stands before the store's writing connection; statements of one kind fail until it is healed."""

    def __init__(self, store: SqliteStore, kind: str, failure: sqlite3.Error) -> None:
        assert store._writer is not None
        self._connection = store._writer
        self._kind = kind
        self._failure = failure
        store._writer = self  # type: ignore[assignment]

    def heal(self) -> None:
        self._kind = "nothing"

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: object) -> sqlite3.Cursor:
        if statement.startswith(self._kind):
            raise self._failure
        return self._connection.execute(statement, *arguments)  # type: ignore[arg-type]
