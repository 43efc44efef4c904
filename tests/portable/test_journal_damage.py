"""A journal whose bytes went bad: every whole record is found, nothing is invented, what is lost is counted."""

import unittest

from persistmq_core.journal import GAP, MESSAGE, NOTHING, JournalReader
from tests.support import journal_files as files
from tests.support.journal_files import CACHE_ID, name_of, payload
from tests.support.rng import Rng
from tests.support.write_list_store import EIO, WriteListStore


class DamageTestCase(unittest.TestCase):
    """Segments 1..3, 4..6 and 7..9; the last one still grows."""

    def setUp(self):
        self.store = WriteListStore()
        for first_seq in (1, 4, 7):
            files.put(self.store, first_seq, 3)
        self.end_seq = 10
        self.active_seq = 7
        self.skipped = 0

    def reader(self, read_bytes=64):
        return JournalReader(self.store, CACHE_ID, read_bytes)

    def walk(self, reader, seq=1):
        found = []
        while True:
            kind = reader.peek(seq, self.end_seq, self.active_seq, self.skipped)
            if kind == NOTHING:
                return found
            if kind == MESSAGE:
                self.assertEqual((reader.record.seq, bytes(reader.record.payload)), (seq, payload(seq)))
                found.append(seq)
                seq += 1
            else:
                self.assertEqual(kind, GAP)
                found.append((seq, reader.gap_end, reader.gap_skipped))
                seq = reader.gap_end

    def write_one_more(self):
        self.store.append(name_of(7), files.frame(10))
        self.end_seq = 11

    def messages(self, found):
        return [each for each in found if isinstance(each, int)]

    def files(self, folder="journal"):
        return sorted(self.store.list(folder))


class DamageTest(DamageTestCase):
    def test_a_damaged_byte_anywhere_in_a_segment_costs_one_message(self):
        content = self.store.snapshot()[name_of(4)]
        offsets = files.frame_offsets(content)
        for at in range(len(content)):
            self.setUp()
            self.store.corrupt(name_of(4), at, bytes((content[at] ^ 0x55,)))
            hit = [index + 4 for index, (start, end) in enumerate(offsets) if start <= at < end]
            reader = self.reader()
            found = self.walk(reader)
            self.assertEqual(self.messages(found), [seq for seq in range(1, 10) if seq not in hit], at)
            if hit:
                lost = [each for each in found if not isinstance(each, int)]
                self.assertEqual([each[:2] for each in lost], [(hit[0], hit[0] + 1)])
                self.assertTrue(lost[0][2] <= 0, lost)
                self.assertTrue(0 < reader.damaged_bytes <= 28, at)
            else:
                self.assertEqual(reader.damaged_bytes, 0)

    def test_two_places_are_counted_once_each(self):
        for first_seq in (1, 4):
            self.store.corrupt(name_of(first_seq), 32 + 28 + 5, b"\xff\xff")
        reader = self.reader()
        self.assertEqual(self.messages(self.walk(reader)), [1, 3, 4, 6, 7, 8, 9])
        self.assertEqual(reader.damaged_bytes, 56)
        reader.rewind()

    def test_a_damaged_segment_is_marked_and_goes_to_quarantine_instead_of_being_removed(self):
        self.store.corrupt(name_of(4), 70, b"\xff")
        reader = self.reader()
        self.walk(reader)
        self.assertEqual(self.files(), [name_of(1), name_of(4, "bad"), name_of(7)])
        reader.reclaim(10)
        self.assertEqual(self.files(), [name_of(7)])
        self.assertEqual(self.files("quarantine"), ["quarantine/" + name_of(4, "bad").replace("/", "-")])

    def test_the_mark_outlives_a_restart(self):
        self.store.corrupt(name_of(4), 70, b"\xff")
        self.walk(self.reader())
        again = self.reader()
        self.assertEqual(self.messages(self.walk(again, 7)), [7, 8, 9])
        again.reclaim(7)
        self.assertEqual(len(self.files("quarantine")), 1)

    def test_one_that_still_grows_is_marked_when_it_is_sealed(self):
        self.store.corrupt(name_of(7), 70, b"\xff")
        reader = self.reader()
        self.assertEqual(self.messages(self.walk(reader)), [1, 2, 3, 4, 5, 6, 7, 9])
        self.assertEqual(self.files()[-1], name_of(7))
        files.put(self.store, 10, 1)
        self.end_seq, self.active_seq = 11, 10
        self.assertEqual(self.walk(reader, 10), [10])
        reader.reclaim(10)
        self.assertEqual(self.files(), [name_of(10)])
        self.assertEqual(len(self.files("quarantine")), 1)

    def test_a_lost_tail_of_a_sealed_segment_is_damage(self):
        self.store.truncate(name_of(4), 32 + 28 + 5)
        reader = self.reader()
        self.assertEqual(self.walk(reader), [1, 2, 3, 4, (5, 7, 0), 7, 8, 9])
        self.assertEqual(reader.damaged_bytes, 5)

    def test_a_lost_tail_of_the_growing_segment_is_damage_once_its_numbers_count(self):
        self.store.truncate(name_of(7), 32 + 28)
        reader = self.reader()
        self.assertEqual(self.walk(reader), [1, 2, 3, 4, 5, 6, 7, (8, 10, 0)])

    def test_a_missing_segment_is_a_gap(self):
        for first_seq, expected in (
            (1, [(1, 4, 0), 4, 5, 6, 7, 8, 9]),
            (4, [1, 2, 3, (4, 7, 0), 7, 8, 9]),
            (7, [1, 2, 3, 4, 5, 6, (7, 10, 0)]),
        ):
            self.setUp()
            self.store.remove(name_of(first_seq))
            self.assertEqual(self.walk(self.reader()), expected)

    def test_an_empty_folder_is_one_gap(self):
        for first_seq in (1, 4, 7):
            self.store.remove(name_of(first_seq))
        self.skipped = 2
        self.assertEqual(self.walk(self.reader()), [(1, 10, 2)])

    def test_an_empty_file_is_a_gap(self):
        self.store.truncate(name_of(4), 0)
        self.assertEqual(self.walk(self.reader()), [1, 2, 3, (4, 7, 0), 7, 8, 9])

    def test_a_gap_before_a_header_that_does_not_read_takes_the_next_count_there_is(self):
        self.store.remove(name_of(4))
        self.store.corrupt(name_of(7), 0, b"X")
        self.assertEqual(self.walk(self.reader()), [1, 2, 3, (4, 7, 0), 7, 8, 9])

    def test_nothing_is_invented_by_any_damage(self):
        for seed in range(150):
            self.setUp()
            rng = Rng(seed)
            for _ in range(rng.between(1, 4)):
                name = rng.pick(self.files())
                size = self.store.size(name)
                kind = rng.below(3)
                if kind == 0 and size:
                    self.store.corrupt(name, rng.below(size), rng.garbage(1))
                elif kind == 1:
                    self.store.truncate(name, rng.below(size + 1))
                elif size > 40:
                    start = rng.below(size - 30)
                    self.store.corrupt(name, start, rng.garbage(rng.between(1, 30)))
            whole = []
            for first_seq in (1, 4, 7):
                content = self.store.snapshot()[name_of(first_seq)]
                for seq in range(first_seq, first_seq + 3):
                    start = 32 + 28 * (seq - first_seq)
                    if content[start : start + 28] == files.frame(seq):
                        whole.append(seq)
            found = self.walk(self.reader(rng.pick((1, 30, 4096))))
            self.assertEqual(self.messages(found), whole, seed)
            numbers = []
            for each in found:
                numbers += [each] if isinstance(each, int) else range(each[0], each[1])
            self.assertEqual(numbers, list(range(1, 10)), seed)


class VanishedTest(DamageTestCase):
    def test_a_segment_that_vanishes_while_it_is_read_is_a_gap(self):
        self.end_seq, self.active_seq = 4, 1
        for first_seq in (4, 7):
            self.store.remove(name_of(first_seq))
        reader = self.reader(30)
        self.assertEqual(reader.peek(1, 4, 1, 0), MESSAGE)
        self.store.remove(name_of(1))
        files.put(self.store, 4, 3)
        self.end_seq, self.active_seq = 7, 4
        self.assertEqual(self.walk(reader, 2), [(2, 4, 0), 4, 5, 6])


class ReclaimTest(DamageTestCase):
    def test_only_what_is_wholly_behind_the_cursor_is_removed(self):
        for cursor, left in ((1, 3), (3, 3), (4, 2), (6, 2), (7, 1), (10, 1), (1000, 1)):
            self.setUp()
            reader = self.reader()
            self.walk(reader)
            reader.reclaim(cursor)
            self.assertEqual(self.files(), [name_of(1), name_of(4), name_of(7)][3 - left :], cursor)

    def test_a_reader_in_the_middle_goes_on(self):
        for at in range(1, 10):
            self.setUp()
            reader = self.reader()
            reader.peek(at, self.end_seq, self.active_seq, 0)
            reader.reclaim(at)
            self.assertEqual(self.walk(reader, at), list(range(at, 10)))

    def test_a_reader_whose_segment_is_gone_begins_again(self):
        reader = self.reader()
        reader.peek(1, self.end_seq, self.active_seq, 0)
        reader.reclaim(7)
        self.assertEqual(self.walk(reader, 7), [7, 8, 9])

    def test_a_remove_that_fails_is_tried_again(self):
        for name, call in ((name_of(1), "remove"), (name_of(4), "remove")):
            self.setUp()
            reader = self.reader()
            self.walk(reader)
            self.store.fail_next(call, EIO, name=name)
            with self.assertRaises(OSError):
                reader.reclaim(7)
            self.write_one_more()
            self.assertEqual(self.walk(reader, 10), [10])
            reader.reclaim(7)
            self.assertEqual(self.files(), [name_of(7)])

    def test_a_quarantine_that_fails_is_tried_again(self):
        for call in ("list", "move"):
            self.setUp()
            self.store.corrupt(name_of(1), 70, b"\xff")
            reader = self.reader()
            self.walk(reader)
            self.store.fail_next(call, EIO)
            with self.assertRaises(OSError):
                reader.reclaim(7)
            self.write_one_more()
            self.assertEqual(self.walk(reader, 10), [10])
            reader.reclaim(7)
            self.assertEqual((len(self.files()), len(self.files("quarantine"))), (1, 1))

    def test_removed_segments_that_come_back_are_removed_again(self):
        reader = self.reader()
        self.walk(reader)
        reader.reclaim(7)
        files.put(self.store, 1, 3)
        again = self.reader()
        self.assertEqual(self.walk(again, 7), [7, 8, 9])
        again.reclaim(7)
        self.assertEqual(self.files(), [name_of(7)])
