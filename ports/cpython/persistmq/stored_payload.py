"""A large payload in the cache, as a file to be read."""

import errno
import io
import os
import zlib
from typing import Any

from persistmq_core.contracts import Store


class StoredPayload(io.RawIOBase):
    """``size`` bytes of the file ``name``, whose CRC is ``crc``. Raises OSError (EBADMSG) where these are not right."""

    def __init__(self, store: Store, name: str, size: int, crc: int, cache_id: int) -> None:
        self._store = store
        self._name = name
        self._size = size
        self._crc = crc
        self._cache_id = cache_id
        self._at = 0
        self._checked = 0  # up to where the bytes are in the sum
        self._sum = cache_id

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        count = self._store.read(self._name, self._at, view)
        if count < len(view):
            raise OSError(errno.EBADMSG, "a stored payload is cut short", self._name)
        if self._at == self._checked:
            self._sum = zlib.crc32(view, self._sum)
            self._checked += count
            if self._checked == self._size and self._sum != self._crc:
                raise OSError(errno.EBADMSG, "a stored payload is damaged", self._name)
        self._at += count
        return count
