"""For all tests: say at the end what they went through."""

from typing import Any

import pytest

from tests.support import tally


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes
        session.config.workeroutput["tally"] = tally.counts


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for what, number in getattr(node, "workeroutput", {}).get("tally", {}).items():
        tally.count(what, number)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.counts:
        terminalreporter.section("what the laws were held against")
        for what in sorted(tally.counts):
            terminalreporter.write_line(f"{tally.counts[what]:>12,}  {what}")
