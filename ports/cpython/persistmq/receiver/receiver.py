"""Receiver: what comes is taken apart, what comes twice is dropped, what is missing is named."""

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from ..clock import unix_ms
from .bundles import BUNDLE_BYTES_MAX, is_ours, prefix_of, take_apart, take_apart_simple
from .identities import Malformed, Told, from_properties
from .ledger import LATE, TWICE, Batch, Key, Stream
from .output import Callback, Output, Received
from .state import ASIDE

logger = logging.getLogger("persistmq.receiver")

# What is put aside is somebody's to look at, and must not fill the disk.
ASIDE_MESSAGES_MAX = 1000
ASIDE_BYTES_MAX = 256 << 20
_GAPS_SHOWN = 100

Properties = Any  # paho's, or pairs of strings
OnMessage = Callable[[Received], object]


class Receiver:
    """Takes messages, by one thread at a time; ``Subscriber.run`` feeds it from a broker.

        receiver = Receiver("/var/lib/plant/receiver")
        for message in receiver.take(topic, payload, properties):   # those that are new
            ...                                                     # make something durable of it
        receiver.commit()                                           # then the broker may have its acknowledgement

    After a crash between the two the message comes again, with the same ``identity``: it is the consumer who knows
    whether it was done. An output (``jsonl``, ``database``) makes both in one step.

    Args:
        state: a directory for what was handed out, or an Output. One receiver at a time (``CacheInUse``).
        bulk_topic_rewrite: of publishers that bundle in the form of persistmq 0.1.4; "": there are none.
        expects_all: this receiver was there before the publishers began: what lies before the first message of a stream
            that came is missing. Otherwise a stream begins with the first one.
        bundle_bytes_max: what a bundle may have when it is decompressed; a larger one is put aside.
    """

    def __init__(
        self,
        state: "str | os.PathLike[str] | Output",
        *,
        bulk_topic_rewrite: str = "mixed/bulk",
        expects_all: bool = False,
        bundle_bytes_max: int = BUNDLE_BYTES_MAX,
    ) -> None:
        self._output = state if isinstance(state, Output) else Callback(state, expects_all)
        self._output.ledger.expects_all |= expects_all
        self._bulk_topic = bulk_topic_rewrite
        self._bundle_bytes_max = bundle_bytes_max
        self._guard = threading.Lock()  # of the ledger
        self._is_stale = False  # a commit failed: nobody knows what of it is durable
        self._batch = Batch()
        self._taken: list[Received] = []
        self._aside, self._aside_bytes = self._output.aside()
        # Since the start.
        self.received = 0
        self.repeated = 0
        self.unmarked = 0
        self.malformed = 0
        self.aside_dropped = 0

    # --- messages ---

    def take(
        self, topic: str, payload: bytes, properties: Properties = None, *, qos: int = 0, retain: bool = False
    ) -> list[Received]:
        """What is new of one PUBLISH: itself, nothing, or messages of a bundle. Not durable before ``commit``.

        ``properties``: paho's, or its user properties: pairs (name, value), or a dict. ``retain``: as it came, True for
        what the broker had kept. Raises OSError or OutputError if the output fails.
        """
        if self._is_stale:
            with self._guard:
                self._output.reload()
            self._is_stale = False
        now_ms = unix_ms()
        prefix = prefix_of(topic, self._bulk_topic)
        try:
            if is_ours(payload):
                bundled = take_apart(payload, self._bundle_bytes_max)
            elif prefix is not None:
                bundled = take_apart_simple(prefix, payload, self._bundle_bytes_max)
            else:
                return self._take_one(topic, payload, _pairs(properties), qos, retain, now_ms)
        except Malformed as reason:
            self._put_aside("a bundle that cannot be read: %s" % reason, topic, payload)
            return []
        found = []
        for each in bundled:
            its_qos = qos if each.qos is None else each.qos
            its_retain = retain if each.retain is None else each.retain
            message = Received(
                each.topic,
                each.payload,
                its_qos,
                its_retain,
                each.told and each.told.identity,
                each.accepted_ms,
                each.expires_s,
                now_ms,
            )
            found += self._note(message, each.told, not retain)
        return found

    def commit(self) -> None:
        """Make durable what was taken, before the broker is told. Raises OutputError, StoreError or another OSError.

        Then nothing of it counts, as after ``rollback``: whoever has it must see that it comes again.
        """
        taken, batch = self._taken, self._batch
        if not taken and not batch:
            return
        self._taken, self._batch = [], Batch()
        try:
            while taken or batch:
                self._output.write(taken, batch)
                self.received += len(taken)
                with self._guard:
                    taken, batch = [], self._output.ledger.settle(batch)
                for key in batch.streams:
                    logger.warning("%s/%08x has too many gaps: the older ones are only counted from now on", *key)
        except Exception:
            self._is_stale = True
            raise
        self._output.tidy()

    def rollback(self) -> None:
        """Forget what was taken since the last ``commit``: it will come again."""
        self._taken, self._batch = [], Batch()

    # --- what is known ---

    def status(self) -> dict[str, Any]:
        """Counts since the start, and ``streams``: for each (client, epoch) how complete it is, as of ``commit``.

        From any thread. Of a stream: ``first``, the number it begins with; ``complete_to``: nothing is missing up to
        here; ``highest``; ``missing``: how many numbers; ``gaps``: the first runs of them; ``given_up``: how many, by
        the publisher.
        """
        with self._guard:
            streams = [describe(key, stream) for key, stream in sorted(self._output.ledger.streams.items())]
        return {
            "received": self.received,
            "repeated": self.repeated,
            "unmarked": self.unmarked,
            "malformed": self.malformed,
            "aside": self._aside,
            "aside_bytes": self._aside_bytes,
            "aside_dropped": self.aside_dropped,
            "streams": streams,
        }

    def close(self) -> None:
        """What was taken and not committed will come again."""
        self.rollback()
        self._output.close()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ---

    def _take_one(
        self, topic: str, payload: bytes, pairs: "Iterable[tuple[str, str]]", qos: int, retain: bool, now_ms: int
    ) -> list[Received]:
        told = None
        try:
            told = from_properties(pairs)
        except Malformed as reason:
            self.malformed += 1
            logger.warning("a message to %.200r with an identity that cannot be read: %s", topic, reason)
        message = Received(topic, payload, qos, retain, told and told.identity, received_ms=now_ms)
        return self._note(message, told, not retain)

    def _note(self, message: Received, told: "Told | None", is_live: bool) -> list[Received]:
        """[] if it came before."""
        ledger, batch = self._output.ledger, self._batch
        if told is not None and not ledger.has_room(Key(told.identity.client, told.identity.epoch), batch):
            self.malformed += 1
            logger.warning("too many streams: %s is handed out as if it had no identity", told.identity)
            told = None
            message = message._replace(identity=None)
        if told is None:
            self.unmarked += 1
            self._taken.append(message)
            return [message]
        identity = told.identity
        key = Key(identity.client, identity.epoch)
        for first, last in told.never:
            ledger.note_never(key, first, last, batch)
        found = ledger.look(identity, batch)
        if found == TWICE:
            self.repeated += 1
            batch.of(key).repeated += 1
            return []
        if found == LATE:
            reason = "%s is too old to tell whether it came before" % (identity,)
            self._put_aside(reason, message.topic, message.payload)
            return []
        ledger.note(identity, is_live, message.received_ms, batch)
        self._taken.append(message)
        return [message]

    def _put_aside(self, reason: str, topic: str, payload: bytes) -> None:
        digest = hashlib.sha256(topic.encode(errors="surrogatepass") + b"\0" + payload).hexdigest()
        if self._aside >= ASIDE_MESSAGES_MAX or self._aside_bytes + len(payload) > ASIDE_BYTES_MAX:
            self.aside_dropped += 1
            logger.error("a message to %.200r is thrown away, too many were put aside before: %s", topic, reason)
            return
        head = {"topic": topic, "reason": reason, "received_ms": unix_ms()}
        if self._output.put_aside(ASIDE + digest[:32], head, payload):
            self._aside += 1
            self._aside_bytes += len(payload)
        logger.error("a message to %.200r is put aside: %s", topic, reason)


def describe(key: Key, stream: Stream) -> dict[str, Any]:
    """One stream, for ``Receiver.status``."""
    gaps = stream.gaps()
    return {
        "client": key.client,
        "epoch": key.epoch,
        "first": stream.first,
        "highest": stream.highest(),
        "complete_to": stream.complete_to(),
        "received": stream.received,
        "repeated": stream.repeated,
        "missing": stream.missing(),
        "gaps": [gap for gap, _ in zip(gaps, range(_GAPS_SHOWN), strict=False)],
        "closed_end": stream.closed_end,
        "given_up": stream.given_up(),
        "last_ms": stream.last_ms,
    }


def _pairs(properties: Properties) -> "Iterable[tuple[str, str]]":
    if hasattr(properties, "packetType"):
        return getattr(properties, "UserProperty", ())
    return properties.items() if isinstance(properties, dict) else properties or ()
