"""Who waits for an outcome, and what the client's thread does for them."""

import threading
from types import SimpleNamespace
from typing import Any

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
