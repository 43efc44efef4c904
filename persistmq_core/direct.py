"""One message stored at once, out of the caller's own memory: for a port with one thread and little of it.

What ``Spool`` does for a group, without making a frame: its head, the topic and the payload are appended one by one.
"""

from .limits import const
from .record import FrameHead, frame_bytes
from .spool import IsLarge, Spool, check_message, check_payload, check_retain, seal_after_failure

_TOPICS_KEPT = const(8)


class Direct:
    """In place of a spool's ``stage`` and what follows it, while nothing is staged there. It serves all lanes."""

    def __init__(self) -> None:
        self._head = FrameHead(False)
        self._expiring_head: FrameHead | None = None
        self._rest: list[bytes | bytearray | memoryview] = [b"", b""]
        self._topics: dict[str, bytes] = {}  # an application has few, and uses them again and again

    def store(
        self,
        spool: Spool,
        topic: str,
        payload: "object",
        qos: int,
        retain: bool,
        accepted_ms: int,
        expires_s: int = 0,
    ) -> int:
        """Check, number and write one message; returns its sequence number. Parameters and errors as of ``stage``.

        Raises StoreError as well: then it was not accepted, and what was stored before is whole.
        """
        if retain is not True and retain is not False:
            check_retain(retain)
        known = self._topics.get(topic) if type(topic) is str else None
        payload_bytes = payload if type(payload) is bytes else check_payload(payload)
        if len(payload_bytes) > spool.inline_bytes_max:
            raise IsLarge
        if known is None or type(qos) is not int or qos not in (0, 1, 2):
            topic_bytes, payload_bytes = check_message(topic, payload_bytes, qos)
            self._keep(topic, topic_bytes)
        else:
            topic_bytes = known
        if spool.room is not None:
            spool.room.reserve(1, frame_bytes(topic_bytes, payload_bytes, expires_s))
        seq = spool.first_seq
        head = self._head
        if expires_s:
            spool.has_expiring = True
            if self._expiring_head is None:
                self._expiring_head = FrameHead(True)
            head = self._expiring_head
        content = head.encode(seq, topic_bytes, payload_bytes, qos, retain, accepted_ms, spool.cache_id, expires_s)
        rest = self._rest
        rest[0] = topic_bytes
        rest[1] = payload_bytes
        spool.first_seq = seq + 1  # used up, unless nothing of it is written (law 4)
        try:
            spool.journal.write(content, seq, rest)
        except (OSError, MemoryError) as failure:
            error = seal_after_failure(spool.journal, failure)
            if spool.journal.unseal():
                spool.first_seq = seq
            raise error from None
        finally:
            rest[0] = rest[1] = b""
        spool.journal.commit(seq + 1)
        return seq

    def _keep(self, topic: str, topic_bytes: bytes) -> None:
        if len(self._topics) >= _TOPICS_KEPT:
            self._topics.popitem()
        self._topics[topic] = topic_bytes
