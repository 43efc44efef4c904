"""Reading one segment, for the tests of it."""

import unittest

from persistmq_core.segment import RECORD, SegmentReader
from tests.support import journal_files as files
from tests.support.journal_files import CACHE_ID, payload
from tests.support.write_list_store import WriteListStore

NAME = files.name_of(1)
SIZES = (1, 2, 24, 25, 26, 33, 64, 4096)  # of the reader's buffer


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
