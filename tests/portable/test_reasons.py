"""Why a message was refused, for a person."""

import unittest

from persistmq_core import dead_letters
from persistmq_core.reasons import reason_words


class ReasonTest(unittest.TestCase):
    def test_every_reason_has_words_and_its_code(self):
        self.assertEqual(reason_words(0x87), "not authorized (0x87)")
        self.assertEqual(reason_words(0x9E), "refused by the broker (0x9e)")
        self.assertTrue("packet size" in reason_words(dead_letters.PACKET_TOO_LARGE))

    def test_our_own_reasons_are_no_reason_codes_of_mqtt(self):
        own = (
            dead_letters.CONNECTION_DROPPED,
            dead_letters.PACKET_TOO_LARGE,
            dead_letters.QOS_NOT_SUPPORTED,
            dead_letters.RETAIN_NOT_SUPPORTED,
        )
        self.assertEqual(len(set(own)), 4)
        self.assertTrue(max(own) < 0x80)
