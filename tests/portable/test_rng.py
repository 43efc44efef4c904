"""The generator behind every simulated decision."""

import unittest

from tests.support.rng import Rng


class RngTest(unittest.TestCase):
    def test_a_seed_gives_the_same_numbers_on_every_interpreter(self):
        rng = Rng(42)
        self.assertEqual([rng.word() for _ in range(4)], [759511308, 3338370046, 2568554684, 3117695963])

    def test_seeds_side_by_side_begin_differently(self):
        self.assertEqual(len({Rng(seed).below(1000) for seed in range(20)} - {0}), 20)

    def test_below_stays_below_and_reaches_everything(self):
        rng = Rng(7)
        self.assertEqual(sorted({rng.below(6) for _ in range(200)}), [0, 1, 2, 3, 4, 5])

    def test_between_includes_both_ends(self):
        rng = Rng(7)
        self.assertEqual(sorted({rng.between(3, 5) for _ in range(100)}), [3, 4, 5])

    def test_percent_of_nothing_is_never_and_of_a_hundred_always(self):
        rng = Rng(7)
        self.assertFalse(any(rng.percent(0) for _ in range(50)))
        self.assertTrue(all(rng.percent(100) for _ in range(50)))

    def test_garbage_has_the_length_asked_for(self):
        self.assertEqual([len(Rng(1).garbage(length)) for length in (0, 1, 5, 8)], [0, 1, 5, 8])

    def test_a_fork_does_not_follow_its_parent(self):
        rng = Rng(3)
        fork = rng.fork()
        self.assertNotEqual([rng.word() for _ in range(3)], [fork.word() for _ in range(3)])
