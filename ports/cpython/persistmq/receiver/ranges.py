"""Sets of numbers as ranges: a stream without gaps is one range, however long it is."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """Numbers, as ranges that neither overlap nor touch, in order. ``first`` and ``last`` both belong to a range."""

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in runs:
            self.add(first, last)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._firsts, number) - 1
        return index >= 0 and number <= self._lasts[index]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and list(self) == list(other)

    def __hash__(self) -> int:
        raise TypeError("ranges change")

    def __repr__(self) -> str:
        return "Ranges(%r)" % list(self)

    def add(self, first: int, last: int) -> None:
        """Add all numbers from ``first`` to ``last``."""
        # Those that overlap it or touch it become one with it.
        begin = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first = min(first, self._firsts[begin])
            last = max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def update(self, other: "Ranges") -> None:
        """Add all that the other has."""
        for first, last in other:
            self.add(first, last)

    def count(self) -> int:
        """How many numbers."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def highest(self) -> int:
        """The last number, 0 if there is none."""
        return self._lasts[-1] if self._lasts else 0

    def drop_before(self, number: int) -> None:
        """Forget all numbers below."""
        index = bisect_left(self._lasts, number)
        del self._firsts[:index], self._lasts[:index]
        if self._firsts:
            self._firsts[0] = max(self._firsts[0], number)

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Runs of the numbers from ``first`` to ``last`` that are not in it."""
        index = bisect_left(self._lasts, first)
        while first <= last and index < len(self._firsts):
            begin = self._firsts[index]
            if begin > first:
                yield first, min(last, begin - 1)
            first = self._lasts[index] + 1
            index += 1
        if first <= last:
            yield first, last
