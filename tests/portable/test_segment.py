"""One file of the journal: its name, its header, its frames, and its damage."""

import unittest
from binascii import crc32
from struct import pack

from persistmq_core.errors import FormatError
from persistmq_core.segment import (
    END,
    HEADER_BYTES,
    RECORD,
    encode_header,
    parse_name,
    read_header,
    segment_name,
)
from tests.support import journal_files as files
from tests.support.journal_files import CACHE_ID, frame, payload
from tests.support.rng import Rng
from tests.support.segment_case import NAME, SIZES, ReaderTestCase
from tests.support.write_list_store import EIO, WriteListStore


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
