"""The oldest messages are given up for newer ones: which, how many, and what a restart knows of it."""

import unittest

from persistmq_core import eviction
from persistmq_core.errors import CacheFull, StoreError
from tests.support.world import World
from tests.support.write_list_store import EIO, ENOSPC


class EvictionCase(unittest.TestCase):
    def full(self, count=20, **options):
        """A cache that holds ``count`` messages, the bound, in segments of some eight; and no broker yet."""
        options.setdefault("cache_messages_max", count)
        self.world = World(window=4, window_qos2=4, **options)
        for number in range(count):
            self.world.publish(b"%03d" % number + b"." * 90, 2)
        return self.world

    def make_room(self, count=1, frame_bytes=100):
        return self.world.engine.make_room(self.world.now_ms, count, frame_bytes)

    def evicted(self):
        return [seq for seq, account, _ in self.world.diary.drops if account == "evicted"]

    def numbers_arrived(self):
        return [int(payload[:3]) for payload in self.world.arrived()]

    def deliver(self):
        self.world.online().run(5000)
        self.assertEqual(self.world.account("waiting"), 0)
        self.assertEqual(self.world.violations(), [])


class MessagesTest(EvictionCase):
    def test_the_first_range_begins_behind_what_was_sent(self):
        world = self.full()
        delivery = world.engine.delivery
        found = eviction.Eviction(delivery.checkpoint, delivery.window, world.engine.journal, delivery.reader)
        self.assertEqual(found.plan(3, 2, 0), [(3, 5)])
        self.assertEqual([found.covers(seq) for seq in (2, 3, 4, 5)], [False, True, True, False])

    def test_the_oldest_one_makes_room_for_a_new_one(self):
        world = self.full()
        self.assertRaises(CacheFull, world.publish)
        self.assertTrue(self.make_room())
        self.assertEqual(self.evicted(), [1])
        self.assertEqual((world.account("evicted"), world.account("waiting")), (1, 19))
        self.assertEqual(world.publish(b"020", 2), 21)
        self.deliver()
        self.assertEqual(self.numbers_arrived(), list(range(1, 21)))

    def test_again_and_again_across_many_segments(self):
        world = self.full()
        for number in range(20, 100):
            self.assertTrue(self.make_room())
            world.publish(b"%03d" % number + b"." * 90, 2)
        self.assertEqual(self.evicted(), list(range(1, 81)))
        self.assertTrue(len(world.store.list("journal")) <= 5)
        self.deliver()
        self.assertEqual(self.numbers_arrived(), list(range(80, 100)))

    def test_all_but_what_is_newest_may_go(self):
        self.full()
        self.assertTrue(self.make_room(20))
        self.assertEqual(self.evicted(), list(range(1, 21)))
        self.assertEqual(self.world.publish(b"020", 2), 21)
        self.deliver()
        self.assertEqual(self.numbers_arrived(), [20])

    def test_in_a_large_cache_a_hundredth_goes_at_once(self):
        self.full(300)
        self.assertTrue(self.make_room())
        self.assertEqual(self.evicted(), [1, 2, 3, 4])

    def test_there_may_be_room_already(self):
        self.full(cache_messages_max=30)
        self.assertTrue(self.make_room())
        self.assertTrue(World().engine.make_room(0, 1, 100))
        self.assertEqual(self.evicted(), [])

    def test_what_is_in_flight_stays_and_those_behind_it_go(self):
        world = self.full()
        world.broker.stay_silent(0x50)
        world.online()
        self.assertTrue(self.make_room())
        self.assertEqual(self.evicted(), [5])
        world.link.cut()
        world.step(1)
        self.assertTrue(self.make_room(2))
        self.assertEqual(self.evicted(), [5, 6])
        world.broker.heal()
        world.run(3000)
        self.deliver()
        self.assertEqual(self.numbers_arrived(), [0, 1, 2, 3] + list(range(6, 20)))

    def test_after_a_power_cut_what_may_be_in_flight_stays(self):
        world = self.full()
        world.broker.stay_silent(0x50)
        world.online().restart()
        self.assertTrue(self.make_room())
        self.assertEqual(self.evicted(), [11])  # the checkpoint says: no number from 11 on was sent

    def test_with_nothing_left_to_evict_there_is_no_room(self):
        world = self.full(4)
        world.broker.stay_silent(0x50)
        world.online()
        world.run(100)
        self.assertFalse(self.make_room(4))

    def test_an_evicted_message_is_settled_for_those_who_wait(self):
        world = self.full()
        self.make_room(10)
        self.deliver()
        self.assertEqual(world.engine.delivery.window.cursor, world.engine.journal.end_seq)

    def test_a_second_range_does_not_begin_before_the_first_is_passed(self):
        world = self.full()
        self.make_room(3)  # 1, 2, 3
        world.restart()
        world.engine.delivery._sent_end = 9  # as after a power cut in a connection
        self.assertFalse(self.make_room(5))
        self.assertEqual(world.account("evicted"), 3)


class StorageTest(EvictionCase):
    def test_the_range_outlives_a_power_cut(self):
        self.full()
        self.make_room(12)
        world = self.world.restart()
        self.assertEqual((world.account("evicted"), world.account("waiting")), (12, 8))
        self.deliver()
        self.assertEqual(self.numbers_arrived(), list(range(12, 20)))

    def test_the_accounts_are_stored_before_a_file_goes(self):
        world = self.full()
        world.store.fail_next("replace", EIO)
        names = world.store.list("journal")
        self.assertFalse(self.make_room(12))
        self.assertEqual(world.store.list("journal"), names)
        self.assertEqual((world.account("evicted"), self.evicted()), (0, []))
        self.assertFalse(self.make_room(12))  # the disk is left alone for a while
        world.now_ms += 2000
        self.assertTrue(self.make_room(12))
        self.assertEqual(world.account("evicted"), 12)

    def test_without_memory_for_a_checkpoint_nothing_is_evicted(self):
        world = self.full()
        state = world.engine.delivery.checkpoint
        encode = state.encode

        def no_memory():
            raise MemoryError

        state.encode = no_memory
        self.assertRaises(MemoryError, self.make_room, 12)
        state.encode = encode
        self.assertEqual((world.account("evicted"), self.evicted()), (0, []))
        self.deliver()
        self.assertEqual(self.numbers_arrived(), list(range(20)))

    def test_a_file_that_cannot_be_removed_goes_later(self):
        world = self.full()
        world.store.fail_next("remove", EIO)
        self.make_room(12)
        held = len(world.store.list("journal"))
        world.now_ms += 2000
        world.step()
        self.assertTrue(len(world.store.list("journal")) < held)

    def test_files_that_come_back_after_a_power_cut_are_removed_again(self):
        world = self.full()
        self.make_room(12)
        names = world.store.list("journal")
        world.die()
        world.start()
        self.deliver()
        self.assertTrue(len(world.store.list("journal")) <= len(names))

    def test_numbers_that_were_skipped_among_them_are_no_messages(self):
        world = World(window=4, cache_messages_max=12)
        self.world = world
        for number in range(12):
            if number in (3, 7):
                world.store.fail_next("append", ENOSPC, short=40)
                self.assertRaises(StoreError, world.publish, b"xxx", 2)
            world.publish(b"%03d" % number, 2)
        self.assertTrue(self.make_room(10))
        self.assertEqual(len(self.evicted()), 10)
        self.assertEqual((world.account("evicted"), world.account("waiting")), (10, 2))
        world.restart()
        self.assertEqual((world.account("evicted"), world.account("waiting")), (10, 2))
        self.deliver()
        self.assertEqual(self.numbers_arrived(), [10, 11])

    def test_the_range_begins_behind_numbers_that_were_skipped_or_takes_them_in(self):
        world = World(window=4, cache_messages_max=8)
        self.world = world
        for number in range(4):
            world.publish(b"%03d" % number, 2)
        world.store.fail_next("append", ENOSPC, short=40)
        self.assertRaises(StoreError, world.publish, b"xxx", 2)
        for number in range(4, 8):
            world.publish(b"%03d" % number, 2)
        world.engine.delivery._sent_end = 6  # 5 is the number that was skipped
        self.assertTrue(self.make_room(2))
        self.assertEqual(self.evicted(), [6, 7])
        self.assertEqual(world.engine.delivery.checkpoint.evicted_skipped, 1)
        self.deliver()
        self.assertEqual(self.numbers_arrived(), [0, 1, 2, 3, 6, 7])


class BytesTest(EvictionCase):
    def full_of_bytes(self):
        self.world = World(window=4, cache_bytes_max=4096)
        count = 0
        while True:
            try:
                self.world.publish(b"%03d" % count + b"." * 90, 2)
            except CacheFull:
                return count
            count += 1

    def test_the_oldest_files_make_room(self):
        count = self.full_of_bytes()
        self.assertTrue(self.make_room(1, 118))
        gone = len(self.evicted())
        self.assertTrue(4 <= gone <= 10)
        self.world.publish(b"%03d" % count + b"." * 90, 2)
        self.deliver()
        self.assertEqual(self.numbers_arrived(), list(range(gone, count + 1)))

    def test_the_file_that_grows_frees_nothing(self):
        self.full_of_bytes()
        self.assertFalse(self.make_room(1, 4000))
        self.assertTrue(0 < self.world.account("waiting") < 10)


class LostCheckpointTest(EvictionCase):
    def test_the_checkpoint_before_knows_what_was_evicted(self):
        world = self.full()
        self.make_room(12)
        world.engine.delivery.save()  # the other slot has it, too
        state = world.engine.delivery.checkpoint
        world.die()
        world.store.corrupt("checkpoint.%d" % (state.generation & 1), 30, b"\xff\xff")
        world.start()
        self.assertEqual((world.account("evicted"), world.account("delivered"), world.account("waiting")), (12, 0, 8))
        self.deliver()
        self.assertEqual(self.numbers_arrived(), list(range(12, 20)))

    def test_skipped_numbers_are_counted_once_though_the_files_behind_them_are_gone(self):
        self.world = world = World(window=4, window_qos2=2, cache_messages_max=40)
        for number in range(10):
            world.publish(b"%03d" % number + b"." * 90, 2)
        world.store.fail_next("append", ENOSPC, short=40)
        self.assertRaises(StoreError, world.publish, b"xxx", 2)
        for number in range(10, 40):
            world.publish(b"%03d" % number + b"." * 90, 2)
        state = world.engine.delivery.checkpoint
        world.engine.delivery._sent_end = 3  # so the first file stays
        self.assertTrue(self.make_room(11))
        self.assertEqual((state.evicted_first, state.evicted_end, state.evicted_skipped), (3, 15, 1))
        self.assertTrue(self.make_room(25))
        world.die(power_lost=False)
        world.store.corrupt("checkpoint.%d" % (state.generation & 1), 30, b"x")
        world.start()
        self.assertEqual(world.engine.delivery.checkpoint.evicted_end, 15)
        self.assertTrue(self.make_room(25))
        self.assertEqual(world.account("evicted"), 25)
        self.deliver()
        accounts = world.engine.accounts()
        self.assertEqual((accounts["accepted"], accounts["evicted"], accounts["delivered"]), (40, 25, 15))

    def test_what_the_walk_had_passed_before_is_counted_once(self):
        self.world = world = World(window=8, window_qos2=2, cache_messages_max=40)
        for number in range(20):
            world.publish(b"%03d" % number + b"." * 90, 2)
        world.broker.stay_silent(0x50)
        world.online()
        world.engine.delivery.evict(3, 0)
        world.run(100)
        world.engine.delivery.save()
        state = world.engine.delivery.checkpoint
        self.assertEqual((bytes(state.places), state.evicted_first, state.evicted_end), (b"\0\0\1\1\1\0\0\0", 3, 6))
        name = "checkpoint.%d" % (state.generation & 1)
        old = world.store.snapshot()[name]
        world.broker.heal()
        world.run(6000)
        self.assertEqual(world.account("waiting"), 0)
        world.die()
        world.store.put(name, old)
        world.store.corrupt("checkpoint.%d" % (1 - int(name[-1])), 30, b"x")
        world.start()
        accounts = world.engine.accounts()
        self.assertEqual((accounts["evicted"], accounts["delivered"] + accounts["waiting"]), (3, 17))


class LostRecordsTest(EvictionCase):
    def test_a_lost_first_segment_is_in_no_range_and_nothing_waits_for_ever(self):
        world = self.full()
        first = sorted(world.store.list("journal"))[0]
        world.die()
        world.store.remove(first)
        world.start()
        lost = int(sorted(world.store.list("journal"))[0].split("/")[1][:16], 16) - 1
        self.assertTrue(self.make_room(3))
        self.assertEqual(self.evicted(), [lost + 1, lost + 2, lost + 3])
        self.deliver()
        accounts = world.engine.accounts()
        self.assertEqual((accounts["evicted"], accounts["damaged"], accounts["waiting"]), (3, lost, 0))
        self.assertEqual(self.numbers_arrived(), list(range(lost + 3, 20)))

    def test_a_range_is_not_extended_over_a_lost_segment(self):
        world = self.full(40)
        names = sorted(world.store.list("journal"))
        second, third = [int(name.split("/")[1][:16], 16) for name in names[1:3]]
        self.assertTrue(self.make_room(second - 1))
        world.die(power_lost=False)
        world.store.remove(names[1])
        world.start()
        self.assertFalse(self.make_room(second + 5))
        self.assertEqual(world.account("evicted"), second - 1)
        self.deliver()
        accounts = world.engine.accounts()
        self.assertEqual((accounts["damaged"], accounts["delivered"]), (third - second, 41 - third))

    def test_numbers_that_were_skipped_behind_the_last_record_are_no_messages(self):
        self.world = world = World(window=4, window_qos2=4, cache_messages_max=5)
        world.broker.stay_silent(0x50)
        world.online()
        world.publish_many(5, 2)
        world.run(100)
        world.die(power_lost=False)
        world.store.remove(world.store.list("journal")[0])  # what it held may have been sent
        world.start()
        self.assertEqual(world.account("waiting"), 0)
        for number in range(5):
            world.publish(b"%03d" % number, 2)
        self.assertTrue(self.make_room(5))
        self.assertEqual((len(self.evicted()), world.account("evicted"), world.account("waiting")), (5, 5, 0))

    def test_numbers_that_were_skipped_and_nothing_else_are_not_evicted(self):
        self.world = world = World(window=4, window_qos2=4, cache_messages_max=5)
        world.online()
        world.die(power_lost=False)
        world.start()
        self.assertEqual(world.engine.journal.end_seq, world.engine.journal.skipped + 1)
        self.assertTrue(world.engine.journal.end_seq > 1)
        world.engine.delivery.evict(1, 0)
        self.assertEqual((self.evicted(), world.account("evicted"), world.account("accepted")), ([], 0, 0))

    def test_records_lost_before_the_range_are_damaged_and_the_range_is_not(self):
        world = self.full()
        world.engine.delivery._sent_end = 3
        self.assertTrue(self.make_room(12))
        self.assertEqual(self.evicted(), list(range(3, 15)))
        first = sorted(world.store.list("journal"))[0]
        world.die()
        world.store.remove(first)
        world.start()
        self.deliver()
        accounts = world.engine.accounts()
        self.assertEqual((accounts["evicted"], accounts["damaged"], accounts["delivered"]), (12, 2, 6))
