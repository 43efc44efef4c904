"""Random programs on a world that fails: no law is broken. ``tests/simulation`` says which laws and which faults."""

import sys
import unittest

from tests.simulation.program import run
from tests.support import tally

# A failure says its seed, steps and faults; ``run(seed, steps, faults)`` replays it on either interpreter.
ON_MICROPYTHON = sys.implementation.name == "micropython"
PROGRAMS = 6 if ON_MICROPYTHON else 150
FEW = 6 if ON_MICROPYTHON else 50  # of mixtures in which the others are
STEPS = 120


class SimulationTest(unittest.TestCase):
    def programs(self, faults, count=PROGRAMS):
        """Run ``count`` programs; how many starts they had."""
        publishes = pubrels = starts = deliveries = begins = 0
        for seed in range(count):
            program = run(seed, STEPS, faults)
            publishes += program.laws.publishes
            pubrels += program.laws.pubrels
            begins += program.laws.begins
            starts += program.starts
            deliveries += len(program.broker.deliveries)
            tally.count("simulated programs", 1)
            tally.count("simulated events", program.events)
        # Programs in which nothing happens break no law either.
        self.assertGreater(publishes, count * 20, faults)
        self.assertGreater(pubrels, count * (10 if count > FEW else 3), faults)
        self.assertGreater(deliveries, count * 20, faults)
        self.assertEqual(begins > count * 10, "large" in faults)
        return starts

    def test_no_law_is_broken_when_all_is_well(self):
        self.assertEqual(self.programs(""), PROGRAMS)

    def test_no_law_is_broken_by_a_bad_link(self):
        self.assertEqual(self.programs("link"), PROGRAMS)

    def test_no_law_is_broken_by_a_bad_broker(self):
        self.assertEqual(self.programs("broker"), PROGRAMS)

    def test_no_law_is_broken_by_a_bad_link_to_a_bad_broker(self):
        self.assertEqual(self.programs("link broker"), PROGRAMS)

    def test_no_law_is_broken_by_power_cuts(self):
        self.assertGreater(self.programs("crash"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_a_failing_disk(self):
        self.assertEqual(self.programs("disk"), PROGRAMS)

    def test_no_law_is_broken_by_power_cuts_on_a_failing_disk(self):
        self.assertGreater(self.programs("crash disk"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_all_at_once(self):
        self.assertGreater(self.programs("crash disk link broker"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_brokers_that_refuse_fall_over_and_are_no_mosquitto(self):
        self.assertGreater(self.programs("kinds refuse poison link crash"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_bounds_of_the_cache(self):
        self.assertEqual(self.programs("full link"), PROGRAMS)

    def test_no_law_is_broken_by_bounds_of_the_cache_when_all_else_breaks(self):
        self.assertGreater(self.programs("crash disk link broker full"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_messages_that_expire(self):
        self.assertGreater(self.programs("expiry crash link broker disk full"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_two_lanes(self):
        self.assertGreater(self.programs("lanes crash disk link broker kinds"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_two_lanes_in_a_cache_with_bounds(self):
        self.assertGreater(self.programs("lanes crash link full expiry refuse"), 2 * PROGRAMS)

    def test_no_law_is_broken_while_messages_wait_in_ram(self):
        self.assertEqual(self.programs("spill link broker"), PROGRAMS)

    def test_power_cuts_take_only_what_waits_in_ram(self):
        self.assertGreater(self.programs("spill crash disk link broker"), PROGRAMS)

    def test_power_cuts_take_only_what_waits_in_ram_when_all_else_breaks(self):
        self.assertGreater(self.programs("spill crash disk link full expiry damage"), PROGRAMS)

    def test_no_law_is_broken_by_damage(self):
        self.assertGreater(self.programs("damage crash link"), 2 * PROGRAMS)

    def test_no_law_is_broken_where_messages_carry_identity(self):
        self.assertGreater(self.programs("identity expiry crash disk link broker full"), 2 * PROGRAMS)

    def test_no_law_is_broken_where_messages_of_two_lanes_carry_identity_and_some_are_refused(self):
        self.assertGreater(self.programs("identity lanes refuse crash link"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_bundles(self):
        self.assertEqual(self.programs("bulk link"), PROGRAMS)

    def test_no_law_is_broken_by_bundles_when_all_else_breaks(self):
        self.assertGreater(self.programs("bulk crash disk link broker full expiry"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_bundles_that_are_refused_and_taken_apart(self):
        self.assertGreater(self.programs("bulk kinds refuse poison link crash"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_bundles_of_damaged_messages(self):
        self.assertGreater(self.programs("bulk damage crash link"), 2 * PROGRAMS)
        self.assertGreater(self.programs("bulk damage kinds"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_bundles_in_two_lanes_with_identity(self):
        self.assertGreater(self.programs("bulk lanes identity crash disk link refuse"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_two_lanes_on_a_link_that_is_reset(self):
        self.assertEqual(self.programs("lanes link", FEW), FEW)

    def test_no_law_is_broken_by_damage_in_a_cache_with_bounds(self):
        self.assertGreater(self.programs("damage full lanes large", FEW), FEW)
        self.assertGreater(self.programs("crash full damage disk link", FEW), FEW)

    def test_no_law_is_broken_by_damage_where_the_broker_forgets(self):
        self.assertGreater(self.programs("bulk broker full damage", FEW), FEW)

    def test_power_cuts_take_only_what_waits_in_ram_with_any_broker(self):
        self.assertGreater(self.programs("spill kinds crash bulk link", FEW), FEW)

    def test_no_law_is_broken_by_starts_without_a_descriptor_or_memory(self):
        self.assertGreater(self.programs("starved crash large link", FEW), 2 * FEW)

    def test_no_law_is_broken_by_large_payloads(self):
        self.assertGreater(self.programs("large crash disk link broker lanes"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_large_payloads_that_are_damaged_or_refused(self):
        self.assertGreater(self.programs("large damage crash link refuse"), 2 * PROGRAMS)

    def test_no_law_is_broken_by_large_payloads_in_a_cache_with_bounds(self):
        self.assertGreater(self.programs("large full crash link disk refuse"), 2 * PROGRAMS)
