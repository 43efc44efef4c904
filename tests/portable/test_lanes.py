"""Two lanes on one connection: who goes first, and that neither takes the other's identifiers, places or knowledge."""

import unittest

from persistmq_core import checkpoint as checkpoints
from persistmq_core import packets, slots
from persistmq_core.contracts import Clock
from persistmq_core.lanes import Lanes
from persistmq_core.limits import AHEAD_SEQ
from persistmq_core.pace import Pace
from tests.support.world import World
from tests.support.write_list_store import ENOSPC, WriteListStore


class TwoLanes(World):
    """``drain``: how the backlog is sent; ``ahead_store``: of the lane that goes ahead."""

    def __init__(self, drain="live_first", share=0.5, **options):
        self.ahead_store = WriteListStore()
        self.drain = drain
        self.share = share
        super().__init__(**options)

    def start(self, **options):
        return super().start(lanes=Lanes(self.ahead_store, self.drain, self.share), **options)

    def die(self, power_lost=True, arriving=0):
        super().die(power_lost, arriving)
        self.ahead_store.power_up(self.rng(), "lose" if power_lost else None, power_lost)
        return self

    def rng(self):
        from tests.support.rng import Rng  # noqa: PLC0415

        return Rng(4)

    def put(self, payload, qos=1, priority=False):
        """Publish as a port does: where it belongs now."""
        ahead = priority or self.engine.goes_ahead()
        spool = self.engine.lanes[ahead].spool
        seq = spool.stage("t", payload, qos, False, 0)
        group = spool.take()
        group.write()
        spool.finish(group)
        if group.error:
            raise group.error
        return seq + ahead * AHEAD_SEQ

    def backlog(self, count, qos=1):
        for index in range(count):
            self.put(b"old%d" % index, qos)
        return self

    def identifiers(self):
        return [packet[5] << 8 | packet[6] for packet in self.sent(packets.PUBLISH)]


class LanesTest(unittest.TestCase):
    def test_parameters_that_cannot_be_are_named(self):
        self.assertRaises(ValueError, Lanes, WriteListStore(), "fast")
        self.assertRaises(ValueError, Lanes, WriteListStore(), "live_first", 1)

    def test_what_has_priority_goes_ahead_of_the_backlog(self):
        world = TwoLanes("in_order", window=1)
        world.backlog(5)
        world.put(b"fire", priority=True)
        world.online().run(100)
        self.assertEqual(world.arrived()[0], b"fire")
        self.assertEqual(len(world.arrived()), 6)
        self.assertEqual(world.violations(), [])

    def test_in_order_what_is_new_goes_behind(self):
        world = TwoLanes("in_order").backlog(20).online()
        world.put(b"new")
        world.run(100)
        self.assertEqual(world.arrived()[-1], b"new")

    def test_live_first_what_is_new_goes_ahead_while_there_is_a_backlog(self):
        world = TwoLanes("live_first", window=2)
        world.engine.lanes[0].delivery.pace = Pace(10)
        world.backlog(20).online()
        self.assertTrue(world.engine.goes_ahead())
        seq = world.put(b"new")
        self.assertTrue(seq > AHEAD_SEQ)
        world.run(1)
        self.assertTrue(b"new" in world.arrived()[:3])
        world.run(5000)
        self.assertEqual(len(world.arrived()), 21)
        self.assertFalse(world.engine.goes_ahead())
        self.assertEqual(world.put(b"then"), 21)

    def test_nothing_goes_ahead_without_a_connection(self):
        world = TwoLanes("live_first").backlog(3)
        self.assertFalse(world.engine.goes_ahead())
        self.assertFalse(World().engine.goes_ahead())

    def test_interleaved_the_backlog_keeps_its_share(self):
        world = TwoLanes("interleaved", window=8, send_bytes=64)
        world.backlog(60).online()
        for index in range(60):
            world.put(b"new%d" % index)
        world.run(1000)
        first = world.arrived()[:60]
        old = len([1 for payload in first if payload.startswith(b"old")])
        self.assertTrue(20 <= old <= 40, old)
        self.assertEqual(len(world.arrived()), 120)

    def test_live_first_the_backlog_gets_what_is_left(self):
        world = TwoLanes("live_first", window=8, send_bytes=64)
        world.backlog(60).online()
        for index in range(60):
            world.put(b"new%d" % index)
        world.run(1000)
        first = world.arrived()[:60]
        old = len([1 for payload in first if payload.startswith(b"old")])
        self.assertTrue(old < 20, old)
        self.assertEqual(len(world.arrived()), 120)

    def test_their_identifiers_do_not_meet(self):
        world = TwoLanes()
        world.put(b"old", 2)
        world.put(b"fire", 2, priority=True)
        world.online().run(100)
        self.assertEqual(sorted(world.identifiers()), [2, 60002])
        self.assertEqual(sorted(world.arrived()), [b"fire", b"old"])

    def test_the_application_is_told_in_its_own_numbers(self):
        world = TwoLanes("in_order", protocol=5)
        world.broker.refuse("t", 0x87, payload=b"no")
        yes = world.put(b"yes", priority=True)
        no = world.put(b"no", priority=True)
        plain = world.put(b"plain")
        world.online().run(3000)
        self.assertEqual(sorted(world.diary.delivered_seqs), [plain, yes])
        self.assertEqual(world.diary.drops, [(no, "refused", 0x87)])
        delivery = world.engine.delivery
        self.assertEqual([delivery.is_settled(seq) for seq in (yes, no, plain, plain + 1)], [True, True, True, False])
        self.assertEqual(delivery.cursors(), (2, 3))

    def test_accounts_and_bytes_are_those_of_both(self):
        world = TwoLanes()
        world.put(b"old")
        world.put(b"fire", priority=True)
        self.assertEqual((world.account("accepted"), world.account("waiting")), (2, 2))
        one, two = world.engine.lanes
        self.assertEqual(world.engine.held_bytes(), one.held_bytes() + two.held_bytes())
        self.assertEqual((world.engine.delivery.repeated(), world.engine.delivery.damaged_bytes()), (0, 0))

    def test_a_probing_engine_parks_what_is_poison_in_either_lane(self):
        for priority in (False, True):
            world = TwoLanes("in_order")
            world.broker.drop_at("t", b"poison")
            seq = world.put(b"poison", priority=priority)
            world.put(b"good", priority=not priority)
            world.online().run(120000)
            self.assertEqual(world.diary.drops, [(seq, "refused", 1)])
            self.assertEqual(world.arrived()[-1:], [b"good"])

    def test_a_broker_that_ends_connections_with_nothing_on_the_wire_costs_neither_lane_a_message(self):
        world = TwoLanes("live_first").online()
        world.run(60)
        for index in range(9):  # all of QoS 0, gone ahead and settled when the connection ends
            world.put(b"alarm%d" % index, 0, priority=True)
            world.run(20)
            world.link.cut(dropped=True)
            world.run(6000)
        self.assertEqual(world.diary.drops, [])
        seq = world.put(b"precious", 2)
        world.run(6000)
        self.assertEqual(world.arrived()[-1], b"precious")
        self.assertTrue(world.engine.delivery.is_settled(seq))
        self.assertEqual(world.accounts(), [10, 10, 0, 0, 0])

    def test_a_half_done_handshake_that_waits_for_its_turn_is_not_accused(self):
        # While probing only the backlog's message is on the wire; the other lane has a PUBREL to send, later.
        world = TwoLanes("interleaved").online()
        world.run(60)
        before = world.engine.lanes[1].delivery
        behind = world.engine.lanes[0].delivery
        world.broker.stay_silent(packets.PUBCOMP)
        ahead = world.put(b"ahead", 2, priority=True)
        world.run(20)
        self.assertEqual(world.engine.delivery.suspect(), ahead)
        world.engine.delivery.end_connection()
        self.assertEqual(world.engine.delivery.suspect(), 0)
        seq = world.put(b"behind", 1)
        before.resume()
        behind.resume()
        behind.fill(bytearray(), world.link, 1, True, world.now_ms, Clock())
        self.assertEqual(world.engine.delivery.suspect(), seq)

    def test_an_answer_that_does_not_come_in_either_lane_ends_the_connection(self):
        for priority in (False, True):
            world = TwoLanes("in_order")
            world.online()
            world.broker.stay_silent(packets.PUBACK, times=1)
            world.put(b"1", priority=priority)
            world.run(100)
            for index in range(30):  # the other lane goes on all the time
                world.put(b"other%d" % index, priority=not priority)
                world.run(100)
            self.assertTrue("no acknowledgement" in world.diary.disconnections[0])

    def test_a_lane_that_waits_for_its_turn_is_not_taken_for_one_that_is_not_answered(self):
        world = TwoLanes("live_first", window=2)
        world.engine.lanes[0].delivery.pace = Pace(0.1)
        world.backlog(2).online()
        world.run(500)
        self.assertEqual(world.account("waiting"), 1)
        for index in range(30):  # the transport is always a message behind
            world.link.send_counts = [None, 0] if index else [0]
            world.put(b"live%d" % index, 0, priority=True)
            world.step(90)
            self.assertTrue(world.engine.wants_to_write() or not world.engine.online())
        self.assertEqual((world.account("waiting"), world.diary.disconnections), (2, []))

    def test_a_pause_that_the_broker_asks_for_counts_for_both(self):
        for priority in (False, True):
            world = TwoLanes("in_order", protocol=5)
            world.broker.refuse("t", 0x97, times=1)
            world.put(b"1", priority=priority)
            world.online().run(100)
            self.assertFalse(world.engine.online())
            world.run(5000)
            self.assertEqual(world.arrived(), [b"1"])

    def test_a_stream_that_is_confused_ends_the_connection_and_loses_no_answer(self):
        world = TwoLanes("in_order").online()
        world.broker.stay_silent(packets.PUBACK)
        world.put(b"1", priority=True)
        world.steps(3)
        self.assertRaises(
            packets.ProtocolError, world.engine.delivery.acknowledge, b"\x40\x02\xea\x62" + b"\x30\x02\x00\x01"
        )
        self.assertEqual(world.account("delivered"), 1)


class ShareTest(unittest.TestCase):
    """Mosquitto loses what comes beyond its bound of unreleased messages, in whichever lane."""

    def world(self, **options):
        world = TwoLanes("live_first", window_qos2=4, **options)
        world.broker.unreleased_max = 4
        world.broker.loses_above_max = True
        return world

    def test_what_one_lane_repeats_after_a_lost_checkpoint_costs_the_other_no_message(self):
        for doubtful in (False, True):
            world = TwoLanes("in_order", window_qos2=4).online()
            world.broker.unreleased_max = 4
            world.broker.loses_above_max = True
            for priority in (True, False):
                world.put(b"first", 2, priority)
            world.run(100)
            stores = [world.store, world.ahead_store]
            if doubtful:
                stores.reverse()
            before = stores[0].snapshot()
            for number in range(2):
                world.put(b"settled %d" % number, 2, doubtful)
            world.run(100)
            self.assertEqual(world.account("waiting"), 0)
            world.broker.stay_silent(packets.PUBREC)
            for number in range(2):
                world.put(b"held %d" % number, 2, doubtful)
            world.run(100)
            self.assertEqual(len(world.broker.session().unreleased), 2)
            world.broker.heal()
            world.die(power_lost=False)
            older, newer = sorted(checkpoints.NAMES, key=lambda name: slots.decode(before[name]).generation)
            stores[0].put(newer, before[newer])
            stores[0].corrupt(older, 30, b"x")
            world.start()
            for number in range(4):
                world.put(b"other %d" % number, 2, not doubtful)
            world.run(3000)
            self.assertEqual(world.broker.lost, [])
            self.assertEqual((world.account("waiting"), world.violations()), (0, []))
            self.assertEqual([payload for payload in world.arrived() if payload[:5] == b"other"],
                             [b"other %d" % number for number in range(4)])

    def test_both_lanes_together_keep_to_the_bound_over_reconnects(self):
        world = self.world()
        world.backlog(30, 2).online()
        for index in range(30):
            world.put(b"new%d" % index, 2)
        for _ in range(8):
            world.run(3)
            world.link.cut()
            world.run(150)
            world.restart()
        world.run(20000)
        self.assertEqual(world.violations(), [])
        self.assertEqual(len(set(world.arrived())), 60)

    def test_in_a_cache_that_had_one_lane_nothing_goes_ahead_of_what_is_in_flight(self):
        one = World(window_qos2=4)
        one.broker.unreleased_max = 4
        one.broker.loses_above_max = True
        one.publish_many(10, 2)
        one.broker.stay_silent(packets.PUBREC)
        one.online().run(10)  # four are at the broker, and nobody knows
        one.die()
        one.broker.heal()
        world = self.world(store=one.store, broker=one.broker)
        world.broker.unreleased_max = 4
        world.broker.loses_above_max = True
        for index in range(6):
            world.put(b"new%d" % index, 2, priority=True)
        world.online()
        self.assertFalse(world.engine.lanes[0].delivery.checkpoint.has_ahead)
        world.run(2000)
        self.assertTrue(world.engine.lanes[0].delivery.checkpoint.has_ahead)
        self.assertEqual(world.violations(), [])
        self.assertEqual(len(world.arrived()), 16)

    def test_one_place_in_all_serves_both(self):
        world = TwoLanes("interleaved", protocol=5)
        world.broker.receive_maximum = 1
        world.broker.enforces = True
        world.backlog(5, 2).online()
        for index in range(5):
            world.put(b"new%d" % index, 2)
        world.run(2000)
        self.assertEqual(len(world.arrived()), 10)
        self.assertEqual(world.violations(), [])


class KnowledgeTest(unittest.TestCase):
    """Which session the numbers belong to: both checkpoints say it."""

    def test_a_new_lane_beside_a_known_session_goes_on_in_it(self):
        one = World()
        one.publish(b"1", 2)
        one.online().run(100)
        one.die()
        world = TwoLanes(store=one.store, broker=one.broker)
        world.put(b"2", 2, priority=True)
        world.online().run(100)
        self.assertEqual((world.diary.connections, world.arrived()), ([True], [b"1", b"2"]))

    def test_a_lane_whose_checkpoints_are_lost_begins_a_new_session(self):
        world = TwoLanes()
        world.put(b"1", 2, priority=True)
        world.online().run(100)
        world.die()
        for name in checkpoints.NAMES:
            world.ahead_store.remove(name)
        world.start().online().run(100)
        self.assertEqual(world.diary.connections, [False])

    def test_a_first_checkpoint_that_fails_sends_nothing(self):
        world = TwoLanes()
        world.engine.lanes[0].delivery.checkpoint.has_ahead = False
        world.put(b"1", priority=True)
        world.store.fail_next("replace", ENOSPC)
        self.assertRaises(OSError, world.engine.delivery.save)
        self.assertFalse(world.engine.lanes[0].delivery.checkpoint.has_ahead)
        world.online().run(5000)
        self.assertTrue(world.engine.lanes[0].delivery.checkpoint.has_ahead)
        self.assertEqual(world.arrived(), [b"1"])


class BoundsTest(unittest.TestCase):
    def test_a_bound_counts_both_lanes(self):
        world = TwoLanes(cache_messages_max=8)
        for index in range(8):
            world.put(b"m", priority=index % 2 == 1)
        self.assertRaises(OSError, world.put, b"m")
        self.assertRaises(OSError, world.put, b"m", 1, True)

    def test_the_backlog_is_given_up_before_what_has_priority(self):
        world = TwoLanes(cache_messages_max=8)
        for index in range(8):
            world.put(b"m%d" % index, priority=index < 4)
        self.assertTrue(world.engine.make_room(0, 3, 300))
        self.assertEqual([seq for seq, _, _ in world.diary.drops], [1, 2, 3])
        self.assertTrue(world.engine.make_room(0, 6, 600))
        self.assertEqual([seq for seq, _, _ in world.diary.drops][3:], [4, AHEAD_SEQ + 1, AHEAD_SEQ + 2])

    def test_files_of_both_lanes_are_given_up(self):
        world = TwoLanes(cache_bytes_max=8192)
        while True:
            try:
                world.put(b"x" * 300, priority=True)
            except OSError:
                break
        self.assertTrue(world.engine.make_room(0, 1, 1000))

    def test_what_the_backlog_does_not_free_comes_from_the_lane_ahead(self):
        world = TwoLanes(cache_bytes_max=16384)
        for _ in range(16):
            world.put(b"x" * 300)
        while True:
            try:
                world.put(b"x" * 300, priority=True)
            except OSError:
                break
        self.assertTrue(world.engine.make_room(0, 1, 8000))
        of_both = [seq >= AHEAD_SEQ for seq, _, _ in world.diary.drops]
        self.assertEqual(set(of_both), {False, True})
        self.assertEqual(of_both, sorted(of_both))


if __name__ == "__main__":
    unittest.main()
