"""What an engine may be told: limits, and what follows from one another."""

import unittest

from persistmq_core.limits import AHEAD_WINDOWS, AHEAD_WINDOWS_BOUNDED
from persistmq_core.options import Options
from tests.support.world import World


class ParameterTest(unittest.TestCase):
    def test_a_parameter_out_of_range_is_named_with_its_limits(self):
        for name, values in (
            ("window", (0, 15001, -1, 1.5, "8")),
            ("window_qos2", (0, 15001)),
            ("ack_timeout_ms", (0, 1 << 30)),
            ("connect_timeout_ms", (0,)),
            ("reconnect_delay_ms_min", (0,)),
            ("reconnect_delay_ms_max", (99,)),
            ("checkpoint_delay_ms", (-1,)),
            ("segment_bytes_max", (1023, 1 << 31)),
        ):
            for value in values:
                with self.assertRaises(ValueError) as caught:
                    World(**{name: value})
                self.assertTrue(name in str(caught.exception) and repr(value) in str(caught.exception))

    def test_a_wrong_parameter_touches_nothing(self):
        world = World()
        before = world.store.steps
        with self.assertRaises(ValueError):
            world.start(window=0)
        self.assertEqual(world.store.steps, before)

    def test_a_cache_with_a_bound_has_windows_and_files_of_a_quarter_of_it(self):
        options = Options(cache_messages_max=20, cache_bytes_max=8192)
        self.assertEqual((options.window, options.window_qos2, options.segment_bytes_max), (5, 5, 2048))
        self.assertEqual((options.has_bounds, options.ahead_windows), (True, AHEAD_WINDOWS_BOUNDED))
        self.assertEqual(Options(cache_messages_max=1).window, 1)

    def test_without_a_bound_they_are_what_was_asked_for(self):
        options = Options(window=7, window_qos2=6, segment_bytes_max=4096)
        self.assertEqual((options.window, options.window_qos2, options.segment_bytes_max), (7, 6, 4096))
        self.assertEqual((options.has_bounds, options.ahead_windows), (False, AHEAD_WINDOWS))
