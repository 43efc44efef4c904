"""Connecting, losing the connection, silence and confusion."""

import unittest

from persistmq_core import packets
from tests.support import mqtt_wire as wire
from tests.support.world import World


class ConnectTest(unittest.TestCase):
    def test_it_connects_at_the_first_step(self):
        world = World()
        world.step()
        self.assertEqual(world.link.opens, 1)
        world.online()
        self.assertEqual((world.diary.connections, world.engine.connections), ([False], 1))
        self.assertEqual(world.engine.down_reason, "")

    def test_a_broker_that_ends_the_connection_with_each_message_it_denies_costs_no_reconnect_delay(self):
        world = World(5, window=1, reconnect_delay_ms_min=1000)
        world.broker.refuse("t", 0x87)
        world.online()
        world.publish_many(5, 1)
        world.publish(b"good", topic="allowed")
        ends = 0
        while world.account("waiting"):
            world.step(5)
            if world.engine.online() and world.engine.delivery.refusals > ends:
                ends += 1
                world.hang_up(0)  # as Mosquitto does
            self.assertLess(world.now_ms, 1000)
        self.assertEqual((world.account("refused"), world.account("delivered"), ends), (5, 1, 5))

    def test_a_broker_that_is_away_is_tried_at_growing_delays_for_ever(self):
        world = World()
        world.broker.listening = False
        opened = []
        for _ in range(60000):
            opens = world.link.opens
            world.step(1)
            if world.link.opens != opens:
                opened.append(world.now_ms)
        delays = [opened[index + 1] - opened[index] for index in range(len(opened) - 1)]
        self.assertTrue(100 <= delays[0] <= 102, delays)
        self.assertTrue(max(delays) > 1000, delays)
        self.assertTrue(max(delays) <= 3002, delays)
        self.assertFalse(world.engine.online())
        self.assertEqual(world.engine.down_reason, "nobody answers")
        # An attempt that failed is no connection that ended.
        self.assertEqual(world.diary.disconnections, [])
        world.broker.listening = True
        world.run(3200)
        self.assertTrue(world.engine.online())

    def test_a_refused_connect_waits_the_longest_delay_and_says_so(self):
        world = World()
        world.broker.connect_code = 5
        world.run(20)
        self.assertTrue("refused" in world.engine.down_reason)
        world.run(2900)
        self.assertEqual(world.link.opens, 1)
        world.run(200)
        self.assertEqual(world.link.opens, 2)

    def test_a_connection_that_does_not_come_is_given_up_after_the_connect_timeout(self):
        world = World()
        world.link.connect_timeout_ms = 1 << 29
        world.broker.stay_silent(wire.CONNACK, times=1)
        world.step()
        world.step(999)
        self.assertEqual(world.engine.down_reason, "not connected yet")
        world.step(1)
        self.assertTrue("1000 ms" in world.engine.down_reason)
        world.run(200)
        self.assertTrue(world.engine.online())

    def test_after_a_good_connection_the_first_delay_is_short_again(self):
        world = World()
        world.broker.listening = False
        world.run(20000)
        world.broker.listening = True
        world.run(3200)
        world.publish()
        world.run(100)
        world.link.cut()
        opens = world.link.opens
        world.run(110)
        self.assertEqual(world.link.opens, opens + 1)

    def test_after_a_connection_that_lasted_it_is_short_too_with_nothing_to_acknowledge(self):
        world = World(reconnect_delay_ms_max=100000).online()
        for _ in range(12):
            world.publish(b"m", 0)
            world.run(100000)
            world.link.cut()
            world.step()
            self.assertFalse(world.engine.online())
            world.run(150)
            self.assertTrue(world.engine.online())

    def test_connections_that_end_at_once_and_acknowledge_nothing_are_tried_at_growing_delays(self):
        world = World(reconnect_delay_ms_max=100000).online()
        began_ms = world.now_ms
        for _ in range(12):
            world.publish(b"m", 0)
            world.run(10)
            world.link.cut()
            world.step()
            while not world.engine.online():
                world.run(100)
        self.assertTrue(world.now_ms - began_ms > 10000)

    def test_a_lost_connection_is_told_and_made_again(self):
        world = World().online()
        world.link.cut()
        world.step()
        self.assertEqual(world.diary.disconnections, ["the connection broke"])
        self.assertEqual(world.engine.down_reason, "the connection broke")
        world.run(300)
        self.assertEqual(world.diary.connections, [False, True])

    def test_reconnect_ends_the_connection_and_begins_another_at_once(self):
        world = World().online()
        world.engine.reconnect(world.now_ms, "another broker")
        self.assertEqual(world.diary.disconnections, ["another broker"])
        world.step()
        self.assertEqual(world.link.opens, 2)

    def test_reconnect_while_waiting_does_not_wait(self):
        world = World()
        world.broker.connect_code = 5
        world.run(20)
        world.broker.connect_code = 0
        world.engine.reconnect(world.now_ms, "new password")
        world.run(5)
        self.assertTrue(world.engine.online())
        self.assertEqual(world.diary.disconnections, [])

    def test_after_an_error_in_the_program_it_begins_again_after_the_longest_delay(self):
        world = World().online()
        world.engine.fail(world.now_ms, "a bug")
        self.assertEqual((world.engine.down_reason, world.diary.disconnections), ("a bug", ["a bug"]))
        world.run(2900)
        self.assertEqual(world.link.opens, 1)
        world.run(200)
        self.assertTrue(world.engine.online())


class SilenceTest(unittest.TestCase):
    def test_an_acknowledgement_that_does_not_come_ends_the_connection_and_then_comes_the_repeat(self):
        # Law 9.
        for kind, qos in ((packets.PUBACK, 1), (packets.PUBREC, 2), (packets.PUBCOMP, 2)):
            world = World().online()
            world.broker.stay_silent(kind, times=1)
            world.publish(b"m", qos)
            world.run(1990)
            self.assertEqual(world.engine.connections, 1)
            sent = len(world.wire)
            self.assertEqual(sent, 2 if kind == packets.PUBCOMP else 1)
            world.run(500)
            self.assertEqual(world.diary.disconnections, ["no acknowledgement for 2000 ms"])
            world.run(500)
            self.assertEqual((world.account("delivered"), world.violations()), (1, []))

    def test_one_silent_message_among_answered_ones_ends_the_connection_too(self):
        world = World(window=4).online()
        world.broker.stay_silent(packets.PUBACK, identifier=packets.packet_id(1), times=1)
        for _ in range(20):
            world.publish_many(3)
            world.run(200)
        self.assertEqual(len(world.diary.disconnections), 1)
        self.assertEqual(world.account("waiting"), 0)

    def test_a_broker_that_answers_slowly_and_steadily_is_not_cut_off(self):
        world = World(window=8).online()
        world.link.acks_per_receive = 0
        world.publish_many(8)
        for _ in range(8):
            world.run(1500)
            world.link.acks_per_receive = 1
            world.step()
            world.link.acks_per_receive = 0
        self.assertEqual(world.diary.disconnections, [])
        self.assertEqual(world.account("delivered"), 8)

    def test_a_transport_that_takes_nothing_ends_the_connection(self):
        world = World().online()
        world.link.send_counts = [0] * 10000
        world.publish()
        world.run(2100)
        self.assertEqual(len(world.diary.disconnections), 1)

    def test_the_broker_has_its_time_from_when_the_transport_takes_what_had_to_wait(self):
        world = World().online()
        world.broker.stay_silent(packets.PUBACK)
        world.link.send_counts = [0]
        world.publish()
        world.step()
        world.step(1900)
        self.assertEqual(len(world.sent(packets.PUBLISH)), 1)
        world.step(1900)
        self.assertTrue(world.engine.online())
        world.step(100)
        self.assertFalse(world.engine.online())

    def test_a_link_that_is_frozen_is_given_up_and_nothing_is_lost(self):
        world = World().online()
        world.link.freeze()
        world.publish_many(5, 2)
        world.run(2100)
        self.assertFalse(world.engine.online())
        world.link.thaw()
        world.run(1000)
        self.assertEqual(world.arrived(), [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(world.violations(), [])

    def test_silence_without_anything_awaited_is_no_fault(self):
        world = World().online()
        world.run(50000)
        self.assertEqual(world.diary.disconnections, [])


class ConfusionTest(unittest.TestCase):
    def test_a_protocol_error_ends_the_connection_and_says_so(self):
        world = World().online()
        world.publish(b"m")
        world.link.receive = lambda: b"\x30\x00"
        world.step()
        self.assertTrue(world.diary.disconnections[0].startswith("protocol error"))
        del world.link.receive
        world.run(1000)
        self.assertEqual(world.account("delivered"), 1)

    def test_a_stray_acknowledgement_is_counted_and_does_no_harm(self):
        world = World().online()
        world.link.receive = lambda: wire.acknowledgement(packets.PUBACK, 77)
        world.step()
        del world.link.receive
        self.assertEqual((world.engine.delivery.strays, world.engine.online()), (1, True))

    def test_acknowledgements_that_came_with_the_end_are_not_believed_or_are_believed_whole(self):
        # Law 2 either way: they are handed over by receive() or lost.
        world = World().online()
        world.publish_many(4)
        world.step()
        world.deliver_bytes()
        world.link.cut()
        world.run(1000)
        self.assertEqual(world.accounts(), [4, 4, 0, 0, 0])

    def test_a_broker_that_asks_for_a_pause_again_is_left_alone_for_the_longest_delay(self):
        for code in (0x97, 0x91):
            world = World(5).online()
            world.broker.refuse("t", code, times=3)  # as it came first, while all is settled, and once more
            world.publish(b"m")
            world.steps(2)
            self.assertTrue("0x%02x" % code in world.diary.disconnections[0])
            world.run(400)
            self.assertEqual(len(world.diary.disconnections), 2)
            world.run(2500)
            self.assertEqual(world.engine.connections, 2)
            world.run(600)
            self.assertEqual((world.arrived(), world.accounts()), ([b"m"], [1, 1, 0, 0, 0]))
