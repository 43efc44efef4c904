"""What does nothing without another parameter is refused, with what it needs."""

import unittest

from persistmq_core.limits import SPILL_AFTER_MS
from persistmq_core.together import BACKLOG_SHARE, check_together

USUAL = {"full_timeout_ms": None, "spill_bytes": 8192, "spill_after_ms": SPILL_AFTER_MS, "backlog_share": BACKLOG_SHARE}


class TogetherTest(unittest.TestCase):
    def test_what_is_as_usual_or_has_what_it_needs_is_taken(self):
        for given in (
            {},
            USUAL,
            {"on_full": "reject"},
            {"durability": "spill", "spill_bytes": 4096, "spill_after_ms": 1},
            {"drain": "interleaved", "backlog_share": 0.3},
            {"drain": "live_first", "backlog_share": 0.3},
            {"on_full": "block", "full_timeout_ms": 0, "cache_messages_max": 9},
            {"on_full": "drop_oldest", "cache_bytes_max": 99999},
            {"on_full": "block", "free_bytes_min": 1},
        ):
            check_together(given, USUAL["spill_bytes"])

    def test_what_does_nothing_is_named_with_what_it_needs(self):
        lanes = 'drain="live_first" or "interleaved"'
        bounds = "cache_bytes_max, cache_messages_max or free_bytes_min"
        for given, words in (
            ({"full_timeout_ms": 0}, 'full_timeout_ms=0 needs on_full="block"'),
            ({"full_timeout_ms": 5, "on_full": "drop_oldest"}, 'full_timeout_ms=5 needs on_full="block"'),
            ({"spill_bytes": -5}, 'spill_bytes=-5 needs durability="spill"'),
            ({"spill_after_ms": 50, "durability": "async"}, 'spill_after_ms=50 needs durability="spill"'),
            ({"backlog_share": 0.25}, "backlog_share=0.25 needs " + lanes),
            ({"backlog_share": 0.25, "drain": "in_order"}, "backlog_share=0.25 needs " + lanes),
            ({"on_full": "block", "cache_bytes_max": None, "free_bytes_min": 0}, "on_full='block' needs " + bounds),
            ({"on_full": "drop_oldest"}, "on_full='drop_oldest' needs " + bounds),
        ):
            with self.assertRaises(ValueError) as caught:
                check_together(given, USUAL["spill_bytes"])
            self.assertEqual(str(caught.exception), words + ": else it does nothing")

    def test_a_number_that_cannot_be_is_named_with_the_least(self):
        spilling = {"durability": "spill"}
        for name, wrong, least, more in (
            ("spill_after_ms", 0, 1, spilling),
            ("spill_after_ms", None, 1, spilling),
            ("staged_bytes_max", -1, 0, {}),
            ("staged_bytes_max", None, 0, {}),
            ("full_timeout_ms", "x", 0, {"on_full": "block", "cache_messages_max": 9}),
            ("drain_messages_per_s", -0.5, 0, {}),
            ("drain_bytes_per_s", "1", 0, {}),
        ):
            given = {name: wrong}
            given.update(more)
            with self.assertRaises(ValueError) as caught:
                check_together(given, 8192)
            self.assertEqual(str(caught.exception), "%s must be %d at least, not %r" % (name, least, wrong))
        check_together({"full_timeout_ms": None, "drain_messages_per_s": None, "drain_bytes_per_s": 0.5}, 8192)

    def test_an_on_full_that_is_none_of_them_is_named(self):
        for wrong in ("explode", None, 7):
            with self.assertRaises(ValueError) as caught:
                check_together({"on_full": wrong, "cache_messages_max": 9}, 8192)
            words = "on_full must be one of 'reject', 'block', 'drop_oldest', not %r"
            self.assertEqual(str(caught.exception), words % (wrong,))

    def test_a_bound_of_nothing_is_named(self):
        for name in ("cache_bytes_max", "cache_messages_max"):
            with self.assertRaises(ValueError) as caught:
                check_together({name: 0}, 8192)
            self.assertEqual(str(caught.exception), name + " is 0: nothing could be published; None is no bound")
