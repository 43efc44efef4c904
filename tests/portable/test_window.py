"""The in-flight window: which state follows which, and the ring they stand in."""

import unittest

from persistmq_core import window as w
from persistmq_core.checkpoint import PLACE_DONE, PLACE_ORPHAN, PLACE_RELEASED, PLACE_WAITING
from persistmq_core.window import NO_CHANGE, Window
from tests.support import window_words as named
from tests.support.rng import Rng
from tests.support.window_words import transitions

STATES = range(len(named.STATES))
EVENTS = range(len(named.EVENTS))

# How a place gets into each state, from WAITING.
PATHS = (
    (),
    (w.SEND_0,),
    (w.SEND_1,),
    (w.SEND_2,),
    (w.SEND_2, w.GOT_PUBREC),
    (w.SEND_2, w.GOT_PUBREC, w.STORED),
    (w.SEND_2, w.GOT_PUBREC, w.STORED, w.SEND_PUBREL),
    (w.ABANDON,),
    (w.ABANDON, w.SEND_PUBREL),
    (w.REFUSE,),
    (w.SETTLE,),
    (w.CARRY,),
)

# What the standard and the design say, written apart from the table: state -> {event: new state}.
EXPECTED = {
    w.WAITING: {
        w.SEND_0: w.SENT_0,
        w.SEND_1: w.SENT_1,
        w.SEND_2: w.SENT_2,
        w.REFUSE: w.REFUSED,
        w.SETTLE: w.DONE,
        w.ABANDON: w.ORPHAN,
        w.CARRY: w.CARRIED,
    },
    w.SENT_0: {w.TAKEN: w.DONE, w.LOSE: w.WAITING},
    w.SENT_1: {w.GOT_PUBACK: w.DONE, w.REFUSE: w.REFUSED, w.LOSE: w.WAITING},
    w.SENT_2: {w.GOT_PUBREC: w.RECEIVED, w.GOT_PUBACK: w.DONE, w.REFUSE: w.REFUSED, w.LOSE: w.WAITING},
    w.RECEIVED: {w.STORED: w.RELEASED, w.FORGET: w.WAITING, w.TRUST: w.DONE},
    w.RELEASED: {w.SEND_PUBREL: w.RELEASING, w.FORGET: w.WAITING, w.TRUST: w.DONE, w.REFUSE: w.REFUSED},
    w.RELEASING: {w.GOT_PUBCOMP: w.DONE, w.LOSE: w.RELEASED},
    w.ORPHAN: {w.SEND_PUBREL: w.ORPHAN_RELEASING, w.FORGET: w.DONE, w.TRUST: w.DONE, w.SETTLE: w.DONE},
    w.ORPHAN_RELEASING: {w.GOT_PUBCOMP: w.DONE, w.LOSE: w.ORPHAN},
    w.REFUSED: {w.SETTLE: w.DONE},
    w.DONE: {},
    w.CARRIED: {w.SETTLE: w.DONE, w.REFUSE: w.REFUSED, w.UNPACK: w.WAITING},
}


def in_state(state, span=4, seq=2):
    window = Window(span)
    for event in PATHS[state]:
        if window.move(seq, event) == NO_CHANGE:
            raise ValueError("the path to %s is wrong" % named.STATES[state])
    return window


class TransitionTest(unittest.TestCase):
    def test_every_state_can_be_reached(self):
        for state in STATES:
            self.assertEqual(in_state(state).state(2), state, named.STATES[state])

    def test_every_filled_cell_moves_and_every_empty_cell_changes_nothing(self):
        for state in STATES:
            for event in EVENTS:
                window = in_state(state)
                new = EXPECTED[state].get(event, NO_CHANGE)
                words = "%s at %s" % (named.EVENTS[event], named.STATES[state])
                counts = [window.count(each) for each in STATES]
                self.assertEqual(window.move(2, event), new, words)
                self.assertEqual(window.state(2), state if new == NO_CHANGE else new, words)
                if new == NO_CHANGE:
                    self.assertEqual([window.count(each) for each in STATES], counts, words)

    def test_the_table_holds_these_and_no_more(self):
        found = sorted(transitions())
        self.assertEqual(found, sorted((a, b, EXPECTED[a][b]) for a in EXPECTED for b in EXPECTED[a]))

    def test_every_path_to_pubrel_leads_over_storage(self):
        # Law 3: nothing but RELEASED and ORPHAN, which a checkpoint holds, can send PUBREL.
        self.assertEqual(sorted(state for state in STATES if w.SEND_PUBREL in EXPECTED[state]), [w.RELEASED, w.ORPHAN])
        self.assertEqual(in_state(w.RECEIVED).move(2, w.SEND_PUBREL), NO_CHANGE)

    def test_from_every_state_a_message_can_still_end(self):
        for state in STATES:
            reached = {state}
            for _ in STATES:
                for each in list(reached):
                    reached.update(EXPECTED[each].values())
            self.assertIn(w.DONE, reached, named.STATES[state])

    def test_a_second_acknowledgement_means_nothing(self):
        for state, event in ((w.SENT_1, w.GOT_PUBACK), (w.SENT_2, w.GOT_PUBREC), (w.RELEASING, w.GOT_PUBCOMP)):
            window = in_state(state)
            self.assertNotEqual(window.move(2, event), NO_CHANGE)
            self.assertEqual(window.move(2, event), NO_CHANGE)


class SpanTest(unittest.TestCase):
    def test_behind_the_cursor_all_is_done_and_nothing_moves(self):
        window = Window(4)
        window.load(100, bytearray(4))
        for event in EVENTS:
            self.assertEqual(window.move(99, event), NO_CHANGE)
        self.assertEqual(window.state(99), w.DONE)

    def test_beyond_the_span_nothing_moves(self):
        window = Window(4)
        for event in EVENTS:
            self.assertEqual(window.move(5, event), NO_CHANGE, named.EVENTS[event])
            self.assertEqual(window.state(5), w.WAITING)
        self.assertEqual(window.end, 1)

    def test_it_has_room_for_as_many_as_its_span(self):
        window = Window(4)
        self.assertEqual([window.has_room(seq) for seq in range(1, 7)], [True] * 4 + [False] * 2)
        window.move(1, w.SETTLE)
        window.advance()
        self.assertTrue(window.has_room(5))
        self.assertFalse(window.has_room(6))

    def test_the_cursor_passes_only_what_is_settled(self):
        window = Window(4)
        for seq in (2, 3):
            window.move(seq, w.SETTLE)
        self.assertFalse(window.advance())
        self.assertEqual(window.cursor, 1)
        window.move(1, w.SETTLE)
        self.assertTrue(window.advance())
        self.assertEqual(window.cursor, 4)
        self.assertFalse(window.advance())

    def test_a_place_that_is_used_again_begins_as_waiting(self):
        window = Window(3)
        for seq in range(1, 50):
            self.assertEqual(window.state(seq), w.WAITING)
            self.assertEqual(window.move(seq, w.SEND_1), w.SENT_1)
            if seq % 3 == 0:
                for each in (seq, seq - 2, seq - 1):
                    window.move(each, w.GOT_PUBACK)
                window.advance()
        self.assertEqual(window.cursor, 49)

    def test_move_all_moves_what_can_be_moved_and_says_how_many(self):
        window = Window(8)
        for seq, state in enumerate((w.SENT_1, w.RELEASING, w.RECEIVED, w.SENT_0, w.WAITING, w.ORPHAN_RELEASING)):
            for event in PATHS[state]:
                window.move(seq + 1, event)
        self.assertEqual(window.move_all(w.LOSE), 4)
        self.assertEqual(
            [window.state(seq) for seq in range(1, 7)],
            [w.WAITING, w.RELEASED, w.RECEIVED, w.WAITING, w.WAITING, w.ORPHAN],
        )

    def test_an_idle_window_can_jump_and_no_other(self):
        window = Window(4)
        window.load(50, bytearray(4))
        self.assertTrue(window.jump(1000))
        self.assertEqual((window.cursor, window.end), (1000, 1000))
        window.move(1001, w.SEND_1)
        self.assertFalse(window.jump(2000))
        window.move(1001, w.LOSE)
        self.assertTrue(window.jump(2000))
        self.assertEqual(window.state(2001), w.WAITING)


class CountTest(unittest.TestCase):
    def test_what_counts_against_receive_maximum(self):
        # 5.0, 4.9: from PUBLISH to PUBACK, PUBCOMP or a PUBREC of 0x80 and up.
        counted = [state for state in STATES if in_state(state).in_flight()]
        self.assertEqual(counted, [w.SENT_1, w.SENT_2, w.RECEIVED, w.RELEASING])

    def test_what_counts_as_unreleased(self):
        self.assertEqual([state for state in STATES if in_state(state).unreleased()], [w.SENT_2, w.RECEIVED])

    def test_the_counts_are_those_of_the_places_after_any_walk(self):
        rng = Rng(5)
        window = Window(7)
        for _ in range(8000):
            window.move(window.cursor + rng.below(9), rng.below(len(EVENTS)))
            if rng.one_in(4):
                window.advance()
            states = [window.state(seq) for seq in range(window.cursor, window.cursor + 7)]
            for state in STATES:
                if state not in (w.WAITING, w.DONE):
                    self.assertEqual(window.count(state), states.count(state), named.STATES[state])
        self.assertTrue(window.cursor > 50)


class PlacesTest(unittest.TestCase):
    def test_what_a_checkpoint_keeps_of_each_state(self):
        expected = {w.RECEIVED: PLACE_RELEASED, w.RELEASED: PLACE_RELEASED, w.RELEASING: PLACE_RELEASED}
        expected[w.ORPHAN] = expected[w.ORPHAN_RELEASING] = PLACE_ORPHAN
        expected[w.DONE] = PLACE_DONE
        for state in STATES:
            places = bytearray(4)
            in_state(state).store(places)
            # What is not stored as settled or released is sent again after a restart.
            self.assertEqual(bytes(places), bytes((0, expected.get(state, PLACE_WAITING), 0, 0)), named.STATES[state])

    def test_old_places_are_overwritten(self):
        places = bytearray(b"\3\3\3\3")
        Window(4).store(places)
        self.assertEqual(bytes(places), bytes(4))

    def test_each_time_it_is_stored_over_what_was_stored_before(self):
        window = Window(4)
        places = bytearray(4)
        for seq in range(1, 5):
            window.move(seq, w.SEND_2)
            window.move(seq, w.GOT_PUBREC)
            window.move(seq, w.STORED)
        self.assertEqual((window.store(places), bytes(places)), (4, bytes((PLACE_RELEASED,)) * 4))
        for seq in range(1, 4):
            window.move(seq, w.SEND_PUBREL)
            window.move(seq, w.GOT_PUBCOMP)
        window.advance()
        window.move(5, w.SEND_1)  # the ring's first place: the one of 1
        self.assertEqual((window.store(places), bytes(places)), (2, bytes((PLACE_RELEASED, 0, 0, 0))))

    def test_a_window_comes_back_from_its_places(self):
        window = Window(6)
        window.load(60000, bytearray((0, PLACE_DONE, PLACE_RELEASED, PLACE_ORPHAN, 0, 0)))
        self.assertEqual(
            [window.state(seq) for seq in range(60000, 60006)],
            [w.WAITING, w.DONE, w.RELEASED, w.ORPHAN, w.WAITING, w.WAITING],
        )
        places = bytearray(6)
        window.store(places)
        self.assertEqual(bytes(places), bytes((0, PLACE_DONE, PLACE_RELEASED, PLACE_ORPHAN, 0, 0)))

    def test_settled_places_at_the_front_are_passed_at_once(self):
        window = Window(4)
        window.load(10, bytearray((PLACE_DONE, PLACE_DONE, 0, PLACE_DONE)))
        self.assertEqual(window.cursor, 12)
        self.assertEqual(window.state(13), w.DONE)

    def test_fewer_places_than_the_span_are_enough(self):
        window = Window(8)
        window.load(10, bytearray((0, PLACE_DONE)))
        self.assertEqual(window.state(11), w.DONE)
        self.assertTrue(window.has_room(17))

    def test_loading_forgets_what_was_there(self):
        window = in_state(w.SENT_1)
        window.load(1, bytearray(4))
        self.assertEqual((window.state(2), window.in_flight(), window.end), (w.WAITING, 0, 1))
