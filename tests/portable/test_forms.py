"""What ``publish_many`` takes for a message, and what it says of anything else."""

import unittest

from persistmq_core.forms import with_defaults


class FormsTest(unittest.TestCase):
    def test_what_a_message_does_not_say_is_as_for_all(self):
        for message, expected in (
            (("t", b"p"), ("t", b"p", 1, True)),
            (["t", None], ("t", None, 1, True)),
            (("t", b"p", 2), ("t", b"p", 2, True)),
            (("t", b"p", 0, False), ("t", b"p", 0, False)),
            ({"topic": "t"}, ("t", None, 1, True)),
            ({"topic": "t", "payload": 5, "qos": 0, "retain": False}, ("t", 5, 0, False)),
        ):
            self.assertEqual(with_defaults(message, 1, True), expected)

    def test_what_is_no_message_is_named(self):
        for message in (("t",), [], ("t", 1, 1, False, 5), "ab", b"ab", None, 7):
            with self.assertRaises(TypeError) as caught:
                with_defaults(message, 1, False)
            words = "a message is (topic, payload), (topic, payload, qos, retain) or a dict, not %r"
            self.assertEqual(str(caught.exception), words % (message,))

    def test_of_a_long_one_the_beginning_is_named(self):
        with self.assertRaises(TypeError) as caught:
            with_defaults("x" * 1000, 1, False)
        self.assertTrue(str(caught.exception).endswith("or a dict, not '" + 79 * "x"))

    def test_a_name_that_a_message_does_not_have_is_told(self):
        for message, said in (
            ({"topic": "t", "paylod": 1}, ("'topic'", "'paylod'")),
            ({"payload": 1}, ("'payload'",)),
            ({}, ()),
        ):
            with self.assertRaises(ValueError) as caught:
                with_defaults(message, 1, False)
            words = str(caught.exception)
            self.assertTrue(words.startswith("a message has topic, payload, qos and retain, not "), words)
            self.assertEqual(sorted(words.split("not ")[1].split(", ")), sorted(said or ("",)))
