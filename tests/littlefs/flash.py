"""A NOR flash in RAM under the real littlefs, with MicroPython's settings. Its power fails at any program or erase."""

from collections.abc import Callable
from typing import Any

from littlefs import LittleFS, UserContext

BLOCK_BYTES = 4096
# What MicroPython's VfsLfs2 takes if it is told nothing else (extmod/vfs_lfs.c).
_READ_BYTES = 32
_PROG_BYTES = 32
_SETTINGS = {
    "block_size": BLOCK_BYTES,
    "read_size": _READ_BYTES,
    "prog_size": _PROG_BYTES,
    "cache_size": 4 * max(_READ_BYTES, _PROG_BYTES),
    "lookahead_size": 32,
    "block_cycles": 100,
}
_LFS_ERR_IO = -5
Watch = Callable[[Callable[[], bytes]], None]  # gets what gives the image as a half-done operation leaves it


class Flash(UserContext):
    """One life of the device on the bytes ``image``, which the next life takes over.

    ``cut_at``: the program or erase with that number is not done, or half, and nothing works from then on: ``is_off``.
    """

    def __init__(self, image: bytearray) -> None:
        super().__init__(buffer=image)
        self.image = image
        self.operations = 0  # programs and erases
        self.erases = 0
        self.bytes_programmed = 0
        self.cut_at: int | None = None
        self.cut_is_half = False
        self.is_off = False
        self.before_each: Watch | None = None

    def read(self, cfg: Any, block: int, off: int, size: int) -> bytearray:
        at = block * BLOCK_BYTES + off
        return self.image[at : at + size]

    def prog(self, cfg: Any, block: int, off: int, data: bytes) -> int:
        self.bytes_programmed += len(data)
        return self._write(block * BLOCK_BYTES + off, bytes(data))

    def erase(self, cfg: Any, block: int) -> int:
        self.erases += 1
        return self._write(block * BLOCK_BYTES, b"\xff" * BLOCK_BYTES)

    def sync(self, cfg: Any) -> int:
        return _LFS_ERR_IO if self.is_off else 0

    def detach(self) -> None:
        """The life is over: what its open files still do as they are closed does not reach the next one."""
        self.image = bytearray(self.image)
        self.is_off = False
        self.cut_at = self.before_each = None

    def _write(self, at: int, content: bytes) -> int:
        # Not an exception: littlefs is C, nothing passes through it but a number. The store raises PowerCut.
        if self.is_off:
            return _LFS_ERR_IO
        self.operations += 1
        half = len(content) // 2 // _PROG_BYTES * _PROG_BYTES or len(content) // 2
        if self.before_each is not None:
            self.before_each(lambda: bytes(self.image[:at] + content[:half] + self.image[at + half :]))
        if self.cut_at is not None and self.operations >= self.cut_at:
            self.is_off = True
            if self.cut_is_half:
                self.image[at : at + half] = content[:half]
            return _LFS_ERR_IO
        self.image[at : at + len(content)] = content
        return 0


def blank(blocks: int) -> bytearray:
    """A formatted flash."""
    image = bytearray(b"\xff" * BLOCK_BYTES * blocks)
    mount(Flash(image), True)
    return image


def mount(flash: Flash, with_format: bool = False) -> LittleFS:
    """As a board does at its start. Raises LittleFSError if it cannot be mounted, unless it may be formatted."""
    system = LittleFS(flash, mount=False, block_count=len(flash.image) // BLOCK_BYTES, **_SETTINGS)
    if with_format:
        system.format()
    system.mount()
    return system
