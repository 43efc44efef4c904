"""For all tests: say at the end what they went through."""

import pytest

from tests.support import tally


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.counts:
        terminalreporter.section("what the laws were held against")
        for what in sorted(tally.counts):
            terminalreporter.write_line(f"{tally.counts[what]:>12,}  {what}")
