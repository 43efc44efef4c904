"""What a start makes of the checkpoints, and of a journal that does not fit them."""

from persistmq_core.checkpoint import NAMES, PLACE_DONE, PLACE_ORPHAN, PLACE_RELEASED
from persistmq_core.slots import load
from tests.support import journal_files as files
from tests.support.recovery_case import RecoveryTestCase


class CheckpointTest(RecoveryTestCase):
    def test_a_checkpoint_is_taken_as_it_is(self):
        for first_seq in (1, 4):
            files.put(self.store, first_seq, 3)
        self.checkpoint(3, bytes((PLACE_RELEASED, PLACE_DONE)))
        found = self.recover()
        state = found.checkpoint
        self.assertEqual((state.cursor, state.delivered, found.end_seq, found.skipped), (3, 3, 7, 0))
        self.assertEqual(bytes(state.places), bytes((PLACE_RELEASED, PLACE_DONE, 0, 0)))

    def test_without_any_checkpoint_all_that_the_journal_holds_is_sent_again(self):
        files.put(self.store, 4, 3, skipped=1)
        files.put(self.store, 7, 1, skipped=1)
        found = self.recover()
        state = found.checkpoint
        self.assertFalse(state.session_known)
        # What was reclaimed had been acknowledged.
        self.assertEqual((state.cursor, state.delivered, state.skipped), (4, 2, 1))
        self.assertEqual((found.end_seq, found.skipped), (8, 1))

    def test_a_lost_newest_checkpoint_that_knew_of_a_reclaim(self):
        self.checkpoint(2, bytes((0, PLACE_DONE)))
        newest = NAMES[load(self.store)[0].generation + 1 & 1]
        self.checkpoint(7)
        self.store.corrupt(newest, 30, b"\xff\xff")
        files.put(self.store, 7, 2)
        state = self.recover().checkpoint
        self.assertEqual((state.cursor, state.delivered, bytes(state.places)), (7, 6, bytes(4)))

    def test_a_lost_newest_checkpoint_and_skipped_numbers_before_what_is_left(self):
        self.checkpoint(2, bytes((PLACE_ORPHAN,)))
        newest = NAMES[load(self.store)[0].generation + 1 & 1]
        self.checkpoint(7)
        self.store.corrupt(newest, 30, b"\xff\xff")
        files.put(self.store, 7, 2, skipped=2)
        found = self.recover()
        state = found.checkpoint
        # 2 is an orphan and in its account already; 3 to 6 are two messages and two skipped numbers.
        self.assertEqual((state.cursor, state.delivered, state.skipped, found.skipped), (7, 3, 2, 2))

    def test_without_doubt_a_missing_segment_is_damage_and_no_delivery(self):
        self.checkpoint(2)
        self.checkpoint(2)
        files.put(self.store, 7, 2)
        state = self.recover().checkpoint
        self.assertEqual((state.cursor, state.delivered), (2, 1))

    def test_a_journal_that_is_gone_never_gives_a_number_again_that_may_have_been_sent(self):
        self.checkpoint(20, bytes((0, PLACE_DONE)), sent_bound=50)
        found = self.recover()
        self.assertEqual((found.end_seq, found.active_name), (50, ""))
        # 21 is settled and a message; the others are skipped.
        self.assertEqual(found.skipped, 50 - 20 - 1)

    def test_a_journal_that_is_gone_before_anything_was_sent(self):
        self.checkpoint(1, sent_bound=1, known=False)
        self.assertEqual(self.recover().end_seq, 1)

    def test_a_checkpoint_that_is_ahead_of_the_journal(self):
        files.put(self.store, 1, 3)
        self.checkpoint(3, bytes((0, 0, PLACE_RELEASED)), sent_bound=9)
        found = self.recover()
        self.assertEqual(found.end_seq, 9)
        self.assertEqual(found.skipped, 9 - 4 - 1)

    def test_a_cursor_beyond_the_journal(self):
        files.put(self.store, 1, 3)
        self.checkpoint(6, sent_bound=9)
        found = self.recover()
        self.assertEqual((found.end_seq, found.active_name), (9, ""))
