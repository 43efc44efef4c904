"""What a start finds in the cache directory."""

from binascii import crc32
from struct import pack

from persistmq_core.checkpoint import NAMES, Checkpoint
from persistmq_core.errors import FormatError
from persistmq_core.recovery import recover
from persistmq_core.segment import encode_header
from tests.support import journal_files as files
from tests.support.journal_files import CACHE_ID, frame, name_of
from tests.support.recovery_case import SPAN, RecoveryTestCase
from tests.support.rng import Rng
from tests.support.write_list_store import EIO, PowerCut

ENFILE = 23


class FreshTest(RecoveryTestCase):
    def test_an_empty_cache_begins_with_number_one_and_a_number_of_its_own(self):
        found = self.recover()
        self.assertEqual((found.end_seq, found.skipped, self.active(found)), (1, 0, ("", 0, 0)))
        self.assertTrue(0 < found.checkpoint.cache_id <= 0xFFFFFFFF)
        self.assertFalse(found.checkpoint.session_known)
        self.assertEqual(self.store.snapshot(), {})

    def test_two_caches_have_different_numbers(self):
        numbers = {recover(self.store, SPAN, Rng(seed)).checkpoint.cache_id for seed in range(20)}
        self.assertEqual(len(numbers), 20)

    def test_the_window_grows_with_the_span_asked_for_and_never_shrinks(self):
        self.checkpoint(1, b"\1\2\0\3")
        self.assertEqual(bytes(self.recover(6).checkpoint.places), b"\1\2\0\3\0\0")
        self.assertEqual(bytes(self.recover(2).checkpoint.places), b"\1\2\0\3")

    def test_the_end_is_found_over_a_buffer_of_any_size(self):
        files.put(self.store, 1, 3)
        name = files.put(self.store, 4, 2)
        for read_bytes in (1, 25, 64, 4096):
            found = self.recover(read_bytes=read_bytes)
            self.assertEqual((found.end_seq, found.torn_bytes), (6, 0))
            self.assertEqual(self.active(found), (name, 4, self.store.size(name)))

    def test_only_the_last_segment_is_read_to_its_end(self):
        # Law 7: the start costs a look at each header, and one segment.
        for segment in range(20):
            files.put(self.store, 1 + 30 * segment, 30)
        self.recover(read_bytes=4096)
        self.assertTrue(self.store.calls["read"] < 20 + 10, self.store.calls)

    def test_a_number_with_an_account_is_not_given_again_when_the_journal_is_gone(self):
        for known in (True, False):
            for places in (b"", b"\1", b"\3\3\3", b"\0\0\2"):
                self.setUp()
                self.checkpoint(5, places, known=known, skipped=2)
                found = self.recover()
                self.assertTrue(found.end_seq >= 5 + len(places), (known, places))
                settled = found.checkpoint.settled()
                self.assertTrue(found.end_seq - 1 - found.skipped >= settled, (known, places))

    def test_recovering_twice_finds_the_same(self):
        files.put(self.store, 1, 3)
        self.store.append(name_of(1), frame(4)[:20])
        self.checkpoint(2)
        first = self.recover()
        before = self.store.snapshot()
        second = self.recover()
        self.assertEqual((first.end_seq, first.skipped), (second.end_seq, second.skipped))
        self.assertEqual(self.store.snapshot(), before)


class TailTest(RecoveryTestCase):
    TAILS = (
        (frame(4)[:9], 9),
        (frame(4)[:-1], 27),
        (frame(4)[:9] + bytes(19), 9),
        (bytes(Rng(1).garbage(40)) + b"\xff", 41),
        (b"\xff", 1),
        (frame(4)[:14] + bytes(10) + frame(4)[24:], 28),
    )

    def test_a_torn_tail_is_left_where_it_is_and_the_segment_does_not_grow(self):
        for tail, tail_bytes in self.TAILS:
            self.setUp()
            name = files.put(self.store, 1, 3)
            self.store.append(name, tail)
            before = self.store.snapshot()
            found = self.recover()
            self.assertEqual((found.end_seq, found.skipped, found.torn_bytes), (4, 0, tail_bytes))
            self.assertEqual(self.active(found)[:2], ("", 1))
            self.assertEqual(self.store.snapshot(), before)

    def test_zeros_at_the_end_are_no_tail_and_the_segment_does_not_grow_behind_them(self):
        name = files.put(self.store, 1, 3)
        self.store.append(name, bytes(50))
        found = self.recover()
        self.assertEqual((found.end_seq, found.torn_bytes, found.active_name), (4, 0, ""))

    def test_a_tail_of_numbers_that_may_have_been_sent_costs_them(self):
        # Law 4: it may be damage and no torn write.
        name = files.put(self.store, 1, 3)
        self.store.append(name, b"\xff" * 60)
        self.checkpoint(1, sent_bound=100)
        found = self.recover()
        self.assertEqual((found.end_seq, found.skipped, found.active_name), (4 + 60 // 25 + 1, 3, ""))

    def test_a_tail_of_numbers_that_cannot_have_been_sent_costs_nothing(self):
        name = files.put(self.store, 1, 3)
        self.store.append(name, b"\xff" * 60)
        self.checkpoint(1, sent_bound=4)
        found = self.recover()
        self.assertEqual((found.end_seq, found.skipped), (4, 0))

    def test_no_more_is_skipped_than_can_have_been_sent(self):
        name = files.put(self.store, 1, 3)
        self.store.append(name, b"\xff" * 600)
        self.checkpoint(1, sent_bound=6)
        found = self.recover()
        self.assertEqual((found.end_seq, found.skipped), (6, 2))


class LitterTest(RecoveryTestCase):
    """A segment whose making was cut short."""

    def test_one_with_nothing_in_it_is_removed(self):
        for content in (b"", bytes(10), bytes(500)):
            self.setUp()
            files.put(self.store, 1, 3)
            self.store.put(name_of(4), content)
            found = self.recover(read_bytes=64)
            self.assertEqual((self.names(), self.names("quarantine")), ([name_of(1)], []))
            self.assertEqual((found.end_seq, found.active_name), (4, name_of(1)))

    def test_one_with_half_a_header_is_moved_aside(self):
        for content in (b"P", encode_header(4, 0, CACHE_ID)[:31], bytes(Rng(1).garbage(90))):
            self.setUp()
            files.put(self.store, 1, 3)
            self.store.put(name_of(4), content)
            found = self.recover()
            self.assertEqual((self.names(), len(self.names("quarantine"))), ([name_of(1)], 1))
            self.assertEqual((found.end_seq, found.active_name), (4, name_of(1)))

    def test_a_bare_header_may_grow(self):
        self.store.put(name_of(4), encode_header(4, 1, CACHE_ID))
        files.put(self.store, 1, 2)
        found = self.recover()
        self.assertEqual((found.end_seq, found.skipped, self.active(found)), (4, 1, (name_of(4), 4, 32)))

    def test_one_without_a_header_and_with_a_record_is_kept_and_does_not_grow(self):
        for at in range(32):
            self.setUp()
            content = bytearray(files.segment(1, 2))
            content[at] ^= 0xFF
            self.store.put(name_of(1), content)
            found = self.recover()
            self.assertEqual((found.end_seq, found.active_name), (3, ""), at)
            self.assertEqual(self.store.snapshot()[self.names()[0]], bytes(content))


class NameTest(RecoveryTestCase):
    def check(self, end_seq, in_journal, in_quarantine=0):
        found = self.recover()
        self.assertEqual(found.end_seq, end_seq)
        self.assertEqual(self.names(), sorted(in_journal))
        self.assertEqual(len(self.names("quarantine")), in_quarantine)
        return found

    def test_a_misnamed_segment_gets_its_own_name_back(self):
        files.put(self.store, 1, 3)
        self.store.put(name_of(99), files.segment(4, 2))
        self.check(6, [name_of(1), name_of(4)])
        self.assertEqual(self.store.snapshot()[name_of(4)], files.segment(4, 2))

    def test_two_with_each_others_name_are_swapped_back(self):
        self.store.put(name_of(1), files.segment(4, 2))
        self.store.put(name_of(4), files.segment(1, 3))
        self.check(6, [name_of(1), name_of(4)])
        self.assertEqual(self.store.snapshot()[name_of(1)], files.segment(1, 3))

    def test_a_copy_under_another_name_is_moved_aside(self):
        files.put(self.store, 1, 3)
        self.store.put(name_of(50), files.segment(1, 3))
        self.check(4, [name_of(1)], 1)

    def test_the_same_segment_as_seg_and_bad_counts_once(self):
        files.put(self.store, 1, 3)
        self.store.put(name_of(1, "bad"), files.segment(1, 3))
        found = self.recover()
        self.assertEqual(found.end_seq, 4)
        self.assertEqual((len(self.names()), len(self.names("quarantine"))), (1, 1))

    def test_a_segment_of_another_cache_is_moved_aside(self):
        self.checkpoint(1)
        files.put(self.store, 1, 3)
        files.put(self.store, 1, 30, cache_id=5)
        self.check(4, [name_of(1)], 1)

    def test_a_foreign_segment_under_our_name_is_moved_aside(self):
        self.checkpoint(1)
        files.put(self.store, 1, 3)
        self.store.put(name_of(4), files.segment(4, 2, cache_id=5))
        self.check(4, [name_of(1)], 1)

    def test_without_a_checkpoint_the_newest_segment_says_whose_cache_it_is(self):
        files.put(self.store, 1, 3)
        files.put(self.store, 4, 2, cache_id=5)
        found = self.recover()
        self.assertEqual((found.checkpoint.cache_id, found.end_seq), (5, 6))
        self.assertEqual(len(self.names("quarantine")), 1)

    def test_without_checkpoint_and_headers_the_name_says_it(self):
        content = bytearray(files.segment(1, 3))
        content[0] = 0
        self.store.put(name_of(1), content)
        found = self.recover()
        self.assertEqual((found.checkpoint.cache_id, found.end_seq), (CACHE_ID, 4))

    def test_a_header_that_reads_is_believed_before_a_newer_name(self):
        files.put(self.store, 1, 3)
        self.store.put(name_of(4, cache_id=5), b"X")
        found = self.recover()
        self.assertEqual((found.checkpoint.cache_id, found.end_seq), (CACHE_ID, 4))

    def test_strange_files_are_left_alone(self):
        for name in ("journal/notes.txt", "journal/0001.seg", "notes.txt", "dead/x", "quarantine/y"):
            self.store.put(name, b"hello")
        before = self.store.snapshot()
        self.recover()
        self.assertEqual(self.store.snapshot(), before)

    def test_what_the_start_before_did_not_finish_is_finished(self):
        for call in range(1, 30):
            for fate in ("before", "after"):
                self.setUp()
                self.store.put(name_of(1), files.segment(4, 2))
                self.store.put(name_of(4), files.segment(1, 3))
                self.store.crash_at, self.store.crash_fate = call, fate
                try:
                    self.recover()
                except PowerCut:
                    pass
                self.store.power_up(Rng(1), "lose")
                self.check(6, [name_of(1), name_of(4)])
                self.assertEqual(self.store.snapshot()[name_of(1)], files.segment(1, 3))

    def test_a_name_for_moving_that_is_taken_is_not_overwritten(self):
        files.put(self.store, 1, 3)
        self.store.put(name_of(50), files.segment(4, 2))
        self.store.put(name_of(50) + ".moving", files.segment(6, 2))
        self.store.put(name_of(50) + ".moving.moving", files.segment(6, 2))
        self.check(8, [name_of(1), name_of(4), name_of(6)], 1)


class NewerVersionTest(RecoveryTestCase):
    def test_a_newer_disk_version_is_refused_and_nothing_is_touched(self):
        header = bytearray(encode_header(4, 0, CACHE_ID))
        header[4] = 2
        checkpoint = Checkpoint(CACHE_ID, SPAN).encode()
        checkpoint[4] = 2
        for name, content in (
            (name_of(4), bytes(header[:28]) + pack("<I", crc32(header[:28])) + frame(4)),
            (NAMES[0], bytes(checkpoint[:-4]) + pack("<I", crc32(checkpoint[:-4]))),
            (NAMES[1], bytes(checkpoint[:-4]) + pack("<I", crc32(checkpoint[:-4]))),
        ):
            self.setUp()
            # Enough to repair, if it were allowed to.
            self.store.put(name_of(50), files.segment(1, 3))
            files.put(self.store, 1, 3, cache_id=5)
            self.store.put(name_of(60), b"")
            self.store.put(name, content)
            before = self.store.snapshot()
            with self.assertRaises(FormatError):
                self.recover()
            self.assertEqual(self.store.snapshot(), before)


class DiskErrorTest(RecoveryTestCase):
    def test_an_error_that_is_not_about_the_bytes_is_passed_on(self):
        for call in ("size", "read"):
            self.setUp()
            files.put(self.store, 1, 3)
            self.store.fail_next(call, ENFILE, times=None, name="journal/")
            before = self.store.snapshot()
            with self.assertRaises(OSError):
                self.recover()
            self.assertEqual(self.store.snapshot(), before)

    def test_an_error_that_passes_is_no_damage(self):
        """Whatever call fails: it starts or it raises; what was whole is whole, and the next start has it all."""
        for call in ("list", "size", "read", "move", "remove"):
            for skip in range(12):
                self.setUp()
                files.put(self.store, 1, 3)
                # A segment without its name has nothing but its header to be known by, so that one must read.
                self.store.put(name_of(4 if call == "read" else 50), files.segment(4, 2))
                self.store.put(name_of(70), b"")
                self.checkpoint(2)
                self.store.fail_next(call, EIO, skip=skip)
                try:
                    self.recover()
                except OSError:
                    pass
                self.store.heal()
                found = self.recover()
                self.assertTrue(found.end_seq >= 6, (call, skip))
                left = b"".join(self.store.snapshot().values())
                for seq in range(1, 6):
                    self.assertIn(frame(seq), left, (call, skip))
