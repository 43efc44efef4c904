"""Decisions drawn from bytes, so that a fuzzer or a shrinker can steer what otherwise a seed decides."""

from tests.support.rng import Rng


class Choices(Rng):
    """Like ``Rng``; each number is taken from the next bytes of ``steering``, and is 0 when these are used up."""

    def __init__(self, steering: bytes) -> None:
        super().__init__(0)
        self._steering = steering
        self._at = 0

    def word(self) -> int:
        word = int.from_bytes(self._steering[self._at : self._at + 2], "big")
        self._at += 2
        return word << 2  # below() drops the two lowest bits

    def garbage(self, length: int) -> bytearray:
        return Rng(self.word()).garbage(length)
