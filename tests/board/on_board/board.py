"""What each script on the board begins with: its options, and its flash mounted."""

import json
import os
import sys

import vfs

with open(sys.argv[1]) as file:
    options = json.load(file)
BLOCK_BYTES = 4096
BLANK = b"\xff" * BLOCK_BYTES


class Flash:
    """A block device in a file of the host. Counts erases, and cuts the power in the middle of a write."""

    def __init__(self, path, blocks, cut_after):
        self.erases = 0
        self.programmed_bytes = 0
        self._file = open(path, "r+b")  # noqa: SIM115 - for as long as the board runs
        self._blocks = blocks
        self._cut_after = cut_after  # programs and erases that still happen, -1: never cut

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK_BYTES + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK_BYTES + offset)
        if self._cut_after == 0:
            self._file.write(memoryview(buffer)[: len(buffer) // 2])
            cut()
        self._cut_after -= 1
        self._file.write(buffer)
        self.programmed_bytes += len(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return BLOCK_BYTES
        if operation == 6:
            if self._cut_after == 0:
                cut()
            self._cut_after -= 1
            self.erases += 1
            self._file.seek(argument * BLOCK_BYTES)
            self._file.write(BLANK)
        return 0


def cut():
    """The power is gone: not one more instruction."""
    os.system("kill -9 $PPID")


def use_sources():
    """Import the sources from now on: of what is deployed most modules have become parts of few."""
    sys.path[:0] = [options["root"], options["root"] + "/ports/micropython"]


def mount():
    """Mount the flash at /flash, made on the first boot; returns the device."""
    flash = Flash(options["flash"], options["blocks"], options.get("cut_after", -1))
    try:
        mounted = vfs.VfsLfs2(flash)
    except OSError:
        vfs.VfsLfs2.mkfs(flash)
        mounted = vfs.VfsLfs2(flash)
        flash.erases = 0
    vfs.mount(mounted, "/flash")
    return flash
