"""The port's own store on VfsLfs2, the whole engine, a broker in RAM: a flash that loses power again and again.

All boots are in this one process: what a life leaves in RAM is dropped, the flash (a file of the host) and the broker
go on. Options: root (of the tree: its tests are used), first_seed, programs, lives, fault ("" or what to break).
"""

import gc
import json
import sys

import board
import vfs

options = board.options
board.use_sources()

from persistmq.store import FileStore  # noqa: E402

from tests.support.flash_board import FlashBoard, live, settings  # noqa: E402
from tests.support.rng import Rng  # noqa: E402
from tests.support.write_list_store import PowerCut  # noqa: E402

_EIO = 5
_PROG_BYTES = 32  # VfsLfs2 writes no less if it is told nothing else


class Flash(board.Flash):
    """Its power fails at the program or erase ``cut_at``: that is not done, or half, and nothing after it."""

    def __init__(self, path, blocks, cut_at, cut_is_half):
        super().__init__(path, blocks, -1)
        self.operations = 0
        self.is_off = False
        self._cut_at = cut_at
        self._cut_is_half = cut_is_half

    def writeblocks(self, block, buffer, offset=0):
        if self._fails(block * board.BLOCK_BYTES + offset, buffer):
            return -_EIO
        return super().writeblocks(block, buffer, offset)

    def ioctl(self, operation, argument):
        if operation == 6 and self._fails(argument * board.BLOCK_BYTES, board.BLANK):
            return -_EIO
        return super().ioctl(operation, argument)

    def _fails(self, at, content):
        # littlefs is C: an exception that passed through it would leave it in pieces. Powered raises it.
        self.operations += 1
        if not self.is_off and self.operations == self._cut_at:
            self.is_off = True
            if self._cut_is_half:
                half = len(content) // 2 // _PROG_BYTES * _PROG_BYTES or len(content) // 2
                self._file.seek(at)
                self._file.write(memoryview(content)[:half])
        return self.is_off

    def close(self):
        self.is_off = True  # for files that are closed when they are collected
        self._file.close()


class Powered:
    """A store of which no call comes back once the flash is off."""

    violations = []

    def __init__(self, flash):
        self._flash = flash
        self._store = self._call(FileStore, "/flash/cache")

    def _call(self, function, *arguments):
        try:
            return function(*arguments)
        finally:
            if self._flash.is_off:
                raise PowerCut

    def list(self, folder):
        return self._call(self._store.list, folder)

    def size(self, name):
        return self._call(self._store.size, name)

    def read(self, name, offset, buffer):
        return self._call(self._store.read, name, offset, buffer)

    def append(self, name, view):
        self._call(self._store.append, name, view)

    def sync(self, name):
        self._call(self._store.sync, name)

    def replace(self, name, view):
        self._call(self._store.replace, name, view)

    def move(self, name, new_name):
        self._call(self._store.move, name, new_name)

    def remove(self, name):
        self._call(self._store.remove, name)

    def free_bytes(self):
        return self._call(self._store.free_bytes)


class Board(FlashBoard):
    def __init__(self, blocks, **engine_options):
        super().__init__(**engine_options)
        self._blocks = blocks
        self._flash = None
        with open(options["flash"], "wb") as file:
            for _ in range(blocks):
                file.write(board.BLANK)
        flash = Flash(options["flash"], blocks, None, False)
        vfs.VfsLfs2.mkfs(flash)
        flash.close()

    def power_on(self, cut_at, cut_is_half):
        self.power_off()
        flash = self._flash = Flash(options["flash"], self._blocks, cut_at, cut_is_half)
        vfs.mount(vfs.VfsLfs2(flash), "/flash")
        return Powered(flash)

    def power_off(self):
        if self._flash is not None:
            self._flash.close()
            vfs.umount("/flash")
            self._flash = None


class SyncDoesNothing(FileStore):
    def sync(self, name):
        pass


class ReadsAnOldHandle(FileStore):
    """What grows is read through a handle of its own, which sees no sync."""

    def read(self, name, offset, buffer):
        grows, self._append_name = self._append_name, ""
        try:
            return super().read(name, offset, buffer)
        finally:
            self._append_name = grows


class ReplaceIsLate(FileStore):
    """Only the next one closes the file, and so syncs it."""

    late = None

    def replace(self, name, view):
        self._forget(name)
        if self.late is not None:
            self.late.close()
        self.late = self._open(name, "wb")
        self.late.write(view)


FAULTS = {"": FileStore, "sync": SyncDoesNothing, "handle": ReadsAnOldHandle, "replace": ReplaceIsLate}
FileStore = FAULTS[options["fault"]]
reboots = 0
for seed in range(options["first_seed"], options["first_seed"] + options["programs"]):
    rng = Rng(seed)
    one = Board(rng.pick((12, 24, 64)), **settings(rng))
    try:
        live(one, rng, options["lives"])
    except Exception as failure:  # noqa: BLE001 - whatever it is, the seed is wanted with it
        print("seed %d, life %d:" % (seed, one.reboots))
        sys.print_exception(failure)
        sys.exit(1)
    reboots += one.reboots
    one.power_off()
    one = None
    gc.collect()
print("figures", json.dumps({"reboots": reboots}))
