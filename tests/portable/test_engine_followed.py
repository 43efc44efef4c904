"""Two engines on one cache: one only appends, in a process of its own, the other only delivers."""

import unittest

from persistmq_core.contracts import Transport
from persistmq_core.engine import Engine
from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from tests.support.rng import Rng
from tests.support.world import World


class FollowedJournalTest(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.appender = Engine(open_cache(self.world.store, Rng(5), Options(segment_bytes_max=1024)), Transport())

    def begin(self):
        """The delivering process begins, or begins again."""
        journal = self.appender.journal
        journal.seal()
        self.world.start(followed=(journal.end_seq, journal.active_seq, journal.skipped))

    def append(self, *payloads):
        spool = self.appender.spool
        for payload in payloads:
            spool.stage("t", payload, 2, False, 0)
        group = spool.take()
        group.write()
        spool.finish(group)
        return group

    def tell(self):
        journal = self.appender.journal
        self.world.engine.journal.follow(journal.end_seq, journal.active_seq, journal.skipped)

    def test_what_it_was_told_of_is_delivered_and_nothing_else(self):
        self.append(b"0", b"1")
        self.begin()
        self.append(b"2", b"3")
        self.world.run(1000)
        self.assertEqual(self.world.arrived(), [b"0", b"1"])
        self.tell()
        self.world.run(1000)
        self.assertEqual(self.world.arrived(), [b"0", b"1", b"2", b"3"])
        self.assertEqual(self.world.accounts(), [4, 4, 0, 0, 0])
        self.assertEqual(self.world.violations(), [])

    def test_many_segments_are_delivered_and_reclaimed_while_they_are_made(self):
        self.begin()
        for number in range(200):
            self.append(b"%d" % number)
            self.tell()
            self.world.run(20)
        self.world.run(2000)
        self.assertEqual(self.world.arrived(), [b"%d" % number for number in range(200)])
        self.assertTrue(len(self.world.store.list("journal")) <= 2, self.world.store.list("journal"))

    def test_after_each_death_the_next_one_goes_on_and_nothing_comes_twice(self):
        self.begin()
        for life in range(12):
            self.append(*[b"%d" % number for number in range(life * 8, life * 8 + 8)])
            self.tell()
            for _ in range(life):
                self.world.step(1)
            self.world.die(power_lost=False)
            self.begin()
        self.world.run(5000)
        self.assertEqual(self.world.arrived(), [b"%d" % number for number in range(96)])
        self.assertEqual(self.world.accounts(), [96, 96, 0, 0, 0])
        self.assertEqual(self.world.violations(), [])

    def test_what_its_caller_was_told_is_not_stored_is_not_delivered_though_its_frames_are_whole(self):
        self.append(b"before")
        self.world.store.sync, sync = self.no_sync, self.world.store.sync
        self.assertFalse(self.append(b"refused by the disk").stored)
        self.world.store.sync = sync
        self.begin()
        self.world.run(1000)
        self.append(b"after")
        self.tell()
        self.world.run(1000)
        self.assertEqual(self.world.arrived(), [b"before", b"after"])
        self.assertEqual(self.world.accounts(), [2, 2, 0, 0, 0])

    @staticmethod
    def no_sync(name):
        raise OSError(5, "EIO")


if __name__ == "__main__":
    unittest.main()
