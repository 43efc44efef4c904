"""What arguments may be."""

import math
import threading


def bound(name: str, value: int | None) -> int:
    """For the engine, where 0 is no bound. Raises ValueError for 0, and for what is no number."""
    check_number(name, value)
    if value == 0:
        raise ValueError(f"{name} is 0: nothing could be published; None is no bound")
    return value or 0


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises ValueError for what is not ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def check_number(name: str, value: object, least: float | None = None) -> None:
    """Raises ValueError for what is neither None nor a number of ``least`` at least."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, not {value!r}")
    if least is not None and not value >= least:
        raise ValueError(f"{name} must be {least} or more, or None for no bound, not {value!r}")


def check_flag(name: str, value: object) -> None:
    """Raises TypeError for what is no boolean."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def check_timeout(timeout: object, may_be_none: bool = True) -> float | None:
    """How many seconds to wait; None is without end, and so is what is longer than a thread can wait.

    Raises TypeError for what is no number of seconds, ValueError for NaN.
    """
    if timeout is None and may_be_none:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout is a number of seconds{', or None' if may_be_none else ''}, not {timeout!r}")
    if isinstance(timeout, float) and math.isnan(timeout):
        raise ValueError(f"timeout is a number of seconds, not {timeout!r}")
    return timeout if timeout < threading.TIMEOUT_MAX else None
