"""The end of the journal is lost, and the checkpoint knew of it: that is counted, no number is given again."""

import unittest

from tests.support.world import World
from tests.support.write_list_store import ENOSPC

COUNT = 50  # some 38 to a segment of 1,024 bytes


class LostEndTest(unittest.TestCase):
    def stopped(self, **options):
        """A cache with 50 messages, of which nothing was sent, after a clean stop; its last segment."""
        world = World(**options)
        for _ in range(COUNT):
            world.publish()
        world.engine.close()
        return world, sorted(world.store.list("journal"))[-1]

    def check(self, world, lost):
        """What is left is delivered, what is lost is in its account, and new messages have new numbers."""
        account = world.account
        self.assertEqual((account("accepted"), account("waiting")), (COUNT, COUNT))
        self.assertEqual(world.publish(b"new"), COUNT + 1)
        world.engine.draining = False
        world.online().run(5000)
        found = account("accepted"), account("delivered"), account("damaged"), account("waiting")
        self.assertEqual(found, (COUNT + 1, COUNT + 1 - lost, lost, 0))
        self.assertEqual([drop[1] for drop in world.diary.drops], ["damaged"] * lost)

    def test_a_last_segment_that_is_gone(self):
        world, last = self.stopped()
        lost = COUNT + 1 - int(last.partition("/")[2][:16], 16)
        self.assertTrue(0 < lost < COUNT)
        world.store.remove(last)
        world.start()
        self.check(world, lost)

    def test_a_last_segment_that_was_cut_at_the_end_of_a_frame(self):
        world, last = self.stopped()
        world.store.truncate(last, world.store.size(last) - 2 * 26)
        world.start()
        self.check(world, 2)
        self.assertEqual(world.store.list("quarantine"), [])

    def test_a_last_segment_whose_end_is_garbage_is_kept(self):
        world, last = self.stopped()
        size = world.store.size(last)
        world.store.corrupt(last, size - 30, b"\x01" * 30)
        world.start()
        self.check(world, 2)
        self.assertEqual(world.engine.delivery.damaged_bytes(), 52)
        self.assertEqual(len(world.store.list("quarantine")), 1)

    def test_a_journal_that_is_gone(self):
        world, _ = self.stopped()
        for name in world.store.list("journal"):
            world.store.remove(name)
        world.start()
        self.check(world, COUNT)

    def test_numbers_that_were_skipped_before_that_are_not_among_them(self):
        world = World()
        for index in range(COUNT):
            world.store.fail_next("append", ENOSPC) if index == COUNT - 5 else None
            try:
                world.publish()
            except OSError:
                pass
        world.engine.close()
        world.store.remove(sorted(world.store.list("journal"))[-1])
        world.start()
        account = world.account
        self.assertEqual((account("accepted"), account("waiting")), (COUNT - 1, COUNT - 1))
        world.engine.draining = False
        world.online().run(5000)
        self.assertEqual((account("delivered") + account("damaged"), account("damaged")), (COUNT - 1, 4))

    def test_what_was_accepted_behind_the_last_checkpoint_may_be_cut_short_by_power(self):
        world, last = self.stopped()
        world.start()
        world.publish(b"behind it")
        world.store.truncate(last, world.store.size(last) - 5)
        world.restart()
        self.check(world, 0)
        self.assertEqual(world.engine.delivery.damaged_bytes(), 0)


if __name__ == "__main__":
    unittest.main()
