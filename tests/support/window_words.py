"""The table of the window in words, for the documentation and the tests."""

from persistmq_core import window

STATES = ("waiting", "sent-0", "sent-1", "sent-2", "received", "released", "releasing", "orphan",
          "orphan-releasing", "refused", "done", "carried")  # fmt: skip
EVENTS = ("send-0", "send-1", "send-2", "taken", "PUBACK", "PUBREC", "PUBCOMP", "stored", "send-PUBREL", "refuse",
          "settle", "abandon", "lose", "forget", "trust", "carry", "unpack")  # fmt: skip


def transitions() -> "tuple[tuple[int, int, int], ...]":
    """(state, event, new state) of all that the table has."""
    return tuple([(at // len(EVENTS), at % len(EVENTS), new) for at, new in enumerate(window._NEXT) if new != 255])
