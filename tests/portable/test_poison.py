"""When a connection that the broker ended accuses a message, and when that one is parked."""

import unittest

from persistmq_core.poison import Poison

BEGAN, ANSWERED = "a connection came up", "the broker answered"


class PoisonTest(unittest.TestCase):
    def parked(self, *events):
        """Which of the ends (each the number that was on the wire, 0: none) park a message, counted from 1."""
        poison = Poison()
        found = []
        ends = 0
        for event in events:
            if event == BEGAN:
                poison.began()
            elif event == ANSWERED:
                poison.answered()
            else:
                ends += 1
                if poison.ended(event):
                    poison.parked()
                    found.append(ends)
        return found

    def test_after_three_ends_one_goes_alone_and_three_more_park_it(self):
        for name, ends, expected in (
            ("the same each time", [7] * 6, [6]),
            ("which one is on the wire first does not matter before", [1, 2, 3, 7, 7, 7], [6]),
            ("another one between begins the count again", [7, 7, 7, 7, 7, 8, 7, 7, 7], [9]),
            ("with nothing on the wire nothing counts", [0] * 20, []),
            ("nor in between, and no number is taken for a message", [7, 0, 7, 0, 7, 0, 7, 7, 0, 7], [10]),
            ("each parking without an answer makes the next twice as hard", [7] * 6 + [8] * 6 + [9] * 12, [6, 12, 24]),
        ):
            events = []
            for seq in ends:
                events += [BEGAN, seq]
            self.assertEqual(self.parked(*events), expected, name)

    def test_an_answer_ends_the_suspicion(self):
        self.assertEqual(self.parked(BEGAN, 7, 7, 7, 7, 7, ANSWERED, BEGAN, 7, 7, 7, 7, 7), [])

    def test_an_answer_makes_parking_as_easy_as_before(self):
        self.assertEqual(self.parked(BEGAN, *[7] * 6, ANSWERED, BEGAN, *[8] * 6), [6, 12])

    def test_a_connection_in_which_something_was_answered_accuses_nobody(self):
        self.assertEqual(self.parked(BEGAN, ANSWERED, *[7] * 20), [])

    def test_messages_go_one_at_a_time_from_the_third_end_to_the_next_answer(self):
        poison = Poison()
        found = []
        poison.began()
        for _ in range(4):
            poison.ended(7)
            found.append(poison.is_probing)
        poison.answered()
        self.assertEqual(found + [poison.is_probing], [False, False, True, True, False])
