"""A store in RAM that behaves like a disk on which writes wait for ``sync``, and whose power can be cut at each call.

    store = WriteListStore()
    store.crash_at = 7                  # the seventh call raises PowerCut
    try:
        program(store)
    except PowerCut:
        store.power_up(Rng(1))          # what was not synced is kept, lost or torn
    program(store)                      # ... and the program must find its way

Faults are ordered with ``fail_next``; ``calls`` and the byte counters tell what a program cost its disk.
"""

from persistmq_core.contracts import Store

from .fault_orders import FaultOrders
from .stored_file import StoredFile

ENOENT = 2
EIO = 5
EEXIST = 17
ENOSPC = 28


class PowerCut(BaseException):
    """The power failed inside a call. No program handles this, so it is not an ``Exception``."""


class ContractBroken(Exception):
    """The caller asked for what the contract does not offer: a bug in the caller."""


class WriteListStore(Store):
    """See the module. ``capacity_bytes`` bounds the sum of all files."""

    def __init__(self, capacity_bytes: int = 1 << 30) -> None:
        self.capacity_bytes = capacity_bytes
        self.steps = 0  # calls so far
        self.crash_at = None  # the number of the call that raises PowerCut
        self.crash_fate = None  # "before", "after" or "torn": how far that call came; None: power_up draws
        self.calls = {}  # name of a call -> how often
        self.bytes_appended = 0
        self.bytes_replaced = 0
        self.violations = []  # what the caller did against PORTING.md, in words
        self._files = {}
        self._removed = []  # (name, file): may come back after a power cut
        self._faults = FaultOrders()
        self._interrupted = None
        self._off = False

    # --- the contract ---

    def list(self, folder: str) -> "list[str]":
        self._begin("list", folder)
        prefix = folder + "/" if folder else ""
        found = [name for name in self._files if name.startswith(prefix) and "/" not in name[len(prefix) :]]
        # Falling order: the contract promises none, and a caller that forgot to sort shall notice.
        return sorted(found, reverse=True)

    def size(self, name: str) -> int:
        self._begin("size", name)
        return len(self._file(name).content)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        self._begin("read", name)
        content = self._file(name).content
        count = max(0, min(len(buffer), len(content) - offset))
        buffer[:count] = content[offset : offset + count]
        return count

    def append(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        fault = self._begin("append", name, view)
        file = self._files.get(name)
        if file is not None and file.failed:
            self.violations.append("append to %s after a failed %s" % (name, file.failed))
        room = self._free()
        if fault is None and len(view) > room:
            fault = (ENOSPC, room)
        if fault is None:
            self._append(name, view)
            return
        errno, short = fault
        short = min(short, room)
        if short or file is not None:
            self._append(name, view[:short])
        if short:
            self._files[name].failed = "append"
        raise OSError(errno, "append to " + name)

    def sync(self, name: str) -> None:
        fault = self._begin("sync", name)
        file = self._file(name)
        if file.failed == "sync":
            self.violations.append("sync of %s after a failed sync" % name)
        if fault is not None:
            file.sync_failed()
            raise OSError(fault[0], "sync of " + name)
        self._sync(name)

    def replace(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        fault = self._begin("replace", name, view)
        old = self._files[name].content if name in self._files else b""
        if fault is None and len(view) - len(old) > self._free():
            fault = (ENOSPC, 0)
        if fault is not None:
            if fault[1]:  # overwritten in place, and broken off
                self._replace(name, bytes(view[: fault[1]]) + bytes(old[fault[1] :]))
            raise OSError(fault[0], "replace of " + name)
        self._replace(name, view)
        self.bytes_replaced += len(view)

    def move(self, name: str, new_name: str) -> None:
        self._begin("move", name, new_name)
        self._check_name(new_name)
        self._file(name)
        if new_name in self._files:
            raise ContractBroken("move to %s, which is there" % new_name)
        self._move(name, new_name)

    def remove(self, name: str) -> None:
        self._begin("remove", name)
        self._file(name)
        self._remove(name)

    def free_bytes(self) -> int:
        self._begin("free_bytes", "")
        return self._free()

    # --- power ---

    def power_up(self, rng: "object", fate: "str | None" = None, power_lost: bool = True) -> "WriteListStore":
        """The disk as it is after a power cut (now, or where ``crash_at`` struck); returns itself.

        Each write and name that waited for a sync is kept, lost or torn as ``rng`` decides, or all alike by ``fate``
        (one of ``power_loss.FATES``; "lose" also loses new names and brings removed files back).
        ``power_lost=False``: only the process died, the system wrote everything. Orders for faults are forgotten.
        """
        self._off = False
        if self._interrupted is not None:
            self._finish_interrupted(rng)
        if power_lost:
            self._lose(rng, fate)
        for file in self._files.values():
            file.settle()
        self._removed = []
        self._faults.clear()
        self.crash_at = None
        self.crash_fate = None
        return self

    def fail_next(
        self, call: str, errno: int, *, short: int = 0, skip: int = 0, times: "int | None" = 1, name: str = ""
    ) -> None:
        """Let ``call`` raise ``OSError(errno)``, after ``skip`` calls that work, ``times`` times (None: for ever).

        ``short``: an append leaves so many bytes behind, a replace so many of the new bytes over the old ones.
        ``name``: only for files whose name begins so. A failed sync leaves the bytes readable, and no later sync saves
        them. Several orders for one call are carried out one after the other.
        """
        self._faults.add(call, errno, short=short, skip=skip, times=times, name=name)

    def heal(self) -> None:
        """Forget the orders of ``fail_next``."""
        self._faults.clear()

    # --- what a test looks at and meddles with (none of it counts as a call) ---

    def snapshot(self) -> "dict[str, bytes]":
        """Name -> bytes of all files, as a reader sees them now."""
        return {name: bytes(self._files[name].content) for name in self._files}

    def is_synced(self, name: str) -> bool:
        """Whether ``name`` and all of its bytes survive a power cut now."""
        file = self._files.get(name)
        return file is not None and file.named and not file.waiting

    def synced_bytes(self, name: str) -> int:
        """How many bytes at the beginning of ``name`` survive a power cut now; 0 if the name itself may not."""
        file = self._files.get(name)
        if file is None or not file.named:
            return 0
        return file.synced_bytes()

    def put(self, name: str, content: "bytes | bytearray") -> None:
        """Lay a durable file there."""
        self._check_name(name)
        self._replace(name, content)

    def corrupt(self, name: str, offset: int, noise: "bytes | bytearray") -> None:
        """Overwrite bytes, as a dying flash would. Durable."""
        content = self._files[name].content
        content[offset : offset + len(noise)] = noise

    def truncate(self, name: str, size: int) -> None:
        """Cut the end off. Durable."""
        self._replace(name, self._files[name].content[:size])

    def vanish(self, name: str) -> None:
        """Take the file away. Durable."""
        del self._files[name]

    # --- inside ---

    def _begin(self, call: str, name: str, argument: "object" = b"") -> "tuple[int, int] | None":
        """Count the call; raise PowerCut if it is its turn; give the ordered fault of a call that may half happen."""
        if self._off:
            raise PowerCut("the power is off")
        if name or call not in ("list", "free_bytes"):
            self._check_name(name)
        self.steps += 1
        self.calls[call] = self.calls.get(call, 0) + 1
        if self.crash_at is not None and self.steps >= self.crash_at:
            self._off = True
            self._interrupted = (call, name, argument if isinstance(argument, str) else bytes(argument))
            raise PowerCut("in call %d: %s %s" % (self.steps, call, name))
        fault = self._faults.due(call, name)
        if fault is not None and call not in ("append", "sync", "replace"):
            raise OSError(fault[0], call + " of " + name)
        return fault

    def _check_name(self, name: str) -> None:
        parts = name.split("/")
        if len(parts) > 2 or "" in parts or ".." in parts:
            raise ContractBroken("a name with more than one slash, or none at all: %r" % name)

    def _file(self, name: str) -> StoredFile:
        if name not in self._files:
            raise OSError(ENOENT, "no such file: " + name)
        return self._files[name]

    def _free(self) -> int:
        return max(0, self.capacity_bytes - sum([len(file.content) for file in list(self._files.values())]))

    def _append(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        if name not in self._files:
            self._files[name] = StoredFile()
        self._files[name].append(view)
        self.bytes_appended += len(view)

    def _sync(self, name: str) -> None:
        file = self._file(name)
        file.sync()
        if not file.named:
            file.named = True
            self._folder_synced(name)

    def _replace(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        self._files[name] = StoredFile(view, True)
        self._removed = [pair for pair in self._removed if pair[0] != name]

    def _move(self, name: str, new_name: str) -> None:
        file = self._files.pop(name)
        file.named = True
        self._files[new_name] = file
        self._folder_synced(name)
        self._folder_synced(new_name)

    def _remove(self, name: str) -> None:
        self._removed.append((name, self._files.pop(name)))

    def _folder_synced(self, name: str) -> None:
        """A name became durable: the removals before it in the same folder are so too."""
        folder = name[: name.find("/") + 1]
        self._removed = [pair for pair in self._removed if pair[0][: pair[0].find("/") + 1] != folder]

    def _finish_interrupted(self, rng: "object") -> None:
        """Decide how far the call came in which the power failed."""
        call, name, argument = self._interrupted
        self._interrupted = None
        fate = self.crash_fate or rng.pick(("before", "after", "torn"))
        if fate == "before":
            return
        if call == "append":
            count = min(len(argument), self._free())
            self._append(name, argument[: rng.below(count + 1) if fate == "torn" else count])
        elif call == "replace":
            if fate == "torn":
                argument = self._files.get(name, StoredFile()).torn_replace(argument, rng)
            self._replace(name, argument)
        elif call in ("sync", "move", "remove") and name in self._files:
            if fate == "torn" and (call == "sync" or rng.one_in(2)):
                return  # what becomes of a half-done sync is what becomes of waiting writes
            if call == "sync":
                self._sync(name)
            elif call == "remove":
                self._remove(name)
            elif argument not in self._files:
                self._move(name, argument)

    def _lose(self, rng: "object", fate: "str | None") -> None:
        for name in sorted(self._files):
            file = self._files[name]
            if not file.named and (rng.one_in(3) if fate is None else fate == "lose"):
                del self._files[name]
            else:
                file.lose_power(rng, fate)
        for name, file in self._removed:
            if name not in self._files and (rng.one_in(2) if fate is None else fate == "lose"):
                file.lose_power(rng, fate)
                self._files[name] = file
