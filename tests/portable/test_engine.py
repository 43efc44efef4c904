"""The engine as a whole: what is published arrives, and how a port is told when to call again."""

import unittest

from persistmq_core import packets
from persistmq_core.engine import Engine
from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from tests.support.rng import Rng
from tests.support.world import World


class DeliveryTest(unittest.TestCase):
    def test_what_is_published_arrives_in_order_at_each_quality(self):
        for protocol in (4, 5):
            for qos in (0, 1, 2):
                world = World(protocol)
                world.publish_many(30, qos)
                world.run(5000)
                self.assertEqual(world.arrived(), [b"%d" % index for index in range(30)])
                self.assertEqual(world.accounts(), [30, 30, 0, 0, 0])
                self.assertEqual(world.diary.delivered_seqs, list(range(1, 31)))
                self.assertEqual(world.violations(), [])

    def test_topic_payload_qos_and_retain_arrive_as_published(self):
        world = World(5)
        world.publish(b"\0\xff", 2, "a/b", True)
        world.publish("", 1, "\u00fc")
        world.run(1000)
        self.assertEqual(sorted(world.broker.deliveries), [("a/b", b"\0\xff", 2, True), ("\u00fc", b"", 1, False)])

    def test_what_is_published_while_online_goes_at_the_next_step(self):
        world = World().online()
        now_ms = world.now_ms
        for qos in (1, 2, 0):
            world.publish(b"%d" % qos, qos)
            world.steps(4)
        self.assertEqual(world.arrived(), [b"1", b"2", b"0"])
        self.assertEqual(world.now_ms, now_ms)

    def test_a_message_larger_than_all_buffers_arrives(self):
        world = World()
        payload = bytes(Rng(1).garbage(200000))
        world.publish(payload, 2)
        world.publish(b"after", 2)
        world.run(1000)
        self.assertEqual(world.arrived(), [payload, b"after"])

    def test_the_room_of_one_large_message_is_not_kept(self):
        world = World(send_bytes=100).online()
        for size, is_kept in ((50, True), (150, True), (500, False), (150, True)):
            buffer = world.engine._buffer
            world.publish(b"x" * size)
            world.run(100)
            self.assertEqual((world.engine._buffer is buffer, world.account("waiting")), (is_kept, 0), size)

    def test_a_send_that_takes_a_part_is_continued(self):
        for counts in ([1] * 400, [0, 3, 0, 0, 7], [0] * 9):
            world = World().online()
            world.link.send_counts = list(counts)
            world.publish_many(10, 2)
            world.run(1500)
            self.assertEqual(world.arrived(), [b"%d" % index for index in range(10)])
            self.assertEqual(world.violations(), [])

    def test_acknowledgements_that_come_one_by_one(self):
        world = World().online()
        world.link.acks_per_receive = 1
        world.publish_many(10, 2)
        world.run(3000)
        self.assertEqual(world.account("delivered"), 10)
        self.assertEqual(world.violations(), [])

    def test_the_disk_holds_only_what_is_not_delivered(self):
        world = World()
        for _ in range(40):
            world.publish_many(10)
            world.run(100)
        self.assertEqual(world.account("delivered"), 400)
        self.assertTrue(len(world.store.list("journal")) <= 2, world.store.list("journal"))

    def test_accounts_and_numbers_go_on_after_a_restart(self):
        world = World()
        world.publish_many(5)
        world.run(1000)
        world.restart()
        self.assertEqual(world.publish(), 6)
        world.run(1000)
        self.assertEqual(world.accounts(), [6, 6, 0, 0, 0])

    def test_without_a_listener_nothing_is_told(self):
        world = World()
        world.engine = Engine(
            open_cache(world.store, Rng(2), Options(session_marker=7, checkpoint_delay_ms=0)), world.link
        )
        world.publish()
        world.run(1000)
        self.assertEqual(world.account("delivered"), 1)


class RestartTest(unittest.TestCase):
    def world(self, qos, steps):
        """A message somewhere in its handshake."""
        world = World().online()
        world.publish(b"m", qos)
        for _ in range(steps):
            world.step()
        return world

    def test_qos_2_arrives_once_wherever_the_power_fails(self):
        for steps in range(8):
            for arriving in (0, 5, None):
                world = self.world(2, steps)
                world.die(True, arriving).start()
                world.run(2000)
                self.assertEqual(world.arrived(), [b"m"], (steps, arriving))
                self.assertEqual((world.accounts(), world.violations()), ([1, 1, 0, 0, 0], []))

    def test_qos_1_arrives_at_least_once_wherever_the_power_fails(self):
        for steps in range(5):
            world = self.world(1, steps)
            world.restart().run(2000)
            self.assertIn(world.arrived(), ([b"m"], [b"m", b"m"]))
            self.assertEqual((world.account("delivered"), world.violations()), (1, []))

    def test_after_a_restart_a_repeat_has_its_old_identifier_and_dup(self):
        world = World().online()
        world.publish_many(3)
        world.step()
        world.restart().run(1000)
        sent = world.sent(packets.PUBLISH)
        self.assertEqual([packet[0] & 8 for packet in sent], [0, 0, 0, 8, 8, 8])
        self.assertEqual([packet[5:7] for packet in sent[:3]], [packet[5:7] for packet in sent[3:]])

    def test_after_pubrec_a_restart_goes_on_with_pubrel(self):
        world = World().online()
        world.broker.stay_silent(packets.PUBCOMP)
        world.publish(b"m", 2)
        world.steps(4)
        self.assertEqual(len(world.sent(packets.PUBREL)), 1)
        world.broker.heal()
        world.restart().run(1000)
        self.assertEqual(len(world.sent(packets.PUBLISH)), 1)
        self.assertEqual((world.arrived(), world.account("delivered")), ([b"m"], 1))


class DueTest(unittest.TestCase):
    """What step() returns: for so long nothing is due."""

    def test_an_idle_connection_has_nothing_due(self):
        world = World().online()
        self.assertEqual(world.step(), 60000)
        world.publish()
        world.run(1000)
        self.assertEqual(world.step(), 60000)

    def test_while_apart_the_next_attempt_is_due(self):
        world = World()
        world.broker.listening = False
        world.steps(1)
        self.assertEqual(world.step(), 100)
        self.assertEqual(world.step(40), 60)

    def test_while_connecting_the_connect_timeout_is_due(self):
        world = World()
        world.link.freeze()
        self.assertEqual(world.step(), 1000)
        self.assertEqual(world.step(300), 700)

    def test_while_an_acknowledgement_is_awaited_its_timeout_is_due(self):
        world = World().online()
        world.broker.stay_silent(packets.PUBACK)
        world.publish()
        world.step()
        self.assertEqual(world.step(300), 1700)

    def test_while_a_checkpoint_is_delayed_it_is_due(self):
        world = World(checkpoint_delay_ms=500).online()
        world.run(1000)
        world.publish()
        world.steps(2)
        self.assertEqual(world.step(), 500)
        self.assertEqual(world.step(200), 300)
        saves = world.store.calls["replace"]
        world.step(299)
        self.assertEqual(world.store.calls["replace"], saves)
        self.assertEqual(world.step(1), 60000)
        self.assertEqual(world.store.calls["replace"], saves + 1)

    def test_a_segment_that_could_go_does_not_wait_for_the_delay(self):
        world = World(checkpoint_delay_ms=100000).online()
        for _ in range(30):
            world.publish(b"x" * 300)
            world.steps(3)
            self.assertTrue(len(world.store.list("journal")) <= 2)
        self.assertEqual(world.accounts()[1], 30)
        self.assertTrue(world.store.calls["replace"] < 20)  # and a checkpoint for each of these, not for each message

    def test_after_a_full_send_there_is_more_to_do_at_once(self):
        world = World().online()
        world.publish_many(3)
        self.assertEqual(world.step(), 0)

    def test_a_late_call_is_told_zero_and_nothing_below(self):
        world = World()
        world.broker.listening = False
        for after_ms in (0, 5, 100, 5000, 100000, 3):
            self.assertTrue(world.step(after_ms) >= 0)

    def test_wants_to_write_while_the_transport_is_busy(self):
        world = World().online()
        self.assertFalse(world.engine.wants_to_write())
        world.publish()
        world.link.send_counts = [3, 0]
        world.step()
        self.assertTrue(world.engine.wants_to_write())
        self.assertFalse(world.engine.quiet())
        world.step()
        self.assertFalse(world.engine.wants_to_write())


class StopTest(unittest.TestCase):
    def test_quiet_is_when_no_handshake_is_under_way(self):
        world = World()
        self.assertTrue(world.engine.quiet())
        world.online()
        self.assertTrue(world.engine.quiet())
        world.publish(qos=2)
        world.step()
        self.assertFalse(world.engine.quiet())
        world.run(100)
        self.assertTrue(world.engine.quiet())

    def test_draining_ends_handshakes_and_begins_none(self):
        world = World().online()
        world.publish_many(3, 2)
        world.step()
        world.engine.draining = True
        world.publish(b"later", 2)
        world.run(1000)
        self.assertEqual(world.arrived(), [b"0", b"1", b"2"])
        self.assertTrue(world.engine.quiet())
        self.assertEqual(world.account("waiting"), 1)

    def test_draining_while_apart_does_not_connect(self):
        world = World()
        world.engine.draining = True
        world.run(10000)
        self.assertEqual(world.link.opens, 0)
        self.assertEqual(world.step(), 60000)

    def test_close_disconnects_and_stores_where_delivery_stands(self):
        world = World(checkpoint_delay_ms=100000).online()
        world.publish_many(3)
        world.run(100)
        world.engine.close()
        self.assertEqual(world.diary.disconnections, ["closed"])
        self.assertFalse(world.engine.online())
        self.assertTrue(world.engine.quiet())
        world.start().run(1000)
        self.assertEqual(len(world.sent(packets.PUBLISH)), 3)
        self.assertEqual(world.accounts(), [3, 3, 0, 0, 0])

    def test_close_stores_a_pubrec_that_just_came(self):
        world = World().online()
        world.publish(b"m", 2)
        world.steps(1)
        world.deliver_bytes()
        world.engine.delivery.acknowledge(world.link.receive())
        world.engine.close()
        world.start().run(1000)
        self.assertEqual((len(world.sent(packets.PUBLISH)), world.arrived()), (1, [b"m"]))

    def test_close_on_a_disk_that_fails_loses_nothing(self):
        world = World(checkpoint_delay_ms=100000).online()
        world.publish_many(3)
        world.run(100)
        world.store.fail_next("replace", 28)
        world.engine.close()
        world.start().run(1000)
        self.assertEqual(world.accounts(), [3, 3, 0, 0, 0])

    def test_close_before_any_connection_is_silent(self):
        world = World()
        world.engine.close()
        self.assertEqual(world.diary.disconnections, [])
        self.assertEqual(world.link.opens, 0)

    def test_after_close_nothing_is_opened(self):
        world = World().online()
        world.engine.close()
        world.run(10000)
        self.assertEqual(world.link.opens, 1)
