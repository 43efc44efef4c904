"""The publishing side: check, number, frame and stage; then write a group, and commit or abort it.

``stage`` is cheap and touches no storage. ``take`` hands out all that is staged as one group, ``Group.write`` appends
and syncs it. Only that is slow: a port with threads calls ``stage``, ``take`` and ``finish`` under one lock and
``write`` outside it, one group at a time, so that the next group is staged while this one syncs.
"""

from .errors import StoreError
from .journal import Journal
from .limits import PUBLISH_OVERHEAD_BYTES, REMAINING_LENGTH_MAX, TOPIC_BYTES_MAX
from .record import encode, frame_bytes

_BYTES = (bytes, bytearray)
_NUMBERS = (int, float, bool)  # MicroPython's bool is no int


def check_topic(topic: str) -> bytes:
    """The bytes of a topic name (4.7), or ValueError/TypeError that names the value and the limit."""
    if type(topic) is not str and not isinstance(topic, str):  # isinstance costs a board as much as all the rest
        raise TypeError("topic must be a str, not %s" % type(topic).__name__)
    encoded = topic.encode()
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
        return bytes(payload)  # any shape or item size becomes plain bytes
    if isinstance(payload, str):
        return payload.encode()
    if isinstance(payload, _NUMBERS):
        return str(payload).encode()
    if payload is None:
        return b""
    raise TypeError(
        "payload must be str, bytes, bytearray, memoryview, int, float or None, not %s" % type(payload).__name__
    )


def check_message(topic: str, payload: "object", qos: int) -> "tuple[bytes, bytes | bytearray | memoryview]":
    """The bytes of topic and payload, or ValueError/TypeError that names the value and the limit."""
    if (type(qos) is not int and (not isinstance(qos, int) or isinstance(qos, bool))) or not 0 <= qos <= 2:
        raise ValueError("qos must be 0, 1 or 2, not %r" % (qos,))
    topic_bytes = check_topic(topic)
    payload_bytes = check_payload(payload)
    limit = REMAINING_LENGTH_MAX - PUBLISH_OVERHEAD_BYTES - len(topic_bytes)
    if len(payload_bytes) > limit:
        raise ValueError("payload has %d bytes, the limit with this topic is %d" % (len(payload_bytes), limit))
    return topic_bytes, payload_bytes


def not_stored(journal: Journal, failure: "OSError | MemoryError") -> StoreError:
    """What is told of a write that failed."""
    journal.seal()  # the numbers are used up, and inside a segment they have no gap
    code = failure.args[0] if failure.args and isinstance(failure.args[0], int) else 0
    return StoreError(code, "the message could not be stored: %s" % failure)


class Group:
    """Staged frames that are written, synced and committed together."""

    def __init__(self, journal: Journal, frames: "list[bytes]", first_seq: int) -> None:
        self.first_seq = first_seq
        self.end_seq = first_seq + len(frames)
        self.stored = False  # set by write() if it ended well
        self.error: StoreError | None = None  # set by write() if it failed; neither: a signal ended it half way
        self._journal = journal
        self._frames = frames

    def write(self) -> None:
        """Append and sync; what went wrong is in ``error``. Raises MemoryError if there is not even room for that."""
        frames = self._frames
        try:
            more: list[bytes] = []
            try:
                piece = frames[0] if len(frames) == 1 else b"".join(frames)
            except MemoryError:  # not in one piece: a board's heap has holes
                piece, more = frames[0], frames[1:]
            self._journal.write(piece, self.first_seq, more)
            self.stored = True
        except (OSError, MemoryError) as failure:
            self.error = not_stored(self._journal, failure)


class Bounds:
    """Asked before anything is staged, if the cache has bounds; ``Room`` is what answers."""

    def check(self, count: int, wanted_bytes: int) -> None:
        raise NotImplementedError

    def lacks(self, count: int, wanted_bytes: int) -> "tuple[int, int]":
        raise NotImplementedError


class Spool:
    """Numbers and stages messages; keeps at most what has not been written yet."""

    def __init__(self, journal: Journal, cache_id: int) -> None:
        self.staged_bytes = 0  # about: a signal may come between
        self.room: Bounds | None = None
        self.has_expiring = False  # a message was staged that may become too old
        self.first_seq = journal.end_seq  # of the first message that is staged, or of the next one
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
        TypeError or CacheFull.

        ``accepted_ms``: Unix time in milliseconds; where no clock is valid, the engine's ``now_ms``.
        ``expires_s``: it is not sent when it is so many seconds old; 0: never too old.
        """
        topic_bytes, payload_bytes = check_message(topic, payload, qos)
        if expires_s:
            self.has_expiring = True
        if self.room is not None:
            self.room.check(1, frame_bytes(topic_bytes, payload_bytes, expires_s))
        seq = self.first_seq + len(self._frames)
        frame = encode(seq, topic_bytes, payload_bytes, qos, bool(retain), accepted_ms, self.cache_id, expires_s)
        self._frames.append(frame)  # which also takes the number: one step, whatever interrupts this
        self.staged_bytes += len(frame)
        return seq

    def stage_all(
        self, messages: "list[tuple[str, object, int, bool]]", accepted_ms: int, expires_s: int = 0
    ) -> int:
        """Check and frame them all: (topic, payload, qos, retain). Returns the sequence number of the first.

        Raises ValueError or TypeError for the first that cannot be, CacheFull: then none is kept.
        """
        if expires_s:
            self.has_expiring = True
        seq = first_seq = self.next_seq
        frames = []
        staged_bytes = 0
        for topic, payload, qos, retain in messages:
            topic_bytes, payload_bytes = check_message(topic, payload, qos)
            frame = encode(seq, topic_bytes, payload_bytes, qos, bool(retain), accepted_ms, self.cache_id, expires_s)
            frames.append(frame)
            staged_bytes += len(frame)
            seq += 1
        if self.room is not None:
            self.room.check(len(frames), staged_bytes)
        self._frames.extend(frames)  # one step: without the memory for it none is kept
        self.staged_bytes += staged_bytes
        return first_seq

    def lacks(self, count: int, wanted_bytes: int) -> "tuple[int, int]":
        """How many messages and bytes stand in the way of so many more."""
        if self.room is None:
            return 0, 0
        return self.room.lacks(count, wanted_bytes)

    def unwritten_bytes(self) -> int:
        """Of what is staged, or being written."""
        return self.staged_bytes + self._written_bytes

    def take(self) -> "Group | None":
        """All that is staged, as the next group to write; None if there is nothing."""
        if not self._frames:
            return None
        group = Group(self.journal, self._frames, self.first_seq)
        self.first_seq = group.end_seq
        self._frames = []
        self._written_bytes = self.staged_bytes
        self.staged_bytes = 0
        return group

    def drop(self) -> None:
        """Forget what is staged. Its numbers are free again: nothing of it was written, and no group is under way."""
        self.staged_bytes = 0
        self._frames.clear()

    def finish(self, group: Group) -> None:
        """After ``write``: commit what is durable. The numbers of a group that failed are never used again (law 4)."""
        self._written_bytes = 0
        if group.stored:
            self.journal.commit(group.end_seq)

    def accepted(self) -> int:
        """Messages on storage since the cache was made."""
        return self.journal.end_seq - 1 - self.journal.skipped
