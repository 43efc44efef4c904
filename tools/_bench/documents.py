"""Writes the tables into docs/performance.md, between its marks: no figure there is written by hand."""

import re

import _setup

from _bench import plots
from _bench.report import Report

PAGE = _setup.ROOT / "docs" / "performance.md"
PLOTS = _setup.ROOT / "docs" / "performance"


def write(facts: dict[str, str], rounds: int, is_quick: bool, reports: list[Report]) -> None:
    """Every report that has its marks; a mark without a report keeps what it has."""
    text = PAGE.read_text()
    how = f"{rounds} rounds" + (", `--quick`: rough" if is_quick else "")
    machine = [["measured", how], *map(list, facts.items())]
    text = _between(text, "machine", _table(["", ""], machine))
    PLOTS.mkdir(exist_ok=True)
    for report in reports:
        parts = [_table(report.columns, report.rows)]
        if report.goals:
            rows = [[goal.text, f"{goal.value:.3g}{goal.unit}", goal.bound, goal.verdict] for goal in report.goals]
            parts.append(_table(["goal", "measured", "bound", ""], rows))
        parts += report.notes
        if report.plot:
            path = plots.draw(report, PLOTS)
            parts.append(f"![{report.title}](performance/{path.name})")
        text = _between(text, report.name, "\n\n".join(parts))
    PAGE.write_text(text)


def _between(text: str, name: str, inside: str) -> str:
    marks = re.compile(rf"(<!-- bench: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    text, count = marks.subn(lambda found: f"{found[1]}{inside}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"docs/performance.md has {count} places for {name!r}")
    return text


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
