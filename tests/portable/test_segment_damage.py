"""A segment with a torn tail, with damage in the middle, and one that does not read."""

from struct import pack

from persistmq_core.segment import END, HEADER_BYTES, RECORD
from tests.support import journal_files as files
from tests.support.journal_files import CACHE_ID, frame
from tests.support.rng import Rng
from tests.support.segment_case import SIZES, ReaderTestCase
from tests.support.write_list_store import EIO, WriteListStore

ENFILE = 23


class UnreadableTest(ReaderTestCase):
    """Reading around bytes that do not read, while the errors change from call to call."""

    def setUp(self):
        ReaderTestCase.setUp(self)
        self.content = files.segment(1, 1) + frame(2, content=b"x" * 500) + frame(3)

    def reader_around(self):
        reader = self.reader(self.content, 64)
        reader.reads_around = True
        return reader

    def test_a_file_whose_size_does_not_read_any_more_is_read_around_its_record(self):
        reader = self.reader_around()
        self.assertEqual(reader.next(), RECORD)
        self.store.fail_next("read", EIO)
        self.store.fail_next("size", EIO, skip=1)
        self.assertEqual(reader.next(), RECORD)
        self.assertEqual(reader.record.seq, 3)
        self.assertEqual(reader.damaged_bytes, len(frame(2, content=b"x" * 500)))

    def test_an_error_that_is_not_about_the_bytes_is_passed_on(self):
        for call in ("size", "read"):
            reader = self.reader_around()
            self.assertEqual(reader.next(), RECORD)
            self.store.fail_next("read", EIO)
            self.store.fail_next(call, ENFILE, skip=1)
            with self.assertRaises(OSError) as caught:
                reader.next()
            self.assertEqual(caught.exception.args[0], ENFILE)
            self.store.heal()

    def test_a_file_that_became_shorter_meanwhile_ends_there(self):
        class Shrinking(WriteListStore):
            def size(self, name):
                return WriteListStore.size(self, name) + 10

        for skip in range(6):
            self.store = Shrinking()
            reader = self.reader_around()
            self.store.fail_next("read", EIO, skip=skip)
            self.assertEqual([reader.next() for _ in range(4)], [RECORD, RECORD, RECORD, END], skip)


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
