"""What the figures of some rounds come to."""

from statistics import median

from _bench.report import number
from _bench.runner import Results


def middle(results: Results, name: str, figure: str) -> float:
    return median(result[figure] for result in results[name])


def span(results: Results, name: str, figure: str) -> tuple[float, float]:
    values = [result[figure] for result in results[name]]
    return min(values), max(values)


def ratio(results: Results, one: str, other: str, figure: str) -> float:
    """The median of the rounds' ratios: both figures of a round met the same machine."""
    pairs = zip(results[one], results[other], strict=True)
    return median(mine[figure] / theirs[figure] for mine, theirs in pairs)


def best(results: Results, prefix: str, figure: str = "per_second") -> str:
    """Of the contestants whose name begins so, the one with the highest median. "" if there is none."""
    names = [name for name in results if name.startswith(prefix)]
    return max(names, key=lambda name: middle(results, name, figure), default="")


def cells(results: Results, name: str, figure: str) -> list[str]:
    """Median, and lowest … highest."""
    low, high = span(results, name, figure)
    return [number(middle(results, name, figure)), f"{number(low)} … {number(high)}"]
