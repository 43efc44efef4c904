"""What becomes of a cache directory: each mutation notes which messages it may cost, and all others are still owed."""

from collections.abc import Callable

from persistmq_core.checkpoint import NAMES as CHECKPOINTS
from persistmq_core.payloads import part_name, payload_name
from persistmq_core.segment import parse_name, segment_name
from tests.support import journal_files
from tests.support.bad_blocks import BadBlockStore
from tests.support.rng import Rng

from .caches import Cache

_PAGE = 4096
_SECTOR = 512
_ALL = (0, 1 << 60)


class Damaged:
    """A copy of ``cache`` that mutations are done to."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.files = {name: bytearray(content) for name, content in cache.files.items()}
        self.unreadable: list[tuple[str, int, int]] = []
        self.directories: list[str] = []  # these names are directories, where a store can have such
        self.may_cost: set[bytes] = set()
        self.checkpoints_lost: set[str] = set()
        self.foreign: set[str] = set()  # segments of other caches
        self.is_hopeless = False  # nobody can know whose the bytes are
        self.end_is_whole = True  # of the last segment: nothing that was its end is gone without a trace
        self.story: list[str] = []
        self._moved: set[str] = set()  # segments that do not stand under their own name, or not only
        self._copy_of: dict[str, str] = {}
        self._lies: set[str] = set()  # names that say another number than the header
        self._spoiled: set[str] = set()

    # --- which messages a change may cost ---

    def spoiled(self, name: str, start: int = 0, end: int = _ALL[1]) -> None:
        """These bytes of ``name`` are not what they were."""
        if name in CHECKPOINTS:
            self.checkpoints_lost.add(name)
        if name in self.foreign or name in self._lies:
            self.is_hopeless = True
        name = self._copy_of.get(name, name)
        if name in self.cache.payloads:
            self.may_cost.add(self.cache.files[name])
        if name not in self.cache.frames:
            return
        self._spoiled.add(name)
        if name in self._moved:
            # Nobody can say any more which messages these bytes were.
            for other in self._moved:
                self._cost(other)
        else:
            self._cost(name, start, end)
        if name == self.cache.segments[-1] and end >= len(self.cache.files[name]):
            self.end_is_whole = False

    def copied(self, name: str, copy: str) -> None:
        """There are two of it now, and one is taken."""
        self._copy_of[copy] = name
        if copy[:-4] != name[:-4]:
            self._lies.add(copy)
        self.moved(name)

    def moved(self, *names: str) -> None:
        """What these were now stands under other names. Their headers tell; with other damage nobody can."""
        self._moved.update(names)
        if self._moved & self._spoiled:
            for name in self._moved:
                self._cost(name)

    def knows_all_numbers(self) -> bool:
        """The end of the journal and the checkpoints are as they were: what was accepted can be counted."""
        last = self.cache.segments[-1]
        return not self.checkpoints_lost and last not in self._spoiled and last not in self._moved

    def _cost(self, name: str, start: int = 0, end: int = _ALL[1]) -> None:
        for frame_start, frame_end, payload in self.cache.frames[name]:
            if frame_start < end and start < frame_end:
                self.may_cost.add(payload)

    def lay(self, store: BadBlockStore) -> None:
        for name, content in self.files.items():
            store.put(name, content)
        for name, start, end in self.unreadable:
            if name in self.files:
                store.spoil(name, start, end)


def _any_file(damaged: Damaged, rng: Rng) -> str:
    names = sorted(damaged.files)
    # Segments are what most of it is about.
    segments = [name for name in names if name in damaged.cache.frames]
    return str(rng.pick(segments if segments and rng.below(3) else names or ["checkpoint.0"]))


def _place(damaged: Damaged, name: str, rng: Rng) -> int:
    """Somewhere in the file, and often at an edge of a frame."""
    frames = damaged.cache.frames.get(name)
    if frames and rng.one_in(3):
        return max(0, int(rng.pick(frames)[0]) + rng.between(-1, 24))
    return rng.below(len(damaged.files.get(name, b"")) + 1)


def flip_bits(damaged: Damaged, rng: Rng) -> None:
    name = _any_file(damaged, rng)
    content = damaged.files.get(name)
    for _ in range(1 + rng.below(4)):
        if content:
            at = min(_place(damaged, name, rng), len(content) - 1)
            content[at] ^= 1 << rng.below(8)
            damaged.spoiled(name, at, at + 1)


def overwrite(damaged: Damaged, rng: Rng) -> None:
    """With noise, with zeros, or with bytes of another place of the journal."""
    name = _any_file(damaged, rng)
    content = damaged.files.get(name, bytearray())
    at = _place(damaged, name, rng)
    length = min(len(content) - at, 1 + rng.below(300))
    if length > 0:
        source = damaged.files.get(_any_file(damaged, rng), bytearray())
        begin = rng.below(len(source) + 1)
        noise = (bytes(rng.garbage(length)), bytes(length), bytes(source[begin : begin + length]))
        kind = rng.below(3)
        content[at : at + len(noise[kind])] = noise[kind]
        # A later frame of this very cache is believed there, and what is between counts as lost.
        damaged.spoiled(name, at, _ALL[1] if kind == 2 else at + length)


def zero_page(damaged: Damaged, rng: Rng) -> None:
    """A page whose bytes never reached the disk; pages are small here, as the files are."""
    name = _any_file(damaged, rng)
    content = damaged.files.get(name, bytearray())
    page = int(rng.pick((_SECTOR, _SECTOR, _PAGE)))
    at = rng.below(len(content) // page + 1) * page
    end = min(len(content), at + page)
    content[at:end] = bytes(end - at)
    damaged.spoiled(name, at, end)


def truncate(damaged: Damaged, rng: Rng) -> None:
    name = _any_file(damaged, rng)
    size = _place(damaged, name, rng)
    if name in damaged.files and size < len(damaged.files[name]):
        del damaged.files[name][size:]
        damaged.spoiled(name, size)


def append_noise(damaged: Damaged, rng: Rng) -> None:
    name = _any_file(damaged, rng)
    if name in damaged.files:
        damaged.files[name] += rng.pick((bytes(rng.garbage(1 + rng.below(100))), bytes(5000)))
        if name in CHECKPOINTS:
            damaged.spoiled(name)


def empty(damaged: Damaged, rng: Rng) -> None:
    name = _any_file(damaged, rng)
    damaged.files[name] = bytearray()
    damaged.spoiled(name)


def delete(damaged: Damaged, rng: Rng) -> None:
    name = _any_file(damaged, rng)
    damaged.files.pop(name, None)
    damaged.spoiled(name)


def swap(damaged: Damaged, rng: Rng) -> None:
    """Two segments have each other's name (a repair tool, a copy by hand)."""
    names = [name for name in damaged.cache.segments if name in damaged.files]
    if len(names) > 1:
        first = str(rng.pick(names))
        second = str(rng.pick([name for name in names if name != first]))
        damaged.moved(first, second)
        damaged.files[first], damaged.files[second] = damaged.files[second], damaged.files[first]


def swap_payloads(damaged: Damaged, rng: Rng) -> None:
    names = [name for name in damaged.cache.payloads if name in damaged.files]
    if len(names) > 1:
        first, second = str(rng.pick(names)), str(rng.pick(names))
        damaged.files[first], damaged.files[second] = damaged.files[second], damaged.files[first]
        for name in {first, second} if first != second else ():
            damaged.spoiled(name)


def strange_payloads(damaged: Damaged, rng: Rng) -> None:
    """Files under the names of payloads: not finished, beyond the end, of another cache."""
    _, cache_id, _ = parse_name(damaged.cache.segments[0]) or (0, 0, "")
    number = rng.below(200)
    name = rng.pick((part_name(number, cache_id), payload_name(number + 60, cache_id), payload_name(number, 77)))
    if name not in damaged.files:
        damaged.files[str(name)] = rng.garbage(rng.below(400))


def duplicate(damaged: Damaged, rng: Rng) -> None:
    """The same segment twice: as .bad too, or under a number that is nobody's."""
    name = str(rng.pick(damaged.cache.segments))
    if name in damaged.files:
        first_seq, cache_id, _ = parse_name(name) or (1, 0, "")
        copy = rng.pick((segment_name(first_seq, cache_id, "bad"), segment_name(first_seq + rng.below(99), cache_id)))
        if copy not in damaged.files:
            damaged.files[str(copy)] = bytearray(damaged.files[name])
            damaged.copied(name, str(copy))


def foreign_file(damaged: Damaged, rng: Rng) -> None:
    name = rng.pick(
        ("lock", "checkpoint.2", "journal/README", "journal/.seg", "journal/000000000000000g-00000000.seg",
         "quarantine/x", "dead/x.seg", "journal/0000000000000001-04654101.seg.moving", "x", "payloads/x")
    )  # fmt: skip
    damaged.files[str(name)] = rng.garbage(rng.below(200))


def foreign_segment(damaged: Damaged, rng: Rng) -> None:
    """Another cache's, under its own name or under one that says it was ours."""
    other_id = journal_files.CACHE_ID
    first_seq = 1 + rng.below(80)
    cache_id = int(rng.pick((other_id, (parse_name(damaged.cache.segments[0]) or (0, 0))[1])))
    name = segment_name(first_seq, cache_id, str(rng.pick(("seg", "bad"))))
    if name not in damaged.files:
        damaged.foreign.add(name)
        damaged.files[name] = bytearray(journal_files.segment(first_seq + rng.below(2), 1 + rng.below(20), 0, other_id))


def unreadable(damaged: Damaged, rng: Rng) -> None:
    """Reads of some sectors fail, for ever."""
    name = _any_file(damaged, rng)
    size = len(damaged.files.get(name, b""))
    start = rng.below(size // _SECTOR + 1) * _SECTOR
    end = start + _SECTOR * (1 + rng.below(4))
    damaged.unreadable.append((name, start, end))
    damaged.spoiled(name, start, end)


def directory(damaged: Damaged, rng: Rng) -> None:
    """A directory stands where a file belongs."""
    odd = ("journal/0000000000000063-04654101.seg", "payloads/0000000000000001-04654101.part")
    name = str(rng.pick((*CHECKPOINTS, *odd, _any_file(damaged, rng))))
    damaged.files.pop(name, None)
    damaged.directories.append(name)
    damaged.spoiled(name)


MUTATIONS: tuple[Callable[[Damaged, Rng], None], ...] = (
    flip_bits, overwrite, zero_page, truncate, append_noise, empty, delete, swap, duplicate, foreign_file,
    foreign_segment, unreadable, directory, flip_bits, overwrite, zero_page, truncate, unreadable, swap_payloads,
    strange_payloads,
)  # fmt: skip


def mutate(cache: Cache, rng: Rng, times: int) -> Damaged:
    damaged = Damaged(cache)
    for _ in range(times):
        mutation = MUTATIONS[rng.below(len(MUTATIONS))]
        mutation(damaged, rng)
        damaged.story.append(mutation.__name__)
    return damaged
