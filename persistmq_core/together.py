"""Parameters of a client that do nothing without another one, or with which it could do nothing.

For the start only, and on a board only where one of them is given.
"""

from .limits import SPILL_AFTER_MS

BACKLOG_SHARE = 0.5
# A parameter, its default, and the values of another one with which it does something.
_ONLY_WITH = (
    ("full_timeout_ms", None, "on_full", ("block",)),
    ("spill_after_ms", SPILL_AFTER_MS, "durability", ("spill",)),
    ("backlog_share", BACKLOG_SHARE, "drain", ("live_first", "interleaved")),
)
# The least that a parameter may be, and whether it may be None. A port may have stricter words for them before.
_LEAST = (
    ("spill_after_ms", 1, False),
    ("staged_bytes_max", 0, False),
    ("full_timeout_ms", 0, True),
    ("drain_messages_per_s", 0, True),
    ("drain_bytes_per_s", 0, True),
)
_NUMBERS = (int, float)
_ON_FULL = ("reject", "block", "drop_oldest")
_BOUNDS = ("cache_bytes_max", "cache_messages_max", "free_bytes_min")


def check_together(given: "dict[str, object]", spill_bytes: int) -> None:
    """Raises ValueError. ``given``: parameters by their names. ``spill_bytes``: what that is by default."""
    on_full = given.get("on_full", "reject")
    if on_full not in _ON_FULL:
        raise ValueError("on_full must be one of %s, not %r" % (", ".join(map(repr, _ON_FULL)), on_full))
    for name in _BOUNDS[:2]:
        if given.get(name) == 0:
            raise ValueError("%s is 0: nothing could be published; None is no bound" % name)
    for name, default, other, values in (("spill_bytes", spill_bytes, "durability", ("spill",)),) + _ONLY_WITH:
        if given.get(name, default) != default and given.get(other) not in values:
            wanted = " or ".join(['"%s"' % value for value in values])
            raise ValueError("%s=%r needs %s=%s: else it does nothing" % (name, given[name], other, wanted))
    for name, least, may_be_none in _LEAST:
        number = given.get(name, least)
        if number is None and may_be_none:
            continue
        if not isinstance(number, _NUMBERS) or number < least:
            raise ValueError("%s must be %d at least, not %r" % (name, least, number))
    if on_full != "reject" and not [name for name in _BOUNDS if given.get(name)]:
        words = "on_full=%r needs %s, %s or %s: else it does nothing"
        raise ValueError(words % ((on_full,) + _BOUNDS))
