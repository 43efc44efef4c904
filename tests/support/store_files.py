"""The files of a port's store, as a test looks at them."""

from persistmq.sqlite_store import SqliteStore
from persistmq.store import FileStore


def read_all(store: FileStore | SqliteStore, name: str) -> bytes:
    buffer = bytearray(store.size(name))
    assert store.read(name, 0, memoryview(buffer)) == len(buffer)
    return bytes(buffer)
