"""Dead letters, found and read again."""

import unittest

from persistmq_core import parked
from persistmq_core.dead_letters import dead_letter_name
from tests.support.world import World
from tests.support.write_list_store import WriteListStore


class ParkedTest(unittest.TestCase):
    def refused(self, count):
        world = World(protocol=5)
        world.broker.refuse("no", 0x87)
        for index in range(count):
            world.publish(b"m%d" % index, 2, "no")
        world.online().run(1000)
        self.assertEqual(world.account("refused"), count)
        return world

    def test_names_are_read_as_they_were_written(self):
        letter = parked.parse(dead_letter_name((1 << 40) + 3, 0xC0FFEE, 0x97))
        self.assertEqual((letter.seq, letter.cache_id, letter.reason_code), ((1 << 40) + 3, 0xC0FFEE, 0x97))

    def test_other_names_are_none_of_ours(self):
        good = dead_letter_name(1, 2, 3)
        for name in ("dead/x", good + "x", good[:-1] + "x", good.replace("-", "_"), good.replace("0", "z")):
            self.assertIsNone(parked.parse(name))

    def test_what_was_refused_is_there_in_order_with_its_message(self):
        world = self.refused(3)
        found = parked.letters(world.store)
        self.assertEqual([letter.seq for letter in found], [1, 2, 3])
        self.assertEqual([letter.reason_code for letter in found], [0x87] * 3)
        record = parked.read(world.store, found[1])
        self.assertEqual((bytes(record.topic), bytes(record.payload), record.qos), (b"no", b"m1", 2))

    def test_a_damaged_letter_is_none(self):
        world = self.refused(1)
        letter = parked.letters(world.store)[0]
        content = bytearray(world.store.snapshot()[letter.name])
        content[-1] ^= 1
        world.store.replace(letter.name, content)
        self.assertIsNone(parked.read(world.store, letter))

    def test_the_oldest_beyond_a_bound_go(self):
        world = self.refused(5)
        self.assertEqual(parked.trim(world.store, 5), 0)
        self.assertEqual(parked.trim(world.store, 2), 3)
        self.assertEqual([letter.seq for letter in parked.letters(world.store)], [4, 5])

    def test_files_that_are_not_ours_neither_count_nor_go(self):
        world = self.refused(2)
        world.store.replace("dead/0.txt", b"a note")
        self.assertEqual(parked.trim(world.store, 2), 0)
        self.assertEqual(parked.trim(world.store, 1), 1)
        self.assertTrue("dead/0.txt" in world.store.snapshot())

    def test_a_large_payload_goes_with_its_letter(self):
        world = World(protocol=5, inline_bytes_max=20)
        world.broker.refuse("no", 0x87)
        for index in range(3):
            world.publish(b"m%d" % index * 20, 2, "no")
        world.online().run(1000)
        found = parked.letters(world.store)
        self.assertEqual([letter.seq for letter in found], [1, 2, 3])
        self.assertTrue(parked.read(world.store, found[0]).is_apart())
        self.assertEqual(world.store.snapshot()[parked.letter_payload_name(found[0].name)], b"m0" * 20)
        self.assertEqual(parked.trim(world.store, 2), 1)
        parked.remove(world.store, found[1].name)
        self.assertEqual(len(world.store.list("dead")), 2)
        self.assertEqual([letter.seq for letter in parked.letters(world.store)], [3])

    def test_there_are_none_in_a_new_cache(self):
        self.assertEqual(parked.letters(WriteListStore()), [])


if __name__ == "__main__":
    unittest.main()
