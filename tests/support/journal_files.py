"""Segments written apart from the core's own writer, for tests that lay a journal on the disk and damage it."""

from persistmq_core.record import encode
from persistmq_core.segment import encode_header, segment_name

CACHE_ID = 0xC0FFEE01


def payload(seq: int) -> bytes:
    """What message ``seq`` of such a journal says."""
    return b"<%d>" % seq


def frame(seq: int, cache_id: int = CACHE_ID, content: "bytes | None" = None, qos: int = 1) -> bytes:
    return encode(seq, b"t", payload(seq) if content is None else content, qos, False, 0, cache_id)


def segment(first_seq: int, count: int, skipped: int = 0, cache_id: int = CACHE_ID) -> bytes:
    """A whole segment with ``count`` messages."""
    out = encode_header(first_seq, skipped, cache_id)
    for seq in range(first_seq, first_seq + count):
        out += frame(seq, cache_id)
    return out


def name_of(first_seq: int, ending: str = "seg", cache_id: int = CACHE_ID) -> str:
    return segment_name(first_seq, cache_id, ending)


def put(store: "object", first_seq: int, count: int, skipped: int = 0, cache_id: int = CACHE_ID) -> str:
    """Lay a segment on the disk; its name."""
    name = name_of(first_seq, "seg", cache_id)
    store.put(name, segment(first_seq, count, skipped, cache_id))
    return name


def frame_offsets(content: bytes) -> "list[tuple[int, int]]":
    """(start, end) of each frame of an undamaged segment."""
    found = []
    at = 32
    while at < len(content):
        end = at + 24 + (content[at + 8] | content[at + 9] << 8)
        found.append((at, end))
        at = end
    return found
