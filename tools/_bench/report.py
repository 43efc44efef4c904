"""What a benchmark found: a table, goals with their verdicts, and every single figure."""

from dataclasses import dataclass, field
from typing import Any

REACHED = "reached"
SHORT = "short"


@dataclass
class Goal:
    """A figure and the bound it must keep. One of `at_least` and `at_most` is given."""

    text: str
    value: float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    @property
    def reached(self) -> bool:
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.at_most is not None and self.value <= self.at_most

    @property
    def bound(self) -> str:
        if self.at_least is not None:
            return f"≥ {number(self.at_least)}{self.unit}"
        return f"≤ {number(self.at_most or 0)}{self.unit}"

    @property
    def verdict(self) -> str:
        return REACHED if self.reached else SHORT


@dataclass
class Report:
    """`rows` are cells as they are printed; `rounds` has the figures behind them, for the JSON."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: dict[str, Any] = field(default_factory=dict)
    plot: "Plot | None" = None
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        goals = [
            {"goal": goal.text, "bound": goal.bound, "value": goal.value, "verdict": goal.verdict}
            for goal in self.goals
        ]
        return {
            "title": self.title,
            "columns": self.columns,
            "rows": self.rows,
            "goals": goals,
            "notes": self.notes,
            "rounds": self.rounds,
            "seconds": round(self.seconds, 1),
        }


@dataclass
class Plot:
    """Lines over one quantity. `lines`: name -> [(x, lowest, median, highest)]."""

    x_label: str
    y_label: str
    lines: dict[str, list[tuple[float, float, float, float]]]


def number(value: float) -> str:
    """Three figures that mean something, and thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}".rstrip("0").rstrip(".")
