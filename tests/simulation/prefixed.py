"""A second cache on the same disk."""

from persistmq_core.contracts import Store


class Prefixed(Store):
    """``store``, with ``prefix`` before each name."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def list(self, folder: str) -> "list[str]":
        return [name[len(self._prefix) :] for name in self._store.list(self._prefix + folder)]

    def size(self, name: str) -> int:
        return self._store.size(self._prefix + name)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        return self._store.read(self._prefix + name, offset, buffer)

    def append(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        self._store.append(self._prefix + name, view)

    def sync(self, name: str) -> None:
        self._store.sync(self._prefix + name)

    def replace(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        self._store.replace(self._prefix + name, view)

    def move(self, name: str, new_name: str) -> None:
        self._store.move(self._prefix + name, self._prefix + new_name)

    def remove(self, name: str) -> None:
        self._store.remove(self._prefix + name)

    def free_bytes(self) -> int:
        return self._store.free_bytes()
