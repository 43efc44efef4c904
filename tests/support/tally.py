"""How much a run of the tests went through. ``tests/conftest.py`` prints it at the end."""

counts = {}  # what -> how many


def count(what: str, number: int) -> None:
    """Add ``number`` to what was counted under ``what``."""
    counts[what] = counts.get(what, 0) + number
