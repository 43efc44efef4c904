"""The publishing side: check, number, frame and stage; then write a group, and commit or abort it.

``stage`` is cheap and touches no storage. ``take`` hands out all that is staged as one group, ``Group.write`` appends
and syncs it. Only that is slow: a port with threads calls ``stage``, ``take`` and ``finish`` under one lock and
``write`` outside it, one group at a time, so that the next group is staged while this one syncs.
"""

from .contracts import Store
from .errors import StoreError
from .journal import Journal
from .limits import INLINE_BYTES_MAX, SEND_BYTES, TOPIC_BYTES_MAX
from .record import encode, frame_bytes

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .payloads import LargeMessages, LargePayload

_BYTES = (bytes, bytearray)
_NUMBERS = (int, float, bool)  # MicroPython's bool is no int


class IsLarge(Exception):
    """A payload goes to a file of its own. Nothing was staged: see ``Prepared``."""


def check_topic(topic: str) -> bytes:
    """The bytes of a topic name (4.7), or ValueError/TypeError that names the value and the limit."""
    if type(topic) is not str and not isinstance(topic, str):  # isinstance costs a board as much as all the rest
        raise TypeError("topic must be a str, not %s" % type(topic).__name__)
    try:
        encoded = topic.encode()
    except UnicodeError:
        raise ValueError("topic %r has half of a character, a surrogate (MQTT 1.5.4)" % topic)  # noqa: B904 - portable
    if not encoded:
        raise ValueError("topic is empty: a topic name has at least one character (MQTT 4.7.3)")
    if len(encoded) > TOPIC_BYTES_MAX:
        raise ValueError("topic has %d bytes, the limit is %d (MQTT 1.5.4)" % (len(encoded), TOPIC_BYTES_MAX))
    if b"+" in encoded or b"#" in encoded:
        raise ValueError("topic %r has a wildcard: + and # are for subscriptions only (MQTT 4.7.1)" % topic)
    if b"\0" in encoded:
        raise ValueError("topic %r has a NUL character (MQTT 1.5.4)" % topic)
    if min(encoded) < 0x20 or b"\x7f" in encoded or len(encoded) != len(topic):
        _check_characters(topic)
    return encoded


def _check_characters(topic: str) -> None:
    # A receiver may close the connection over these (1.5.4), and Mosquitto does.
    for character in topic:
        code = ord(character)
        if code < 0x20 or 0x7F <= code < 0xA0 or 0xFDD0 <= code < 0xFDF0 or code & 0xFFFE == 0xFFFE:
            raise ValueError("topic %r has a character that brokers refuse, U+%04X (MQTT 1.5.4)" % (topic, code))


def check_payload(payload: "object") -> "bytes | bytearray | memoryview":
    """The bytes of a payload, encoded as paho does: str as UTF-8, numbers as text, None as nothing."""
    if type(payload) is bytes or isinstance(payload, _BYTES):
        return payload
    if isinstance(payload, memoryview):
        # Any shape or item size becomes plain bytes; what is that already is not copied, it may be large.
        return payload if getattr(payload, "c_contiguous", False) and payload.nbytes == len(payload) else bytes(payload)
    if isinstance(payload, str):
        return payload.encode()
    if isinstance(payload, _NUMBERS):
        return str(payload).encode()
    if payload is None:
        return b""
    if hasattr(payload, "readinto"):
        raise IsLarge
    raise TypeError(
        "payload must be str, bytes, bytearray, memoryview, int, float, None or an open binary file, not %s"
        % type(payload).__name__
    )


def check_message(topic: str, payload: "object", qos: int) -> "tuple[bytes, bytes | bytearray | memoryview]":
    """The bytes of topic and payload, or ValueError/TypeError that names the value and the limit.

    Raises IsLarge for a file; the length of the payload is the caller's to check.
    """
    check_qos(qos)
    return check_topic(topic), check_payload(payload)


def check_qos(qos: int) -> None:
    """Raises ValueError."""
    if (type(qos) is not int and (not isinstance(qos, int) or isinstance(qos, bool))) or not 0 <= qos <= 2:
        raise ValueError("qos must be 0, 1 or 2, not %r" % (qos,))


def check_retain(retain: bool) -> None:
    """Of what is no boolean only 0 and 1 may be: raises TypeError."""
    if not isinstance(retain, int) or not 0 <= retain <= 1:
        raise TypeError("retain must be True or False, not %r" % (retain,))


def seal_after_failure(journal: Journal, failure: "OSError | MemoryError") -> StoreError:
    """Of a write: what comes next begins a new segment. Returns what its caller is told."""
    journal.seal()  # the numbers are used up, and inside a segment they have no gap
    code = failure.args[0] if failure.args and isinstance(failure.args[0], int) else 0
    words = failure.args[1] if len(failure.args) > 1 else failure  # without the number, which is said already
    return StoreError(code, "the message could not be stored: %s" % words)


class Group:
    """Staged frames that are written, synced and committed together."""

    def __init__(self, journal: Journal, frames: "list[bytes]", first_seq: int) -> None:
        self.first_seq = first_seq
        self.end_seq = first_seq + len(frames)
        self.stored = False  # set by write() if it ended well
        self.error: StoreError | None = None  # set by write() if it failed; neither: a signal ended it half way
        self._journal = journal
        self._frames = frames
        self.large: list[LargePayload] = []  # those with files of their own

    def write(self) -> None:
        """Append and sync; what went wrong is in ``error``. Raises MemoryError if there is not even room for that."""
        frames = self._frames
        try:
            more: list[bytes] = []
            try:
                piece = frames[0] if len(frames) == 1 else b"".join(frames)
            except MemoryError:  # not in one piece: a board's heap has holes
                piece, more = frames[0], frames[1:]
            for large in self.large:
                large.settle(self._journal)
            self._journal.write(piece, self.first_seq, more)
            self.stored = True
        except (OSError, MemoryError) as failure:
            self.error = seal_after_failure(self._journal, failure)


class Bounds:
    """Asked before anything is staged, if the cache has bounds; ``Room`` is what answers."""

    def reserve(self, count: int, wanted_bytes: int) -> None:
        raise NotImplementedError

    def lacks(self, count: int, wanted_bytes: int) -> "tuple[int, int]":
        raise NotImplementedError


class Spool:
    """Numbers and stages messages; keeps at most what has not been written yet."""

    def __init__(
        self,
        journal: Journal,
        cache_id: int,
        store: "Store | None" = None,
        piece_bytes: int = SEND_BYTES,
        inline_bytes_max: int = INLINE_BYTES_MAX,
    ) -> None:
        """``inline_bytes_max``: a longer payload gets a file of its own in ``store``, so much of it at a time."""
        self.staged_bytes = 0  # about: a signal may come between
        self.room: Bounds | None = None
        self.has_expiring = False  # a message was staged that may become too old
        self.first_seq = journal.end_seq  # of the first message that is staged, or of the next one
        self.inline_bytes_max = inline_bytes_max
        self.store = store or Store()
        self.piece_bytes = piece_bytes
        self.large: LargeMessages | None = None  # from the first one on
        self.journal = journal
        self.cache_id = cache_id
        self._frames: list[bytes] = []
        self._written_bytes = 0  # of the group that is being written

    @property
    def next_seq(self) -> int:
        """The number of the next message."""
        return self.first_seq + len(self._frames)

    def stage(
        self, topic: str, payload: "object", qos: int, retain: bool, accepted_ms: int, expires_s: int = 0
    ) -> int:
        """Check and frame one message; returns its sequence number. Nothing is kept if it raises ValueError,
        TypeError, CacheFull or IsLarge.

        ``accepted_ms``: Unix time in milliseconds; where no clock is valid, the engine's ``now_ms``.
        ``expires_s``: it is not sent when it is so many seconds old; 0: never too old.
        """
        if retain is not True and retain is not False:
            check_retain(retain)
        topic_bytes, payload_bytes = check_message(topic, payload, qos)
        if len(payload_bytes) > self.inline_bytes_max:
            raise IsLarge
        if expires_s:
            self.has_expiring = True
        if self.room is not None:
            self.room.reserve(1, frame_bytes(topic_bytes, payload_bytes, expires_s))
        seq = self.first_seq + len(self._frames)
        frame = encode(seq, topic_bytes, payload_bytes, qos, retain, accepted_ms, self.cache_id, expires_s)
        self._frames.append(frame)  # which also takes the number: one step, whatever interrupts this
        self.staged_bytes += len(frame)
        return seq

    def stage_all(
        self, messages: "list[tuple[str, object, int, bool]]", accepted_ms: int, expires_s: int = 0
    ) -> int:
        """Check and frame them all: (topic, payload, qos, retain). Returns the sequence number of the first.

        Raises ValueError or TypeError for the first that cannot be, CacheFull, IsLarge: then none is kept.
        """
        if expires_s:
            self.has_expiring = True
        seq = first_seq = self.next_seq
        frames = []
        staged_bytes = 0
        last_topic: object = self  # which none is
        last_qos: object = self
        topic_bytes = b""
        for topic, payload, qos, retain in messages:
            if qos is not last_qos:
                check_qos(qos)
                last_qos = qos
            if retain is not True and retain is not False:
                check_retain(retain)
            if topic is not last_topic:  # most are of one topic, or of few
                topic_bytes = check_topic(topic)
                last_topic = topic
            payload_bytes = payload if type(payload) is bytes else check_payload(payload)
            if len(payload_bytes) > self.inline_bytes_max:
                raise IsLarge
            frame = encode(seq, topic_bytes, payload_bytes, qos, retain, accepted_ms, self.cache_id, expires_s)
            frames.append(frame)
            staged_bytes += len(frame)
            seq += 1
        if self.room is not None:
            self.room.reserve(len(frames), staged_bytes)
        self._frames.extend(frames)  # one step: without the memory for it none is kept
        self.staged_bytes += staged_bytes
        return first_seq

    def lacks(self, count: int, wanted_bytes: int) -> "tuple[int, int]":
        """How many messages and bytes stand in the way of so many more."""
        if self.room is None:
            return 0, 0
        return self.room.lacks(count, wanted_bytes)

    def has_room(self, count: int, wanted_bytes: int) -> bool:
        """For so many more messages, of so many bytes in all. Raises OSError if the device does not say."""
        return max(self.lacks(count, wanted_bytes)) <= 0

    def unwritten_bytes(self) -> int:
        """Of what is staged, or being written, or has room for it already."""
        count = self.staged_bytes + self._written_bytes
        return count + self.large.promised_bytes if self.large is not None else count

    def promised(self) -> int:
        """Messages that have room, and are not staged yet."""
        return self.large.promised if self.large is not None else 0

    def stage_frames(self, frames: "list[bytes]") -> None:
        """Frames with the next numbers, for which there is room."""
        self._frames.extend(frames)  # one step: it takes the numbers
        self.staged_bytes += sum([len(frame) for frame in frames])

    def has_staged(self, large: "LargePayload") -> bool:
        return large.is_among(self._frames, self.first_seq)

    def take(self) -> "Group | None":
        """All that is staged, as the next group to write; None if there is nothing."""
        if not self._frames:
            return None
        group = Group(self.journal, self._frames, self.first_seq)
        if self.large is not None:
            group.large = self.large.take(self._frames, self.first_seq)
        self.first_seq = group.end_seq
        self._frames = []
        self._written_bytes = self.staged_bytes
        self.staged_bytes = 0
        return group

    def drop(self) -> None:
        """Forget what is staged. Its numbers are free again: nothing of it was written, and no group is under way."""
        self.staged_bytes = 0
        if self.large is not None:
            self.large.discard(self.large.take(self._frames, self.first_seq), self.journal)
        self._frames.clear()

    def discard(self, group: Group) -> None:
        """It could not be written, and its callers are told so: its large payloads are removed."""
        if self.large is not None:
            self.large.discard(group.large, self.journal)

    def finish(self, group: Group) -> None:
        """After ``write``: commit what is durable. The numbers of a group that failed are never used again (law 4)."""
        self._written_bytes = 0
        if group.stored:
            if self.large is not None:
                self.large.stored(group.large)
            self.journal.commit(group.end_seq)
        else:
            self.journal.seal()  # as after an error: a signal may have ended it when all was written

    def accepted(self) -> int:
        """Messages on storage since the cache was made."""
        return self.journal.end_seq - 1 - self.journal.skipped
