"""The dead letters of a cache: which there are, and what stands in them. Only for who asks: delivery does without."""

from .contracts import Store
from .dead_letters import FOLDER
from .limits import READ_BYTES
from .payloads import FILE
from .record import Record
from .segment import RECORD, SegmentReader

_LETTER = ".seg"
_NAME_BYTES = len(FOLDER) + 1 + 16 + 1 + 8 + 1 + 2 + len(_LETTER)


class Letter:
    """One of them, by what its name says. ``reason_code``: of MQTT 5, or below 0x80 one of our own (``reasons.py``)."""

    def __init__(self, name: str, seq: int, cache_id: int, reason_code: int) -> None:
        self.name = name
        self.seq = seq
        self.cache_id = cache_id
        self.reason_code = reason_code


def parse(name: str) -> "Letter | None":
    """None for a name that is none of ours."""
    parts = name[len(FOLDER) + 1 : -len(_LETTER)].split("-")
    if len(name) != _NAME_BYTES or not name.endswith(_LETTER) or len(parts) != 3:
        return None
    try:
        seq, cache_id, reason_code = [int(part, 16) for part in parts]
    except ValueError:
        return None
    return Letter(name, seq, cache_id, reason_code)


def letters(store: Store) -> "list[Letter]":
    """All of them, in the order of their numbers. Raises OSError."""
    return [letter for letter in [parse(name) for name in sorted(store.list(FOLDER))] if letter is not None]


def read(store: Store, letter: Letter, read_bytes: int = READ_BYTES) -> "Record | None":
    """The message; None if its bytes are damaged. Raises OSError."""
    reader = SegmentReader(store, letter.name, letter.seq, letter.cache_id, min(read_bytes, store.size(letter.name)))
    return reader.record if reader.next() == RECORD else None


def letter_payload_name(letter_name: str) -> str:
    """Where the payload is that stands in a file of its own; the record says whether it does."""
    return letter_name[: -len(_LETTER)] + FILE


def remove(store: Store, letter_name: str) -> None:
    """The letter, and its payload's file. Raises OSError."""
    beside = letter_payload_name(letter_name)
    if beside in store.list(FOLDER):
        store.remove(beside)  # first: without its letter nobody would find it
    store.remove(letter_name)


def trim(store: Store, letters_max: int) -> int:
    """Remove the oldest beyond ``letters_max``; how many these were. Raises OSError."""
    found = letters(store)
    excess = found[: max(0, len(found) - letters_max)]
    for letter in excess:
        remove(store, letter.name)
    return len(excess)
