"""What the arguments of PersistClient may be."""


def bound(name: str, value: int | None) -> int:
    """For the engine, where 0 is no bound. Raises ValueError for 0."""
    if value == 0:
        raise ValueError(f"{name} is 0: nothing could be published; None is no bound")
    return value or 0


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises ValueError for what is not ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
