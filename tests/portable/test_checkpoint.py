"""The small file with cursor, window and accounts."""

import unittest

from persistmq_core.checkpoint import (
    PLACE_DONE,
    PLACE_ORPHAN,
    PLACE_RELEASED,
    PLACE_WAITING,
    Checkpoint,
)
from persistmq_core.limits import WINDOW_MAX
from persistmq_core.slots import decode

NUMBERS = ("cursor", "sent_bound", "delivered", "expired", "evicted", "refused", "damaged", "skipped")


def example(span=5):
    state = Checkpoint(0xC0FFEE01, span)
    for index, name in enumerate(NUMBERS):
        setattr(state, name, (1 << 40) + index)
    state.generation = 3
    state.session_known = True
    state.session_marker = 0xFFFFFFFE
    state.repeated = 9
    state.end_seq, state.end_skipped = state.cursor + 11, state.skipped + 2
    for index in range(span):
        state.places[index] = (PLACE_RELEASED, PLACE_WAITING, PLACE_DONE, PLACE_ORPHAN)[index % 4]
    return state


def facts(state):
    return (
        [getattr(state, name) for name in NUMBERS],
        [state.end_seq, state.end_skipped],
        [state.generation, state.cache_id, state.session_known, state.session_marker, state.repeated],
        bytes(state.places),
    )


class EncodeTest(unittest.TestCase):
    def test_what_was_encoded_is_decoded_for_every_span(self):
        for span in list(range(1, 18)) + [1000, WINDOW_MAX]:
            state = example(span)
            self.assertEqual(facts(decode(bytes(state.encode()))), facts(state), span)

    def test_nothing_is_left_of_what_was_encoded_before(self):
        state = example(9)
        state.encode()
        for evicted_end, touched in ((1 << 41, 9), (1 << 42, 2), (0, 2), (0, 6), (0, 0)):
            state.evicted_first, state.evicted_end = evicted_end >> 1, evicted_end
            for index in range(9):
                state.places[index] = PLACE_ORPHAN if index < touched else PLACE_WAITING
            state.touched = touched
            found = decode(bytes(state.encode()))
            self.assertEqual(facts(found), facts(state))
            self.assertEqual((found.evicted_first, found.evicted_end), (state.evicted_first, evicted_end))

    def test_a_fresh_one(self):
        found = decode(Checkpoint(7, 4).encode())
        self.assertEqual((found.cursor, found.sent_bound, found.settled()), (1, 1, 0))
        self.assertFalse(found.session_known)

    def test_a_window_of_16_stays_inline_on_littlefs(self):
        self.assertTrue(len(Checkpoint(1, 16).encode()) <= 128)

    def test_settled_is_the_sum_of_the_final_accounts(self):
        state = Checkpoint(1, 1)
        state.delivered, state.expired, state.evicted, state.refused, state.damaged = 1, 10, 100, 1000, 10000
        state.skipped = state.repeated = 5
        self.assertEqual(state.settled(), 11111)

    def test_the_bytes_are_those_of_the_format(self):
        content = bytes(example().encode())
        self.assertEqual(content[:24], b"PMQC\x01\x01\x05\0\x03\0\0\0\x01\xee\xff\xc0\xfe\xff\xff\xff\x09\0\0\0")
        self.assertEqual(content[24:32], b"\0\0\0\0\0\x01\0\0")
        self.assertEqual(content[88:96], b"\x0b\0\0\0\x02\0\0\0")
        self.assertEqual(content[96:98], b"\xd2\x02")  # two bits a place, the first place lowest
        self.assertEqual(len(content), 102)
