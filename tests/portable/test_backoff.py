"""The delays between attempts to connect."""

import unittest

from persistmq_core.backoff import Backoff
from tests.support.rng import Rng


class Highest:
    """A generator that always draws the highest number."""

    def below(self, bound):
        return bound - 1


class BackoffTest(unittest.TestCase):
    def test_the_first_delay_is_the_shortest(self):
        self.assertEqual(Backoff(100, 5000, Rng(1)).next_ms(), 100)

    def test_delays_grow_to_the_longest_and_stay_there(self):
        backoff = Backoff(100, 5000, Highest())
        self.assertEqual([backoff.next_ms() for _ in range(6)], [100, 300, 900, 2700, 5000, 5000])

    def test_every_delay_lies_between_the_shortest_and_the_longest(self):
        for seed in range(20):
            backoff = Backoff(100, 5000, Rng(seed))
            delays = [backoff.next_ms() for _ in range(50)]
            self.assertTrue(min(delays) >= 100 and max(delays) <= 5000, delays)
            self.assertTrue(max(delays) > 1000, delays)

    def test_a_fleet_does_not_come_back_in_step(self):
        def third_delay(seed):
            backoff = Backoff(100, 50000, Rng(seed))
            return [backoff.next_ms() for _ in range(3)][2]

        self.assertTrue(len({third_delay(seed) for seed in range(30)}) > 20)

    def test_after_success_it_begins_again(self):
        backoff = Backoff(100, 5000, Highest())
        backoff.next_ms()
        backoff.next_ms()
        backoff.reset()
        self.assertEqual(backoff.next_ms(), 100)

    def test_a_connection_that_lasted_for_the_longest_delay_is_success_a_shorter_one_is_none(self):
        for lasted_ms, next_ms in ((4999, 900), (5000, 100)):
            backoff = Backoff(100, 5000, Highest())
            backoff.next_ms()
            backoff.next_ms()
            backoff.lasted(lasted_ms)
            self.assertEqual(backoff.next_ms(), next_ms)

    def test_a_refusal_waits_the_longest_delay_and_what_follows_stays_long(self):
        backoff = Backoff(100, 5000, Highest())
        self.assertEqual(backoff.longest_ms(), 5000)
        self.assertEqual(backoff.next_ms(), 5000)

    def test_one_delay_for_all_is_possible(self):
        backoff = Backoff(100, 100, Rng(1))
        self.assertEqual([backoff.next_ms() for _ in range(4)], [100] * 4)
