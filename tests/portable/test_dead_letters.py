"""What the broker will not take, parked so that it can be read and sent again."""

import unittest

from persistmq_core.dead_letters import dead_letter_name, park
from persistmq_core.record import Record, encode
from persistmq_core.segment import END, RECORD, SegmentReader, read_header
from tests.support.journal_files import CACHE_ID
from tests.support.rng import Rng
from tests.support.write_list_store import ENOSPC, WriteListStore

SEQ = (1 << 33) + 5


class ParkTest(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()
        content = b"..." + encode(SEQ, b"a/b", b"payload", 2, True, 1767225600123, CACHE_ID) + b"..."
        self.record = Record()
        self.record.measure(memoryview(content), 3, len(content) - 3)
        self.assertTrue(self.record.is_whole(CACHE_ID))
        self.record.seq = SEQ
        self.name = dead_letter_name(SEQ, CACHE_ID, 0x87)

    def park(self):
        park(self.store, self.record, CACHE_ID, 0x87)

    def test_a_parked_message_is_a_segment_that_reads(self):
        self.park()
        self.assertEqual(sorted(self.store.snapshot()), [self.name])
        self.assertEqual(read_header(self.store, self.name), (SEQ, 0, CACHE_ID))
        reader = SegmentReader(self.store, self.name, SEQ, CACHE_ID)
        self.assertEqual(reader.next(), RECORD)
        record = reader.record
        self.assertEqual(
            (record.seq, bytes(record.topic), bytes(record.payload), record.qos, record.retain, record.accepted_ms()),
            (SEQ, b"a/b", b"payload", 2, True, 1767225600123),
        )
        self.assertEqual(reader.next(), END)

    def test_its_name_says_number_cache_and_reason(self):
        self.assertEqual(self.name, "dead/0000000200000005-c0ffee01-87.seg")

    def test_it_survives_a_power_cut(self):
        self.park()
        before = self.store.snapshot()
        self.store.power_up(Rng(1), "lose")
        self.assertEqual(self.store.snapshot(), before)

    def test_doing_it_twice_is_harmless(self):
        self.park()
        before = self.store.snapshot()
        self.park()
        self.assertEqual(self.store.snapshot(), before)

    def test_an_error_of_the_store_is_passed_on(self):
        self.store.fail_next("replace", ENOSPC)
        with self.assertRaises(OSError):
            self.park()
