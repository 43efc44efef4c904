"""How far taking over an older cache has got: a small file that is replaced as a whole before each step."""

import json
import logging
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress

from . import directory

logger = logging.getLogger("persistmq")

_NAME = "mark"
_NEW = "mark.new"
_FIELDS = ("keys", "first_seqs", "fingerprint", "done", "taken", "is_flawed")  # as they are called in the file


class Mark:
    """In ``folder``. It is void in a cache that has another ``cache_id``: its numbers are of another journal."""

    def __init__(self, folder: str, cache_id: int) -> None:
        self._folder = folder
        self._cache_id = cache_id
        self._clear()

    def _clear(self) -> None:
        # The batch under way: names of pickles, or rows of the database, and the first number in the journal each time
        # that it was written, or tried.
        self.keys: list[int | str] = []
        self.first_seqs: list[int] = []
        # Of the database, as it was when this began.
        self.fingerprint: list[int] | None = None
        self.done = 0  # all rows up to this one are in the journal, or cannot be
        self.taken: list[int] = []  # and these
        self.is_flawed = False  # some could not be taken over

    def is_there(self) -> bool:
        """On storage."""
        return os.path.exists(self._folder + "/" + _NAME)

    def begin_database(self, fingerprint: "list[int]") -> None:
        """None of its rows is in the journal."""
        self._clear()
        self.fingerprint = fingerprint

    def begin_batch(self, keys: "list[int | str]", first_seq: int) -> None:
        """It is about to be written."""
        if keys != self.keys:
            self.keys = keys
            self.first_seqs = []
        if first_seq not in self.first_seqs:
            self.first_seqs.append(first_seq)

    def settle_batch(self, keys: "Sequence[int | str]") -> None:
        """These of it are in the journal."""
        left = [key for key in self.keys if key not in set(keys)]
        rows = [key for key in keys if isinstance(key, int)]
        if left:
            self.taken += rows
        elif rows:
            self.done = max(rows)
            self.taken = [row for row in self.taken if row > self.done]
        self.keys = left
        self.first_seqs = []

    def forget_batch(self) -> None:
        """None of it is in the journal."""
        self.keys = []
        self.first_seqs = []

    def read(self) -> None:
        """What is on storage. One that does not read is none: then messages may come twice, and none is lost."""
        self._clear()
        with suppress(FileNotFoundError):
            os.unlink(self._folder + "/" + _NEW)  # it was cut short
        try:
            with open(self._folder + "/" + _NAME, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return
        try:
            checksum, _, text = content.partition(b"\n")
            if int(checksum, 16) != zlib.crc32(text):
                raise ValueError("its checksum is wrong")
            fields = json.loads(text)
        except ValueError as error:
            logger.error("%s/%s does not read, messages may come twice: %s", self._folder, _NAME, error)
            return
        if fields["cache_id"] == self._cache_id:
            for name in _FIELDS:
                setattr(self, name, fields[name])
        else:
            logger.warning("%s/%s is of another journal, messages may come twice", self._folder, _NAME)

    def write(self) -> None:
        """Durably. Raises OSError, and then what was there before still is."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        text = json.dumps(fields | {"cache_id": self._cache_id}).encode()
        os.makedirs(self._folder, directory.FOLDER_MODE, exist_ok=True)
        new_path = self._folder + "/" + _NEW
        fd = os.open(new_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, directory.FILE_MODE)
        try:
            rest = memoryview(b"%08x\n%b" % (zlib.crc32(text), text))
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(new_path, self._folder + "/" + _NAME)
        directory.sync_folder(self._folder)
        directory.sync_folder(os.path.dirname(self._folder))

    def remove(self) -> None:
        """Nothing is left to be taken over."""
        os.unlink(self._folder + "/" + _NAME)
        directory.sync_folder(self._folder)
        self._clear()
