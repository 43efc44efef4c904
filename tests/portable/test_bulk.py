"""Many messages as one: which go together."""

import sys

from persistmq_core import packets
from persistmq_core.lanes import Lanes
from persistmq_core.limits import BUNDLES_MAX
from persistmq_core.pace import Pace
from persistmq_core.walk import SINGLY
from tests.support.bulk_case import NOON_MS, BulkCase, Bulky, bulk
from tests.support.world import World
from tests.support.write_list_store import ENOSPC, WriteListStore


class WhichTest(BulkCase):
    def test_so_many_that_wait_become_one(self):
        for form in ("simple", "persistmq"):
            for protocol in (4, 5):
                for qos in (1, 2):
                    world = Bulky(protocol, bulk=bulk(5, form))
                    world.send(13, qos)
                    world.online().run(3000)
                    self.assertEqual(world.sizes(), [5, 5, 1, 1, 1], (form, protocol, qos))
                    self.assertEqual(world.numbers(), list(range(1, 14)))
                    self.assertEqual(world.diary.delivered_seqs[:10], list(range(1, 11)))
                    self.check(world)

    def test_fewer_go_as_they_are(self):
        world = Bulky()
        world.send(4)
        world.online().run(1000)
        self.assertEqual(world.sizes(), [1] * 4)
        self.check(world)

    def test_qos_0_is_never_in_a_bundle(self):
        world = Bulky()
        world.send(7, 0)
        world.send(2)
        world.send(1, 0)
        world.send(6)
        world.online().run(3000)
        self.assertEqual(world.sizes(), [1] * 7 + [2, 1, 5, 1])
        self.check(world)

    def test_another_quality_of_service_ends_it(self):
        for form in ("simple", "persistmq"):
            world = Bulky(bulk=bulk(4, form))
            world.send(3, 2)
            world.send(3, 1)
            world.send(1, 2)
            world.send(5, 1)
            world.online().run(3000)
            self.assertEqual([sorted(numbers) for _, _, numbers in world.shapes()][:3], [[1, 2, 3], [4, 5, 6], [7]])
            self.check(world)

    def test_a_message_with_a_level_more_is_another_bundle_of_the_simple_form(self):
        for form, sizes in (("simple", [3, 1, 4]), ("persistmq", [4, 4])):
            world = Bulky(bulk=bulk(4, form))
            world.send(3, topic="a/b")
            world.send(1, topic="a/b/c")
            world.send(4, topic="a/b")
            world.online().run(3000)
            self.assertEqual(world.sizes(), sizes)
            self.assertEqual(sorted(world.numbers()), list(range(1, 9)))
            self.check(world)

    def test_a_retained_message_is_alone_in_the_simple_form(self):
        world = Bulky()
        world.send(2)
        world.send(1, retain=True)
        world.send(5)
        world.online().run(3000)
        self.assertEqual(world.sizes(), [2, 1, 5])
        self.assertEqual([message[3] for message in world.broker.deliveries], [False] * 2 + [True] + [False] * 5)

    def test_a_large_message_goes_alone(self):
        for form in ("simple", "persistmq"):
            world = Bulky(bulk=bulk(3, form, 512))
            world.send(2)
            world.send(1, size=600)
            world.send(3)
            world.online().run(3000)
            self.assertEqual(world.sizes(), [2, 1, 3])
            self.check(world)

    def test_what_the_broker_does_not_take_is_refused_alone(self):
        world = Bulky(5)
        world.broker.qos_max = 1
        world.broker.retain_available = False
        world.send(3, 1)
        world.send(1, 2)
        world.send(3, 1)
        world.send(1, 1, retain=True)
        world.send(5, 1)
        world.online().run(3000)
        self.assertEqual(world.sizes(), [3, 3, 5])
        self.assertEqual(sorted([each[0] for each in world.diary.drops]), [4, 8])
        self.check(world, 2, 0)

    def test_no_bundle_is_larger_than_the_broker_takes(self):
        for form in ("simple", "persistmq"):
            world = Bulky(5, bulk=bulk(5, form))
            world.broker.packet_bytes_max = 300
            world.send(10, size=40)
            world.online().run(5000)
            self.assertTrue(max(world.sizes()) in (2, 3, 4), world.sizes())
            self.assertTrue(max([len(packet) for packet in world.sent(packets.PUBLISH)]) <= 300)
            self.check(world)

    def test_receive_maximum_counts_bundles(self):
        world = Bulky(5)
        world.broker.receive_maximum = 2
        world.broker.enforces = True
        world.send(60)
        world.online()
        world.step()
        self.assertEqual(world.sizes(), [5, 5])
        world.run(3000)
        self.assertEqual(world.engine.connections, 1)
        self.check(world)

    def test_unreleased_bundles_are_no_more_than_window_qos2(self):
        world = Bulky(window=2, window_qos2=2)
        world.broker.unreleased_max = 2
        world.broker.stay_silent(packets.PUBREC)
        world.send(60)
        world.online().run(1000)
        self.assertEqual(world.sizes(), [5, 5])
        world.broker.heal()
        world.run(10000)
        self.check(world)

    def test_they_wait_until_the_window_has_room_for_a_whole_one(self):
        world = Bulky(window=8, window_qos2=1)
        self.assertEqual(world.engine.delivery.window.span, 10)
        world.broker.stay_silent(packets.PUBACK, identifier=2)
        world.send(1, 1)
        world.online().run(10)
        world.send(30, 1)
        world.run(10)
        # The first one holds the window in place.
        self.assertEqual(world.sizes(), [1, 5])
        world.broker.heal()
        world.run(10000)
        self.assertEqual(world.sizes()[-5:], [5, 5, 5, 5, 5])
        self.check(world)

    def test_a_cache_with_a_bound_of_messages_has_small_ones(self):
        world = Bulky(cache_messages_max=12)
        self.assertEqual(world.engine.delivery.window.span, 3)
        world.send(12)
        world.online().run(5000)
        self.assertEqual(world.sizes(), [3, 3, 3, 1, 1, 1])
        self.check(world)

    def test_there_is_a_bound_of_bundles_in_flight(self):
        if sys.implementation.name == "micropython":
            return  # the heap of its tests is too small for so many
        world = Bulky(bulk=bulk(2), window=3000, window_qos2=3000, read_bytes=4096)
        world.broker.stay_silent(packets.PUBACK)
        world.send(2 * BUNDLES_MAX + 6, 1)
        world.online().run(100)
        self.assertEqual(len(world.ranges()), BUNDLES_MAX)
        self.assertIsNotNone(world.stored())

    def test_the_pace_of_the_backlog_counts_messages(self):
        world = Bulky(pace=Pace(10), bulk=bulk(5))
        world.now_ms = 10000
        world.send(40)
        world.online()
        world.run(2000)
        self.assertTrue(15 <= world.account("delivered") <= 25, world.account("delivered"))
        world.run(5000)
        self.check(world)

    def test_live_messages_have_no_pace(self):
        world = Bulky(pace=Pace(1)).online()
        world.send(10)
        world.run(100)
        self.assertEqual(world.sizes(), [5, 5])

    def test_both_lanes_make_them(self):
        lanes = Lanes(WriteListStore())
        world = Bulky(lanes=lanes)
        world.send(10)
        ahead = world.engine.lanes[1]
        for number in range(100, 110):
            ahead.spool.stage("t/1", b"%d" % number, 2, False, NOON_MS)
        group = ahead.spool.take()
        group.write()
        ahead.spool.finish(group)
        world.online().run(5000)
        self.assertEqual(world.sizes(), [5] * 4)
        self.assertEqual(sorted(world.numbers()), list(range(1, 11)) + list(range(100, 110)))
        self.assertEqual(sorted([identifier for identifier, _, _ in world.shapes()]), [2, 7, 60002, 60007])

    def test_none_is_made_of_what_waits_in_ram(self):
        world = Bulky(spill_bytes=20000, spill_after_ms=100).online()
        world.send(1)
        world.run(5000)
        self.assertNotEqual(world.spill.state, 0)
        world.send(20)
        world.run(500)
        self.assertEqual(world.sizes(), [1] * 21)

    def test_what_is_sent_at_once_has_no_second_one_that_has_no_room(self):
        world = Bulky(send_bytes=400)
        sends = []
        send = world.link.send
        world.link.send = lambda view, follows=0: sends.append(len(view)) or send(view, follows)
        world.send(40, size=30)
        world.send(3, qos=1)
        world.send(10, size=30)
        world.online().run(3000)
        self.check(world)
        self.assertEqual(sorted(world.numbers()), list(range(1, 54)))
        self.assertTrue(200 < max(sends) <= 400, max(sends))
        world.send(40, size=30)
        world.broker.stay_silent(packets.PUBREC)
        world.run(100)
        world.broker.heal()
        world.link.cut()
        sends.clear()
        world.run(5000)
        self.check(world)
        self.assertTrue(200 < max(sends) <= 400, max(sends))

    def test_where_memory_is_short_messages_go_singly(self):
        world = Bulky()
        form = world.engine.delivery._form
        payload = form.payload
        calls = []

        def without_memory():
            calls.append(1)
            if len(calls) in (1, 3):
                raise MemoryError
            return payload()

        form.payload = without_memory
        world.send(20)
        world.online().run(3000)
        self.assertEqual(world.sizes(), [1, 5, 5, 5, 1, 1, 1, 1])
        self.assertEqual(world.engine.connections, 1)
        self.check(world)

    def test_by_itself_a_delivery_makes_none(self):
        world = World()
        world.engine.delivery.makes_bundles = True
        world.publish_many(20)
        world.online().run(1000)
        self.assertEqual(world.account("delivered"), 20)
        self.assertEqual(world.engine.delivery._bundle(1, bytearray(), None, 1, 0, None), SINGLY)


class ExpiryTest(BulkCase):
    def test_a_message_that_is_too_old_ends_a_bundle_and_is_in_none(self):
        for protocol in (4, 5):
            world = Bulky(protocol, bulk=bulk(3))
            world.send(2)
            world.send(1, expires_s=1)
            world.send(4, expires_s=60)
            world.now_ms += 2000
            world.online().run(3000)
            self.assertEqual([numbers for _, _, numbers in world.shapes()], [[1, 2], [4, 5, 6], [7]])
            self.assertEqual(world.diary.drops, [(3, "expired", 0)])
            self.check(world)

    def test_the_broker_is_told_when_the_last_of_them_expires(self):
        world = Bulky(5)
        world.send(3, expires_s=30)
        world.send(2, expires_s=60)
        world.send(4, expires_s=30)
        world.send(1)
        world.now_ms += 1000
        world.online().run(100)
        first, second = world.sent(packets.PUBLISH)
        self.assertIn(b"\5\2\0\0\0\x3b", first)
        self.assertNotIn(b"\5\2\0\0\0", second)

    def test_what_expires_in_a_bundle_that_was_sent_stays_in_it(self):
        world = Bulky(5).online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(5, expires_s=2)
        world.run(1000)
        world.broker.heal()
        world.link.cut()
        world.run(5000)
        self.assertEqual(world.shapes()[-1], (2, True, [1, 2, 3, 4, 5]))
        self.assertIn(b"\5\2\0\0\0\1", world.sent(packets.PUBLISH)[-1])
        self.check(world)

    def test_it_waits_until_it_is_on_storage_that_one_before_it_expired(self):
        world = Bulky(bulk=bulk(3))
        world.send(1, expires_s=1)
        world.send(3)
        world.now_ms += 2000
        world.engine._clock_watch_at = 4000  # else it expires before there is a connection
        world.store.fail_next("replace", ENOSPC, skip=1, times=3)
        world.online().run(1500)
        self.assertEqual(world.sizes(), [])
        world.store.heal()
        world.run(5000)
        self.assertEqual(world.sizes(), [3])


class EvictionTest(BulkCase):
    def test_what_was_evicted_is_in_no_bundle_and_what_is_in_one_is_not_evicted(self):
        world = Bulky(cache_messages_max=60, window=8, window_qos2=2, bulk=bulk(3)).online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(60, size=30)
        world.step()
        self.assertEqual(world.sizes(), [3, 3])
        self.assertTrue(world.engine.make_room(world.now_ms, 5, 100))
        self.assertEqual([seq for seq, _, _ in world.diary.drops], [7, 8, 9, 10, 11])
        world.broker.heal()
        world.run(20000)
        self.assertEqual(world.numbers(), list(range(1, 7)) + list(range(12, 61)))
        self.check(world)

    def test_a_bundle_ends_where_the_evicted_begin(self):
        world = Bulky(cache_messages_max=60, window=8, window_qos2=2, bulk=bulk(3))
        world.send(60, size=30)
        delivery = world.engine.delivery
        delivery.checkpoint.evicted_first, delivery.checkpoint.evicted_end = 3, 6
        delivery.checkpoint.evicted += 3
        world.online().run(20000)
        self.assertEqual([numbers for _, _, numbers in world.shapes()][:2], [[1, 2], [6, 7, 8]])
        self.assertEqual(world.account("waiting"), 0)
