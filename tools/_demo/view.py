"""What the demo shows: live bars on a terminal, plain lines anywhere else, and the table at the end."""

import time
from collections import Counter

from _demo.judge import Verdict
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

PLAIN_EVERY_S = 2.0


class View:
    def __init__(self, messages: int) -> None:
        self.console = Console(highlight=False)
        self._began = self._shown = time.monotonic()
        columns = (TextColumn("{task.description:>9}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self.console)
        self._accepted = self._progress.add_task("accepted", total=messages)
        self._delivered = self._progress.add_task("delivered", total=messages)
        self._state = Text()
        grid = Table.grid()
        grid.add_row(self._progress)
        grid.add_row(self._state)
        self._live = Live(grid, console=self.console, refresh_per_second=10) if self.console.is_terminal else None

    def start(self) -> None:
        if self._live:
            self._live.start()

    def close(self) -> None:
        if self._live:
            self._live.stop()

    def event(self, text: str) -> None:
        self.console.print(Text(f"{time.monotonic() - self._began:5.1f} s  {text}"), soft_wrap=True)

    def update(self, accepted: int, delivered: int, state: str) -> None:
        if self._live:
            self._progress.update(self._accepted, completed=accepted)
            self._progress.update(self._delivered, completed=delivered)
            self._state.plain = f"          {state}"
        elif time.monotonic() - self._shown > PLAIN_EVERY_S:
            self._shown = time.monotonic()
            self.event(f"    accepted {accepted}, delivered {delivered}, {state}")

    def table(self, verdict: Verdict, faults: "Counter[str]") -> None:
        table = Table(title="What became of the readings", title_justify="left", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_row("accepted (publish() returned)", str(verdict.accepted))
        if verdict.last_instant:
            table.add_row("  of these in the last instant before a kill", str(len(verdict.last_instant)))
        table.add_row("delivered", str(verdict.delivered))
        for name, count in (
            ("lost", len(verdict.lost)),
            ("duplicated", len(verdict.duplicated)),
            ("out of order", verdict.out_of_order),
        ):
            table.add_row(name, Text(str(count), style="bold red" if count else "bold green"))
        table.add_section()
        for fault, count in faults.items():
            table.add_row(fault, str(count))
        self.console.print(table)
