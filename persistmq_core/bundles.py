"""Several messages as one: the forms on the wire, and what a checkpoint keeps of the bundles that are in flight.

FORMAT.md has every byte of both. Loaded only where bundles are made, or were.
"""

from struct import pack, unpack_from

from . import cbor
from .checkpoint import PLACE_CARRIED, PLACE_CARRIER, PLACE_WAITING, Checkpoint
from .contracts import Compressor
from .limits import TOPIC_BYTES_MAX, const
from .record import Record

FORMS = ("simple", "persistmq")
_SIMPLE = const(0)
_PERSISTMQ = const(1)
_ENTRY_BYTES_MAX = const(48)  # of an entry, beside its topic and payload
_ENVELOPE_BYTES = const(32)  # beside the entries, the client identifier and what is told of other numbers

# What is kept of a bundle: how many numbers it has, and
COUNT = const(0x1FFF)
QOS_2 = const(0x2000)  # its QoS is 2, else 1
HEAD_LOST = const(0x4000)  # the record of its first number is lost, and that is in its account already


class SimpleForm:
    """One bundle at a time, message by message, in the form of persistmq 0.1.4: CBOR of
    [{"subtopic": text, "payload": text or bytes}, ...].

    All its messages have the same levels before the last ones. What has to go alone: a retained message, and one whose
    topic the receiver could not put together again.
    """

    number = _SIMPLE
    has_identity = False

    def __init__(self, topic: bytes, client_id: bytes) -> None:
        self.topic = topic  # of the settings
        self.client_id = client_id
        self._levels = topic.count(b"/") + 1
        self._entries = bytearray()  # filled again and again: it keeps its room
        self.begin(0, [])

    def begin(self, epoch: int, never: "list[int]") -> None:
        """The next one: nothing is in it. ``never``: what Identity.tell says of its first number."""
        self.count = 0
        self.qos = 0  # of all its messages: with a higher one, others of their own QoS might overtake them
        self.left_s = 0  # until the last of its messages expires; 0: one never does
        self._prefix = b""
        self._entries[:] = b""

    def add(self, record: Record, left_s: int, prev: int, bytes_max: int) -> bool:
        """Put a message in. False if it does not go with those that are in, has no room, or has to go alone.

        ``left_s``: until it expires, 0: never. ``prev``: see Identity.tell.
        """
        qos = record.qos
        if self.count and qos != self.qos:
            return False
        if not self._fits(record, bytes_max - len(self._entries) - _ENTRY_BYTES_MAX):
            return False
        self._add(self._entries, record, prev)
        self.left_s = max(self.left_s, left_s) if left_s and (self.left_s or not self.count) else 0
        self.qos = qos
        self.count += 1
        return True

    def bundle_topic(self) -> bytes:
        """The topic of the bundle."""
        return self._prefix + b"/" + self.topic

    def payload(self) -> bytearray:
        """The whole bundle."""
        out = bytearray()
        cbor.head(out, cbor.ARRAY, self.count)
        out += self._entries
        return out

    def _fits(self, record: Record, bytes_max: int) -> bool:
        topic = bytes(record.topic)
        cut = self._cut(topic)
        if cut < 0 or record.retain:
            return False
        prefix = topic[:cut]
        if self.count and prefix != self._prefix:
            return False
        topic_bytes = cut + 1 + len(self.topic)
        bytes_max -= topic_bytes
        if topic_bytes > TOPIC_BYTES_MAX or len(topic) + len(record.payload) > bytes_max:
            return False
        self._prefix = prefix
        return True

    def _cut(self, topic: bytes) -> int:
        """How long the levels before the last ones are; -1 if they are there, and empty: "/a/b" would become "a/b"."""
        at = len(topic)
        for _ in range(self._levels):
            at = topic.rfind(b"/", 0, at)
            if at < 0:
                return 0  # there are none
        return at or -1

    def _add(self, out: bytearray, record: Record, prev: int) -> None:
        cbor.head(out, cbor.MAP, 2)
        cbor.string(out, cbor.TEXT, b"subtopic")
        cut = len(self._prefix)
        cbor.string(out, cbor.TEXT, record.topic[cut + 1 :] if cut else record.topic)
        cbor.string(out, cbor.TEXT, b"payload")
        cbor.string(out, cbor.TEXT if cbor.is_text(record.payload) else cbor.BYTES, record.payload)


class PersistmqForm(SimpleForm):
    """The form that keeps all that is known of each message; FORMAT.md. Topic and retain may differ in it.

    Its topic begins with the levels that all its messages have in common, one at least: who has a subscription to these
    and all below has the bundle as well.
    """

    number = _PERSISTMQ
    has_identity = True

    def __init__(self, topic: bytes, client_id: bytes, compressor: "Compressor | None") -> None:
        super().__init__(topic, client_id)
        self._compressor = compressor

    def begin(self, epoch: int, never: "list[int]") -> None:
        super().begin(epoch, never)
        self._epoch = epoch
        self._never = bytearray()
        if never:
            cbor.head(self._never, cbor.ARRAY, len(never))
            for number in never:
                cbor.head(self._never, cbor.UINT, number)

    def bundle_topic(self) -> bytes:
        return self._prefix + self.topic

    def payload(self) -> bytearray:
        messages = super().payload()
        out = bytearray()
        cbor.head(out, cbor.ARRAY, 7 if self._never else 6)
        cbor.string(out, cbor.TEXT, b"pmq")
        cbor.head(out, cbor.UINT, 1)
        cbor.string(out, cbor.TEXT, self.client_id)
        cbor.head(out, cbor.UINT, self._epoch)
        packed = self._compressor.compress(bytes(messages)) if self._compressor is not None else messages
        if len(packed) < len(messages):
            cbor.head(out, cbor.UINT, 1)
            cbor.string(out, cbor.BYTES, packed)
        else:
            cbor.head(out, cbor.UINT, 0)
            out += messages
        out += self._never
        return out

    def _fits(self, record: Record, bytes_max: int) -> bool:
        topic = bytes(record.topic) + b"/"
        prefix = self._prefix if self.count else topic  # with the "/" behind it
        while not topic.startswith(prefix) or len(prefix) + len(self.topic) > TOPIC_BYTES_MAX:
            cut = prefix.rfind(b"/", 0, len(prefix) - 1)
            if cut < 0:
                return False
            prefix = prefix[: cut + 1]
        bytes_max -= len(prefix) + len(self.topic) + len(self.client_id) + len(self._never) + _ENVELOPE_BYTES
        if len(record.topic) + len(record.payload) > bytes_max:
            return False
        self._prefix = prefix
        return True

    def _add(self, out: bytearray, record: Record, prev: int) -> None:
        cbor.head(out, cbor.ARRAY, 8)
        cbor.head(out, cbor.UINT, record.seq)
        cbor.head(out, cbor.UINT, prev)
        cbor.string(out, cbor.TEXT, record.topic)
        cbor.string(out, cbor.BYTES, record.payload)
        cbor.head(out, cbor.UINT, record.qos)
        cbor.boolean(out, record.retain)
        cbor.head(out, cbor.UINT, record.accepted_ms())
        cbor.head(out, cbor.UINT, record.expires_s)


def make_form(number: int, topic: bytes, client_id: bytes, compressor: "Compressor | None") -> SimpleForm:
    if number == _PERSISTMQ:
        return PersistmqForm(topic, client_id, compressor)
    return SimpleForm(topic, client_id)


# --- in the checkpoint ---


def encode(form: SimpleForm, ranges: "dict[int, int]", cursor: int) -> bytes:
    """The bundles in flight: first number -> COUNT and flags."""
    out = bytearray(2)
    for content in (bytes((form.number,)), form.topic, form.client_id):
        out.append(len(content))
        out += content
    for first in sorted(ranges):
        out += pack("<HH", first - cursor, ranges[first])
    out[:2] = pack("<H", len(out))
    return bytes(out)


def decode(state: Checkpoint) -> "tuple[int, bytes, bytes, dict[int, int]]":
    """(number of the form, topic, client identifier, ranges) of a checkpoint that has bundles."""
    content = state.bundles
    texts = []
    at = 2
    for _ in range(3):
        end = at + 1 + content[at]
        texts.append(content[at + 1 : end])
        at = end
    ranges = {}
    while at < len(content):
        offset, entry = unpack_from("<HH", content, at)
        ranges[state.cursor + offset] = entry
        at += 4
    return texts[0][0], texts[1], texts[2], ranges


def mark(state: Checkpoint) -> None:
    """At recovery: show in the places which numbers a bundle has on the wire."""
    for first, entry in decode(state)[3].items():
        index = first - state.cursor
        for place in range(index, index + (entry & COUNT)):
            if state.places[place] == PLACE_WAITING:
                state.places[place] = PLACE_CARRIER if place == index else PLACE_CARRIED
