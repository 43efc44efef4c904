"""The two slots of the checkpoint, read."""

import unittest
from binascii import crc32
from struct import pack

from persistmq_core.checkpoint import NAMES, PLACE_DONE, PLACE_ORPHAN, PLACE_RELEASED, Checkpoint, save
from persistmq_core.errors import FormatError
from persistmq_core.limits import WINDOW_MAX
from persistmq_core.slots import decode, load
from tests.support.rng import Rng
from tests.support.write_list_store import EIO, ENOSPC, PowerCut, WriteListStore


def example():
    state = Checkpoint(0xC0FFEE01, 5)
    state.session_known = True
    state.places[:] = bytes((PLACE_RELEASED, 0, PLACE_DONE, PLACE_ORPHAN, 0))
    return state


def with_crc(content):
    return bytes(content[:-4]) + pack("<I", crc32(content[:-4]))


class DecodeTest(unittest.TestCase):
    def test_no_prefix_reads(self):
        content = bytes(example().encode())
        for count in range(len(content)):
            self.assertIsNone(decode(content[:count]), count)

    def test_bytes_left_over_do_not_read(self):
        content = bytes(example().encode())
        for rest in (b"\0", b"\0\0\0\0", content):
            self.assertIsNone(decode(content + rest))

    def test_any_bit_that_changed_is_found(self):
        content = example().encode()
        for at in range(len(content)):
            for bit in range(8):
                content[at] ^= 1 << bit
                self.assertIsNone(decode(content), "byte %d bit %d" % (at, bit))
                content[at] ^= 1 << bit

    def test_a_newer_disk_version_is_an_error_that_says_so(self):
        content = example().encode()
        content[4] = 2
        with self.assertRaises(FormatError) as caught:
            decode(with_crc(content))
        self.assertTrue("version 2" in str(caught.exception))

    def test_a_span_that_does_not_fit_the_size_does_not_read(self):
        for span in (0, 9, 1000, WINDOW_MAX + 1):
            content = example().encode()
            content[6:8] = pack("<H", span)
            self.assertIsNone(decode(with_crc(content)), span)


class LoadTest(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()
        self.state = Checkpoint(0xC0FFEE01, 4)

    def save(self, cursor):
        self.state.cursor = cursor
        save(self.store, self.state)

    def loaded(self):
        found, doubtful = load(self.store)
        return found and found.cursor, doubtful

    def test_nothing_there_is_nothing_and_no_doubt(self):
        self.assertEqual(self.loaded(), (None, False))

    def test_the_newest_counts(self):
        for cursor in range(5, 12):
            self.save(cursor)
            self.assertEqual(self.loaded(), (cursor, False))
        self.assertEqual(sorted(self.store.snapshot()), list(NAMES))

    def test_the_newest_counts_when_its_number_has_begun_again(self):
        self.state.generation = (1 << 32) - 3
        for cursor in range(5, 12):
            self.save(cursor)
            self.assertEqual(self.loaded(), (cursor, False))
        self.assertEqual(load(self.store)[0].generation, 4)

    def test_the_newest_says_what_the_other_one_was_about(self):
        for cursor in range(5, 12):
            self.save(cursor)
            self.assertEqual(load(self.store)[0].older_cursor, cursor - 1 if cursor > 5 else 0)

    def test_a_save_survives_a_power_cut(self):
        self.save(5)
        self.store.power_up(Rng(1), "lose")
        self.assertEqual(self.loaded(), (5, False))

    def test_a_damaged_newest_falls_back_to_the_one_before_and_leaves_a_doubt(self):
        for kind in ("garbage", "empty", "cut", "long"):
            self.store = WriteListStore()
            self.state = Checkpoint(0xC0FFEE01, 4)
            self.save(5)
            self.save(6)
            name = NAMES[self.state.generation & 1]
            content = self.store.snapshot()[name]
            self.store.put(
                name, {"garbage": Rng(1).garbage(92), "empty": b"", "cut": content[:-1], "long": content * 99}[kind]
            )
            self.assertEqual(self.loaded(), (5, True), kind)

    def test_a_damaged_older_one_leaves_a_doubt_too(self):
        self.save(5)
        self.save(6)
        self.store.corrupt(NAMES[self.state.generation - 1 & 1], 30, b"\xff")
        self.assertEqual(self.loaded(), (6, True))

    def test_both_damaged(self):
        self.save(5)
        self.save(6)
        for name in NAMES:
            self.store.corrupt(name, 30, b"\xff")
        self.assertEqual(self.loaded(), (None, True))

    def test_one_that_cannot_be_read_counts_as_damaged(self):
        self.save(5)
        self.save(6)
        self.store.fail_next("read", EIO, times=None, name=NAMES[self.state.generation & 1])
        self.assertEqual(self.loaded(), (5, True))

    def test_one_whose_size_cannot_be_told_counts_as_damaged_not_as_never_written(self):
        self.save(5)
        self.save(6)
        self.store.fail_next("size", EIO, times=None, name=NAMES[self.state.generation & 1])
        self.assertEqual(self.loaded(), (5, True))

    def test_what_passes_is_no_damage_but_an_error_and_nothing_is_touched(self):
        self.save(5)
        self.save(6)
        before = self.store.snapshot()
        for call in ("size", "read"):
            for errno in (1, 12, 13, 23, 24):  # EPERM, ENOMEM, EACCES, ENFILE, EMFILE
                for name in NAMES:
                    self.store.fail_next(call, errno, name=name)
                    with self.assertRaises(OSError) as caught:
                        load(self.store)
                    self.assertEqual(caught.exception.args[0], errno)
        self.assertEqual(self.store.snapshot(), before)
        self.assertEqual(self.loaded(), (6, False))

    def test_a_newer_disk_version_is_an_error_in_either_slot(self):
        self.save(5)
        self.save(6)
        for name in NAMES:
            self.setUp()
            self.save(5)
            self.save(6)
            content = bytearray(self.store.snapshot()[name])
            content[4] = 2
            self.store.put(name, with_crc(content))
            with self.assertRaises(FormatError):
                load(self.store)

    def test_a_failed_save_leaves_the_older_state_and_the_next_goes_to_the_same_slot(self):
        self.save(5)
        newest = NAMES[self.state.generation & 1]
        before = self.store.snapshot()[newest]
        for short in (0, 40):
            self.store.fail_next("replace", ENOSPC, short=short)
            with self.assertRaises(OSError):
                self.save(6)
            self.assertEqual(self.loaded()[0], 5)
            self.assertEqual(self.store.snapshot()[newest], before)
        self.save(7)
        self.assertEqual(self.loaded(), (7, False))

    def test_power_lost_in_a_save_leaves_the_old_or_the_new_one(self):
        for seed in range(40):
            self.setUp()
            self.save(5)
            self.save(6)
            self.store.crash_at = self.store.steps + 1
            with self.assertRaises(PowerCut):
                self.save(7)
            self.store.power_up(Rng(seed))
            self.assertIn(self.loaded()[0], (6, 7), seed)
