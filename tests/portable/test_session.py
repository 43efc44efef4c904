"""What the broker remembers of us, and what is done when it does not, or remembers what we do not."""

import unittest

from persistmq_core import checkpoint as checkpoints
from persistmq_core import packets, slots
from tests.support.world import World


class SessionTest(unittest.TestCase):
    def restart(self, world, keep_session=False):
        """The broker restarts; with QoS 2 somewhere between PUBREC and PUBCOMP."""
        world.online()
        world.broker.stay_silent(packets.PUBCOMP)
        world.publish(b"m", 2)
        world.steps(4)
        world.broker.heal()
        world.broker.restart(keep_session)

    def lose(self, world, keep_session=False):
        """The same, and what becomes of it."""
        self.restart(world, keep_session)
        world.run(3000)

    def test_a_lost_session_is_sent_again_as_new_and_counted(self):
        world = World()
        self.lose(world)
        sent = world.sent(packets.PUBLISH)
        self.assertEqual([packet[0] & 8 for packet in sent], [0, 0])
        self.assertEqual(world.arrived(), [b"m", b"m"])
        self.assertEqual(world.engine.delivery.checkpoint.repeated, 1)
        self.assertEqual(world.diary.connections, [False, False])

    def test_a_lost_session_is_trusted_if_so_chosen(self):
        world = World(trust_lost_session=True)
        self.lose(world)
        self.assertEqual(world.arrived(), [b"m"])
        self.assertEqual((len(world.sent(packets.PUBLISH)), world.account("delivered")), (1, 1))

    def test_a_session_that_was_kept_goes_on(self):
        world = World()
        self.lose(world, True)
        self.assertEqual((world.arrived(), len(world.sent(packets.PUBLISH))), ([b"m"], 1))
        self.assertEqual(world.engine.delivery.checkpoint.repeated, 0)

    def test_what_the_broker_forgot_is_sent_again_whichever_slot_is_damaged(self):
        for slot in checkpoints.NAMES:
            world = World()
            self.restart(world)
            world.broker.deliveries.clear()
            while len(world.sent(packets.PUBLISH)) < 2:
                world.step(10)
            world.die()  # and what went out has not arrived
            world.store.corrupt(slot, 30, b"x")
            world.start()
            world.run(3000)
            self.assertEqual((world.arrived(), world.account("delivered")), ([b"m"], 1), slot)

    def test_what_goes_as_new_is_on_storage_before_the_first_byte(self):
        world = World()
        self.restart(world)
        world.store.fail_next("replace", 28, times=2)
        world.run(500)
        self.assertEqual(len(world.sent(packets.PUBLISH)), 1)
        self.assertTrue("cannot be written" in world.diary.disconnections[-1] or world.engine.store_error)
        world.run(10000)
        self.assertEqual(len(world.sent(packets.PUBLISH)), 2)
        self.assertEqual(world.account("delivered"), 1)

    def test_what_was_forgotten_is_on_storage_before_the_next_connection_is_used(self):
        world = World(trust_lost_session=True, checkpoint_delay_ms=60000)
        self.restart(world)
        world.store.fail_next("replace", 28)
        while len(world.diary.connections) < 2:  # the broker keeps the session of the attempt between
            world.step(10)
        self.assertEqual(world.engine.delivery.window.cursor, 2)
        self.assertEqual(slots.load(world.store)[0].cursor, 2)

    def old_session(self):
        """A broker that holds a session of which this cache knows nothing."""
        earlier = World().online()
        earlier.publish(b"old", 2)
        earlier.step()
        earlier.deliver_bytes()
        self.assertEqual(len(earlier.broker.session().unreleased), 1)
        earlier.link.abandon(0)
        return earlier.broker

    def test_a_session_without_local_state_is_wiped_first(self):
        broker = self.old_session()
        world = World(broker=broker)
        # The first message has the identifier that the broker still holds.
        world.publish(b"new", 2)
        world.run(1000)
        self.assertEqual(world.arrived(), [b"new"])
        self.assertEqual(world.link.opens, 3)
        self.assertEqual(len(world.diary.connections), 1)
        self.assertEqual(world.violations(), [])

    def test_a_session_of_another_client_id_is_not_ours(self):
        world = World().online()
        world.publish(b"a", 2)
        world.step()
        world.die().start(session_marker=8)
        world.run(1000)
        self.assertEqual(world.link.opens, 3)
        self.assertEqual(world.arrived(), [b"a"])
        sent = world.sent(packets.PUBLISH)
        self.assertEqual(sent[-1][0] & 8, 0)

    def test_wiping_survives_a_power_cut(self):
        for steps in range(8):
            broker = self.old_session()
            world = World(broker=broker)
            world.publish(b"new", 2)
            world.steps(steps)
            world.restart().run(1000)
            self.assertEqual(world.arrived(), [b"new"], steps)
            self.assertEqual(world.account("delivered"), 1)

    def test_a_broker_that_forgets_it_had_a_session_causes_no_harm(self):
        world = World()
        world.broker.denies_session = True
        for _ in range(3):
            world.publish_many(3, 2)
            world.run(300)
            world.link.cut()
            world.run(300)
        self.assertEqual(world.account("delivered"), 9)


class OlderSaveTest(unittest.TestCase):
    """The broker came back from an older save: it holds handshakes that ended long ago, and counts them."""

    def world(self, protocol=4, stale=4):
        world = World(protocol)
        world.broker.unreleased_max = 4
        world.broker.loses_above_max = True
        world.link.session_is_ours = True
        world.online()
        world.publish_many(20, 2)
        world.run(200)
        self.assertEqual(world.account("delivered"), 20)
        world.broker.restart(True)
        unreleased = world.broker.session().unreleased
        for number in range(stale):
            unreleased[40000 + number] = ("t", b"stale", 2, False)
        return world

    def test_nothing_is_lost_behind_them(self):
        world = self.world()
        world.run(1000)
        world.broker.deliveries.clear()
        world.publish_many(20, 2)
        world.run(2000)
        self.assertEqual(world.arrived(), [b"%d" % number for number in range(20)])
        self.assertEqual((world.broker.lost, world.violations(), world.account("waiting")), ([], [], 0))
        # One connection more, of which the application need not hear: that it was lost, and came up again.
        self.assertEqual((len(world.diary.connections), world.link.opens, world.account("delivered")), (2, 3, 40))

    def test_it_counts_as_connected_meanwhile(self):
        world = self.world()
        while len(world.diary.connections) < 2:
            self.assertFalse(world.engine.is_connected() and world.link.opens > 1)
            world.step(1)
        while world.link.opens < 3 or not world.engine.online():
            self.assertTrue(world.engine.is_connected())
            world.step(1)
        world.link.cut()
        world.step(1)
        self.assertFalse(world.engine.is_connected())

    def test_what_is_in_flight_comes_to_its_end_before_the_session_does(self):
        world = self.world(stale=0)
        world.run(1000)
        world.broker.deliveries.clear()
        world.broker.stay_silent(packets.PUBCOMP)
        world.publish_many(3, 2)
        world.steps(6)
        world.broker.heal()
        world.broker.restart(True)
        world.broker.session().unreleased[40000] = ("t", b"stale", 2, False)
        world.publish_many(12, 2)
        world.run(3000)
        self.assertEqual(world.arrived(), [b"0", b"1", b"2"] + [b"%d" % number for number in range(12)])
        self.assertEqual((world.broker.session().unreleased, world.violations()), ({}, []))
        self.assertEqual((world.account("waiting"), world.engine.delivery.repeated()), (0, 0))
        self.assertEqual((len(world.diary.connections), len(world.diary.disconnections)), (3, 2))

    def test_a_start_after_a_power_cut_comes_to_it_as_well(self):
        world = self.world(stale=0)
        world.publish_many(3, 2)
        world.restart()
        world.link.session_is_ours = True
        world.broker.session().unreleased[40000] = ("t", b"stale", 2, False)
        world.run(1000)
        self.assertEqual((world.account("waiting"), world.violations()), (0, []))
        self.assertEqual(world.broker.session().unreleased, {})

    def test_an_application_that_subscribes_meanwhile_gets_its_messages_delivered_in_the_session_as_it_is(self):
        world = self.world(stale=0)
        world.publish_many(3, 2)
        world.restart()
        world.link.session_is_ours = True
        world.publish_many(5, 2)
        while not world.engine.is_connected():
            world.step(1)
        world.link.session_is_ours = False
        session = world.broker.session()
        world.run(1000)
        self.assertEqual((world.account("waiting"), world.violations()), (0, []))
        self.assertTrue(world.broker.session() is session)
        self.assertEqual(len(world.diary.connections), 1)

    def test_a_session_with_subscriptions_is_left_as_it_is(self):
        world = self.world()
        world.link.session_is_ours = False
        world.run(1000)
        self.assertEqual(len(world.broker.session().unreleased), 4)

    def test_without_qos_2_nothing_is_forgotten(self):
        world = World()
        world.link.session_is_ours = True
        world.online()
        world.publish_many(5, 1)
        world.run(200)
        world.broker.restart(True)
        world.run(1000)
        self.assertEqual((world.link.opens, world.diary.connections), (2, [False, True]))
        world.publish_many(5, 1)
        world.step()
        world.restart()  # with messages in flight, of which nobody knows the QoS until they are read
        world.link.session_is_ours = True
        world.publish_many(5, 1)
        world.run(1000)
        self.assertEqual((world.link.opens, world.diary.connections), (1, [True]))
        self.assertEqual(world.account("waiting"), 0)

    def test_a_broker_of_5_that_takes_nothing_any_more_is_made_to_forget(self):
        world = World(5)
        world.online()
        world.publish_many(3, 2)
        world.run(200)
        session = world.broker.session()
        session.unreleased[40000] = ("t", b"stale", 2, False)
        world.broker.refuse("t", 0x97)
        world.publish_many(6, 2)
        while world.broker.session() is session:
            world.step(10)
            self.assertLess(world.now_ms, 2000)
        world.broker.heal()
        world.run(1000)
        self.assertEqual(world.arrived(), [b"0", b"1", b"2"] + [b"%d" % number for number in range(6)])
        self.assertEqual((world.account("waiting"), world.violations()), (0, []))

    def test_more_than_the_window_may_be_in_flight_then_and_it_takes_nothing(self):
        world = World(5, window=2, window_qos2=2)
        world.online()
        world.publish_many(5, 2)
        state = world.engine.delivery.checkpoint
        world.die()
        world.store.corrupt(checkpoints.NAMES[1 - (state.generation & 1)], 30, b"x")
        world.start()
        world.broker.refuse("t", 0x97, b"0", times=2)
        world.run(20000)
        self.assertEqual((world.account("waiting"), len(world.arrived()), world.violations()), (0, 5, []))

    def test_one_that_ends_each_connection_as_too_many_are_in_flight_is_made_to_forget_and_no_message_is_to_blame(self):
        world = World(5)
        world.online()
        world.publish_many(3, 2)
        world.run(200)
        session = world.broker.session()
        world.publish_many(6, 2)
        while world.broker.session() is session:
            if world.engine.online() and world.link.on_the_way():
                world.hang_up(0x93)
            world.step(10)
            self.assertLess(world.now_ms, 20000)
        world.run(1000)
        self.assertEqual((world.account("waiting"), world.account("refused"), world.violations()), (0, 0, []))

    def test_a_link_that_breaks_on_the_way_to_that_is_no_harm(self):
        for opens in (2, 3):
            world = self.world(stale=1)
            while world.link.opens < opens:
                world.step(1)
            world.link.cut()
            world.publish_many(4, 2)
            world.run(4000)
            self.assertEqual((world.account("waiting"), world.violations()), (0, []), opens)
            self.assertEqual(world.broker.session().unreleased, {})
            self.assertEqual(len(world.diary.connections), len(world.diary.disconnections) + 1, opens)
