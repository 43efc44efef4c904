"""A message survives every crash point: all cuts of all scenarios, and pairs of cuts for those that matter most."""

import gc
import sys
import unittest

from tests.simulation import fork
from tests.simulation.cuts import Scene, run_cut
from tests.simulation.explore import Explorer, Surveyor
from tests.simulation.scenarios import PAIRS, SCENARIOS
from tests.support import tally

# MicroPython does the same from the same names, so there a part is enough.
ON_A_BOARD = sys.implementation.name == "micropython"
# Cuts that broke a law once, and other rare ones.
REMEMBERED = ("qos2:s6:after:hole.3:0+s10:after:hole.1:0",)


class SingleCutTest(unittest.TestCase):
    def test_every_cut_of_every_scenario(self):
        points = lives = 0
        for scenario in ("qos2", "qos2v5", "qos1", "refused", "session", "large") if ON_A_BOARD else sorted(SCENARIOS):
            gc.collect()
            explorer = Explorer(scenario, 1)
            self.assertGreater(explorer.points, 500, scenario)
            self.assertGreater(explorer.lives, 80, scenario)
            points += explorer.points
            lives += explorer.lives
        tally.count("cut points, one in a run", points)
        tally.count("cut points, one in a run: lives that they differ in", lives)
        self.assertGreater(points, 3000 if ON_A_BOARD else 20000)

    def test_cuts_that_broke_a_law_once(self):
        for identifier in REMEMBERED:
            run_cut(identifier)

    def test_a_cut_by_its_name_is_the_cut_that_was_explored(self):
        """A real end of the process, and the copied world that the explorer goes on from, come to the same end."""
        for scenario in ("qos2", "refused") if ON_A_BOARD else sorted(SCENARIOS):
            surveyor = Surveyor([])
            Scene(scenario).live(surveyor)
            for name, world, _ in list(surveyor.found.values())[:: 7 if ON_A_BOARD else 3]:
                world.live(Surveyor([Nowhere]))
                alone = run_cut(scenario + ":" + name)
                self.assertEqual(fork.key(alone), fork.key(world), scenario + ":" + name)

    def test_a_name_that_is_no_cut(self):
        self.assertRaises(ValueError, run_cut, "qos2:s9999:before:keep:0")
        self.assertRaises(ValueError, run_cut, "no-such-scenario:p1:0")


class Nowhere:
    """A cut of the link that never comes: the surveyor then only looks on."""

    index = -1


class PairTest(unittest.TestCase):
    def test_every_pair_of_cuts(self):
        """A second cut anywhere in what follows the first."""
        for scenario in () if ON_A_BOARD else PAIRS:
            explorer = Explorer(scenario, 2)
            tally.count("cut points, a second one behind each first", explorer.points)
            tally.count("cut points, a second one behind each first: lives that they differ in", explorer.lives)
            self.assertGreater(explorer.points, 100000, scenario)
            self.assertGreater(explorer.lives, 4000, scenario)
