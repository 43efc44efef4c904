"""The thread that writes what no caller writes."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from persistmq import writer as writers


def test_what_breaks_while_it_writes_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writers, "STORE_RETRY_MS", 1)
    is_written = threading.Event()
    failures = [MemoryError("no room"), SystemExit(1)]

    def commit_staged() -> bool:
        if failures:
            raise failures.pop()
        is_written.set()
        return True

    commits: Any = SimpleNamespace(pending=lambda: not is_written.is_set(), commit_staged=commit_staged)
    writer = writers.Writer(commits, lambda: True)
    writer.wake()
    try:
        assert is_written.wait(5)
    finally:
        writer.close()
    assert "no room" in caplog.text
