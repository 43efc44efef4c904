"""The frame of one message."""

import unittest

from persistmq_core.record import (
    FRAME_BYTES_MIN,
    INCOMPLETE,
    MARKER,
    NO_FRAME,
    Record,
    encode,
)
from tests.support.rng import Rng

CACHE_ID = 0xC0FFEE01
NOW_MS = 1767225600123


def frame(seq=7, topic=b"a/b", payload=b"21.5", qos=1, retain=False, accepted_ms=NOW_MS, cache_id=CACHE_ID):
    return encode(seq, topic, payload, qos, retain, accepted_ms, cache_id)


def measured(content, at=0):
    return Record().measure(memoryview(content), at, len(content) - at)


def whole(content, at=0, cache_id=CACHE_ID):
    """True if a scanner would believe that a frame stands at ``at``."""
    record = Record()
    size = record.measure(memoryview(content), at, len(content) - at)
    return 0 < size <= len(content) - at and record.is_whole(cache_id)


class EncodeTest(unittest.TestCase):
    def check(self, seq, topic, payload, qos, retain, accepted_ms):
        content = b"left" + frame(seq, topic, payload, qos, retain, accepted_ms) + b"right"
        record = Record()
        self.assertEqual(record.measure(memoryview(content), 4, len(content) - 4), len(content) - 9)
        self.assertTrue(record.is_whole(CACHE_ID))
        self.assertEqual(
            (record.seq, record.qos, record.retain, record.accepted_ms()), (seq & 0xFFFFFFFF, qos, retain, accepted_ms)
        )
        self.assertEqual((bytes(record.topic), bytes(record.payload)), (topic, payload))
        self.assertEqual(bytes(record.frame()), content[4:-5])

    def test_what_was_framed_is_read_back_between_other_bytes(self):
        for qos in (0, 1, 2):
            for retain in (False, True):
                self.check(1, b"t", b"", qos, retain, 0)
                self.check(7, b"a/b", b"payload", qos, retain, NOW_MS)

    def test_numbers_and_times_of_more_than_32_bits(self):
        self.check((5 << 32) + 3, b"t", b"p", 1, False, 0xFFFFFFFFFFFF)
        self.check(0xFFFFFFFF, b"t", b"p", 1, False, 0xFFFFFFFF)

    def test_any_bytes_are_a_payload(self):
        self.check(1, b"t", bytes(range(256)), 2, False, 1)
        self.check(1, b"\xc3\xbc/\xf0\x9f\x98\x80", b"\0" * 50, 2, False, 1)

    def test_the_longest_topic(self):
        self.check(1, b"t" * 65535, b"p", 1, False, 1)

    def test_payload_types_give_the_same_frame(self):
        self.assertEqual(frame(payload=bytearray(b"21.5")), frame())
        self.assertEqual(frame(payload=memoryview(b"21.5")), frame())

    def test_the_bytes_are_those_of_the_format(self):
        # FORMAT.md: marker, flags, zero, seq, body bytes, topic bytes, time high, time low, CRC, topic, payload.
        content = frame(0x1_02030405, b"ab", b"c", 2, True, 0x0A0B_0C0D0E0F)
        self.assertEqual(content[:20], b"\xd1\x5a\x06\x00\x05\x04\x03\x02\x03\0\0\0\x02\0\x0b\x0a\x0f\x0e\x0d\x0c")
        self.assertEqual(content[24:], b"abc")


class MeasureTest(unittest.TestCase):
    def test_every_prefix_of_a_frame_is_incomplete_never_valid_never_corrupt(self):
        content = frame()
        for count in range(len(content)):
            size = measured(content[:count])
            # The header says the length, so it is known before the body is there.
            self.assertEqual(size, INCOMPLETE if count < FRAME_BYTES_MIN - 1 else len(content), count)
            self.assertFalse(whole(content[:count]), count)
        self.assertTrue(whole(content))

    def test_nothing_at_all_is_incomplete(self):
        self.assertEqual(measured(b""), INCOMPLETE)

    def test_bytes_behind_the_frame_do_not_matter(self):
        for rest in (b"\0", b"\xff" * 40, frame(8)):
            self.assertEqual(measured(frame() + rest), len(frame()))

    def test_zeros_are_no_frame(self):
        for count in (1, 2, 23, 24, 25, 100):
            self.assertEqual(measured(bytes(count)), NO_FRAME, count)

    def test_half_a_marker_and_then_something_else_is_no_frame(self):
        self.assertEqual(measured(MARKER[:1]), INCOMPLETE)
        self.assertEqual(measured(MARKER[:1] + b"\x5b"), NO_FRAME)
        self.assertEqual(measured(b"\x5a"), NO_FRAME)

    def test_a_header_that_nobody_writes_is_no_frame(self):
        for at, byte in (
            (0, 0xD0),
            (1, 0x5B),
            (2, 3),  # QoS 3
            (2, 16),  # a flag that this version does not know
            (3, 1),  # reserved
            (12, 0),  # no topic
            (12, 200),  # a topic longer than the body
            (11, 0x20),  # a body longer than MQTT carries
        ):
            content = bytearray(frame())
            content[at] = byte
            self.assertEqual(measured(content), NO_FRAME, "byte %d" % at)


class IsWholeTest(unittest.TestCase):
    def test_any_bit_that_changed_is_found(self):
        content = bytearray(frame())
        for at in range(len(content)):
            for bit in range(8):
                content[at] ^= 1 << bit
                self.assertFalse(whole(content), "byte %d bit %d" % (at, bit))
                content[at] ^= 1 << bit
        self.assertTrue(whole(content))

    def test_a_frame_of_another_cache_is_not_ours(self):
        self.assertFalse(whole(frame(cache_id=CACHE_ID + 1)))
        self.assertTrue(whole(frame(cache_id=CACHE_ID + 1), 0, CACHE_ID + 1))

    def test_a_published_journal_does_not_read_as_ours(self):
        inner = frame(cache_id=5)
        outer = frame(payload=inner)
        self.assertEqual([at for at in range(len(outer)) if whole(outer, at)], [0])


class OneAfterTheOtherTest(unittest.TestCase):
    """One Record reads many frames: what it knows of the one before must not show."""

    def facts(self, record, buffer, at):
        size = record.measure(buffer, at, len(buffer) - at)
        if size <= 0 or size > len(buffer) - at or not record.is_whole(CACHE_ID):
            return None
        return (
            (record.seq, record.qos, record.retain, record.accepted_ms(), record.expires_s, size),
            (bytes(record.topic), bytes(record.payload), bytes(record.frame())),
        )

    def test_frames_of_any_shape_at_any_place_of_any_buffer(self):
        rng = Rng(2)
        record = Record()
        buffers = [memoryview(bytearray(400)) for _ in range(2)]
        found = 0
        for seq in range(600):
            buffer = rng.pick(buffers)
            at = rng.pick((0, 0, 0, 5))
            fields = (rng.below(3), rng.one_in(2), NOW_MS + seq, CACHE_ID, rng.pick((0, 0, 7)))
            content = encode(seq, b"t" * rng.pick((1, 1, 3)), b"p" * rng.pick((0, 9, 9)), *fields)
            if rng.one_in(4):
                content = content[: rng.below(len(content))] + b"?" * 60
            buffer[at : at + len(content)] = content
            expected = self.facts(Record(), buffer, at)
            if rng.one_in(4):
                record.measure(buffer, at, len(buffer) - at)  # and then again
            self.assertEqual(self.facts(record, buffer, at), expected, seq)
            found += expected is not None
        self.assertTrue(400 < found < 550)

    def test_any_bit_that_changed_is_found_at_the_same_place_as_well(self):
        content = bytearray(frame())
        whole = bytes(content)
        buffer = memoryview(content)
        record = Record()
        for at in range(len(content)):
            for bit in range(8):
                content[at] ^= 1 << bit
                self.assertIsNone(self.facts(record, buffer, 0), (at, bit))
                content[:] = whole
                self.assertTrue(self.facts(record, buffer, 0) is not None)
