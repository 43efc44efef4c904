"""Messages of which some have large payloads: checked, then written, then staged.

    prepared = Prepared(spool, messages)   # raises ValueError, TypeError: nothing was written
    prepared.promise()                     # raises CacheFull
    prepared.write()                       # slow: a port with threads does the others under a lock, and not this one
    first_seq = prepared.stage(accepted_ms)
"""

from .errors import CacheFull
from .limits import PUBLISH_OVERHEAD_BYTES, REMAINING_LENGTH_MAX
from .payloads import LargeMessages, LargePayload
from .record import REFERENCE_BYTES, encode, frame_bytes
from .spool import Spool, check_message, check_retain


class Prepared:
    """``messages``: (topic, payload, qos, retain) each. A payload may be an open binary file that can seek, too: what
    is in it from where it stands.
    """

    def __init__(self, spool: Spool, messages: "list[tuple[str, object, int, bool]]", expires_s: int = 0) -> None:
        """Raises ValueError or TypeError for the first that cannot be."""
        if spool.large is None:
            spool.large = LargeMessages()
        self._spool = spool
        self._kept = spool.large
        self._expires_s = expires_s
        self._large: list[LargePayload] = []
        self._messages: list[tuple[bytes, bytes | bytearray | memoryview | LargePayload, int, bool]] = []
        self._frames_bytes = 0
        self._files_bytes = 0
        for topic, payload, qos, retain in messages:
            if retain is not True and retain is not False:
                check_retain(retain)
            is_file = hasattr(payload, "readinto")
            topic_bytes, content = check_message(topic, b"" if is_file else payload, qos)
            size = _size(payload) if is_file else len(content)
            if size and (is_file or size > spool.inline_bytes_max):
                limit = REMAINING_LENGTH_MAX - PUBLISH_OVERHEAD_BYTES - len(topic_bytes)
                if size > limit:
                    raise ValueError("payload has %d bytes, the limit with this topic is %d" % (size, limit))
                self._kept.files += 1
                source = payload if is_file else content
                large = LargePayload(spool.store, source, size, spool.cache_id, self._kept.files)
                self._large.append(large)
                self._files_bytes += size
                self._frames_bytes += REFERENCE_BYTES + frame_bytes(topic_bytes, b"", expires_s)
                self._messages.append((topic_bytes, large, qos, retain))
            else:
                self._frames_bytes += frame_bytes(topic_bytes, content, expires_s)
                self._messages.append((topic_bytes, content, qos, retain))

    def promise(self) -> None:
        """Keep room in the cache. Raises CacheFull, or ValueError if there never is any."""
        wanted_bytes = self._frames_bytes + self._files_bytes
        if self._spool.room is not None:
            self._spool.room.reserve(len(self._messages), wanted_bytes)
        self._kept.promised += len(self._messages)
        self._kept.promised_bytes += wanted_bytes

    def write(self) -> None:
        """Copy the large payloads to storage, durably. Raises what ``LargePayload.write`` raises, then ``give_up``."""
        for large in self._large:
            large.write(self._spool.piece_bytes)

    def stage(self, accepted_ms: int) -> int:
        """Frame them all, as ``Spool.stage`` does one. Returns the sequence number of the first."""
        spool = self._spool
        if self._expires_s:
            spool.has_expiring = True
        first_seq = spool.next_seq
        frames: list[bytes] = []
        for topic, payload, qos, retain in self._messages:
            seq = first_seq + len(frames)
            if isinstance(payload, LargePayload):
                reference = payload.reference()
                frame = encode(
                    seq, topic, b"", qos, retain, accepted_ms, spool.cache_id, self._expires_s, reference
                )
                payload.seq = seq
                payload.frame = frame
            else:
                frame = encode(seq, topic, payload, qos, retain, accepted_ms, spool.cache_id, self._expires_s)
            frames.append(frame)
        self._kept.stage(self._large)
        spool.stage_frames(frames)
        self._kept.promised -= len(frames)
        self._kept.promised_bytes -= self._frames_bytes
        return first_seq

    def give_up(self) -> None:
        """After an error in ``write`` or ``stage``: they are not accepted, and nothing is left of them."""
        if self._large and self._spool.has_staged(self._large[0]):
            return  # a signal came just behind that
        self._kept.promised -= len(self._messages)
        self._kept.promised_bytes -= self._frames_bytes
        self._kept.discard(self._large, self._spool.journal)


def accept(
    spool: Spool,
    messages: "list[tuple[str, object, int, bool]]",
    expires_s: int,
    accepted_ms: "object",
    await_room: "object",
) -> int:
    """All of it, for a port with one thread. Returns the sequence number of the first; raises what the steps raise.

    ``accepted_ms()``: as ``Spool.stage`` wants it. ``await_room(full)`` raises ``full`` if there is no room.
    """
    prepared = Prepared(spool, messages, expires_s)
    try:
        prepared.promise()
    except CacheFull as full:
        await_room(full)  # type: ignore[operator]
        prepared.promise()
    try:
        prepared.write()
        return prepared.stage(accepted_ms())  # type: ignore[operator]
    except BaseException:
        prepared.give_up()
        raise


def _size(source: "object") -> int:
    """Bytes of an open file, from where it stands to its end."""
    try:
        at: int = source.seek(0, 1)  # type: ignore[attr-defined]
        end: int = source.seek(0, 2)  # type: ignore[attr-defined]
        source.seek(at)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        words = "a file as payload must be one that can seek, and this %s cannot"
        raise TypeError(words % type(source).__name__)  # noqa: B904 - portable
    return end - at
