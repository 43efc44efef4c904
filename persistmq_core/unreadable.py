"""Bytes that storage cannot give back: a bad block, a page whose own checksum fails. Read around them in small pieces.

They become bytes that are no frame, so that for all readers they are damage like any other.
"""

from .contracts import Store
from .errors import is_unreadable
from .limits import UNREADABLE_PIECE_BYTES

# Not zero (that would be preallocated space, and no loss) and not in a frame's marker.
_FILLER = b"\xff" * UNREADABLE_PIECE_BYTES


def read_around(store: Store, name: str, offset: int, buffer: memoryview) -> "tuple[int, int]":
    """Fill ``buffer`` piece by piece: (count as of ``Store.read``, where the last bytes end that did not read, or 0).

    Raises OSError for what is not about the bytes.
    """
    try:
        wanted = min(len(buffer), max(0, store.size(name) - offset))
    except OSError as failure:
        if not is_unreadable(failure):
            raise
        return 0, 0  # not even its size: as if it ended here
    at = 0
    unreadable_end = 0
    while at < wanted:
        # In step with the file, so that one bad block spoils one piece.
        end = min(wanted, at + UNREADABLE_PIECE_BYTES - (offset + at) % UNREADABLE_PIECE_BYTES)
        count = _read_twice(store, name, offset + at, buffer[at:end])
        if count < 0:
            buffer[at:end] = _FILLER[: end - at]
            unreadable_end = end
        elif count < end - at:
            return at + count, unreadable_end
        at = end
    return wanted, unreadable_end


def _read_twice(store: Store, name: str, offset: int, buffer: memoryview) -> int:
    """-1 if it does not read. Twice, for this very piece may never have failed before."""
    for _ in range(2):
        try:
            return store.read(name, offset, buffer)
        except OSError as failure:
            if not is_unreadable(failure):
                raise
    return -1
