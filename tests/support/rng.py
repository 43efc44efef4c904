"""A small generator of pseudo-random numbers which gives the same sequence on CPython and MicroPython.

``random`` does not: the two interpreters have different generators. A seed that fails on a board must fail on the desk.
"""

_MASK = 0xFFFFFFFF


class Rng:
    """xorshift32. Not for secrets.

    >>> Rng(1).below(1000) == Rng(1).below(1000)
    True
    """

    def __init__(self, seed: int) -> None:
        # Mix first (the finalizer of MurmurHash3): neighbouring seeds would otherwise begin with similar numbers.
        mixed = (seed + 0x9E3779B9) & _MASK
        mixed ^= mixed >> 16
        mixed = mixed * 0x85EBCA6B & _MASK
        mixed ^= mixed >> 13
        mixed = mixed * 0xC2B2AE35 & _MASK
        mixed ^= mixed >> 16
        self._word = mixed or 1  # xorshift never leaves 0

    def word(self) -> int:
        """The next 32 bits."""
        word = self._word
        word ^= word << 13 & _MASK
        word ^= word >> 17
        word ^= word << 5 & _MASK
        self._word = word
        return word

    def below(self, limit: int) -> int:
        """An integer of 0..limit-1. This is also the ``random_below`` which the core asks of a port."""
        return (self.word() >> 2) % limit

    def between(self, low: int, high: int) -> int:
        """An integer of low..high, both included."""
        return low + self.below(high - low + 1)

    def one_in(self, count: int) -> bool:
        """True once in ``count`` times."""
        return self.below(count) == 0

    def percent(self, chance: int) -> bool:
        """True ``chance`` times in a hundred."""
        return self.below(100) < chance

    def pick(self, choices: "tuple | list") -> object:
        """One of ``choices``."""
        return choices[self.below(len(choices))]

    def garbage(self, length: int) -> bytearray:
        """``length`` bytes of noise."""
        out = bytearray(length)
        word = 0
        for index in range(length):
            if index & 3 == 0:
                word = self.word()
            out[index] = word & 255
            word >>= 8
        return out

    def fork(self) -> "Rng":
        """An independent generator, so that one more number drawn here does not change what happens there."""
        return Rng(self.word())
