"""How fast a backlog goes out."""

import unittest

from persistmq_core.pace import Pace
from tests.support.world import World


class PaceTest(unittest.TestCase):
    def test_without_a_rate_nothing_waits(self):
        pace = Pace()
        for _ in range(100):
            self.assertEqual(pace.due_ms(5), 0)
            pace.spend(5, 1000)

    def test_messages_go_at_their_rate(self):
        pace = Pace(10)
        self.assertEqual(self.count_in(pace, 10000, 100), 101)

    def test_bytes_go_at_their_rate(self):
        pace = Pace(bytes_per_s=1000)
        self.assertEqual(self.count_in(pace, 10000, 500), 21)

    def test_the_slower_of_the_two_counts(self):
        self.assertEqual(self.count_in(Pace(10, 1000), 10000, 10), 101)
        self.assertEqual(self.count_in(Pace(10, 1000), 10000, 1000), 11)

    def test_one_message_in_some_seconds(self):
        self.assertEqual(self.count_in(Pace(0.5), 10000, 10), 6)

    def test_what_was_not_used_is_gone_after_a_tenth_of_a_second(self):
        pace = Pace(100)
        self.count_in(pace, 1000, 1)
        at_once = 0
        while not pace.due_ms(60000):
            pace.spend(60000, 1)
            at_once += 1
        self.assertEqual(at_once, 11)

    def count_in(self, pace, duration_ms, size):
        """How many go, from 1 s on."""
        count = 0
        now_ms = 1000
        pace.spend(900, 0)  # no burst at the beginning
        pace._next_us = 1000000
        while now_ms <= 1000 + duration_ms:
            wait_ms = pace.due_ms(now_ms)
            self.assertEqual(pace.holds, wait_ms > 0)
            if not wait_ms:
                pace.spend(now_ms, size)
                count += 1
            now_ms += wait_ms
        return count


class BacklogTest(unittest.TestCase):
    def world(self, pace):
        world = World()
        world.engine.delivery.pace = pace
        world.publish_many(20)
        return world.online()

    def test_the_backlog_goes_at_its_rate_and_all_of_it(self):
        world = self.world(Pace(10))
        world.run(500)
        self.assertTrue(5 <= len(world.arrived()) <= 7, len(world.arrived()))
        world.run(3000)
        self.assertEqual(len(world.arrived()), 20)
        self.assertEqual(world.violations(), [])

    def test_what_is_new_does_not_wait_when_the_backlog_is_gone(self):
        world = self.world(Pace(10))
        world.run(3000)
        world.publish_many(20)
        world.run(10)
        self.assertEqual(len(world.arrived()), 40)

    def test_it_sleeps_until_the_next_one_may_go(self):
        world = self.world(Pace(1))
        world.run(300)
        self.assertTrue(500 < world.step() <= 1000)

    def test_a_connection_that_ends_does_not_hold_the_next_one(self):
        world = self.world(Pace(10))
        world.run(300)
        world.link.cut()
        world.run(5000)
        self.assertEqual(len(set(world.arrived())), 20)


if __name__ == "__main__":
    unittest.main()
