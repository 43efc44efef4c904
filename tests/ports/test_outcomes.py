"""Who waits for an outcome, what the client's thread does for them, and what of it is in the log."""

import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from persistmq.outcomes import Outcomes

from tests.main_job.receiver import until


def test_a_condition_that_raises_is_its_waiters_and_keeps_nobody_else_waiting() -> None:
    client: Any = SimpleNamespace()
    loops: Any = SimpleNamespace(settle_flushed=lambda _cursors: None, tell=lambda: None)
    outcomes = Outcomes(client)
    outcomes.loops = loops
    found: list[object] = []
    is_so = threading.Event()

    def broken() -> bool:
        if is_so.is_set():
            raise OSError(5, "broken")
        return False

    def wait(done: Any) -> None:
        try:
            found.append(outcomes.wait(done, 10))
        except OSError as failure:
            found.append(failure)

    threads = [threading.Thread(target=wait, args=(done,)) for done in (broken, is_so.is_set)]
    for thread in threads:
        thread.start()
    assert until(lambda: len(outcomes._waits) == 2)
    is_so.set()
    outcomes.tell(1, (1,))
    for thread in threads:
        thread.join(5)
    assert sorted(map(str, found)) == ["True", "[Errno 5] broken"]


@pytest.mark.parametrize(("account", "warned"), [
    ("damaged", [*range(1, 11), 100, 1000, 10000]),
    ("refused", list(range(1, 12001))),
    ("expired", [1]),
    ("evicted", [1]),
])  # fmt: skip
def test_a_flood_of_what_is_lost_is_some_warnings_and_the_rest_is_for_who_debugs(
    account: str, warned: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = SimpleNamespace(on_dropped=None, dead_letters=SimpleNamespace(trim=lambda: None))
    loops: Any = SimpleNamespace(settle=lambda *_: None)
    outcomes = Outcomes(client)
    outcomes.loops = loops
    caplog.set_level(logging.DEBUG, "persistmq")
    for seq in range(1, 12001):
        outcomes.dropped(seq, account, 0x87)
    assert len(caplog.records) == 12000
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [int(words.split()[1]) for words in said] == warned
    if account == "damaged":
        assert [words.partition(" (")[2] for words in said] == [""] * 10 + [
            "100 so far)", "1000 so far)", "10000 so far)"
        ]
