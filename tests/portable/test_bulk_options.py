"""Bundles as the application wants them: what is refused, and how wide the window is."""

import unittest

from persistmq_core.bulk_options import Bulk
from persistmq_core.limits import BULK_SPAN_MAX
from tests.support.bulk_case import Bulky, bulk


class SettingsTest(unittest.TestCase):
    def refused(self, words, *arguments):
        with self.assertRaises((ValueError, TypeError)) as caught:
            Bulk(*arguments)
        self.assertIn(words, str(caught.exception))

    def test_a_setting_that_cannot_be_is_named(self):
        self.refused("bulk_msg_count", 1, "bulk", "simple", 4096, "me")
        self.refused("bulk_msg_count", -5, "bulk", "simple", 4096, "me")
        self.refused("bulk_msg_count", 4001, "bulk", "simple", 4096, "me")
        self.refused("bulk_msg_count", "5", "bulk", "simple", 4096, "me")
        self.refused("bulk_form", 5, "bulk", "0.1.4", 4096, "me")
        self.refused("bulk_bytes_max", 5, "bulk", "simple", 255, "me")
        self.refused("bulk_bytes_max", 5, "bulk", "simple", 4096.0, "me")
        self.refused("bulk_topic_rewrite", 5, "bulk/#", "simple", 4096, "me")
        self.refused("bulk_topic_rewrite", 5, b"bulk", "simple", 4096, "me")
        self.refused("bulk_topic_rewrite", 5, "b" * 256, "simple", 4096, "me")
        self.refused("client_id", 5, "bulk", "persistmq", 4096, "m" * 256)
        self.refused("bulk_compress", 5, "bulk", "simple", 4096, "me", object())
        Bulk(5, "bulk", "simple", 4096, "m" * 256)

    def test_the_window_has_room_for_twice_the_bundles_that_may_be_unreleased(self):
        self.assertEqual(bulk(100).span(20, 0), 4000)
        self.assertEqual(bulk(1000).span(20, 0), BULK_SPAN_MAX)
        self.assertEqual(bulk(100).span(20, 400), 100)
        self.assertEqual(bulk(2).span(20, 2), 1)
        self.assertRaises(ValueError, bulk(100).span, 20, 99)
        self.assertEqual(Bulky().engine.delivery.window.span, 40)
