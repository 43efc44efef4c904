"""A place in the journal that cannot be read, for ever: what is whole around it is delivered, nothing stands still."""

import unittest

from persistmq_core.errors import is_unreadable
from persistmq_core.limits import READS_BEFORE_DAMAGED, STORE_RETRY_MS
from persistmq_core.unreadable import read_around
from tests.support.bad_blocks import BadBlockStore
from tests.support.world import World

_PAYLOAD = b"." * 100  # with header and topic a frame of 130 bytes
_GIVE_UP_MS = READS_BEFORE_DAMAGED * STORE_RETRY_MS + 1000
ENFILE = 23


def segments(store: "object") -> "list[str]":
    return sorted([name for name in store.snapshot() if name.startswith("journal/")])


def published(count: int, **options: object) -> World:
    """``count`` messages in a journal, none delivered."""
    world = World(store=BadBlockStore(), **options)
    world.broker.listening = False
    for number in range(count):
        world.publish(b"%05d" % number + _PAYLOAD)
    return world


def numbers(world: World) -> "list[int]":
    """What the broker's subscribers saw."""
    return [int(payload[:5]) for payload in world.arrived()]


def missing(world: World, count: int) -> "list[int]":
    came = numbers(world)
    return [number for number in range(count) if number not in came]


class ReadAroundTest(unittest.TestCase):
    def setUp(self):
        self.store = BadBlockStore()
        self.content = bytes([1 + index % 250 for index in range(2000)])
        self.store.put("journal/x", self.content)

    def read(self, offset, size):
        buffer = bytearray(size)
        count, unreadable_end = read_around(self.store, "journal/x", offset, memoryview(buffer))
        return bytes(buffer[:count]), unreadable_end

    def test_what_reads_is_given_as_it_is(self):
        self.assertEqual(self.read(0, 4000), (self.content, 0))
        self.assertEqual(self.read(700, 10), (self.content[700:710], 0))
        self.assertEqual(self.read(2000, 10), (b"", 0))
        self.assertEqual(self.read(3000, 10), (b"", 0))

    def test_only_the_pieces_that_do_not_read_are_replaced(self):
        self.store.spoil("journal/x", 1030, 1031)
        found, unreadable_end = self.read(100, 1900)
        self.assertEqual(found[: 1024 - 100], self.content[100:1024])
        self.assertEqual(found[1024 - 100 : 1536 - 100], b"\xff" * 512)
        self.assertEqual(found[1536 - 100 :], self.content[1536:])
        self.assertEqual(unreadable_end, 1536 - 100)

    def test_the_last_piece_may_be_short(self):
        self.store.spoil("journal/x", 1999)
        found, unreadable_end = self.read(0, 4096)
        self.assertEqual(found, self.content[:1536] + b"\xff" * (2000 - 1536))
        self.assertEqual(unreadable_end, 2000)

    def test_an_error_that_is_not_about_the_bytes_is_passed_on(self):
        self.store.spoil("journal/x", 0)
        self.store.errno = ENFILE
        with self.assertRaises(OSError):
            self.read(0, 100)
        self.assertFalse(is_unreadable(OSError(ENFILE)))
        self.assertTrue(is_unreadable(OSError(5)))

    def test_a_file_whose_size_does_not_read_is_empty(self):
        self.store.fail_next("size", 5)
        self.assertEqual(self.read(0, 100), (b"", 0))


class UnreadableTest(unittest.TestCase):
    def deliver(self, world, duration_ms=60000):
        world.broker.listening = True
        world.run(duration_ms)
        self.assertEqual(world.violations(), [])
        accepted, delivered, _, damaged, waiting = world.accounts()
        self.assertEqual((accepted, waiting), (delivered + damaged, 0))

    def test_a_bad_block_in_a_sealed_segment_costs_the_records_that_lie_in_it(self):
        world = published(20)
        first = segments(world.store)[0]
        world.store.spoil(first, 512, 1024)
        self.deliver(world)
        lost = missing(world, 20)
        self.assertTrue(1 <= len(lost) <= 5, lost)
        self.assertEqual(numbers(world), [number for number in range(20) if number not in lost])
        self.assertEqual(world.account("damaged"), len(lost))
        self.assertEqual(world.diary.drops, [(number + 1, "damaged", 0) for number in lost])
        self.assertTrue(world.engine.delivery.reader.damaged_bytes >= 512)

    def test_the_segment_is_kept_in_quarantine(self):
        world = published(30)
        first = segments(world.store)[0]
        whole = world.store.snapshot()[first]
        world.store.spoil(first, 512, 1024)
        self.deliver(world)
        kept = [name for name in world.store.snapshot() if name.startswith("quarantine/")]
        self.assertEqual(len(kept), 1)
        self.assertTrue(kept[0].endswith(".bad"))
        self.assertEqual(world.store.snapshot()[kept[0]], whole)

    def test_a_place_that_reads_again_in_time_costs_nothing(self):
        world = published(20)
        world.store.spoil(segments(world.store)[0], 512, 1024)
        world.broker.listening = True
        world.run((READS_BEFORE_DAMAGED - 1) * STORE_RETRY_MS - 500)
        self.assertTrue(world.engine.store_error)
        self.assertTrue(world.store.reads_failed)
        world.store.repair()
        self.deliver(world)
        self.assertEqual(numbers(world), list(range(20)))

    def test_an_error_that_is_not_about_the_bytes_is_waited_for(self):
        world = published(20)
        world.store.spoil(segments(world.store)[0], 512, 1024)
        world.store.errno = ENFILE
        world.broker.listening = True
        world.run(10 * _GIVE_UP_MS)
        self.assertEqual(world.account("damaged"), 0)
        world.store.repair()
        self.deliver(world)
        self.assertEqual(numbers(world), list(range(20)))

    def test_a_device_that_is_gone_altogether_costs_nothing(self):
        world = published(20)
        for name in segments(world.store):
            world.store.spoil(name, 0)
        world.broker.listening = True
        world.steps(3)
        world.store.fail_next("replace", 5, times=None)
        world.run(10 * _GIVE_UP_MS)
        self.assertEqual(world.account("damaged"), 0)
        world.store.heal()
        world.store.repair()
        self.deliver(world)
        self.assertEqual(numbers(world), list(range(20)))

    def test_a_new_connection_does_not_wait_for_the_same_place_again(self):
        world = published(6, window=6)
        world.store.spoil(segments(world.store)[0], 512, 1024)
        world.broker.stay_silent(0x40)  # no PUBACK: the cursor stays before the bad place
        world.broker.listening = True
        world.run(_GIVE_UP_MS)
        lost = world.account("damaged")
        self.assertTrue(lost)
        failed = world.store.reads_failed
        noted = world.engine.delivery.reader.damaged_bytes
        world.link.cut()
        world.broker.heal()
        world.run(500)
        self.assertEqual(world.account("waiting"), 0)
        self.assertTrue(world.store.reads_failed > failed)
        self.assertEqual(world.engine.delivery.reader.damaged_bytes, noted, "the same damage was counted twice")

    def test_an_unreadable_header_costs_the_block_that_it_is_in(self):
        world = published(20)
        for name in segments(world.store)[1:3]:
            world.store.spoil(name, 0, 512)
        self.deliver(world)
        self.assertTrue(2 <= world.account("damaged") <= 8)
        self.assertEqual(len(missing(world, 20)), world.account("damaged"))

    def test_a_segment_that_does_not_read_at_all_costs_its_records(self):
        world = published(30)
        names = segments(world.store)
        world.store.spoil(names[1], 0)
        firsts = [int(name[8:24], 16) for name in names]
        self.deliver(world)
        self.assertEqual(missing(world, 30), list(range(firsts[1] - 1, firsts[2] - 1)))

    def test_the_segment_that_still_grows_is_read_around_as_well(self):
        world = published(3)
        world.store.spoil(segments(world.store)[-1], 0, 512)  # the first block: all of the three are lost
        self.deliver(world)
        self.assertEqual(world.account("damaged"), 3)
        for number in range(3, 30):
            world.publish(b"%05d" % number + _PAYLOAD)
        self.deliver(world)
        self.assertEqual(numbers(world)[-20:], list(range(10, 30)))
        self.assertEqual(len(numbers(world)), world.account("delivered"))
        self.assertTrue(any(name.startswith("quarantine/") for name in world.store.snapshot()))

    def test_a_refused_message_that_cannot_be_read_for_parking_is_damaged(self):
        world = published(3, protocol=5)
        world.broker.refuse("t", 0x87, times=1)
        world.broker.listening = True
        while not world.engine.delivery._refused:
            world.step(1)
            if world.engine.delivery.window.in_flight():
                world.store.spoil(segments(world.store)[0], 0)
        self.deliver(world)
        self.assertEqual(world.account("damaged"), 1)
        self.assertEqual(world.account("delivered"), 2)


class UnreadableAtStartTest(unittest.TestCase):
    def test_what_is_whole_on_both_sides_of_a_bad_block_in_the_last_segment_is_delivered(self):
        world = published(20, segment_bytes_max=8192)
        world.store.spoil(segments(world.store)[0], 1024, 1536)
        world.die(False)
        world.start()
        self.assertEqual(world.account("accepted"), 20)
        self.assertEqual(segments(world.store)[0][-4:], ".bad")
        world.broker.listening = True
        world.run(60000)
        self.assertTrue(3 <= world.account("damaged") <= 6)
        self.assertEqual(len(missing(world, 20)), world.account("damaged"))
        self.assertEqual(world.account("waiting"), 0)

    def test_no_number_that_may_stand_behind_the_bad_place_is_given_again(self):
        world = published(20, segment_bytes_max=8192, window=2, window_qos2=2)
        last = segments(world.store)[0]
        world.store.spoil(last, 1100)
        world.die(False)
        world.start()
        seq = world.publish(b"00020" + _PAYLOAD)
        self.assertTrue(seq > 20, seq)
        world.store.repair()  # it was a loose contact after all
        world.broker.listening = True
        world.run(60000)
        self.assertEqual(numbers(world), list(range(21)))
        self.assertEqual(world.account("waiting"), 0)
        self.assertEqual(world.violations(), [])

    def test_the_bad_end_of_the_last_segment_is_damage_of_at_most_what_had_room_there(self):
        world = published(20, segment_bytes_max=8192, window=2, window_qos2=2)
        world.store.spoil(segments(world.store)[0], 2100)
        for _ in range(3):
            world.die(False)
            world.start()
        world.broker.listening = True
        world.run(60000)
        came = len(numbers(world))
        self.assertEqual(numbers(world), list(range(came)))
        self.assertTrue(10 <= came < 20)
        self.assertEqual(world.account("delivered"), came)
        self.assertTrue(20 - came <= world.account("damaged") <= 600 // 25 + 40)
        self.assertEqual(world.account("waiting"), 0)
        world.publish(b"00020" + _PAYLOAD)
        world.run(60000)
        self.assertEqual(numbers(world)[-1], 20)

    def test_it_starts_on_segments_that_do_not_read_at_all(self):
        for count in (1, 3, 30):
            world = published(count)
            for name in segments(world.store):
                world.store.spoil(name, 0)
            world.die(False)
            world.start()
            seq = world.publish(b"00099" + _PAYLOAD)
            self.assertTrue(seq > count)
            world.broker.listening = True
            world.run(120000)
            self.assertEqual(world.account("waiting"), 0)
            self.assertTrue(world.account("damaged") >= count)
            self.assertEqual(numbers(world), [99])

    def test_it_starts_when_not_even_the_size_of_the_last_segment_reads(self):
        world = published(3)
        world.die(False)
        world.store.fail_next("size", 5, name="journal/", times=None)
        world.store.fail_next("read", 5, name="journal/", times=None)
        world.start()
        world.publish(b"00003" + _PAYLOAD)
        world.store.heal()
        world.store.spoil(segments(world.store)[0], 0)
        world.broker.listening = True
        world.run(60000)
        self.assertEqual(numbers(world), [3])
        self.assertEqual(world.account("waiting"), 0)


if __name__ == "__main__":
    unittest.main()
