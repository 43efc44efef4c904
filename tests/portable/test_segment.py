"""One file of the journal: its name, its header, its frames, and its damage."""

import unittest
from binascii import crc32
from struct import pack

from persistmq_core.errors import FormatError
from persistmq_core.segment import (
    END,
    HEADER_BYTES,
    RECORD,
    SegmentReader,
    encode_header,
    parse_name,
    read_header,
    segment_name,
)
from tests.support import journal_files as files
from tests.support.journal_files import CACHE_ID, frame, payload
from tests.support.rng import Rng
from tests.support.write_list_store import EIO, WriteListStore

NAME = files.name_of(1)
SIZES = (1, 2, 24, 25, 26, 33, 64, 4096)


class NameTest(unittest.TestCase):
    def test_a_name_is_read_back(self):
        for first_seq in (1, 0xABC, 1 << 60):
            for cache_id in (1, 0xFFFFFFFF):
                for ending in ("seg", "bad"):
                    name = segment_name(first_seq, cache_id, ending)
                    self.assertEqual(parse_name(name), (first_seq, cache_id, ending))

    def test_names_sort_as_numbers_do(self):
        numbers = [1, 2, 10, 16, 255, 256, 1 << 33]
        names = [segment_name(number, 1) for number in numbers]
        self.assertEqual(sorted(names), names)

    def test_other_names_are_not_ours(self):
        good = segment_name(1, 1)
        self.assertEqual(good, "journal/0000000000000001-00000001.seg")
        for name in (
            "journal/",
            "journal/notes.txt",
            good + "~",
            good + ".moving",
            good[:-1],
            good[:-3] + "SEG",
            good[:-4] + "-seg",
            good.replace("-", "_"),
            good.replace("0001-", "000x-"),
            good.replace("0001.", "00zz."),
        ):
            self.assertIsNone(parse_name(name), name)


class HeaderTest(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()

    def header(self, content):
        self.store.put(NAME, content)
        return read_header(self.store, NAME)

    def test_a_header_is_read_back_whatever_follows(self):
        content = encode_header((5 << 40) + 1, 1 << 35, 0xFFFFFFFF)
        self.assertEqual(len(content), HEADER_BYTES)
        for rest in (b"", b"\0" * 50, frame(1)):
            self.assertEqual(self.header(content + rest), ((5 << 40) + 1, 1 << 35, 0xFFFFFFFF))

    def test_no_prefix_reads(self):
        content = encode_header(1, 0, CACHE_ID)
        for count in range(len(content)):
            self.assertIsNone(self.header(content[:count]), count)

    def test_any_bit_that_changed_is_found(self):
        content = bytearray(encode_header(1, 0, CACHE_ID))
        for at in range(len(content)):
            for bit in range(8):
                content[at] ^= 1 << bit
                self.assertIsNone(self.header(content), "byte %d bit %d" % (at, bit))
                content[at] ^= 1 << bit

    def test_a_newer_disk_version_is_an_error_that_names_the_file(self):
        content = bytearray(encode_header(1, 0, CACHE_ID))
        content[4] = 2
        with self.assertRaises(FormatError) as caught:
            self.header(bytes(content[:28]) + pack("<I", crc32(content[:28])))
        self.assertTrue(NAME in str(caught.exception))

    def test_zeros_are_no_header(self):
        self.assertIsNone(self.header(bytes(100)))

    def test_an_error_of_the_store_is_passed_on(self):
        self.store.put(NAME, encode_header(1, 0, CACHE_ID))
        self.store.fail_next("read", EIO)
        with self.assertRaises(OSError):
            read_header(self.store, NAME)


class ReaderTestCase(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()

    def reader(self, content, read_bytes=4096, first_seq=1):
        self.store.put(NAME, content)
        return SegmentReader(self.store, NAME, first_seq, CACHE_ID, read_bytes)

    def read_all(self, reader):
        """The numbers of what was found; each with its own bytes."""
        found = []
        while reader.next() == RECORD:
            record = reader.record
            self.assertEqual(bytes(record.payload), payload(record.seq))
            self.assertEqual(bytes(record.topic), b"t")
            found.append(record.seq)
        self.assertIsNone(reader.record)
        return found


class ReadTest(ReaderTestCase):
    def test_frames_come_in_order_over_a_buffer_of_any_size(self):
        content = files.segment(1, 5)
        for read_bytes in SIZES:
            reader = self.reader(content, read_bytes)
            self.assertEqual(self.read_all(reader), [1, 2, 3, 4, 5], read_bytes)
            self.assertEqual((reader.end_seq, reader.end_offset), (6, len(content)))
            self.assertEqual((reader.damaged_bytes, reader.tail_bytes), (0, 0))

    def test_a_frame_larger_than_the_buffer(self):
        big = bytes(Rng(1).garbage(500))
        content = files.segment(1, 1) + frame(2, content=big) + frame(3)
        for read_bytes in SIZES[:-1]:
            reader = self.reader(content, read_bytes)
            found = []
            while reader.next() == RECORD:
                found.append(bytes(reader.record.payload))
            self.assertEqual(found, [payload(1), big, payload(3)], read_bytes)

    def test_a_file_that_grows_byte_by_byte_gives_each_record_with_its_last_byte(self):
        content = files.segment(1, 3)
        ends = [end for _, end in files.frame_offsets(content)]
        for read_bytes in (1, 30, 4096):
            reader = self.reader(content[:HEADER_BYTES], read_bytes)
            for at in range(HEADER_BYTES, len(content)):
                self.assertEqual(reader.next(), END)
                self.assertEqual((reader.tail_bytes > 0, reader.damaged_bytes), (at > reader.end_offset, 0), at)
                self.store.append(NAME, content[at : at + 1])
                if at + 1 in ends:
                    self.assertEqual(reader.next(), RECORD, at)
                    self.assertEqual(reader.tail_bytes, 0)
            self.assertEqual((reader.end_seq, reader.damaged_bytes), (4, 0))

    def test_numbers_run_over_32_bits(self):
        first_seq = 0xFFFFFFFE
        reader = self.reader(files.segment(first_seq, 4), first_seq=first_seq)
        self.assertEqual(self.read_all(reader), [0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1])

    def test_an_empty_file_and_a_bare_header_hold_nothing(self):
        for content in (b"", b"PMQJ", encode_header(1, 0, CACHE_ID)):
            reader = self.reader(content)
            self.assertEqual(self.read_all(reader), [])
            self.assertEqual((reader.end_seq, reader.damaged_bytes, reader.tail_bytes), (1, 0, 0))

    def test_after_a_failed_read_it_may_be_asked_again(self):
        for read_bytes in SIZES:
            content = files.segment(1, 3)
            for skip in range(12):
                reader = self.reader(content, read_bytes)
                self.store.fail_next("read", EIO, skip=skip)
                found = []
                for _ in range(5):
                    try:
                        if reader.next() == RECORD:
                            found.append(bytes(reader.record.payload))
                    except OSError:
                        pass
                self.store.heal()
                self.assertEqual(found, [payload(1), payload(2), payload(3)], (read_bytes, skip))
                self.assertEqual(reader.damaged_bytes, 0)


class TornTailTest(ReaderTestCase):
    def check(self, tail, words):
        tail_bytes = len(tail.rstrip(b"\0"))  # zeros at the end may be preallocated
        for read_bytes in SIZES:
            reader = self.reader(files.segment(1, 2) + tail, read_bytes)
            self.assertEqual(self.read_all(reader), [1, 2], words)
            self.assertEqual((reader.damaged_bytes, reader.tail_bytes), (0, tail_bytes), (words, read_bytes))
            self.assertEqual(self.read_all(reader), [])
            self.assertEqual((reader.damaged_bytes, reader.tail_bytes), (0, tail_bytes), (words, read_bytes))

    def test_a_torn_tail_is_silent(self):
        whole = frame(3)
        for count in range(1, len(whole)):
            self.check(whole[:count], "prefix of %d" % count)

    def test_preallocated_zeros_do_not_count(self):
        for count in (1, 24, 25, 100, 5000):
            self.check(bytes(count), "%d zeros" % count)

    def test_a_prefix_and_then_zeros(self):
        for count in (1, 2, 10, 24, 26):
            self.check(frame(3)[:count] + bytes(40), "prefix of %d and zeros" % count)

    def test_garbage(self):
        for seed in range(10):
            garbage = bytes(Rng(seed).garbage(70)) + b"\xff"
            self.check(garbage, "garbage %d" % seed)

    def test_a_tail_full_of_markers(self):
        self.check(b"\xd1\x5a" * 40, "markers")
        self.check(b"\xd1" * 41, "half markers")

    def test_a_hole_of_zeros_in_the_last_frame(self):
        whole = frame(3, content=b"x" * 60)
        self.check(whole[:30] + bytes(20) + whole[50:], "hole")


class DamageTest(ReaderTestCase):
    def test_a_damaged_byte_anywhere_costs_its_own_frame_and_no_other(self):
        content = files.segment(1, 4)
        offsets = files.frame_offsets(content)
        for at in range(HEADER_BYTES, len(content)):
            hit = [index for index, (start, end) in enumerate(offsets) if start <= at < end][0]
            for value in (0x00, 0xFF, content[at] ^ 1, 0xD1, 0x5A):
                if value == content[at]:
                    continue
                damaged = bytearray(content)
                damaged[at] = value
                for read_bytes in (30, 4096):
                    reader = self.reader(damaged, read_bytes)
                    found = self.read_all(reader)
                    words = "byte %d is 0x%02x" % (at, value)
                    self.assertEqual(found, [seq for seq in (1, 2, 3, 4) if seq != hit + 1], words)
                    size = offsets[hit][1] - offsets[hit][0]
                    last = hit == 3
                    self.assertEqual(reader.damaged_bytes, 0 if last else size, words)
                    self.assertTrue(0 < reader.tail_bytes <= size if last else reader.tail_bytes == 0, words)

    def test_damage_of_any_length_costs_what_it_touches(self):
        content = files.segment(1, 4)
        offsets = files.frame_offsets(content)
        for start in range(HEADER_BYTES, len(content), 5):
            for length in (3, 20, 45, 90):
                damaged = bytearray(content)
                noise = Rng(start * 100 + length).garbage(min(length, len(content) - start))
                damaged[start : start + len(noise)] = noise
                untouched = [
                    index + 1 for index, (begin, end) in enumerate(offsets) if damaged[begin:end] == content[begin:end]
                ]
                self.assertEqual(self.read_all(self.reader(damaged, 40)), untouched, (start, length))

    def test_damage_at_the_front_is_skipped(self):
        content = bytearray(files.segment(1, 3))
        content[0 : HEADER_BYTES + 10] = b"\xff" * (HEADER_BYTES + 10)
        reader = self.reader(content)
        self.assertEqual(self.read_all(reader), [2, 3])
        self.assertEqual(reader.damaged_bytes, len(frame(1)))

    def test_a_frame_inside_a_damaged_payload_is_not_invented(self):
        for inner in (frame(2, cache_id=5), frame(3, cache_id=CACHE_ID ^ 1), frame(99)):
            outer = bytearray(frame(2, content=inner + b"rest"))
            outer[21] ^= 1  # its CRC
            reader = self.reader(files.segment(1, 1) + bytes(outer) + frame(3))
            self.assertEqual(self.read_all(reader), [1, 3])

    def test_frames_of_a_wrong_place_are_not_believed(self):
        # An old copy of a sector: whole frames, and not their turn.
        content = files.segment(1, 3) + frame(2) + frame(1)
        reader = self.reader(content)
        self.assertEqual(self.read_all(reader), [1, 2, 3])
        self.assertEqual(reader.tail_bytes, len(frame(2)) + len(frame(1)))

    def test_a_number_that_jumps_ahead_of_the_bytes_is_not_believed(self):
        content = files.segment(1, 2) + b"\xff" * 10 + frame(4) + frame(3)
        self.assertEqual(self.read_all(self.reader(content)), [1, 2, 3])

    def test_a_length_that_promises_too_much_does_not_hide_what_follows(self):
        content = bytearray(files.segment(1, 3))
        at = files.frame_offsets(content)[1][0]
        content[at + 8 : at + 12] = pack("<I", 200000000)
        reader = self.reader(content)
        self.assertEqual(self.read_all(reader), [1, 3])

    def test_damage_longer_than_many_buffers(self):
        content = files.segment(1, 1) + b"\xff" * 5000 + bytes(5000) + frame(2) + frame(3)
        for read_bytes in (25, 64, 4096):
            reader = self.reader(content, read_bytes)
            self.assertEqual(self.read_all(reader), [1, 2, 3])
            self.assertEqual(reader.damaged_bytes, 10000)
