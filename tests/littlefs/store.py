"""The store's contract (ports/PORTING.md) on littlefs, as the MicroPython port keeps it with files of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from littlefs import LittleFS
from littlefs.errors import LittleFSError

from persistmq_core.contracts import Store
from tests.support.write_list_store import PowerCut

from .flash import BLOCK_BYTES, Flash, mount

_ENOENT = 2
_EEXIST = 17
_REGULAR = 1  # type in a directory entry


class LittleFsStore(Store):
    """One file is kept open for appending; ``flush`` is its sync. Raises OSError; PowerCut once the flash is off."""

    def __init__(self, flash: Flash) -> None:
        self.flash = flash
        self.violations: list[str] = []
        self._name = ""  # of the file that is open for appending
        self._file: Any = None
        self._system: LittleFS
        with self._errors("mount"):
            self._system = mount(flash)

    def list(self, folder: str) -> "list[str]":
        try:
            with self._errors(folder):
                return [folder + "/" + entry.name for entry in self._system.scandir(folder) if entry.type == _REGULAR]
        except OSError as error:
            if error.args[0] == _ENOENT:
                return []
            raise

    def size(self, name: str) -> int:
        with self._errors(name):
            if name == self._name:
                return int(self._file.tell())  # a second handle would not see what is not flushed
            return int(self._system.stat(name).size)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        # A handle of its own each time: one that was opened before a flush does not see what came by it.
        with self._errors(name), self._opened(name, "rb") as file:
            file.seek(offset)
            count: int = file.readinto(buffer)
            return count

    def append(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        with self._errors(name):
            if name != self._name:
                self._close()
                self._open_for_appending(name)
            self._file.write(view)

    def sync(self, name: str) -> None:
        if name != self._name:
            return  # closing it has synced it
        with self._errors(name):
            self._file.flush()

    def replace(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        with self._errors(name), self._opened(name, "wb") as file:
            file.write(view)

    def move(self, name: str, new_name: str) -> None:
        with self._errors(name):
            if name == self._name:
                self._close()
            self._make_folder_of(new_name)
            if self._exists(new_name):
                raise OSError(_EEXIST, new_name)
            self._system.rename(name, new_name)

    def remove(self, name: str) -> None:
        with self._errors(name):
            if name == self._name:
                self._close()
            self._system.remove(name)

    def free_bytes(self) -> int:
        with self._errors("used blocks"):
            return len(self.flash.image) - int(self._system.used_block_count) * BLOCK_BYTES

    def abandon(self) -> None:
        """As a power cut leaves it: nothing of this object's reaches the flash any more."""
        self.flash.detach()
        try:
            self._close()
        except LittleFSError:
            pass

    def _open_for_appending(self, name: str) -> None:
        self._make_folder_of(name)
        if not self._exists(name):
            with self._opened(name, "wb"):
                pass  # "ab" does not create it here
        self._file = self._system.open(name, "ab", buffering=0)
        self._file.seek(0, 2)
        self._name = name

    def _close(self) -> None:
        file, self._file, self._name = self._file, None, ""
        if file is not None:
            _close(file)

    def _make_folder_of(self, name: str) -> None:
        folder = name.rpartition("/")[0]
        if folder and not self._exists(folder):
            self._system.mkdir(folder)

    def _exists(self, name: str) -> bool:
        try:
            self._system.stat(name)
        except LittleFSError as error:
            if error.code != -_ENOENT:
                raise
            return False
        return True

    @contextmanager
    def _opened(self, name: str, mode: str) -> "Iterator[Any]":
        file = self._system.open(name, mode, buffering=0)
        try:
            yield file
        finally:
            _close(file)

    @contextmanager
    def _errors(self, words: str) -> "Iterator[None]":
        """littlefs' errors as OSError with the number that MicroPython gives; PowerCut if there is no power."""
        try:
            yield
        except FileNotFoundError:
            raise OSError(_ENOENT, words) from None
        except LittleFSError as error:
            if not self.flash.is_off:
                raise OSError(-error.code, words) from None
        if self.flash.is_off:
            raise PowerCut(words)


def _close(file: Any) -> None:
    try:
        file.close()
    except LittleFSError:
        # It is closed for littlefs, but the wrapper would close it again when it is collected, and hang in there.
        setattr(file, "__IOBase_closed", True)
        raise
