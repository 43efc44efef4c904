"""The store's promises, on the real littlefs; and FAT, which is refused."""

import os

import board
import vfs

flash = board.mount()
board.use_sources()

from persistmq.store import FileStore  # noqa: E402


class Ram:
    """A block device with FAT's blocks."""

    def __init__(self, blocks):
        self.content = bytearray(blocks * 512)

    def readblocks(self, block, buffer):
        buffer[:] = memoryview(self.content)[block * 512 : block * 512 + len(buffer)]

    def writeblocks(self, block, buffer):
        self.content[block * 512 : block * 512 + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        return {4: len(self.content) // 512, 5: 512}.get(operation, 0)


def raises(call, *arguments):
    try:
        call(*arguments)
    except (OSError, ValueError) as failure:
        return str(failure)
    raise AssertionError("nothing was raised")


store = FileStore("/flash/a/b/cache")
assert store.list("journal") == []
assert store.list("nowhere") == []
store.append("journal/x", b"one")
store.append("journal/x", memoryview(b"two"))
assert store.size("journal/x") == 6  # not synced yet
store.sync("journal/x")
buffer = bytearray(10)
assert store.read("journal/x", 1, memoryview(buffer)) == 5
assert buffer[:5] == b"netwo"
for number in range(50):
    store.append("journal/x", bytes([number]) * 100)
    store.sync("journal/x")
    assert store.read("journal/x", 6 + 100 * number, memoryview(buffer)) == 10
    assert buffer == bytes([number]) * 10  # the reading handle sees what was synced
assert store.read("journal/x", 5006, memoryview(buffer)) == 0
store.append("journal/y", b"other")  # another file: the first one is closed
store.sync("journal/x")
store.sync("journal/y")
assert sorted(store.list("journal")) == ["journal/x", "journal/y"]
store.move("journal/x", "quarantine/x")
assert store.list("journal") == ["journal/y"]
assert store.size("quarantine/x") == 5006
store.remove("journal/y")
raises(store.size, "journal/y")
raises(store.read, "journal/y", 0, memoryview(buffer))
raises(store.remove, "journal/y")
for content in (b"a" * 100, b"b" * 94, b""):
    store.replace("checkpoint.0", content)
    assert store.size("checkpoint.0") == len(content)
before = flash.erases
for number in range(100):
    store.replace("checkpoint.1", bytes([number]) * 94)
assert flash.erases - before <= 8, flash.erases - before
assert 0 < store.free_bytes() < board.options["blocks"] * 4096
try:
    while True:
        store.append("journal/big", b"." * 1000)
        store.sync("journal/big")
except OSError as failure:
    assert failure.errno == 28
size = store.size("journal/big")
assert size % 1000 == 0
assert store.free_bytes() == 0, store.free_bytes()
store.replace("checkpoint.0", b"c" * 94)  # there is room for that
store.remove("journal/big")
store.append("journal/z", b"room again")
store.sync("journal/z")
store.close()
assert FileStore("/flash/a/b/cache/").size("journal/z") == 10

with open("/flash/file", "w"):
    pass
assert "a file stands" in raises(FileStore, "/flash/file")
fat = Ram(128)
vfs.VfsFat.mkfs(fat)
vfs.mount(vfs.VfsFat(fat), "/fat")
words = raises(FileStore, "/fat/cache")
assert "FAT" in words and "littlefs" in words, words
os.chdir("/flash")
FileStore("./cache")
assert "journal" in os.listdir("/flash/cache")
print("all good")
