"""What becomes too old while there is no connection makes room for newer messages."""

from .contracts import Clock
from .limits import EXPIRED_MAX
from .walk import Walk
from .window import WAITING


def expire(walk: Walk, now_ms: int, clock: Clock) -> bool:
    """Give up the oldest that were never sent, if they are too old. Raises OSError.

    True if the next one will be, too, some time.
    """
    window = walk.window
    spill = walk.spill_store
    if walk.checkpoint.evicted_end > window.cursor:
        return False  # there can be no second range, and so nothing settled behind this one
    seq = max(window.cursor, walk._sent_end)
    while window.has_room(seq) and len(walk._expired) < EXPIRED_MAX:
        if window.state(seq) == WAITING:
            record = walk._fetch(seq) if spill is None or not spill.keeps_back(seq) else None
            if record is None or not record.expires_s:
                return False
            if walk._left_s(record, now_ms, clock) > 0:
                break
            if record.is_apart():
                walk._payload_files().note(seq)
            walk._expire(seq)
        seq += 1
    return True
