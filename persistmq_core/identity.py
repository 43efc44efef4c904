"""End-to-end identity: (client, epoch, number) on each message, and which numbers will never come.

A receiver drops what comes twice by it, and names what is missing. Numbers that are given up (expired, evicted,
refused, damaged, skipped) must not look like a loss there, so they are told: as ``prev`` of the next message, or in a
list of their own where a later one had been sent before. A range is kept, also over a restart, until a message that
tells of it is acknowledged. FORMAT.md has the bytes.
"""

from struct import pack, unpack_from

from .contracts import Random
from .limits import SEQ_FIRST, UNTOLD_KEPT_MAX, UNTOLD_TOLD_MAX, const

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .recovery import Recovered

NAME = b"pmq"  # of the user property that says which message it is
NAME_NEVER = b"pmq-never"

_USER_PROPERTY = const(0x26)  # 5.0, 2.2.2.2
_HEAD = "<HI"  # ranges, epoch
_HEAD_BYTES = const(6)
_RANGE = "<QQQ"
_RANGE_BYTES = const(24)
_CLIENT_ID_BYTES_MAX = const(65000)  # the property's value has a 16-bit length, and numbers beside the client's name


class Identity:
    """Of one cache. ``epoch``: drawn anew whenever it is not sure which numbers were used under the last one.

    Raises ValueError for a client identifier that has no room in a property.
    """

    def __init__(self, client_id: str, found: "Recovered", random: Random) -> None:
        name = client_id.encode()
        if not 0 < len(name) <= _CLIENT_ID_BYTES_MAX:
            raise ValueError("client_id has %d bytes, with identity it may have %d" % (len(name), _CLIENT_ID_BYTES_MAX))
        self.client_id = client_id
        self._client = name
        self._ranges: list[list[int]] = []  # [first, end, number of the message that tells of it or 0], oldest first
        self._ranges_max = max(UNTOLD_KEPT_MAX, len(found.checkpoint.places))
        section = found.checkpoint.identity
        self.is_new = not section  # the epoch must be on storage before anything is sent under it
        if section:
            count, self.epoch = unpack_from(_HEAD, section)
            for index in range(count):
                self._ranges.append(list(unpack_from(_RANGE, section, _HEAD_BYTES + _RANGE_BYTES * index)))
        elif found.end_seq == SEQ_FIRST:
            self.epoch = found.checkpoint.cache_id
        else:
            # It was off, and messages went without it; or no checkpoint is left, and numbers may be given again.
            self.epoch = random.below(0xFFFFFFFF) + 1

    def encode(self) -> bytes:
        """For the checkpoint."""
        kept = self._ranges[-UNTOLD_KEPT_MAX:]
        return pack(_HEAD, len(kept), self.epoch) + b"".join([pack(_RANGE, *each) for each in kept])

    def never(self, first: int, end: int) -> None:
        """Numbers from ``first`` to before ``end`` were given up."""
        joined = any(each[0] <= first and end <= each[1] for each in self._ranges)  # it is known already
        for each in self._ranges:
            if first <= each[2] < end:
                each[2] = 0  # what was to tell of it does not come
            if not joined and not each[2]:
                if each[1] == first:
                    each[1] = end
                    joined = True
                elif each[0] == end:
                    each[0] = first
                    joined = True
        if not joined:
            self._ranges.append([first, end, 0])
            if len(self._ranges) > self._ranges_max:
                self._ranges.pop(0)  # a receiver will call it a gap

    def delivered(self, seq: int) -> None:
        """It was acknowledged, and with it what it told."""
        if self._ranges:
            self._ranges = [each for each in self._ranges if each[2] != seq]

    def owes(self) -> bool:
        """Something was given up of which no acknowledged message has told."""
        return bool(self._ranges)

    def tell(self, seq: int, counts: bool) -> "tuple[int, list[int]]":
        """What the message ``seq`` says of others: (the number before it that was sent, [first, last, first, ...]).

        ``counts``: it will be acknowledged, and that is for all it says: it was never sent in this session before.
        """
        prev = seq - 1
        told: list[int] = []
        for each in self._ranges:
            first, end, teller = each
            if end == seq:
                prev = first - 1
            elif teller != seq and (teller or not counts or len(told) >= UNTOLD_TOLD_MAX):
                continue
            else:
                told.append(first)
                told.append(end - 1)
            if counts and not teller:
                each[2] = seq
        return prev, told

    def properties(self, seq: int, counts: bool) -> bytes:
        """User properties (5.0, 3.3.2.3.7) of the message ``seq``; ``counts``: see ``tell``."""
        if not self._ranges:
            return _user_property(NAME, b"%08x %d %d %s" % (self.epoch, seq, seq - 1, self._client))
        prev, told = self.tell(seq, counts)
        own = _user_property(NAME, b"%08x %d %d %s" % (self.epoch, seq, prev, self._client))
        if not told:
            return own
        words = ["%d-%d" % (told[at], told[at + 1]) for at in range(0, len(told), 2)]
        return own + _user_property(NAME_NEVER, " ".join(words).encode())


def _user_property(name: bytes, text: bytes) -> bytes:
    return pack(">BH", _USER_PROPERTY, len(name)) + name + pack(">H", len(text)) + text
