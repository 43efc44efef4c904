"""What a receiver makes of a bundle.

Written apart from ``persistmq_core``, so that a mistake there does not agree with itself here.
"""


class NotCbor(Exception):
    """Bytes that do not read."""


class _Reader:
    """The CBOR that bundles are made of (RFC 8949): definite lengths, no tags, no floats, shortest form only."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.content):
            raise NotCbor("it ends too early")
        self.at += size
        return self.content[self.at - size : self.at]

    def thing(self) -> object:
        first = self.take(1)[0]
        kind, short = first >> 5, first & 31
        if kind == 7:
            if short not in (20, 21):
                raise NotCbor("first byte 0x%02x" % first)
            return short == 21
        if short > 27:
            raise NotCbor("first byte 0x%02x" % first)
        number = short
        if short >= 24:
            number = 0
            for byte in self.take(1 << (short - 24)):
                number = number << 8 | byte
            if number < (24, 1 << 8, 1 << 16, 1 << 32)[short - 24]:
                raise NotCbor("a number that is longer than it must be")
        if kind == 0:
            return number
        if kind == 2:
            return self.take(number)
        if kind == 3:
            return self.take(number).decode()
        if kind == 4:
            return [self.thing() for _ in range(number)]
        if kind == 5:
            return [(self.thing(), self.thing()) for _ in range(number)]  # in order
        raise NotCbor("first byte 0x%02x" % first)


def read_cbor(content: bytes) -> object:
    """All of it; a map is a list of pairs."""
    reader = _Reader(bytes(content))
    found = reader.thing()
    if reader.at != len(reader.content):
        raise NotCbor("bytes behind the end")
    return found


def entries_of(topic: str, payload: bytes, rewrite: str) -> "list[tuple] | None":
    """(topic, payload, seq, prev, qos, retain, accepted_ms, expires_s) of each message of a bundle, None if it is none.

    Of the simple form the last six are None. ``rewrite``: ``bulk_topic_rewrite``, which no message of the test has.
    """
    if not rewrite or not topic.endswith("/" + rewrite):
        return None
    prefix = topic[: -len(rewrite) - 1]
    if _is_ours(payload):
        messages = read_outer(payload)[2]
        _check_prefix(prefix, [each[2] for each in messages])
        return [
            (text, content, seq, prev, qos, retain, accepted_ms, expires_s)
            for seq, prev, text, content, qos, retain, accepted_ms, expires_s in messages
        ]
    found = []
    for (first, subtopic), (second, content) in read_cbor(payload):
        if (first, second) != ("subtopic", "payload"):
            raise NotCbor("%r, %r" % (first, second))
        whole = prefix + "/" + subtopic if prefix else subtopic
        found.append((whole, content.encode() if isinstance(content, str) else content) + (None,) * 6)
    return found


def _is_ours(payload: bytes) -> bool:
    return bytes(payload[1:5]) == b"cpmq"


def _check_prefix(prefix: str, topics: "list[str]") -> None:
    """It is all the levels that the topics have in common, so a subscription to them and all below has the bundle."""
    common = topics[0].split("/")
    for topic in topics:
        while topic.split("/")[: len(common)] != common:
            common.pop()
    if not common or prefix != "/".join(common):
        raise NotCbor("the topics of %r do not begin with %r" % (topics, prefix))


def read_outer(payload: bytes) -> "tuple[str, int, list, list[int]]":
    """(client, epoch, messages, never) of a bundle of ours that is not compressed."""
    outer = read_cbor(payload)
    mark, version, client, epoch, compression, messages = outer[:6]
    if (mark, version, compression) != ("pmq", 1, 0) or len(outer) > 7 or outer[6:] == [[]]:
        raise NotCbor("%r" % (outer,))
    return client, epoch, messages, outer[6] if len(outer) == 7 else []


def identities_of(message: tuple, rewrite: str) -> "list[tuple]":
    """What each message of a bundle says of itself, as user properties would; [] if it is no bundle."""
    topic, payload, _, _ = message
    entries = entries_of(topic, payload, rewrite)
    if entries is None or not _is_ours(payload):
        return [()] * len(entries or ())
    client, epoch, _, never = read_outer(payload)
    runs = " ".join(["%d-%d" % (never[at], never[at + 1]) for at in range(0, len(never), 2)])
    return [
        (("pmq", "%08x %d %d %s" % (epoch, each[2], each[3], client)), ("pmq-never", "" if index else runs))
        for index, each in enumerate(entries)
    ]


def messages_of(message: tuple, rewrite: str) -> "list[tuple]":
    """(topic, payload, qos, retain) of all that this one is, or holds."""
    topic, payload, qos, retain = message
    entries = entries_of(topic, payload, rewrite)
    if entries is None:
        return [message]
    return [
        (each[0], each[1], qos if each[4] is None else each[4], retain if each[5] is None else each[5])
        for each in entries
    ]
