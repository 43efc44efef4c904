"""Bundles taken apart, and what is made to look like one."""

import random
import tracemalloc
import zlib
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persistmq.receiver.bundles import Bundled, is_ours, prefix_of, take_apart, take_apart_simple
from persistmq.receiver.identities import Identity, Malformed, Told

ENTRY = [7, 5, "a/b", b"\x00\xff", 2, True, 1_700_000_000_000, 60]


def ours(*entries: list[Any], compression: int = 0, more: tuple[Any, ...] = ()) -> bytes:
    body: Any = list(entries)
    if compression:
        body = zlib.compress(cbor2.dumps(body))
    return cbor2.dumps(["pmq", 1, "pole-17", 0xC0FFEE, compression, body, *more])


def test_the_form_with_identity_says_all_of_each_message() -> None:
    for compression in (0, 1):
        payload = ours(ENTRY, [9, 8, "c", b"", 0, False, 5, 0], compression=compression, more=([2, 3],))
        assert is_ours(payload)
        first, second = take_apart(payload)
        told = Told(Identity("pole-17", 0xC0FFEE, 7), [(6, 6), (2, 3)])
        assert first == Bundled("a/b", b"\x00\xff", 2, True, told, 1_700_000_000_000, 60)
        assert second == Bundled("c", b"", 0, False, Told(Identity("pole-17", 0xC0FFEE, 9), []), 5, 0)


def test_the_form_of_0_1_4_has_topics_below_a_prefix() -> None:
    assert prefix_of("dt/pole/mixed/bulk", "mixed/bulk") == "dt/pole"
    assert prefix_of("mixed/bulk", "mixed/bulk") == "" == prefix_of("/mixed/bulk", "mixed/bulk")
    assert prefix_of("dt/remixed/bulk", "mixed/bulk") is None is prefix_of("a", "")
    entries = [{"subtopic": "x/y", "payload": value} for value in ("text", b"\x01", 3, 2.5, None, True)]
    found = take_apart_simple("dt", cbor2.dumps(entries))
    assert [each.payload for each in found] == [b"text", b"\x01", b"3", b"2.5", b"", b"True"]
    assert {(each.topic, each.qos, each.retain, each.told) for each in found} == {("dt/x/y", None, None, None)}
    assert take_apart_simple("", cbor2.dumps(entries[:1]))[0].topic == "x/y"


def test_an_empty_one_is_one_of_nothing() -> None:
    assert take_apart(ours()) == [] == take_apart_simple("", cbor2.dumps([]))


@pytest.mark.parametrize("payload", [b"", b"\x86", b"text", cbor2.dumps(["pm"]), cbor2.dumps("pmq"), b"\x86\x63pmr"])
def test_what_does_not_begin_so_is_no_bundle(payload: bytes) -> None:
    assert not is_ours(payload)


def changed(index: int, value: Any) -> bytes:
    entry = list(ENTRY)
    entry[index] = value
    return ours(entry)


BAD = {
    "a later version": cbor2.dumps(["pmq", 2, "c", 1, 0, []]),
    "too few parts": cbor2.dumps(["pmq", 1, "c", 1, 0]),
    "too many parts": cbor2.dumps(["pmq", 1, "c", 1, 0, [], [], []]),
    "a client that is no text": cbor2.dumps(["pmq", 1, 5, 1, 0, [ENTRY]]),
    "a client without a name": cbor2.dumps(["pmq", 1, "", 1, 0, [ENTRY]]),
    "a client with a NUL": cbor2.dumps(["pmq", 1, "a\0", 1, 0, [ENTRY]]),
    "an epoch of 33 bits": cbor2.dumps(["pmq", 1, "c", 1 << 32, 0, [ENTRY]]),
    "an unknown compression": cbor2.dumps(["pmq", 1, "c", 1, 2, b""]),
    "a body that is none": cbor2.dumps(["pmq", 1, "c", 1, 0, b""]),
    "a compressed array": cbor2.dumps(["pmq", 1, "c", 1, 1, []]),
    "bytes that are not zlib": cbor2.dumps(["pmq", 1, "c", 1, 1, b"no"]),
    "zlib without its end": cbor2.dumps(["pmq", 1, "c", 1, 1, zlib.compress(cbor2.dumps([ENTRY]))[:-5]]),
    "bytes behind zlib": cbor2.dumps(["pmq", 1, "c", 1, 1, zlib.compress(cbor2.dumps([ENTRY])) + b"x"]),
    "a zip bomb": cbor2.dumps(["pmq", 1, "c", 1, 1, zlib.compress(b"\x00" * (100 << 20))]),
    "a run without an end": ours(ENTRY, more=([1],)),
    "a run backwards": ours(ENTRY, more=([3, 2],)),
    "a run that hides all to come": ours(ENTRY, more=([8, 1 << 40],)),
    "runs that are none": ours(ENTRY, more=("x",)),
    "a message that is a text": ours("x"),  # type: ignore[arg-type]
    "a message that is too short": ours(ENTRY[:7]),
    "number 0": changed(0, 0),
    "a number that is none": changed(0, "7"),
    "a number that is true": changed(0, True),
    "a number beyond a database": changed(0, 1 << 63),
    "a number before it that is behind it": changed(1, 7),
    "a topic that is none": changed(2, b"a"),
    "an empty topic": changed(2, ""),
    "a wildcard": changed(2, "a/#"),
    "a NUL in a topic": changed(2, "a\0"),
    "a payload of text": changed(3, "x"),
    "QoS 3": changed(4, 3),
    "QoS true": changed(4, True),
    "retain 1": changed(5, 1),
    "a time below 0": changed(6, -1),
    "an expiry with a point": changed(7, 1.5),
    "a tag": ours(ENTRY[:3] + [cbor2.CBORTag(2, b"\xff" * 8)] + ENTRY[4:]),
    "a number of a gigabyte": b"\x86\x63pmq\x01" + b"\xc5\x82\x1b\x00\x00\x00\x7f\xff\xff\xff\xff\x01",
    "indefinite": b"\x9f\x63pmq\xff",
    "deep": b"\x86\x63pmq\x01" + b"\x81" * 100_000,
    "an array of all memory": b"\x86\x63pmq\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    "a string of all memory": b"\x86\x63pmq\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
    "a map of all memory": b"\x86\x63pmq\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
    "too many things": b"\x86\x63pmq\x01\x9a\x00\x20\x00\x00" + b"\x00" * (1 << 21),
    "a simple value": b"\x81\xf7",
    "a text that is not UTF-8": b"\x86\x63pmq\x01\x61\xff\x01\x00\x80",
    "half of it": ours(ENTRY)[:-4],
    "more than it": ours(ENTRY) + b"\x00",
    "larger than allowed": ours(ENTRY[:3] + [b"x" * (2 << 20)] + ENTRY[4:]),
}


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
def test_none_of_it_is_handed_out_and_it_costs_little_memory(payload: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            take_apart(payload, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


SIMPLE_BAD = [
    b"no", cbor2.dumps({"subtopic": "a", "payload": 1}), cbor2.dumps([5]), cbor2.dumps([{"subtopic": "a"}]),
    cbor2.dumps([{"subtopic": "a", "payload": 1, "more": 2}]), cbor2.dumps([{"subtopic": 5, "payload": 1}]),
    cbor2.dumps([{"subtopic": "a/+", "payload": 1}]), cbor2.dumps([{"subtopic": "a", "payload": [1]}]),
    cbor2.dumps([{"subtopic": "a", "payload": {}}]), cbor2.dumps([{n: n for n in range(9)}]),
]  # fmt: skip


@pytest.mark.parametrize("payload", SIMPLE_BAD)
def test_nor_in_the_form_of_0_1_4(payload: bytes) -> None:
    with pytest.raises(Malformed):
        take_apart_simple("t", payload)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
))  # fmt: skip
def test_anything_that_cbor_can_say_is_a_bundle_or_malformed(value: Any) -> None:
    for payload in (cbor2.dumps(value), cbor2.dumps(["pmq", 1, "c", 1, 0, value]), cbor2.dumps([value])):
        for call in (take_apart, lambda each: take_apart_simple("t", each)):
            try:
                call(payload)
            except Malformed as reason:
                assert len(str(reason)) < 1000


def test_bytes_that_changed_on_the_way_never_do_more_than_be_malformed() -> None:
    rng = random.Random(5)
    whole = [ours(ENTRY, [9, 8, "c", b"xyz", 0, False, 5, 0], compression=n, more=([2, 3],)) for n in (0, 1)]
    whole.append(cbor2.dumps([{"subtopic": "x/y", "payload": "text"}] * 3))
    for _ in range(20_000):
        payload = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 4)):
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        for call in (take_apart, lambda each: take_apart_simple("t", each)):
            try:
                call(bytes(payload))
            except Malformed:
                pass
