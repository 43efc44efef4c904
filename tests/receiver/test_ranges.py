"""Sets of numbers as ranges, against sets."""

from hypothesis import given
from hypothesis import strategies as st
from persistmq.receiver.ranges import Ranges

RUNS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda run: (run[0], run[0] + run[1])))


def numbers(runs: "object") -> set[int]:
    return {number for first, last in runs for number in range(first, last + 1)}  # type: ignore[attr-defined]


@given(RUNS)
def test_what_was_added_is_in_it_in_as_few_ranges_as_can_be(runs: list[tuple[int, int]]) -> None:
    found = Ranges(runs)
    assert numbers(found) == numbers(runs)
    assert found.count() == len(numbers(runs)) and found.highest() == max(numbers(runs), default=0)
    assert [number for number in range(80) if number in found] == sorted(numbers(runs))
    ends = [number for run in found for number in run]
    assert ends == sorted(ends) and all(b > a + 1 for a, b in zip(ends[1::2], ends[2::2], strict=False))
    assert found == Ranges(reversed(runs)) and len(found) == len(list(found))


@given(RUNS, st.integers(1, 80), st.integers(0, 80))
def test_what_is_missing_between_two_numbers(runs: list[tuple[int, int]], first: int, last: int) -> None:
    missing = list(Ranges(runs).missing(first, last))
    assert numbers(missing) == set(range(first, last + 1)) - numbers(runs)
    assert all(a <= b for a, b in missing)


@given(RUNS, RUNS, st.integers(0, 80))
def test_two_become_one_and_the_beginning_is_forgotten(
    runs: list[tuple[int, int]], others: list[tuple[int, int]], end: int
) -> None:
    found = Ranges(runs)
    found.update(Ranges(others))
    assert numbers(found) == numbers(runs) | numbers(others)
    found.drop_before(end)
    assert numbers(found) == {number for number in numbers(runs) | numbers(others) if number >= end}


def test_a_long_stream_is_one_range() -> None:
    found = Ranges()
    for number in range(1, 100_001):
        found.add(number, number)
    assert list(found) == [(1, 100_000)]
