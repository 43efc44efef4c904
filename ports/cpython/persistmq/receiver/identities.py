"""Which message is which, as it arrives: persistmq_core/FORMAT.md, "Identity on the wire"."""

import re
from collections.abc import Iterable
from typing import NamedTuple

NUMBER_MAX = 1 << 62  # with all that is added to one it still goes into the 8 bytes of a database
# A run that was given up belongs to the window of the message that tells it; far beyond it is nonsense, or malice: it
# would hide all losses to come.
AHEAD_MAX = 60_000
_RUNS_MAX = 1000
_EPOCH_MAX = 0xFFFFFFFF
_TEXT = re.compile(r"([0-9a-f]{8}) ([0-9]{1,19}) ([0-9]{1,19}) (.+)", re.DOTALL)
_RUN = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")


class Malformed(ValueError):
    """What was said is not in the form, and the message says why."""


class Identity(NamedTuple):
    """``client``: the publisher's MQTT client identifier. ``epoch``, ``seq``: see FORMAT.md. The three are unique."""

    client: str
    epoch: int
    seq: int

    def __str__(self) -> str:
        return "%s/%08x/%d" % self


class Told(NamedTuple):
    """What a message says of itself and of others: runs (first, last) of numbers that never come."""

    identity: Identity
    never: list[tuple[int, int]]


def check(client: object, epoch: object, seq: object, prev: object, runs: Iterable[tuple[object, object]]) -> Told:
    """Raises Malformed."""
    if not isinstance(client, str) or not client or "\0" in client:
        raise Malformed("a client identifier %.100r" % (client,))
    epoch = _number("epoch", epoch, 0, _EPOCH_MAX)
    seq = _number("number", seq, 1, NUMBER_MAX)
    prev = _number("number before it", prev, 0, seq - 1)
    never = [(prev + 1, seq - 1)] if prev < seq - 1 else []
    for first, last in runs:
        end = _number("end of a run", last, 1, seq + AHEAD_MAX)
        never.append((_number("begin of a run", first, 1, end), end))
    return Told(Identity(client, epoch, seq), never)


def from_properties(pairs: Iterable[tuple[str, str]]) -> Told | None:
    """Read user properties of a PUBLISH; None if there is nothing about identity in them. Raises Malformed."""
    text = runs = None
    for name, value in pairs:
        if name == "pmq" and text is None:
            text = value
        elif name == "pmq-never" and runs is None:
            runs = value
    if text is None:
        return None
    words = _TEXT.fullmatch(text)
    if words is None:
        raise Malformed("the property pmq is %.100r" % text)
    found = []
    for run in (runs or "").split(" ", _RUNS_MAX) if runs else ():
        numbers = _RUN.fullmatch(run)
        if numbers is None:
            raise Malformed("a run of pmq-never is %.100r" % run)
        found.append((int(numbers[1]), int(numbers[2])))
    return check(words[4], int(words[1], 16), int(words[2]), int(words[3]), found)


def _number(what: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise Malformed("%s: %.100r" % (what, value))
    return value
