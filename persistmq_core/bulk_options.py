"""Bundles as the application wants them: what may be, and how many places of the window they need."""

from .bundles import FORMS
from .contracts import Compressor
from .limits import BULK_BYTES_MAX_LEAST, BULK_MSG_COUNT_MAX, BULK_SPAN_MAX, const
from .spool import check_topic

_TEXT_BYTES_MAX = const(255)  # of the topic and the client identifier: the checkpoint has them


class Bulk:
    """What the application wants. Raises ValueError or TypeError that names the value and the limit.

    ``msg_count``: so many messages that wait become one, if they are that many at least.
    ``topic_rewrite``: "simple": the last levels of a bundle's topic, in place of as many of its messages'.
    "persistmq": they stand behind the levels that its messages have in common.
    ``bytes_max``: of a bundle, before it is compressed. ``compressor``: None: it is not.
    """

    def __init__(
        self,
        msg_count: int,
        topic_rewrite: str,
        form: str,
        bytes_max: int,
        client_id: str,
        compressor: "Compressor | None" = None,
    ) -> None:
        if not isinstance(msg_count, int) or not 2 <= msg_count <= BULK_MSG_COUNT_MAX:
            words = "bulk_msg_count must be 0 (no bundles) or a whole number from 2 to %d, not %r"
            raise ValueError(words % (BULK_MSG_COUNT_MAX, msg_count))
        if form not in FORMS:
            raise ValueError('bulk_form must be "simple" or "persistmq", not %r' % (form,))
        if not isinstance(bytes_max, int) or not BULK_BYTES_MAX_LEAST <= bytes_max <= 1 << 28:
            words = "bulk_bytes_max must be a whole number from %d to %d, not %r"
            raise ValueError(words % (BULK_BYTES_MAX_LEAST, 1 << 28, bytes_max))
        if compressor is not None and form == "simple":
            raise ValueError('bulk_compress needs bulk_form="persistmq": receivers of the simple form read plain CBOR')
        try:
            topic = check_topic(topic_rewrite)
        except (ValueError, TypeError) as error:
            raise type(error)("bulk_topic_rewrite: %s" % error)  # noqa: B904 - MicroPython chains no exceptions
        client = client_id.encode() if form == "persistmq" else b""
        for name, content in (("bulk_topic_rewrite", topic), ("with bulk_form \"persistmq\" client_id", client)):
            if len(content) > _TEXT_BYTES_MAX:
                raise ValueError("%s has %d bytes, the limit is %d" % (name, len(content), _TEXT_BYTES_MAX))
        self.msg_count = msg_count
        self.form = FORMS.index(form)
        self.topic = topic
        self.bytes_max = bytes_max
        self.client_id = client
        self.compressor = compressor

    def span(self, window_qos2: int, messages_max: int) -> int:
        """How many numbers the window needs: for twice as many bundles as may be unreleased.

        ``messages_max``: of the cache, 0: no bound. What may be in flight is never evicted: see Engine.
        Raises ValueError if so many never wait.
        """
        if messages_max and messages_max < self.msg_count:
            words = "bulk_msg_count is %d, and cache_messages_max %d: so many never wait"
            raise ValueError(words % (self.msg_count, messages_max))
        span = min(BULK_SPAN_MAX, 2 * window_qos2 * self.msg_count)
        return min(span, max(1, messages_max // 4)) if messages_max else span
