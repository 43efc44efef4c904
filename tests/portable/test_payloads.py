"""One large payload on its way to a file of its own: its names, and what is written when."""

import io
import unittest
from binascii import crc32
from struct import pack

from persistmq_core import payloads
from persistmq_core.errors import StoreError
from persistmq_core.journal import Journal
from persistmq_core.payloads import LargePayload, parse_name, part_name, payload_name, survey
from persistmq_core.recovery import Recovered
from tests.support.write_list_store import EIO, ENOSPC, WriteListStore

EMFILE = 24
CACHE_ID = 0xC0FFEE01
CONTENT = bytes(range(256))
NAME = "payloads/0000000000000007-c0ffee01.bin"
PART = "payloads/0000000000000002-c0ffee01.part"


class NamesTest(unittest.TestCase):
    def test_a_name_says_the_number_and_the_cache(self):
        self.assertEqual(payload_name(7, CACHE_ID), NAME)
        self.assertEqual(part_name(2, CACHE_ID), PART)
        self.assertEqual(parse_name(NAME), (7, CACHE_ID, ".bin"))
        self.assertEqual(parse_name(PART), (2, CACHE_ID, ".part"))

    def test_names_that_are_not_ours(self):
        for name in ("payloads/readme", NAME + "x", NAME[:-3] + "seg", NAME.replace("c0ff", "zzzz"), "payloads/",
                     NAME.replace("-", "_"), "payloads/-000000000000007-c0ffee01.bin"[:-4]):  # fmt: skip
            self.assertIsNone(parse_name(name), name)


class WriteTest(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()
        self.journal = Journal(self.store, 1024, CACHE_ID)
        self.journal.payload_seqs = []
        self.saved = payloads.PAYLOAD_SYNC_BYTES

    def tearDown(self):
        payloads.PAYLOAD_SYNC_BYTES = self.saved

    def large(self, source=CONTENT, size=256):
        return LargePayload(self.store, source, size, CACHE_ID, 2)

    def test_it_is_written_in_pieces_and_synced_once(self):
        self.large().write(100)
        self.assertEqual(self.store.snapshot(), {PART: CONTENT})
        self.assertTrue(self.store.is_synced(PART))
        self.assertEqual((self.store.calls["append"], self.store.calls["sync"]), (3, 1))

    def test_a_very_large_one_is_synced_in_between(self):
        payloads.PAYLOAD_SYNC_BYTES = 100
        self.large().write(50)
        self.assertEqual((self.store.calls["append"], self.store.calls["sync"]), (6, 3))

    def test_the_reference_has_its_length_and_a_crc_seeded_with_the_cache(self):
        large = self.large()
        large.write(100)
        self.assertEqual(large.reference(), pack("<II", 256, crc32(CONTENT, CACHE_ID)))

    def test_what_has_the_buffer_protocol_can_be_written(self):
        for source in (bytearray(CONTENT), memoryview(CONTENT)):
            large = self.large(source)
            large.write(100)
            self.assertEqual(self.store.snapshot()[PART], CONTENT)
            large.discard(self.journal)

    def test_a_file_is_copied_from_where_it_stands(self):
        file = io.BytesIO(b"head" + CONTENT)
        file.seek(4)
        large = self.large(file)
        large.write(100)
        self.assertEqual(self.store.snapshot(), {PART: CONTENT})
        self.assertEqual(large.reference(), pack("<II", 256, crc32(CONTENT, CACHE_ID)))

    def test_a_file_that_gives_less_than_it_was_asked_for(self):
        class Slow:
            def __init__(self):
                self.file = io.BytesIO(CONTENT)

            def readinto(self, buffer):
                return self.file.readinto(memoryview(buffer)[:7])

        self.large(Slow()).write(100)
        self.assertEqual(self.store.snapshot(), {PART: CONTENT})

    def test_a_file_that_has_become_shorter(self):
        self.assertRaises(ValueError, self.large(io.BytesIO(CONTENT[:200])).write, 100)

    def test_an_error_of_the_disk_is_a_store_error(self):
        for call in ("append", "sync"):
            self.store.fail_next(call, ENOSPC)
            large = self.large()
            with self.assertRaises(StoreError) as caught:
                large.write(100)
            self.assertEqual(caught.exception.errno, ENOSPC)
            large.discard(self.journal)

    def test_an_error_without_a_number(self):
        class Odd(WriteListStore):
            def append(self, name, view):
                raise OSError("odd")

        self.store = Odd()
        with self.assertRaises(StoreError) as caught:
            self.large().write(100)
        self.assertTrue("odd" in str(caught.exception))

    def test_it_gets_the_name_of_its_message_once(self):
        large = self.large()
        large.write(100)
        large.seq = 7
        large.settle(self.journal)
        large.settle(self.journal)
        self.assertEqual(self.store.snapshot(), {NAME: CONTENT})
        self.assertEqual((self.journal.appended_bytes, self.journal.payload_seqs), (256, [7]))

    def test_what_is_discarded_leaves_nothing(self):
        large = self.large()
        large.write(100)
        large.discard(self.journal)
        self.assertEqual(self.store.snapshot(), {})
        large = self.large()
        large.write(100)
        large.seq = 7
        large.settle(self.journal)
        large.discard(self.journal)
        self.assertEqual((self.store.snapshot(), self.journal.appended_bytes), ({}, 0))

    def test_a_disk_that_does_not_remove(self):
        large = self.large()
        large.write(100)
        self.store.fail_next("remove", EIO)
        large.discard(self.journal)
        self.assertEqual(list(self.store.snapshot()), [PART])


class State:
    cache_id = CACHE_ID
    cursor = 5
    skipped = evicted_skipped = 0


class SurveyTest(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()

    def put(self, *seqs):
        for seq in seqs:
            self.store.put(payload_name(seq, CACHE_ID), CONTENT[:100])

    def seqs_of(self, folder):
        return sorted([int(name[name.find("0000000000") :][:16], 16) for name in self.store.list(folder)])

    def survey(self, is_alone=True, **changes):
        found = Recovered(State())
        found.end_seq = found.records_end = 10
        found.durable_cursor = 5
        found.end_is_sure = True
        for name, value in changes.items():
            setattr(found, name, value)
        survey(self.store, self.store.list("payloads"), found, is_alone)
        return found

    def test_what_waits_is_counted_in_order(self):
        self.put(9, 5, 7)
        found = self.survey()
        self.assertEqual((found.payload_seqs, found.held_bytes), ([5, 7, 9], 300))

    def test_what_was_not_finished_is_removed(self):
        self.put(9, 10, 11)
        self.store.put(part_name(1, CACHE_ID), CONTENT)
        self.assertEqual(self.survey().payload_seqs, [9])
        self.assertEqual(self.store.list("payloads"), [payload_name(9, CACHE_ID)])
        self.assertEqual(self.store.list("quarantine"), [])

    def test_numbers_that_were_skipped_at_the_end_are_no_messages(self):
        self.put(9, 10)
        self.assertEqual(self.survey(end_seq=20).payload_seqs, [9])

    def test_if_the_end_of_the_journal_is_in_doubt_nothing_is_removed(self):
        self.put(9, 10)
        self.assertEqual(self.survey(end_is_sure=False).payload_seqs, [9])
        self.assertEqual(self.seqs_of("quarantine"), [10])

    def test_what_no_checkpoint_says_to_be_settled_is_kept(self):
        self.put(3, 4, 5)
        self.assertEqual(self.survey(durable_cursor=4).payload_seqs, [3, 5])
        self.assertEqual(self.seqs_of("quarantine"), [4])

    def test_another_cache_s_are_moved_aside_and_what_is_not_ours_is_left(self):
        self.store.put(payload_name(7, CACHE_ID + 1), CONTENT)
        self.store.put("payloads/readme", b"hello")
        self.assertEqual(self.survey().payload_seqs, [])
        self.assertEqual(self.store.list("payloads"), ["payloads/readme"])
        self.assertEqual(len(self.store.list("quarantine")), 1)

    def test_of_two_processes_the_one_that_delivers_touches_nothing(self):
        self.put(3, 7, 10)
        self.store.put(part_name(1, CACHE_ID), CONTENT)
        before = self.store.snapshot()
        self.assertEqual(self.survey(is_alone=False, durable_cursor=0).payload_seqs, [3, 7])
        self.assertEqual(self.store.snapshot(), before)

    def test_a_size_that_does_not_read_counts_as_nothing(self):
        self.put(7, 8)
        self.store.fail_next("size", EIO, name=payload_name(7, CACHE_ID))
        found = self.survey()
        self.assertEqual((found.payload_seqs, found.held_bytes), ([7, 8], 100))
        self.store.fail_next("size", EMFILE)
        self.assertRaises(OSError, self.survey)


class LateStore(WriteListStore):
    """A move that happens, and fails then: the folder could not be synced."""

    fails = 0

    def move(self, name, new_name):
        super().move(name, new_name)
        if self.fails:
            self.fails -= 1
            raise OSError(EMFILE, "too many open files")


class MovedTest(unittest.TestCase):
    def setUp(self):
        self.store = LateStore()
        self.journal = Journal(self.store, 1024, CACHE_ID)
        self.large = LargePayload(self.store, CONTENT, 256, CACHE_ID, 2)
        self.large.write(100)
        self.large.seq = 7

    def test_a_move_that_failed_when_it_had_happened_is_done_again(self):
        for fails in (1, 2, 3):
            self.setUp()
            self.store.fails = fails
            for _ in range(fails):
                self.assertRaises(OSError, self.large.settle, self.journal)
            self.large.settle(self.journal)
            self.assertEqual((self.store.snapshot(), self.journal.appended_bytes), ({NAME: CONTENT}, 256))

    def test_what_is_given_up_then_leaves_nothing(self):
        self.store.fails = 1
        self.assertRaises(OSError, self.large.settle, self.journal)
        self.large.discard(self.journal)
        self.assertEqual((self.store.snapshot(), self.journal.appended_bytes), ({}, 0))
