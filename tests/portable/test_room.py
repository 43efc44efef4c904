"""Bounds of the cache: what is refused before it is staged, and when there is room again."""

import unittest

from persistmq_core.errors import CacheFull, StoreError
from persistmq_core.segment import HEADER_BYTES
from tests.support.world import World
from tests.support.write_list_store import ENOSPC, WriteListStore

FRAME = 24 + 1  # bytes beside the payload, with a topic of one letter


class SmallDisk(WriteListStore):
    """So many bytes are free, whatever is written."""

    free = 1 << 20
    asked = 0

    def free_bytes(self):
        self.asked += 1
        return self.free


class MessagesTest(unittest.TestCase):
    def test_one_more_than_the_bound_is_refused_and_nothing_is_written(self):
        world = World(cache_messages_max=3)
        world.publish_many(3)
        before = world.store.snapshot()
        with self.assertRaises(CacheFull) as caught:
            world.publish()
        self.assertTrue("3 messages wait, cache_messages_max is 3" in str(caught.exception))
        self.assertTrue(isinstance(caught.exception, StoreError))
        self.assertEqual(caught.exception.errno, ENOSPC)
        self.assertEqual((caught.exception.count, caught.exception.wanted_bytes), (1, FRAME + 1))
        self.assertEqual(world.store.snapshot(), before)

    def test_staged_messages_count(self):
        world = World(cache_messages_max=2)
        spool = world.engine.spool
        spool.stage("t", b"1", 1, False, 0)
        spool.stage("t", b"2", 1, False, 0)
        self.assertRaises(CacheFull, spool.stage, "t", b"3", 1, False, 0)

    def test_what_is_delivered_makes_room(self):
        world = World(cache_messages_max=2)
        world.publish_many(2)
        world.online().run(1000)
        self.assertEqual(world.publish_many(2), [3, 4])

    def test_the_bound_counts_what_an_earlier_start_left(self):
        world = World(cache_messages_max=3)
        world.publish_many(3)
        world.restart()
        self.assertRaises(CacheFull, world.publish)

    def test_numbers_that_were_skipped_are_no_messages(self):
        world = World(cache_messages_max=2)
        world.publish()
        world.store.fail_next("append", ENOSPC)
        self.assertRaises(StoreError, world.publish)
        world.restart()
        world.publish()
        self.assertRaises(CacheFull, world.publish)

    def test_all_or_none_of_many(self):
        world = World(cache_messages_max=5)
        spool = world.engine.spool
        spool.stage("t", b"", 1, False, 0)
        self.assertRaises(CacheFull, spool.stage_all, [("t", b"", 1, False)] * 5, 0)
        self.assertEqual(spool.next_seq, 2)
        self.assertEqual(spool.stage_all([("t", b"", 1, False)] * 4, 0), 2)

    def test_more_at_once_than_there_can_ever_be_is_the_caller_s_mistake(self):
        world = World(cache_messages_max=5)
        self.assertRaises(ValueError, world.engine.spool.stage_all, [("t", b"", 1, False)] * 6, 0)


class BytesTest(unittest.TestCase):
    def world(self):
        return World(cache_bytes_max=4096)

    def fill(self, world):
        count = 0
        try:
            while True:
                world.publish(b"x" * 100)
                count += 1
        except CacheFull as full:
            self.assertTrue("cache_bytes_max is 4096" in str(full))
        return count

    def held(self, world):
        return sum([len(content) for name, content in world.store.snapshot().items() if name.startswith("journal/")])

    def test_the_files_never_outgrow_the_bound(self):
        world = self.world()
        self.fill(world)
        self.assertTrue(4096 - 125 - 2 * HEADER_BYTES < self.held(world) <= 4096)
        self.assertEqual(world.engine.held_bytes(), self.held(world))

    def test_segments_that_are_delivered_make_room(self):
        world = self.world()
        self.fill(world)
        world.online().run(3000)
        self.assertEqual(world.engine.held_bytes(), self.held(world))
        self.assertTrue(self.fill(world) > 20)
        self.assertTrue(self.held(world) <= 4096)

    def test_after_a_restart_the_bytes_are_counted_anew(self):
        world = self.world()
        count = self.fill(world)
        world.restart()
        self.assertEqual(world.engine.held_bytes(), self.held(world))
        self.assertEqual(world.engine.held_bytes(), self.held(world))
        self.assertEqual(self.fill(world), 0)
        self.assertEqual(world.account("waiting"), count)

    def test_a_message_as_large_as_the_cache_passes_when_it_is_empty_again_and_again(self):
        world = self.world()
        for _ in range(3):
            world.publish(b"x" * (4096 - FRAME - HEADER_BYTES))
            self.assertRaises(CacheFull, world.publish)
            world.online().run(3000)
            self.assertEqual(world.account("waiting"), 0)
        self.assertTrue(self.held(world) < 2 * 4096)

    def test_a_message_that_can_never_fit_is_the_caller_s_mistake(self):
        self.assertRaises(ValueError, self.world().publish, b"x" * (4096 - FRAME - HEADER_BYTES + 1))

    def test_bytes_of_a_write_that_failed_count_as_long_as_they_are_there(self):
        world = self.world()
        world.publish(b"x" * 100)
        world.store.fail_next("append", ENOSPC, short=60)
        self.assertRaises(StoreError, world.publish, b"x" * 100)
        self.assertEqual(world.engine.held_bytes(), self.held(world))
        world.publish(b"x" * 100)
        world.online().run(3000)
        world.publish(b"x" * 100)
        self.assertEqual(world.engine.held_bytes(), self.held(world))


class FreeBytesTest(unittest.TestCase):
    def test_the_rest_of_the_device_is_left_alone(self):
        store = SmallDisk()
        world = World(store=store, free_bytes_min=1000)
        world.publish()
        store.free = 1000 + FRAME
        world.engine.spool.room._spare_bytes = 0
        world.publish(b"")
        with self.assertRaises(CacheFull) as caught:
            world.publish()
        self.assertTrue("%d bytes are free, free_bytes_min is 1000" % store.free in str(caught.exception))
        store.free = 5000  # others have removed something
        world.publish()

    def test_the_device_is_not_asked_each_time_while_there_is_plenty(self):
        store = SmallDisk()
        world = World(store=store, free_bytes_min=1000)
        for _ in range(100):
            world.publish()
        self.assertEqual(store.asked, 1)

    def test_half_of_what_is_spare_is_left_to_others_before_the_device_is_asked_again(self):
        store = SmallDisk()
        store.free = 1000 + 40 * FRAME
        world = World(store=store, free_bytes_min=1000)
        world.publish(b"")
        store.free -= 21 * FRAME  # 20 of them somebody else's
        with self.assertRaises(CacheFull):
            while True:
                world.publish(b"")
                store.free -= FRAME
        self.assertEqual(store.free, 1000)


class OptionsTest(unittest.TestCase):
    def test_bounds_that_cannot_be(self):
        for name, wrong in (("cache_bytes_max", 100), ("cache_messages_max", -1), ("free_bytes_min", -1)):
            with self.assertRaises(ValueError):
                World(**{name: wrong})

    def test_segments_are_small_enough_for_space_to_come_back(self):
        world = World(cache_bytes_max=8192, segment_bytes_max=1 << 20)
        for _ in range(50):
            world.publish(b"x" * 100)
        self.assertTrue(len(world.store.list("journal")) >= 3)

    def test_each_window_is_a_quarter_of_a_bound_of_messages_at_most(self):
        for options, expected in (
            ({"window": 1, "window_qos2": 4, "cache_messages_max": 100}, (1, 4)),
            ({"window": 8, "window_qos2": 4, "cache_messages_max": 10}, (2, 2)),
            ({"window": 8, "window_qos2": 4, "cache_messages_max": 1}, (1, 1)),
        ):
            delivery = World(**options).engine.delivery
            self.assertEqual((delivery.limit_qos1, delivery.limit_qos2), expected)
            self.assertTrue(delivery.limit <= max(1, options["cache_messages_max"] // 4))

    def test_without_bounds_nobody_counts(self):
        self.assertIsNone(World().engine.spool.room)


class NoAnswerTest(unittest.TestCase):
    def test_a_device_that_does_not_say_what_is_free_is_a_store_error(self):
        world = World(free_bytes_min=100)
        world.store.fail_next("free_bytes", 5, times=None)
        before = world.store.snapshot()
        with self.assertRaises(StoreError) as caught:
            world.publish()
        self.assertEqual((type(caught.exception), caught.exception.errno), (StoreError, 5))
        self.assertEqual(world.store.snapshot(), before)

    def test_it_ends_no_connection_where_room_is_made(self):
        world = World(free_bytes_min=100).online()
        world.store.fail_next("free_bytes", 5, times=None)
        self.assertFalse(world.engine.make_room(world.now_ms, 1, 100))
        self.assertTrue(world.engine.online())
        world.store.heal()
        world.step(1000)
        self.assertTrue(world.engine.make_room(world.now_ms, 1, 100))
