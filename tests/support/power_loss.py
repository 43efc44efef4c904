"""What a power cut leaves of bytes that were written and not synced."""

# What can become of one waiting write. "lose" at the end of a file shortens it; before bytes that stayed it is a hole
# of NULs (delayed allocation: the size went to the disk, the bytes did not).
FATES = ("keep", "lose", "prefix", "prefix_nuls", "hole", "nuls", "garbage")

# How the fates of one file's writes hang together. Most file systems lose a suffix; none promises it.
_PATTERNS = ("keep", "lose", "suffix", "suffix", "independent", "independent")


def choose(count: int, rng: "object", fate: "str | None") -> "list[str]":
    """A fate for each of ``count`` waiting writes of one file; ``fate`` gives all of them the same."""
    if fate is not None:
        return [fate] * count
    pattern = rng.pick(_PATTERNS)
    if pattern == "independent":
        return [rng.pick(FATES) for _ in range(count)]
    if pattern == "suffix":
        kept = rng.below(count) if count else 0
        return ["keep" if i < kept else rng.pick(FATES) if i == kept else "lose" for i in range(count)]
    return [pattern] * count


def surviving(content: bytearray, waiting: "list[tuple]", fates: "list[str]", rng: "object") -> bytearray:
    """The bytes of one file after the cut. ``waiting``: (start, end) of each unsynced write, in ascending order.

    Bytes outside of ``waiting`` are synced and never touched.
    """
    out = bytearray(content)
    size = 0  # how long the file is at least
    seen = 0  # up to where it has been looked at
    for (start, end), fate in zip(waiting, fates):  # noqa: B905 - MicroPython's zip has no strict
        if start > seen:
            size = start
        kept = _apply(out, start, end, fate, rng)
        if kept > start:
            size = kept
        seen = end
    if seen < len(content):
        size = len(content)
    return out[:size]


def _apply(out: bytearray, start: int, end: int, fate: str, rng: "object") -> int:
    """Let ``fate`` happen to ``out[start:end]``; return where the file ends if nothing follows."""
    if fate == "keep" or start == end:
        return end
    begin = rng.between(start, end)
    if fate == "prefix":
        _clear(out, begin, end)
        return begin
    if fate == "prefix_nuls":
        _clear(out, begin, end)
        return end
    if fate == "hole":
        _clear(out, begin, rng.between(begin, end))
        return end
    if fate == "garbage":
        if rng.one_in(2):
            begin = start
        out[begin:end] = rng.garbage(end - begin)
        return end
    _clear(out, start, end)
    return end if fate == "nuls" else start


def _clear(out: bytearray, start: int, end: int) -> None:
    out[start:end] = bytes(end - start)
