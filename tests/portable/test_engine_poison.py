"""A message over which the broker ends the connection each time."""

import unittest

from persistmq_core import packets
from persistmq_core.dead_letters import CONNECTION_DROPPED
from persistmq_core.limits import DROPS_BEFORE_PROBING, PROBES_BEFORE_PARKING
from tests.support.world import World

# Reason codes with which a server may end a connection (5.0, 3.14.2.1 and 3.2.2.2): server busy, keep alive timeout,
# session taken over and the like; and all others, such as protocol error, packet too large and QoS not supported.
NOT_THE_MESSAGE = (0x04, 0x87, 0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x93, 0x96, 0x97, 0x98, 0x9C, 0x9D, 0x9F, 0xA0)
MAYBE_THE_MESSAGE = (0x80, 0x81, 0x82, 0x83, 0x8F, 0x90, 0x94, 0x95, 0x99, 0x9A, 0x9B, 0x9E, 0xA1, 0xA2)


class PoisonTest(unittest.TestCase):
    def poisoned(self, qos, position=2, count=5, protocol=4):
        world = World(protocol)
        world.broker.drop_at("bad")
        for index in range(count):
            world.publish(b"%d" % index, qos, "bad" if index == position else "t")
        return world

    def test_a_poison_message_is_found_by_probing_and_parked(self):
        for protocol in (4, 5):
            for qos in (1, 2):
                for position in (0, 2, 4):
                    world = self.poisoned(qos, position, 5, protocol)
                    world.run(120000)
                    words = (protocol, qos, position)
                    self.assertEqual(world.diary.drops, [(position + 1, "refused", CONNECTION_DROPPED)], words)
                    expected = [b"%d" % index for index in range(5) if index != position]
                    if qos == 2:
                        self.assertEqual(world.arrived(), expected, words)
                    else:
                        self.assertEqual(sorted(set(world.arrived())), expected, words)
                    self.assertEqual(world.accounts(), [5, 4, 1, 0, 0], words)
                    self.assertEqual(world.violations(), [], words)

    def test_it_is_tried_so_often_before_it_is_parked(self):
        world = self.poisoned(1, 0, 1)
        world.run(120000)
        self.assertEqual(len(world.sent(packets.PUBLISH)), DROPS_BEFORE_PROBING + PROBES_BEFORE_PARKING)

    def test_two_poison_messages_are_both_found(self):
        world = World()
        world.broker.drop_at("bad")
        for index in range(6):
            world.publish(b"%d" % index, 2, "bad" if index in (1, 4) else "t")
        world.run(300000)
        self.assertEqual(world.accounts(), [6, 4, 2, 0, 0])
        self.assertEqual([each[0] for each in world.diary.drops], [2, 5])

    def test_a_broker_that_ends_every_connection_costs_a_few_letters_not_the_backlog(self):
        world = World()
        world.broker.drop_at("t")
        for index in range(12):
            world.publish(b"%d" % index, 1)
        world.run(400000)
        refused = world.account("refused")
        self.assertTrue(0 < refused <= 6, refused)
        world.broker.heal()
        world.run(60000)
        self.assertEqual(world.accounts(), [12, 12 - refused, refused, 0, 0])

    def test_while_probing_one_message_is_alone_on_the_wire(self):
        world = self.poisoned(1, 0, 5)
        while not world.engine._poison.is_probing:
            world.run(50)
        before = len(world.sent(packets.PUBLISH))
        connections = world.engine.connections
        while world.engine.connections == connections:
            world.run(50)
        self.assertEqual(len(world.sent(packets.PUBLISH)) - before, 1)

    def test_an_answer_ends_the_suspicion(self):
        world = World()
        world.broker.drop_at("bad", times=DROPS_BEFORE_PROBING + PROBES_BEFORE_PARKING - 1)
        world.publish(b"m", 1, "bad")
        world.run(120000)
        self.assertEqual(world.accounts(), [1, 1, 0, 0, 0])

    def test_a_broker_that_dies_of_the_pubrel(self):
        world = World().online()
        world.broker.stay_silent(packets.PUBCOMP)
        world.publish(b"m", 2)
        world.steps(4)
        self.assertEqual(world.engine.delivery.window.count(6), 1)
        # It hangs up each time when the PUBREL comes; the first time it had answered with PUBREC before.
        for count in range(1, DROPS_BEFORE_PROBING + PROBES_BEFORE_PARKING + 2):
            while len(world.sent(packets.PUBREL)) < count:
                world.run(50)
            self.assertEqual(world.account("waiting"), 1)
            world.link.cut(0, dropped=True)
        world.run(10000)
        self.assertEqual(world.accounts(), [1, 0, 1, 0, 0])

    def test_a_message_that_dies_with_the_network_is_no_poison(self):
        world = World().online()
        world.broker.stay_silent(packets.PUBACK)
        world.publish(b"m")
        for _ in range(12):
            world.step()
            world.link.cut()
            world.run(3100)
        self.assertEqual(world.account("waiting"), 1)
        world.broker.heal()
        world.run(5000)
        self.assertEqual(world.accounts(), [1, 1, 0, 0, 0])

    def test_a_late_acknowledgement_is_no_poison(self):
        world = World().online()
        world.broker.stay_silent(packets.PUBACK, times=10)
        world.publish(b"m")
        world.run(100000)
        self.assertEqual(world.accounts(), [1, 1, 0, 0, 0])

    def test_a_broker_that_hangs_up_before_anything_was_sent_accuses_nobody(self):
        world = World().online()
        for _ in range(10):
            world.link.cut(dropped=True)
            world.run(3500)
        world.publish(b"m")
        world.run(5000)
        self.assertEqual(world.accounts(), [1, 1, 0, 0, 0])

    def hung_up_with(self, code):
        """A world in which the broker ended each connection with this reason, over one message."""
        world = World(5)
        world.broker.stay_silent(packets.PUBACK)
        world.publish(b"m")
        for count in range(1, DROPS_BEFORE_PROBING + PROBES_BEFORE_PARKING + 1):
            while len(world.sent(packets.PUBLISH)) < count:
                world.run(50)
            world.hang_up(code)
            world.run(10)
        world.broker.heal()
        world.run(5000)
        return world

    def test_a_reason_that_speaks_of_the_server_or_the_connection_accuses_nobody(self):
        for code in NOT_THE_MESSAGE:
            self.assertEqual(self.hung_up_with(code).accounts(), [1, 1, 0, 0, 0], code)

    def test_a_reason_that_may_speak_of_the_message_accuses_it(self):
        for code in MAYBE_THE_MESSAGE:
            self.assertEqual(self.hung_up_with(code).accounts(), [1, 0, 1, 0, 0], code)

    def test_qos_0_is_never_suspected(self):
        world = World()
        world.broker.drop_at("bad")
        for _ in range(12):
            world.publish(b"p", 0, "bad")
            world.run(3500)
        world.publish(b"good", 1)
        world.run(10000)
        self.assertEqual(world.arrived()[-1], b"good")
        self.assertEqual(world.accounts()[2:], [0, 0, 0])

    def test_the_parked_message_stays_parked_over_a_restart(self):
        world = self.poisoned(2)
        world.run(120000)
        accounts = world.accounts()
        world.restart().run(3000)
        self.assertEqual(world.accounts(), accounts)
        world.publish(b"more", 2)
        world.run(1000)
        self.assertEqual(world.arrived()[-1], b"more")

    def test_a_suspicion_does_not_survive_another_message(self):
        # While probing each in turn: the first survives its probe, the third does not.
        world = self.poisoned(1, 3, 4)
        world.run(120000)
        self.assertEqual([each[0] for each in world.diary.drops], [4])
