"""Messages as lines of JSON, each once: in a file, with the ledger beside it.

A line is durable before the ledger says that its message was taken, and then the ledger says up to where the file is
accounted for. So after a crash only what stands behind that place has to be read again: lines that are whole count, and
a last one that is not is cut off. All that is known is in the lines themselves, should the ledger be lost.
"""

import base64
import contextlib
import errno
import json
import os
from typing import Any, BinaryIO, NamedTuple

from persistmq_core.errors import StoreError

from ..clock import unix_ms
from ..directory import sync_folder
from .identities import Identity, check
from .ledger import NEW, Batch
from .output import Output, Received
from .state import LedgerFiles

_FILE_MODE = 0o640


class JsonLines(Output):
    """Lines are appended to ``path``; ``state_path`` is the directory of the ledger.

    The file may be renamed (rotated) while this runs, or between two runs: what follows goes to a new one. It must not
    be changed otherwise. Raises CacheInUse, OSError.
    """

    def __init__(
        self, path: "str | os.PathLike[str]", state_path: "str | os.PathLike[str]", expects_all: bool = False
    ) -> None:
        self.path = os.path.abspath(os.fspath(path))
        # A folder that is not there is a mistake, or not mounted: beside the ledger it would be made.
        os.scandir(os.path.dirname(self.path)).close()
        self._files = LedgerFiles(state_path, expects_all)
        self.ledger = self._files.ledger
        self._fd = -1
        self._known = self._files.notes  # up to where the ledger, as it is in RAM, knows the file
        try:
            self._open()
        except BaseException:
            self._files.close()
            raise

    def write(self, messages: list[Received], batch: Batch) -> None:
        if messages:
            self._reopen_if_renamed()
            self._append(b"".join([encode(message) for message in messages]))
        if messages or batch:
            self._files.write(batch, self._place())

    def tidy(self) -> None:
        self._known = self._files.notes
        self._files.tidy()

    def reload(self) -> None:
        """Lines may stand in the file of which the ledger does not know: they count."""
        self._open()

    def put_aside(self, name: str, head: dict[str, Any], payload: bytes) -> bool:
        return self._files.put_aside(name, head, payload)

    def aside(self) -> tuple[int, int]:
        return self._files.aside()

    def close(self) -> None:
        self._close_file()
        self._files.close()

    # --- inside ---

    def _open(self) -> None:
        """Open the file, with the ledger knowing all whole lines of it."""
        self._close_file()
        batch = Batch()
        known = self._known
        renamed = self._renamed(known)
        if renamed is not None:
            with open(renamed, "rb") as lines:
                self._count(lines, known["bytes"], batch)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _FILE_MODE)
        sync_folder(os.path.dirname(self.path))
        place = self._place()
        is_known = place["file"] == known.get("file") and place["bytes"] >= known["bytes"]
        with os.fdopen(os.dup(self._fd), "rb") as lines:
            end = self._count(lines, known["bytes"] if is_known else 0, batch)
        if end < place["bytes"]:
            os.ftruncate(self._fd, end)  # a line that was cut short: nobody was told of it
        os.fdatasync(self._fd)
        if batch or self._place() != self._files.notes:
            self._files.write(batch, self._place())
            self.ledger.settle(batch)
        self._known = self._files.notes

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _reopen_if_renamed(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._fd >= 0 and _number(os.stat(self.path)) == _number(os.fstat(self._fd)):
                return
        self._open()

    def _renamed(self, known: dict[str, Any]) -> str | None:
        """The file that was written last, if it has another name by now."""
        with os.scandir(os.path.dirname(self.path)) as entries:
            for entry in entries:
                if entry.path != self.path and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    if _number(status) == known.get("file") and status.st_size > known["bytes"]:
                        return entry.path
        return None

    def _place(self) -> dict[str, Any]:
        """Up to where the file is accounted for, when the ledger has been written with this."""
        status = os.fstat(self._fd)
        return {"file": _number(status), "bytes": status.st_size}

    def _append(self, lines: bytes) -> None:
        before = os.fstat(self._fd).st_size
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fdatasync(self._fd)
        except OSError as failure:
            with contextlib.suppress(OSError):  # it is looked through again
                os.ftruncate(self._fd, before)
            raise StoreError(failure.errno or errno.EIO, "%s cannot be written: %s" % (self.path, failure)) from failure

    def _count(self, lines: BinaryIO, begin: int, batch: Batch) -> int:
        """Take the whole lines from there on for messages that were handed out; where the last of them ends."""
        lines.seek(begin)
        for line in lines:
            if not line.endswith(b"\n"):
                break
            begin += len(line)
            found = decode(line)
            if found is not None and self.ledger.look(found.identity, batch) == NEW:
                self.ledger.note(found.identity, not found.retain, found.received_ms, batch)
        return begin


class Line(NamedTuple):
    """What the ledger wants to know of one."""

    identity: Identity
    retain: bool
    received_ms: int


def encode(message: Received) -> bytes:
    """One line. A payload that is no UTF-8 is base64, under another name."""
    line: dict[str, Any] = {"topic": message.topic}
    try:
        line["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        line["payload_base64"] = base64.b64encode(message.payload).decode()
    line |= {"qos": message.qos, "retain": message.retain}
    if message.identity is not None:
        line |= message.identity._asdict()
    for name in ("accepted_ms", "expires_s"):
        if getattr(message, name) is not None:
            line[name] = getattr(message, name)
    line["received_ms"] = message.received_ms or unix_ms()
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass") + b"\n"


def decode(line: bytes) -> Line | None:
    """None for a line that has no identity, or that ``encode`` has not made."""
    try:
        found = json.loads(line)
        told = check(found["client"], found["epoch"], found["seq"], found["seq"] - 1, ())
        return Line(told.identity, bool(found["retain"]), int(found["received_ms"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _number(status: os.stat_result) -> list[int]:
    """Which file it is, whatever its name."""
    return [status.st_dev, status.st_ino]
