"""What is found at start: the segments, where they end, and how far the broker may have seen numbers.

Looks at every segment's header and at the frames of the last one, so the time it takes grows with the number of
segments, not of records. It always comes to an end: what does not read is moved aside, never deleted (law 6).
"""

from . import slots
from .checkpoint import PLACE_DONE, PLACE_ORPHAN, PLACE_WAITING, Checkpoint
from .contracts import Random, Store
from .errors import is_unreadable
from .limits import AHEAD_WINDOWS, AHEAD_WINDOWS_BOUNDED, READ_BYTES, SEQ_FIRST, const
from .record import FRAME_BYTES_MIN
from .segment import (
    JOURNAL,
    QUARANTINE,
    RECORD,
    SegmentReader,
    parse_name,
    quarantine,
    read_header,
    segment_name,
)

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .journal import JournalReader

_UNKNOWN_BYTES = const(1 << 30)  # more than any journal holds, so that the sent bound decides

ENDS = const(2)  # of many segments, so many are looked at at each end

_MOVING = ".moving"  # at the end of a name: on its way from a wrong name to its own


class Recovered:
    """The state to go on from."""

    def __init__(self, state: Checkpoint) -> None:
        self.checkpoint = state
        self.end_seq = state.cursor  # the next number to give
        self.skipped = state.skipped + state.evicted_skipped  # numbers below end_seq that are no accepted message
        self.active_name = ""  # the segment that may go on growing, "" if a new one must begin
        self.active_first = 0
        self.active_bytes = 0
        self.torn_bytes = 0  # a last write that power cut short, left where it is
        self.held_bytes = 0  # of all segments, and of the payloads that have files of their own
        self.durable_cursor = 0  # as it was found on storage
        self.records_end = state.cursor  # behind the last record that reads, whatever was skipped then
        self.end_is_sure = state.cursor == SEQ_FIRST  # no record was lost there
        self.may_repeat = False  # a newer checkpoint may be lost: what it settled is sent again
        # (first number, name) of all segments, if only those at the ends were looked at; held_bytes is of these.
        self.segments: list[tuple[int, str]] = []
        self.reader: JournalReader | None = None  # that knows of these
        self.payload_seqs: list[int] = []  # numbers of the messages whose payload has a file


def recover(
    store: Store,
    span: int,
    random: Random,
    read_bytes: int = READ_BYTES,
    ahead_windows: int = AHEAD_WINDOWS,
    surveyed_max: int = 1 << 30,
) -> Recovered:
    """Survey the cache. Raises FormatError for a newer disk version, before anything is changed; OSError.

    ``surveyed_max``: if there are more segments, and nothing looks odd, only those at the ends are looked at;
    ManySegmentsReader sees to the others.
    """
    state, doubtful = slots.load(store)
    names = store.list(JOURNAL)
    segments: list[tuple[int, int, str]] = []
    if len(names) > surveyed_max and state is not None and not doubtful:
        segments = _by_name(store, names, state.cache_id)
    are_many = len(segments) > 0
    files = [] if are_many else _headers(store, names)
    if state is None:
        cache_id = _cache_id(files)
        state = Checkpoint(random.below(0xFFFFFFFF) + 1 if cache_id == 0 else cache_id, span)
        unknown = True
        durable_cursor = 0
    else:
        unknown = False
        durable_cursor = state.cursor
        if doubtful:
            # The newest one may be lost. Nothing was sent beyond its bound, which was no further than this.
            if state.bundles:
                ahead_windows = AHEAD_WINDOWS_BOUNDED  # it is kept close then
            state.sent_bound += ahead_windows * max(span, len(state.places))
    if len(state.places) < span:
        state.places = state.places + bytearray(span - len(state.places))
    if not are_many:
        segments = _adopt(store, files, state.cache_id)
        segments = _without_litter(store, segments, state.cache_id, read_bytes)
    found = Recovered(state)
    found.durable_cursor = durable_cursor
    found.may_repeat = doubtful
    sized = segments[:ENDS] + segments[-ENDS:] if are_many else segments
    found.held_bytes = sum([max(0, size_of(store, name)) for _, _, name in sized])
    reader = _last(store, segments, state.cache_id, read_bytes)
    if are_many:
        found.segments = [(first_seq, name) for first_seq, _, name in segments]
    if unknown and segments:
        # Every message the journal holds is sent again: duplicates are possible, a loss is not. What was reclaimed
        # had been acknowledged (law 5).
        state.in_doubt = True
        state.cursor = segments[0][0]
        state.skipped = _skipped_before_first(segments)
        state.delivered = state.cursor - SEQ_FIRST - state.skipped
    elif doubtful and segments and segments[0][0] > state.cursor:
        _settle_reclaimed(state, segments[0][0], _skipped_before_first(segments))
        state.bundles = b""  # of some it is known to be settled, and of which is not: they are sent again singly
    if state.bundles:
        from .bundles import mark  # noqa: PLC0415 - only here: most have none

        mark(state)
    if reader is not None:
        found.end_seq = found.records_end = max(reader.end_seq, SEQ_FIRST)
        # The last header's. If that does not read, or a later one is lost: what the others and the checkpoint know.
        found.skipped = max([found.skipped] + [skipped for _, skipped, _ in segments])
        found.active_first = segments[-1][0]
        size = size_of(store, reader.name)
        if size == reader.end_offset and not reader.damaged_bytes and segments[-1][1] >= 0:
            found.active_name = reader.name
            found.active_bytes = size
        headless = segments[-1][1] < 0 and found.end_seq == segments[-1][0]  # not even a header reads
        if size < 0 or headless or reader.unreadable_end > reader.end_offset:
            # Not what power cut short, but records perhaps, with any number up to what has room there. They count as
            # lost, unless the reader finds them after all.
            found.end_seq += reader.tail_bytes // FRAME_BYTES_MIN + 1
            found.active_name = ""
            found.end_is_sure = False
        else:
            found.end_is_sure = reader.tail_bytes == 0
            found.torn_bytes = reader.tail_bytes
        tail_bytes = found.torn_bytes if size >= 0 else _UNKNOWN_BYTES
        _keep_clear_of_the_wire(store, found, tail_bytes - FRAME_BYTES_MIN * _lose_the_end(found))
        if found.end_seq == found.active_first and not found.active_name:
            # Not even its first frame is whole. The next segment must not take its name.
            found.end_seq += 1
            found.skipped += 1
    elif _lose_the_end(found) or state.session_known or state.evicted_end > state.cursor or any(state.places):
        # The journal is gone: whatever it held may have been sent, or is in its account.
        _keep_clear_of_the_wire(store, found, _UNKNOWN_BYTES)
    return found


def _lose_the_end(found: Recovered) -> int:
    """The checkpoint knows numbers that had been on storage, and are not any more: how many. They count as lost."""
    state = found.checkpoint
    count = state.end_seq - found.end_seq if state.end_seq > state.cursor else 0
    if count <= 0:
        return 0
    found.end_seq = state.end_seq
    found.skipped = max(found.skipped, state.end_skipped)
    found.active_name = ""
    found.end_is_sure = False
    return count


def _by_name(store: Store, names: "list[str]", cache_id: int) -> "list[tuple[int, int, str]]":
    """The segments by their names, as ``_adopt`` has them; none if one has no good name, or at the ends no good header.

    Those in the middle are not looked at, however many they are.
    """
    segments = []
    for name in names:
        parsed = parse_name(name)
        if parsed is not None and parsed[1] == cache_id:
            segments.append((parsed[0], -1, name))
        elif parsed is not None or name.endswith(_MOVING):
            return []
    segments.sort()
    for index in range(len(segments)):
        first_seq, _, name = segments[index]
        if len(segments) <= 2 * ENDS or (index and first_seq == segments[index - 1][0]):
            return []
        if index < ENDS or index >= len(segments) - ENDS:
            header = _header(store, name)
            if header is None or header[0] != first_seq or header[2] != cache_id:
                return []
            segments[index] = (first_seq, header[1], name)
    return segments


def put_right(store: Store, cache_id: int) -> bool:
    """Look at all segments, give each its own name and move foreign ones aside; True if there were such."""
    files = _headers(store, store.list(JOURNAL))
    are_right = [name[:-4] == segment_name(first_seq, cache_id)[:-4] for first_seq, _, _, name in files]
    return len(_adopt(store, files, cache_id)) < len(files) or not all(are_right)


def _headers(store: Store, names: "list[str]") -> "list[tuple[int, int, int, str]]":
    """(first seq, cache id, skipped before, name) of each file named like a segment; -1: its header does not read."""
    files = []
    for name in names:
        parsed = parse_name(_without_moving(name))
        if parsed is None:
            continue  # not ours: left alone
        header = _header(store, name)
        if header is None:
            files.append((parsed[0], parsed[1], -1, name))
        else:
            files.append((header[0], header[2], header[1], name))
    files.sort()
    return files


def _header(store: Store, name: str) -> "tuple[int, int, int] | None":
    try:
        return read_header(store, name)
    except OSError as failure:
        if not is_unreadable(failure):
            raise
        return None


def _without_moving(name: str) -> str:
    while name.endswith(_MOVING):
        name = name[: -len(_MOVING)]
    return name


def _cache_id(files: "list[tuple[int, int, int, str]]") -> int:
    """The cache's number, of the newest segment whose header reads, or else in the newest name; 0 if there is none."""
    number = 0
    sure = False
    for _, cache_id, skipped, _ in files:
        if skipped >= 0 or not sure:
            number = cache_id
            sure = sure or skipped >= 0
    return number


def _adopt(store: Store, files: "list[tuple[int, int, int, str]]", cache_id: int) -> "list[tuple[int, int, str]]":
    """Give misnamed segments their own names back, move foreign and duplicate ones aside.

    Returns (first seq, skipped before or -1, name) in order.
    """
    kept: list[tuple[int, int, str]] = []
    misnamed = []
    taken = {}  # first numbers: a segment may be there twice, as .seg and .bad
    names = [each[3] for each in files]
    # Those whose header reads come first; another file with the same number is moved out of their way.
    for first_seq, number, skipped, name in [f for f in files if f[2] >= 0] + [f for f in files if f[2] < 0]:
        if number != cache_id or first_seq in taken:
            quarantine(store, name)
            continue
        taken[first_seq] = True
        if name[:-4] == segment_name(first_seq, cache_id)[:-4]:
            kept.append((first_seq, skipped, name))
            continue
        aside = name
        if not name.endswith(_MOVING):  # else a start that was cut short has done it
            while aside in names:  # two may have each other's name
                aside += _MOVING
            store.move(name, aside)
        misnamed.append((first_seq, skipped, aside))
    for first_seq, skipped, name in misnamed:
        right = segment_name(first_seq, cache_id)
        store.move(name, right)
        kept.append((first_seq, skipped, right))
    kept.sort()
    return kept


def _without_litter(
    store: Store, segments: "list[tuple[int, int, str]]", cache_id: int, read_bytes: int
) -> "list[tuple[int, int, str]]":
    """Put segments out of the way that hold nothing whole, not even a header: the power failed while one was made."""
    kept = []
    for first_seq, skipped, name in segments:
        if skipped < 0:
            try:
                empty = SegmentReader(store, name, first_seq, cache_id, read_bytes).next() != RECORD
                blank = empty and _is_blank(store, name, read_bytes)
            except OSError:
                empty = False  # nobody knows
            if empty:
                if blank:
                    store.remove(name)
                else:
                    quarantine(store, name)
                continue
        kept.append((first_seq, skipped, name))
    return kept


def _end_of_quarantined(store: Store, found: Recovered) -> int:
    """Up to which number the segments may have held that were moved aside from the end of the journal; 0 if none was.

    They are looked for each time, because power may have failed when they had just been moved.
    """
    end = 0
    for first_seq, cache_id, name in _quarantined(store):
        if cache_id == found.checkpoint.cache_id and first_seq >= found.end_seq and not _header(store, name):
            end = max(end, first_seq + max(0, size_of(store, name)) // FRAME_BYTES_MIN + 1)
    return end


def _quarantined(store: Store) -> "list[tuple[int, int, str]]":
    """(first seq, cache id, name) of each segment that was moved aside."""
    found = []
    for name in store.list(QUARANTINE):
        parsed = parse_name(name[len(QUARANTINE) + 1 :][: len(segment_name(0, 0))])
        if parsed is not None:
            found.append((parsed[0], parsed[1], name))
    return found


def _last(
    store: Store, segments: "list[tuple[int, int, str]]", cache_id: int, read_bytes: int
) -> "SegmentReader | None":
    """Read the last segment to its end; there is no time to try a bad place again and again."""
    if not segments:
        return None
    first_seq, skipped, name = segments[-1]
    reader = SegmentReader(store, name, first_seq, cache_id, read_bytes)
    reader.reads_around = True
    while reader.next() == RECORD:
        pass
    if (reader.damaged_bytes or reader.unreadable_end) and not name.endswith(".bad"):
        reader.name = segment_name(first_seq, cache_id, "bad")
        store.move(name, reader.name)
        segments[-1] = (first_seq, skipped, reader.name)
    return reader


def size_of(store: Store, name: str) -> int:
    """Bytes in it, -1 if not even that reads."""
    try:
        return store.size(name)
    except OSError as failure:
        if not is_unreadable(failure):
            raise
        return -1


def _is_blank(store: Store, name: str, read_bytes: int) -> bool:
    buffer = bytearray(read_bytes)
    offset = 0
    while True:
        count = store.read(name, offset, memoryview(buffer))
        if count == 0:
            return True
        if bytes(memoryview(buffer)[:count]).strip(b"\0"):
            return False
        offset += count


def _skipped_before_first(segments: "list[tuple[int, int, str]]") -> int:
    """What the first header that reads says, should numbers have been skipped behind a damaged one or not."""
    for _, skipped, _ in segments:
        if skipped >= 0:
            return min(skipped, segments[0][0] - SEQ_FIRST)
    return 0


def _settle_reclaimed(state: Checkpoint, first_seq: int, skipped: int) -> None:
    # The newest checkpoint is lost and the one before lags behind a reclaim: what was removed had been acknowledged.
    gone = first_seq - state.cursor
    evicted = max(0, min(first_seq, state.evicted_end) - max(state.cursor, state.evicted_first))
    for index in range(min(gone, len(state.places))):
        seq = state.cursor + index
        settled = state.places[index] in (PLACE_DONE, PLACE_ORPHAN)
        if settled and not state.evicted_first <= seq < state.evicted_end:
            gone -= 1  # in its account already
    gone -= evicted
    newly_skipped = max(0, skipped - state.skipped)
    of_evicted = min(evicted, state.evicted_skipped, newly_skipped)
    state.evicted_skipped -= of_evicted
    state.skipped += of_evicted
    newly_skipped = min(gone, newly_skipped - of_evicted)
    state.skipped += newly_skipped
    state.delivered += gone - newly_skipped
    shift = min(first_seq - state.cursor, len(state.places))
    state.places = state.places[shift:] + bytearray(shift)
    state.cursor = first_seq


def _keep_clear_of_the_wire(store: Store, found: Recovered, tail_bytes: int) -> None:
    """Law 4: a number that may have been on the wire is never given again, whatever became of its record.

    A tail that does not read is most often a write that power cut short, of numbers that were never sent. It may be
    damage as well, so as many numbers as may have stood there are skipped, as far as any can have been sent.
    """
    state = found.checkpoint
    span = len(state.places)
    sent_end = state.sent_bound
    known_end = state.cursor
    for index in range(span):
        if state.places[index] != PLACE_WAITING:
            known_end = state.cursor + index + 1
    known_end = max(known_end, state.evicted_end)
    target = found.end_seq
    if known_end > found.end_seq:
        target = max(sent_end, known_end)  # the checkpoint knows numbers that the journal has lost
        found.end_is_sure = False
    else:
        target = _end_of_quarantined(store, found)
        found.end_is_sure = found.end_is_sure and target == 0
        if tail_bytes > 0:
            target = max(target, found.end_seq + tail_bytes // FRAME_BYTES_MIN + 1)
        target = min(sent_end, target)
    if target <= found.end_seq:
        return
    fresh = target - max(found.end_seq, state.cursor)
    for index in range(span):
        if state.places[index] != PLACE_WAITING and found.end_seq <= state.cursor + index < target:
            fresh -= 1  # settled, or with a state of its own: a message, and counted as one
    fresh -= max(0, min(target, state.evicted_end) - max(found.end_seq, state.evicted_first))
    found.skipped += fresh
    found.end_seq = target
    found.active_name = ""
