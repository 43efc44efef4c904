"""A board whose flash is the real littlefs over bytes in RAM: one that was cut can be looked at from several lives."""

from tests.support.flash_board import FlashBoard
from tests.support.model_broker import ModelBroker

from .flash import Flash, Watch
from .store import LittleFsStore


class Board(FlashBoard):
    """``image`` is its flash; a reboot makes a new ``flash`` and ``store`` on it."""

    def __init__(self, image: bytearray, broker: "ModelBroker | None" = None, **options: object) -> None:
        super().__init__(broker, **options)
        self.image = image
        self.before_each: Watch | None = None  # operation of the flash
        self.flash: Flash
        self.store: LittleFsStore

    def power_on(self, cut_at: "int | None", cut_is_half: bool) -> LittleFsStore:
        self.flash = Flash(self.image)
        self.flash.before_each = self.before_each
        self.flash.cut_at, self.flash.cut_is_half = cut_at, cut_is_half
        self.store = LittleFsStore(self.flash)
        return self.store

    def power_off(self) -> None:
        self.store.abandon()
