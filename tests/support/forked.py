"""A piece of a test in a forked child, which never comes back into pytest: whatever it raises ends it."""

import os
import traceback
from collections.abc import Callable


def in_child(work: Callable[[], object]) -> int:
    """The child's exit code: 0 if ``work`` returned, 1 if it raised, else what it ended itself with."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may get out of here
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
