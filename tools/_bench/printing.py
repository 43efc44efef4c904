"""For the person in front of it: progress, tables, verdicts."""

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from _bench.report import Report


class Printer:
    def __init__(self) -> None:
        # Into a file or a pipe a table has all the room that it needs; rich would give it 80 characters.
        self._console = Console(width=None if sys.stdout.isatty() else 200)
        # Progress goes to standard error, and only where somebody watches.
        self._status = Console(stderr=True).status("")
        self._watched = Console(stderr=True).is_terminal

    def facts(self, facts: dict[str, str]) -> None:
        for name, value in facts.items():
            self._line(f"{name + ':':27}{value}")

    def progress(self, words: str) -> None:
        if self._watched:
            self._status.update(escape(words))
            self._status.start()

    def report(self, report: Report) -> None:
        self.close()
        table = Table(title=f"{report.name}: {report.title}", title_justify="left")
        for column in report.columns:
            table.add_column(column, justify="left" if column == report.columns[0] else "right")
        for row in report.rows:
            table.add_row(*map(escape, row))
        self._console.print(table)
        for note in report.notes:
            self._line(note)
        for goal in report.goals:
            self._line(f"  {goal.verdict:8} {goal.text}: {goal.value:.3g}{goal.unit} ({goal.bound})")
        self._line(f"  ({report.seconds:.0f} s)")

    def goals(self, reports: list[Report]) -> None:
        goals = [goal for report in reports for goal in report.goals]
        if goals:
            self._line(f"{sum(goal.reached for goal in goals)} of {len(goals)} goals reached")

    def warn(self, words: str) -> None:
        self.close()
        self._console.print(words, style="bold red", markup=False, soft_wrap=True)

    def close(self) -> None:
        self._status.stop()

    def _line(self, words: str) -> None:
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)
