"""Bundles taken apart: both forms, and whatever else somebody sends in their place.

What arrives may be made to harm. So its structure is looked through before anything is built from it: no more depth,
things and bytes than a bundle has, no tags (a few bytes of them can mean a number of a gigabyte), no lengths that are
not there. All or nothing: of a bundle with a mistake in it no message is handed out.
"""

import zlib
from typing import Any, NamedTuple

import cbor2

from persistmq_core.spool import check_payload, check_topic

from .identities import NUMBER_MAX, Malformed, Told, check

BUNDLE_BYTES_MAX = 64 << 20  # decompressed
MESSAGES_MAX = 100_000
_THINGS_OF_A_MESSAGE = 10
_DEPTH_MAX = 4
_MAP_MAX = 8  # keys; many that collide would take long to put into a dictionary
_OURS = b"\x63pmq"  # the text "pmq", first in an array
_VERSION = 1
# Major types of CBOR (RFC 8949, 3.1).
_BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = 2, 3, 4, 5, 6, 7
_SIMPLE_ALLOWED = (20, 21, 22, 25, 26, 27)  # false, true, null, and numbers with a point


class Bundled(NamedTuple):
    """One message of a bundle. ``qos``, ``retain``: as it was published; None where the form does not say."""

    topic: str
    payload: bytes
    qos: int | None
    retain: bool | None
    told: Told | None
    accepted_ms: int | None
    expires_s: int | None


def is_ours(payload: bytes) -> bool:
    """It begins as the form with identity does, whatever its version."""
    return payload[1:5] == _OURS and payload[0] & 0xE0 == _ARRAY << 5


def prefix_of(topic: str, bulk_topic: str) -> str | None:
    """Of the topic of a bundle in the form of 0.1.4: the levels that its messages have in common; None: it is none."""
    if topic == bulk_topic:
        return ""
    if bulk_topic and topic.endswith("/" + bulk_topic):
        return topic[: -len(bulk_topic) - 1]
    return None


def take_apart(payload: bytes, bytes_max: int = BUNDLE_BYTES_MAX) -> list[Bundled]:
    """A bundle that ``is_ours``. Raises Malformed."""
    outer = _decode(payload, bytes_max)
    if len(outer) not in (6, 7) or outer[1] != _VERSION or type(outer[1]) is not int:
        raise Malformed("a bundle of a form that is not known: %.60r" % outer[:2])
    _, _, client, epoch, compression, body = outer[:6]
    if compression == 1:
        if type(body) is not bytes:
            raise Malformed("the compressed body is no byte string")
        body = _decode(_inflate(body, bytes_max), bytes_max)
    elif compression != 0:
        raise Malformed("compression %.60r" % (compression,))
    flat = _list("the numbers that never come", outer[6]) if len(outer) == 7 else []
    if len(flat) % 2:
        raise Malformed("a run that never comes without an end")
    runs = list(zip(flat[::2], flat[1::2], strict=True))
    found = []
    for entry in _list("the body", body):
        found.append(_message(client, epoch, _list("a message", entry), runs))
        runs = []  # once is enough
    return found


def take_apart_simple(prefix: str, payload: bytes, bytes_max: int = BUNDLE_BYTES_MAX) -> list[Bundled]:
    """A bundle in the form of persistmq 0.1.4, which came under ``prefix``. Raises Malformed."""
    found = []
    for entry in _decode(payload, bytes_max):
        if type(entry) is not dict or set(entry) != {"subtopic", "payload"}:
            raise Malformed("an entry that is not subtopic and payload: %.60r" % (entry,))
        subtopic = entry["subtopic"]
        if type(subtopic) is not str:
            raise Malformed("a subtopic %.60r" % (subtopic,))
        topic = prefix + "/" + subtopic if prefix else subtopic
        found.append(Bundled(_topic(topic), _payload(entry["payload"]), None, None, None, None, None))
    return found


def _message(client: Any, epoch: Any, entry: list[Any], runs: list[tuple[Any, Any]]) -> Bundled:
    if len(entry) != 8:
        raise Malformed("a message of %d parts" % len(entry))
    seq, prev, topic, payload, qos, retain, accepted_ms, expires_s = entry
    if type(payload) is not bytes or type(retain) is not bool or type(qos) is not int or not 0 <= qos <= 2:
        raise Malformed("a message that is none: %.100r" % (entry,))
    for number in (accepted_ms, expires_s):
        if type(number) is not int or not 0 <= number <= NUMBER_MAX:
            raise Malformed("a time %.60r" % (number,))
    told = check(client, epoch, seq, prev, runs)
    return Bundled(_topic(topic), payload, qos, retain, told, accepted_ms, expires_s)


def _topic(topic: object) -> str:
    try:
        check_topic(topic)  # type: ignore[arg-type] # which it looks at
    except (ValueError, TypeError) as error:
        raise Malformed(str(error)[:200]) from None
    return str(topic)


def _payload(payload: Any) -> bytes:
    try:
        return bytes(check_payload(payload))
    except (TypeError, UnicodeError) as error:
        raise Malformed(str(error)[:200]) from None


def _list(what: str, value: Any) -> list[Any]:
    if type(value) is not list:
        raise Malformed("%s is no array: %.60r" % (what, value))
    return value


def _inflate(packed: bytes, bytes_max: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(packed, bytes_max)
    except zlib.error as error:
        raise Malformed("it cannot be decompressed: %s" % error) from None
    if not inflater.eof:
        raise Malformed("decompressed it has no end, or more than %d bytes" % bytes_max)
    if inflater.unused_data:
        raise Malformed("bytes behind the compressed body")
    return plain


def _decode(content: bytes, bytes_max: int) -> list[Any]:
    """An array. Raises Malformed."""
    if len(content) > bytes_max:
        raise Malformed("%d bytes, the limit is %d" % (len(content), bytes_max))
    _look_through(content)
    try:
        return _list("a bundle", cbor2.loads(content))
    except (cbor2.CBORDecodeError, ValueError, RecursionError) as error:
        raise Malformed(str(error)[:200]) from None


def _look_through(content: bytes) -> None:
    """Raises Malformed unless it is one thing, whole, with nothing behind it, within the bounds."""
    size = len(content)
    at = 0
    things = 0
    open_ends = [1]  # how many things are still to come, on each level
    while open_ends:
        if not open_ends[-1]:
            open_ends.pop()
            continue
        open_ends[-1] -= 1
        things += 1
        if things > _THINGS_OF_A_MESSAGE * MESSAGES_MAX:
            raise Malformed("more than %d messages" % MESSAGES_MAX)
        if at >= size:
            raise Malformed("it ends too early")
        first = content[at]
        at += 1
        major, number = first >> 5, first & 31
        if major == _SIMPLE and number not in _SIMPLE_ALLOWED:
            raise Malformed("0x%02x at byte %d" % (first, at - 1))
        if number > 27:
            raise Malformed("a thing without a length at byte %d" % (at - 1))
        if number > 23:
            length = 1 << number - 24
            if at + length > size:
                raise Malformed("it ends too early")
            number = int.from_bytes(content[at : at + length], "big")
            at += length
        if major in (_BYTES, _TEXT):
            at += number
            if at > size:
                raise Malformed("a string that is longer than all there is")
        elif major in (_ARRAY, _MAP):
            if major == _MAP and number > _MAP_MAX:
                raise Malformed("a map of %d keys" % number)
            if len(open_ends) > _DEPTH_MAX:
                raise Malformed("more than %d levels" % _DEPTH_MAX)
            if number > size - at:
                raise Malformed("an array that is longer than all there is")
            open_ends.append(number * (2 if major == _MAP else 1))
        elif major == _TAG:
            raise Malformed("a tag at byte %d" % (at - 1))
    if at != size:
        raise Malformed("%d bytes behind its end" % (size - at))
