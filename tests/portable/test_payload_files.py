"""The files of large payloads on the side that delivers: what a start makes of them, how they are read and go away."""

import unittest
from binascii import crc32

from persistmq_core.journal import Journal, JournalReader
from persistmq_core.payload_files import PayloadFiles
from persistmq_core.payloads import payload_name
from persistmq_core.record import Record
from persistmq_core.window import SETTLE, Window
from tests.support.journal_files import CACHE_ID
from tests.support.write_list_store import EIO, WriteListStore

CONTENT = bytes(range(100))
EMFILE = 24


class PayloadFilesTestCase(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()

    def put(self, *seqs, content=CONTENT):
        for seq in seqs:
            self.store.put(payload_name(seq, CACHE_ID), content)

    def seqs(self, folder="payloads"):
        return sorted([int(name.split("-")[-2][-16:], 16) for name in self.store.list(folder)])

    def seqs_of(self, folder):
        """Of what was moved there: its numbers."""
        return sorted([int(name[name.find("0000000000") :][:16], 16) for name in self.store.list(folder)])


class OpenTestCase(PayloadFilesTestCase):
    def setUp(self):
        super().setUp()
        self.reader = JournalReader(self.store, CACHE_ID)
        self.journal = Journal(self.store, 1024, CACHE_ID)
        self.journal.payload_seqs = []
        self.files = self.make([])
        self.record = Record()
        self.record.apart_bytes = 100
        self.record.apart_crc = crc32(CONTENT, CACHE_ID)
        self.saves = 0

    def save(self):
        self.saves += 1

    def make(self, seqs, piece_bytes=40):
        return PayloadFiles(self.store, self.journal, self.reader, CACHE_ID, piece_bytes, seqs, self.save)


class ReadTest(OpenTestCase):
    def pieces(self, stream):
        found = []
        while stream.left:
            piece = self.files.next_piece(stream)
            if piece is None:
                return None
            found.append(bytes(piece))
        return found

    def test_it_comes_in_pieces(self):
        self.put(7)
        stream = self.files.open(7, self.record)
        self.assertEqual(self.pieces(stream), [CONTENT[:40], CONTENT[40:80], CONTENT[80:]])

    def test_one_buffer_serves_for_all(self):
        self.put(7)
        stream = self.files.open(7, self.record)
        first = self.files.next_piece(stream)
        self.files.next_piece(stream)
        self.assertEqual(bytes(first), CONTENT[40:80])

    def test_a_changed_byte_is_found_before_the_last_piece_is_given(self):
        self.put(7)
        self.store.corrupt(payload_name(7, CACHE_ID), 3, b"!")
        stream = self.files.open(7, self.record)
        self.assertIsNotNone(self.files.next_piece(stream))
        self.assertIsNotNone(self.files.next_piece(stream))
        self.assertIsNone(self.files.next_piece(stream))
        # The next time nothing of it is sent.
        self.assertIsNone(self.files.open(7, self.record))
        self.assertEqual((self.seqs(), self.seqs_of("quarantine")), ([], [7]))
        self.assertEqual((self.reader.damaged_bytes, self.reader.reclaimed_bytes), (100, 100))

    def test_a_file_that_is_too_short_is_moved_aside_at_once(self):
        self.put(7, content=CONTENT[:99])
        self.assertIsNone(self.files.open(7, self.record))
        self.assertEqual(self.seqs_of("quarantine"), [7])

    def test_a_file_that_is_not_there(self):
        self.assertIsNone(self.files.open(7, self.record))
        self.assertEqual((self.store.list("quarantine"), self.reader.damaged_bytes), ([], 0))

    def test_a_file_that_becomes_shorter_while_it_is_read(self):
        self.put(7)
        stream = self.files.open(7, self.record)
        self.store.truncate(payload_name(7, CACHE_ID), 50)
        self.assertIsNone(self.pieces(stream))

    def test_a_file_that_vanishes_while_it_is_read(self):
        self.put(7)
        stream = self.files.open(7, self.record)
        self.store.remove(payload_name(7, CACHE_ID))
        self.assertIsNone(self.pieces(stream))

    def test_bytes_that_do_not_read_are_damage_at_the_sixth_time(self):
        self.put(7)
        stream = self.files.open(7, self.record)
        self.files.next_piece(stream)
        self.store.fail_next("read", EIO, times=None)
        for _ in range(5):
            self.assertRaises(OSError, stream.next_piece)
        self.assertEqual(self.saves, 0)
        self.assertIsNone(stream.next_piece())
        self.assertEqual(self.saves, 1)

    def test_on_a_device_that_is_gone_altogether_nothing_is_damaged(self):
        self.put(7)
        stream = self.files.open(7, self.record)
        self.store.fail_next("read", EIO, times=7)
        self.files._save = lambda: self.store.replace("checkpoint.0", b"")
        self.store.fail_next("replace", EIO, times=2)
        for _ in range(7):
            self.assertRaises(OSError, stream.next_piece)
        self.assertEqual(b"".join(self.pieces(stream)), CONTENT)

    def test_bytes_that_read_again(self):
        self.put(7)
        stream = self.files.open(7, self.record)
        self.store.fail_next("read", EIO, times=4)
        for _ in range(4):
            self.assertRaises(OSError, self.files.next_piece, stream)
        self.assertEqual(b"".join(self.pieces(stream)), CONTENT)

    def test_a_connection_that_ends_meanwhile_does_not_begin_the_count_anew(self):
        self.put(7)
        for _ in range(5):
            stream = self.files.open(7, self.record)
            stream.next_piece()
            self.store.fail_next("read", EIO)
            self.assertRaises(OSError, stream.next_piece)
        stream = self.files.open(7, self.record)
        stream.next_piece()
        self.store.fail_next("read", EIO)
        self.assertIsNone(stream.next_piece())

    def test_noise_behind_the_end_does_no_harm(self):
        self.put(7, content=CONTENT + b"noise")
        stream = self.files.open(7, self.record)
        self.assertEqual(b"".join(self.pieces(stream)), CONTENT)

    def test_each_message_has_its_own_count_of_failures(self):
        self.put(7, 8)
        for seq in (7, 8):
            stream = self.files.open(seq, self.record)
            self.store.fail_next("read", EIO, times=5)
            for _ in range(5):
                self.assertRaises(OSError, self.files.next_piece, stream)
        self.store.fail_next("read", EIO, times=1)
        self.assertRaises(OSError, self.files.next_piece, self.files.open(7, self.record))

    def test_a_size_that_does_not_read_is_damage_in_the_end(self):
        self.put(7)
        self.store.fail_next("size", EIO, times=None)
        for _ in range(5):
            self.assertRaises(OSError, self.files.open, 7, self.record)
        self.assertIsNone(self.files.open(7, self.record))
        self.assertEqual(self.seqs_of("quarantine"), [7])

    def test_other_errors_are_not_damage(self):
        self.put(7)
        stream = self.files.open(7, self.record)
        for call in ("size", "read"):
            self.store.fail_next(call, EMFILE, times=9)
            for _ in range(9):
                self.assertRaises(OSError, self.files.open if call == "size" else self.files.next_piece,
                                  *((7, self.record) if call == "size" else (stream,)))  # fmt: skip
        self.assertEqual(b"".join(self.pieces(stream)), CONTENT)

    def test_a_move_aside_that_fails_is_tried_again(self):
        self.put(7, content=b"short")
        self.store.fail_next("move", EIO)
        self.assertRaises(OSError, self.files.open, 7, self.record)
        self.assertIsNone(self.files.open(7, self.record))
        self.assertEqual(self.seqs_of("quarantine"), [7])


class EndTest(OpenTestCase):
    def test_files_behind_the_cursor_are_removed(self):
        self.put(3, 4, 6)
        files = self.make([3, 4, 6])
        files.reclaim(4, 0, 0)
        self.assertEqual((self.seqs(), self.reader.reclaimed_bytes), ([4, 6], 100))
        files.reclaim(9, 0, 0)
        self.assertEqual((self.seqs(), self.reader.reclaimed_bytes), ([], 300))

    def test_evicted_ones_too(self):
        self.put(3, 4, 6, 9)
        self.make([3, 4, 6, 9]).reclaim(0, 4, 9)
        self.assertEqual(self.seqs(), [3, 9])

    def test_those_that_were_published_since_are_known_from_the_journal(self):
        self.put(3, 8)
        files = self.make([3])
        self.journal.payload_seqs = [3, 8]
        files.reclaim(9, 0, 0)
        self.assertEqual((self.seqs(), self.journal.payload_seqs), ([], []))

    def test_where_another_process_publishes_they_are_known_from_the_walk(self):
        self.put(3, 8)
        self.journal.payload_seqs = None
        files = self.make([3])
        for seq in (3, 8, 3, 8):
            files.note(seq)
        files.reclaim(9, 0, 0)
        self.assertEqual(self.seqs(), [])

    def test_a_removal_that_fails_is_tried_again(self):
        self.put(3)
        files = self.make([3])
        self.store.fail_next("remove", EIO)
        self.assertRaises(OSError, files.reclaim, 9, 0, 0)
        files.reclaim(9, 0, 0)
        self.assertEqual((self.seqs(), self.reader.reclaimed_bytes), ([], 100))

    def test_one_that_is_gone_already(self):
        self.put(4)
        self.make([3, 4]).reclaim(9, 0, 0)
        self.assertEqual((self.seqs(), self.reader.reclaimed_bytes), ([], 100))

    def test_what_lost_its_record_is_kept_but_for_what_was_delivered(self):
        self.put(3, 4, 5, 6)
        self.store.put("payloads/readme", b"hello")
        window = Window(8)
        window.load(3, bytearray(8))
        window.move(4, SETTLE)
        self.make([3, 4, 5, 6]).set_aside_all(3, 6, window)
        self.store.remove("payloads/readme")
        self.assertEqual((self.seqs(), self.seqs_of("quarantine")), ([4, 6], [3, 5]))

    def test_how_many_must_go_to_free_so_many_bytes(self):
        self.put(3, 5, 7, 9)
        files = self.make([3, 4, 5, 7, 9])  # 4 is gone
        self.assertEqual(files.freed_by(3, 9, 1), (4, 100))
        self.assertEqual(files.freed_by(4, 9, 150), (8, 200))
        self.assertEqual(files.freed_by(4, 9, 1000), (8, 200))
        self.assertEqual(files.freed_by(20, 30, 1), (20, 0))

    def test_a_dead_letter_s_payload_is_moved_beside_it(self):
        self.put(7)
        self.assertEqual(self.files.parked(7, 0x87), 0x87)
        self.files.park(7, 0x87)
        self.assertEqual(self.store.snapshot(), {"dead/0000000000000007-c0ffee01-87.bin": CONTENT})
        self.assertEqual(self.reader.reclaimed_bytes, 100)
        # Power failed before the checkpoint said so, and the broker says something else now.
        self.assertEqual(self.files.parked(7, 0x90), 0x87)
        self.files.park(7, 0x87)

    def test_a_dead_letter_without_a_payload(self):
        self.store.put("dead/0000000000000007-c0ffee01-87.seg", b"")
        self.store.put("dead/0000000000000008-c0ffee01-87.bin", b"")
        self.assertEqual(self.files.parked(7, 0x87), -1)
