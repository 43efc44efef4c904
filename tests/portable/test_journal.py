"""The files of records: appended by one side, read and reclaimed by the other."""

import unittest

from persistmq_core.journal import GAP, MESSAGE, NOTHING, Journal, JournalReader, quarantine
from persistmq_core.segment import read_header
from tests.support import journal_files as files
from tests.support.journal_files import CACHE_ID, frame, name_of, payload
from tests.support.rng import Rng
from tests.support.write_list_store import EIO, ENOSPC, WriteListStore

SEGMENT_BYTES = 200  # a header and six frames of 28


class JournalTestCase(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()
        self.journal = Journal(self.store, SEGMENT_BYTES, CACHE_ID)
        self.journal.resume(1, 0, "", 0, 0)
        self.next_seq = 1

    def write(self, count=1, content=None):
        """One group of messages; raises as the journal does, and then its numbers are gone."""
        frames = b"".join([frame(self.next_seq + index, content=content) for index in range(count)])
        first_seq = self.next_seq
        self.next_seq += count
        self.journal.write(frames, first_seq)
        self.journal.commit(self.next_seq)

    def segments(self):
        return sorted(self.store.list("journal"))

    def skipped_of(self, first_seq):
        return read_header(self.store, name_of(first_seq))[1]

    def reader(self, read_bytes=64):
        return JournalReader(self.store, CACHE_ID, read_bytes)

    def peek(self, reader, seq):
        journal = self.journal
        return reader.peek(seq, journal.end_seq, journal.active_seq, journal.skipped)

    def walk(self, reader, seq=1):
        """What the delivering side makes of the journal: numbers of messages, and (first, end, skipped) of gaps."""
        found = []
        while True:
            kind = self.peek(reader, seq)
            if kind == NOTHING:
                return found
            if kind == MESSAGE:
                self.assertEqual(reader.record.seq, seq)
                self.assertEqual(bytes(reader.record.payload), payload(seq))
                found.append(seq)
                seq += 1
            else:
                self.assertEqual(kind, GAP)
                self.assertTrue(reader.gap_end > seq)
                found.append((seq, reader.gap_end, reader.gap_skipped))
                seq = reader.gap_end


class WriteTest(JournalTestCase):
    def test_what_is_written_is_synced(self):
        self.write(3)
        self.assertTrue(self.store.is_synced(name_of(1)))
        self.assertEqual(self.store.snapshot()[name_of(1)], files.segment(1, 3))

    def test_nothing_moves_before_the_commit(self):
        self.journal.write(frame(1), 1)
        self.assertEqual((self.journal.end_seq, self.journal.active_seq), (1, 0))
        self.assertEqual(self.peek(self.reader(), 1), NOTHING)
        self.journal.commit(2)
        self.assertEqual((self.journal.end_seq, self.journal.active_seq), (2, 1))

    def test_a_full_segment_is_sealed_and_the_next_begins(self):
        for _ in range(13):
            self.write()
        self.assertEqual(self.segments(), [name_of(1), name_of(7), name_of(12)])
        for name in self.segments():
            self.assertTrue(self.store.size(name) <= SEGMENT_BYTES)

    def test_a_reader_whose_segment_another_one_has_removed_goes_on_in_the_next(self):
        self.write()
        late = self.reader()
        self.assertEqual(self.peek(late, 1), MESSAGE)
        for _ in range(13):
            self.write()
        first = self.reader()
        self.assertEqual(self.peek(first, 8), MESSAGE)
        first.reclaim(8)
        self.assertEqual(self.segments()[0], name_of(7))
        self.assertEqual((self.peek(late, 9), late.record.seq), (MESSAGE, 9))

    def test_another_limit_counts_for_segments_that_are_begun(self):
        self.write(3)
        self.journal.limit(70, True)
        for _ in range(3):
            self.write()
        self.journal.limit(SEGMENT_BYTES, False)
        for _ in range(4):
            self.write()
        self.assertEqual(self.segments(), [name_of(1), name_of(4), name_of(5), name_of(6)])
        self.assertEqual(self.walk(self.reader()), list(range(1, 11)))

    def test_a_group_larger_than_a_segment_gets_one_of_its_own(self):
        self.write()
        self.write(20)
        self.write()
        self.assertEqual(self.segments(), [name_of(1), name_of(2), name_of(22)])

    def test_it_goes_on_where_recovery_found_the_end(self):
        self.write(2)
        content = self.store.snapshot()[name_of(1)]
        journal = Journal(self.store, SEGMENT_BYTES, CACHE_ID)
        journal.resume(3, 0, name_of(1), 1, len(content))
        journal.write(frame(3), 3)
        journal.commit(4)
        self.assertEqual(self.store.snapshot()[name_of(1)], files.segment(1, 3))

    def test_it_begins_a_new_segment_if_the_last_one_must_not_grow(self):
        self.write(2)
        journal = Journal(self.store, SEGMENT_BYTES, CACHE_ID)
        journal.resume(3, 0, "", 1, 0)
        journal.write(frame(3), 3)
        journal.commit(4)
        self.assertEqual(self.segments(), [name_of(1), name_of(3)])
        self.assertEqual(journal.skipped, 0)


class FailureTest(JournalTestCase):
    FAULTS = (
        ("append", ENOSPC, 0),
        ("append", ENOSPC, 10),
        ("append", EIO, 30),
        ("append", EIO, 60),
        ("sync", EIO, 0),
        ("sync", ENOSPC, 0),
    )

    def fail(self, call, errno, short=0, count=1):
        self.store.fail_next(call, errno, short=short)
        with self.assertRaises(OSError) as caught:
            self.write(count)
        self.assertEqual(caught.exception.args[0], errno)

    def test_an_abort_never_reuses_its_numbers(self):
        for call, errno, short in self.FAULTS:
            self.setUp()
            self.write(2)
            self.fail(call, errno, short, 3)
            self.assertEqual((self.journal.end_seq, self.journal.active_seq), (3, 1))
            self.write()
            self.assertEqual(self.journal.end_seq, 7)
            self.assertEqual(self.segments(), [name_of(1), name_of(6)], call)
            self.assertEqual((self.journal.skipped, self.skipped_of(6)), (3, 3))
            self.assertEqual(self.walk(self.reader()), [1, 2, (3, 6, 3), 6], (call, short))
            self.assertEqual(self.store.violations, [])

    def test_aborted_frames_that_stand_whole_on_the_disk_are_never_read(self):
        self.write(2)
        self.fail("sync", EIO, count=2)
        self.assertEqual(len(files.frame_offsets(self.store.snapshot()[name_of(1)])), 4)
        self.assertEqual(self.walk(self.reader()), [1, 2])
        self.write()
        for read_bytes in (1, 40, 4096):
            reader = self.reader(read_bytes)
            self.assertEqual(self.walk(reader), [1, 2, (3, 5, 2), 5])
            self.assertEqual(reader.damaged_bytes, 0)

    def test_a_reader_that_was_ahead_does_not_read_them_either(self):
        self.write(2)
        reader = self.reader(4096)
        self.assertEqual(self.walk(reader), [1, 2])
        self.fail("sync", EIO, count=2)
        self.assertEqual(self.peek(reader, 3), NOTHING)
        self.write()
        self.assertEqual(self.walk(reader, 3), [(3, 5, 2), 5])

    def test_a_new_segment_that_failed_is_removed(self):
        self.write(6)
        for call, errno, short in self.FAULTS:
            self.fail(call, errno, short)
            self.assertEqual(self.segments(), [name_of(1)])
        self.write()
        self.assertEqual(self.walk(self.reader()), [1, 2, 3, 4, 5, 6, (7, 13, 6), 13])

    def test_a_first_segment_that_failed_is_removed(self):
        for call, errno, short in self.FAULTS:
            self.fail(call, errno, short)
            self.assertEqual(self.segments(), [])
        self.write()
        self.assertEqual(self.walk(self.reader()), [(1, 7, 6), 7])

    def test_one_that_could_not_be_removed_is_removed_before_the_next(self):
        for call in ("remove", "list"):
            self.setUp()
            self.write(6)
            self.store.fail_next(call, EIO)
            self.fail("sync", EIO)
            self.assertEqual(self.segments(), [name_of(1), name_of(7)])
            self.write()
            self.assertEqual(self.segments(), [name_of(1), name_of(8)])
            self.assertEqual(self.walk(self.reader()), [1, 2, 3, 4, 5, 6, (7, 8, 1), 8])

    def test_while_it_cannot_be_removed_nothing_is_written(self):
        self.write(6)
        self.store.fail_next("remove", EIO, times=3)
        self.fail("sync", EIO)
        before = self.store.snapshot()
        for _ in range(2):
            with self.assertRaises(OSError):
                self.write()
        self.assertEqual(self.store.snapshot(), before)
        self.write()
        self.assertEqual(self.walk(self.reader()), [1, 2, 3, 4, 5, 6, (7, 10, 3), 10])

    def test_a_removed_one_that_comes_back_does_not_count(self):
        self.write(6)
        self.fail("sync", EIO)
        self.write()
        self.store.put(name_of(7), files.segment(7, 1))
        self.assertEqual(self.walk(self.reader()), [1, 2, 3, 4, 5, 6, (7, 8, 1), 8])

    def test_after_many_failures_the_skipped_numbers_add_up(self):
        rng = Rng(1)
        for _ in range(40):
            if rng.one_in(3):
                call, errno, short = rng.pick(self.FAULTS)
                self.fail(call, errno, short, rng.between(1, 3))
            else:
                self.write(rng.between(1, 3))
        self.write()
        found = self.walk(self.reader())
        messages = [each for each in found if isinstance(each, int)]
        self.assertEqual(self.journal.end_seq - 1 - self.journal.skipped, len(messages))
        self.assertEqual(self.journal.end_seq, self.next_seq)


class ReadTest(JournalTestCase):
    def test_everything_is_read_over_many_segments_with_a_buffer_of_any_size(self):
        for _ in range(20):
            self.write()
        for read_bytes in (1, 25, 64, 4096):
            self.assertEqual(self.walk(self.reader(read_bytes)), list(range(1, 21)))

    def test_an_empty_journal_has_nothing(self):
        self.assertEqual(self.peek(self.reader(), 1), NOTHING)

    def test_a_reader_sees_what_is_written_later(self):
        reader = self.reader()
        for seq in range(1, 30):
            self.assertEqual(self.peek(reader, seq), NOTHING)
            self.write()
            self.assertEqual(self.walk(reader, seq), [seq])

    def test_the_same_number_may_be_asked_again(self):
        self.write(3)
        reader = self.reader()
        for _ in range(3):
            self.assertEqual(self.peek(reader, 2), MESSAGE)
            self.assertEqual(bytes(reader.record.payload), payload(2))

    def test_an_earlier_number_can_be_read_after_rewind(self):
        for _ in range(20):
            self.write()
        reader = self.reader()
        self.assertEqual(self.peek(reader, 19), MESSAGE)
        reader.rewind()
        self.assertEqual(self.peek(reader, 2), MESSAGE)
        self.assertEqual(reader.record.seq, 2)

    def test_a_reader_that_begins_late_begins_there(self):
        for _ in range(20):
            self.write()
        self.assertEqual(self.walk(self.reader(), 9), list(range(9, 21)))

    def test_files_that_are_not_ours_are_passed_over(self):
        self.write()
        self.store.put("journal/notes.txt", b"hello")
        files.put(self.store, 1, 9, cache_id=5)
        self.assertEqual(self.walk(self.reader()), [1])

    def test_after_an_error_it_may_be_asked_again(self):
        for _ in range(14):
            self.write()
        for call in ("list", "read", "size"):
            for skip in range(8):
                reader = self.reader(40)
                self.store.fail_next(call, EIO, skip=skip)
                try:
                    self.walk(reader)
                except OSError:
                    pass
                self.store.heal()
                reader.rewind()
                self.assertEqual(self.walk(reader), list(range(1, 15)), (call, skip))
                self.assertEqual(reader.damaged_bytes, 0)


class QuarantineTest(unittest.TestCase):
    def test_a_file_is_moved_under_a_free_name(self):
        store = WriteListStore()
        for content in (b"one", b"two", b"three"):
            store.put("journal/x", content)
            quarantine(store, "journal/x")
        self.assertEqual(
            store.snapshot(),
            {
                "quarantine/journal-x": b"one",
                "quarantine/journal-x.1": b"two",
                "quarantine/journal-x.2": b"three",
            },
        )
