"""What brokers announce and how they differ: windows, sizes, refusals, RabbitMQ, NATS."""

import unittest

from persistmq_core import packets
from tests.support.world import World
from tests.support.write_list_store import PowerCut


class WindowTest(unittest.TestCase):
    def most_in_flight(self, world, count, qos):
        """The most messages that were under way at once, while ``count`` are delivered."""
        world.online()
        world.link.acks_per_receive = 1
        world.publish_many(count, qos)
        most = 0
        for _ in range(count * 8):
            world.step(1)
            most = max(most, len(world.sent(packets.PUBLISH)) - world.account("delivered"))
        self.assertEqual(world.account("delivered"), count)
        self.assertEqual(world.violations(), [])
        return most

    def test_the_window_bounds_qos_1(self):
        for window in (1, 2, 8):
            self.assertEqual(self.most_in_flight(World(window=window), 20, 1), window)

    def test_window_qos2_bounds_what_is_not_released(self):
        for window_qos2 in (1, 2, 4):
            world = World(window_qos2=window_qos2).online()
            world.broker.unreleased_max = window_qos2
            world.broker.stay_silent(packets.PUBREC)
            world.publish_many(20, 2)
            world.run(1000)
            self.assertEqual(len(world.sent(packets.PUBLISH)), window_qos2)
            world.broker.heal()
            world.run(20000)
            self.assertEqual((world.account("delivered"), world.violations()), (20, []))

    def test_receive_maximum_bounds_everything_in_mqtt_5(self):
        for receive_maximum in (1, 3):
            for qos in (1, 2):
                world = World(5)
                world.broker.receive_maximum = receive_maximum
                world.broker.enforces = True
                self.assertTrue(self.most_in_flight(world, 20, qos) <= receive_maximum)
                self.assertEqual(world.engine.connections, 1)

    def test_receive_maximum_bounds_what_is_sent_again_too(self):
        world = World(5).online()
        world.broker.stay_silent(packets.PUBCOMP)
        world.publish_many(4, 2)
        world.run(500)
        self.assertEqual(len(world.sent(packets.PUBREL)), 4)
        world.link.cut()
        world.broker.heal()
        world.broker.receive_maximum = 2
        world.broker.enforces = True
        world.run(5000)
        self.assertEqual((world.account("delivered"), world.violations()), (4, []))

    def test_a_window_that_shrinks_in_a_restart_goes_on(self):
        world = World(window=16, window_qos2=16).online()
        world.broker.stay_silent(packets.PUBACK)
        world.publish_many(16)
        world.steps(2)
        world.broker.heal()
        world.restart(window=2, window_qos2=1)
        world.publish_many(5)
        world.run(10000)
        self.assertEqual((world.account("waiting"), world.violations()), (0, []))

    def test_the_highest_identifiers_wrap_inside_a_window(self):
        world = World()
        state = world.engine.delivery.checkpoint
        state.cursor = state.sent_bound = 59996
        state.skipped = 59995
        world.engine.delivery.window.load(59996, bytearray(8))
        world.engine.journal.resume(59996, 59995, "", 0, 0)
        world.engine.spool.first_seq = 59996
        world.engine.delivery._next = 59996
        world.online()
        world.publish_many(12, 2)
        world.run(5000)
        identifiers = [packet[5] << 8 | packet[6] for packet in world.sent(packets.PUBLISH)]
        self.assertEqual(identifiers, [59997, 59998, 59999, 60000, 1, 2, 3, 4, 5, 6, 7, 8])
        self.assertEqual((world.accounts(), world.violations()), ([12, 12, 0, 0, 0], []))


class AnnouncedLimitTest(unittest.TestCase):
    def dead(self, world):
        return [name for name in sorted(world.store.snapshot()) if name.startswith("dead/")]

    def check(self, world, reason_code, *payloads):
        """The first message is parked, the others arrive, the broker saw nothing forbidden."""
        world.run(3000)
        self.assertEqual(world.diary.drops, [(1, "refused", reason_code)])
        self.assertEqual(len(self.dead(world)), 1)
        self.assertEqual(world.arrived(), list(payloads))
        self.assertEqual(world.violations(), [])
        self.assertEqual(world.engine.connections, 1)
        accounts = world.accounts()
        self.assertEqual(accounts[0], len(payloads) + 1)
        self.assertEqual(accounts[2:], [1, 0, 0])
        # And it stays parked.
        world.restart().run(1000)
        self.assertEqual(world.accounts(), accounts)

    def test_a_packet_too_large_is_parked_and_not_sent(self):
        world = World(5)
        world.broker.packet_bytes_max = 100
        world.publish(b"x" * 100, 2)
        world.publish(b"small", 2)
        self.check(world, 2, b"small")

    def test_a_qos_above_the_maximum_is_parked_and_not_sent(self):
        world = World(5)
        world.broker.qos_max = 1
        world.publish(b"a", 2)
        world.publish(b"b", 1)
        self.check(world, 3, b"b")

    def test_a_retained_message_is_parked_where_retain_is_not_available(self):
        world = World(5)
        world.broker.retain_available = False
        world.publish(b"a", 1, "t", True)
        world.publish(b"b", 1)
        self.check(world, 4, b"b")

    def test_a_dead_letter_is_not_accounted_twice_when_the_power_fails(self):
        """Wherever the power fails, the message is parked, and every account adds up."""
        for call in range(1, 40):
            for fate in ("before", "after", "torn"):
                world = World(5)
                world.broker.packet_bytes_max = 100
                world.publish(b"x" * 100, 1)
                world.publish(b"small", 1)
                world.store.crash_at, world.store.crash_fate = world.store.steps + call, fate
                try:
                    world.run(300)
                except PowerCut:
                    pass
                world.restart().run(1000)
                self.assertEqual(world.accounts(), [2, 1, 1, 0, 0], (call, fate))
                self.assertEqual(len(self.dead(world)), 1)


class RefusalTest(unittest.TestCase):
    def test_a_negative_acknowledgement_parks_the_message_with_its_reason(self):
        for qos in (1, 2):
            world = World(5).online()
            world.broker.refuse("bad", 0x87)
            world.publish(b"a", qos, "bad")
            world.publish(b"b", qos, "good")
            world.run(1000)
            self.assertEqual(world.diary.drops, [(1, "refused", 0x87)])
            self.assertEqual((world.arrived(), world.accounts()), ([b"b"], [2, 1, 1, 0, 0]))
            self.assertEqual((world.engine.connections, world.violations()), (1, []))

    def test_a_refusal_is_never_sent_again(self):
        world = World(5).online()
        world.broker.refuse("bad", 0x87)
        world.publish(b"a", 2, "bad")
        world.run(100)
        world.restart().run(1000)
        self.assertEqual(len(world.sent(packets.PUBLISH)), 1)

    def test_while_it_cannot_be_parked_it_stays(self):
        world = World(5).online()
        world.broker.refuse("bad", 0x87)
        world.publish(b"a", 1, "bad")
        world.store.fail_next("replace", 28, times=None, name="dead/")
        world.run(5000)
        self.assertEqual((world.accounts(), world.diary.drops), ([1, 0, 0, 0, 1], []))
        self.assertTrue(world.engine.store_error)
        world.store.heal()
        world.run(2000)
        self.assertEqual((world.accounts(), world.engine.store_error), ([1, 0, 1, 0, 0], ""))


class RabbitTest(unittest.TestCase):
    def test_a_puback_for_qos_2_delivers(self):
        world = World()
        world.broker.qos2_answer = "puback"
        world.publish_many(20, 2)
        world.run(3000)
        self.assertEqual((world.accounts(), world.violations()), ([20, 20, 0, 0, 0], []))
        self.assertEqual(world.sent(packets.PUBREL), [])


class DeliverAtPublishTest(unittest.TestCase):
    def test_a_broker_that_delivers_at_publish_gets_it_once(self):
        for steps in range(6):
            world = World().online()
            world.broker.deliver_at = "publish"
            world.publish(b"m", 2)
            world.steps(steps)
            world.restart().run(1000)
            self.assertEqual((world.arrived(), world.violations()), ([b"m"], []))


class ShrunkTest(unittest.TestCase):
    def test_what_may_be_in_flight_and_is_too_large_now_has_the_session_renewed(self):
        """Else the broker holds its identifier for ever, and drops the message that meets it 64,000 numbers later."""
        world = World(5).online()
        world.link.session_is_ours = True
        world.broker.stay_silent(packets.PUBREC, times=1)
        world.publish(b"x" * 300, 2)
        world.steps(3)
        self.assertEqual(len(world.broker.session().unreleased), 1)
        world.broker.restart(True)
        world.broker.packet_bytes_max = 200
        world.run(5000)
        self.assertEqual((world.account("refused"), len(world.broker.session().unreleased)), (1, 1))
        world.link.cut()
        world.run(5000)
        self.assertEqual(len(world.broker.session().unreleased), 0)
        world.publish(b"next", 2)
        world.run(1000)
        self.assertEqual((world.arrived()[-1], world.account("waiting"), world.violations()), (b"next", 0, []))
