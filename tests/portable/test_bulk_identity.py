"""What a receiver hears of messages in bundles, and of those around them."""

from persistmq_core import packets
from persistmq_core.dead_letters import PACKET_TOO_LARGE
from persistmq_core.segment import JOURNAL
from tests.simulation.identities import read
from tests.support import mqtt_wire as wire
from tests.support.bulk_case import REWRITE, BulkCase, Bulky, bulk
from tests.support.unbundle import entries_of, read_outer


class IdentityTest(BulkCase):
    """What a receiver hears of messages in bundles, and of those around them."""

    def entries(self, world):
        """(client, epoch, never, [(number, number before it)]) of each bundle."""
        found = []
        for packet in world.sent(packets.PUBLISH):
            first_byte, body, end = packets.split(packet)
            topic, payload = wire.read_publish(first_byte, packet[body:end], world.protocol)[:2]
            if entries_of(topic, payload, REWRITE):
                client, epoch, messages, never = read_outer(payload)
                found.append((client, epoch, never, [tuple(each[:2]) for each in messages]))
        return found

    def test_each_message_says_which_it_is(self):
        world = Bulky(bulk=bulk(3, "persistmq"))
        world.send(6)
        world.online().run(1000)
        epoch = world.engine.delivery.identity.epoch
        self.assertEqual(
            self.entries(world),
            [("me", epoch, [], [(1, 0), (2, 1), (3, 2)]), ("me", epoch, [], [(4, 3), (5, 4), (6, 5)])],
        )

    def test_in_mqtt_5_those_that_go_singly_say_so_too(self):
        world = Bulky(5, bulk=bulk(3, "persistmq"))
        world.send(4)
        world.online().run(1000)
        packet = world.sent(packets.PUBLISH)[-1]
        first_byte, body, end = packets.split(packet)
        self.assertEqual(read(wire.user_properties(first_byte, packet[body:end]))[1:], (4, 3, []))

    def test_in_mqtt_3_those_that_went_singly_are_not_missed(self):
        world = Bulky(bulk=bulk(3, "persistmq")).online()
        world.send(2)
        world.run(1000)
        world.send(3)
        world.run(1000)
        self.assertEqual(self.entries(world)[0][3], [(3, 0), (4, 3), (5, 4)])
        world.restart().online()
        world.send(2)
        world.run(1000)
        world.send(3)
        world.run(1000)
        self.assertEqual(self.entries(world)[1][3], [(8, 5), (9, 8), (10, 9)])

    def test_a_single_one_beside_a_bundle_is_known_to_it(self):
        for protocol in (4, 5):
            world = Bulky(protocol, bulk=bulk(3, "persistmq"))
            world.send(1, 1)
            world.send(3, 2)
            world.online().run(1000)
            self.assertEqual(self.entries(world)[0][3][0], (2, 0 if protocol == 4 else 1))

    def test_numbers_that_were_given_up_are_told_once_it_is_acknowledged(self):
        world = Bulky(bulk=bulk(3, "persistmq"))
        world.send(2, expires_s=1)
        world.send(7)
        world.now_ms += 3000
        world.online().run(1000)
        self.assertEqual(self.entries(world)[0][3][0], (3, 0))
        self.assertEqual(world.engine.delivery.identity._ranges, [[9, 10, 0]])  # the last one went singly

    def test_what_was_given_up_behind_it_stands_in_its_list(self):
        world = Bulky(5, bulk=bulk(3, "persistmq")).online()
        world.broker.refuse("t/1", 0x87, b"1")
        world.send(6)
        world.run(2000)
        world.send(3)
        world.run(1000)
        self.assertEqual(self.entries(world)[-1][2], [1, 1])
        self.assertFalse(world.engine.delivery.identity.owes())

    def test_a_lost_one_is_told_by_the_next_one_of_its_bundle(self):
        for lost, expected in ((1, [(2, 0), (3, 2)]), (2, [(1, 0), (3, 1)])):
            world = Bulky(5, bulk=bulk(3, "persistmq")).online()
            world.broker.stay_silent(packets.PUBREC)
            world.send(3, size=20)
            world.step()
            world.broker.heal()
            world.die(arriving=0)
            name = world.store.list(JOURNAL)[0]
            world.store.corrupt(name, world.store.snapshot()[name].find(b"%d....." % lost) + 2, b"#")
            world.start().online().run(3000)
            self.assertEqual(self.entries(world)[1][3], expected)
            self.check(world, 0, 1)

    def test_a_simple_bundle_says_nothing_and_nothing_in_it_is_missed(self):
        world = Bulky(5, bulk=bulk(3), identity="me").online()
        world.send(3)
        world.run(1000)
        world.send(1)
        world.run(1000)
        packet = world.sent(packets.PUBLISH)[-1]
        first_byte, body, end = packets.split(packet)
        self.assertEqual(read(wire.user_properties(first_byte, packet[body:end]))[1:], (4, 0, []))
        self.check(world)

    def test_what_a_message_says_counts_for_its_size(self):
        # Alone between two bundles, and first of all: it tells of so much that the broker takes no such packet.
        for before in (0, 2):
            world = Bulky(5, bulk=bulk(2), identity="me")
            world.broker.packet_bytes_max = 300
            world.engine.delivery.identity._ranges = [[first, first + 1, 0] for first in range(1000, 1100, 2)]
            world.send(before, 2)
            world.send(1, 1)
            world.send(4, 2)
            world.online().run(3000)
            self.assertEqual(world.diary.drops, [(before + 1, "refused", PACKET_TOO_LARGE)])
            self.check(world, 1, 0)

    def test_it_is_kept_for_bundles_in_flight_although_nobody_wants_it_any_more(self):
        world = Bulky(bulk=bulk(3, "persistmq")).online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(3)
        world.step()
        before = self.entries(world)
        world.broker.heal()
        world.wire.clear()
        world.restart(bulk=None).online().run(3000)
        self.assertEqual(self.entries(world), before)
        world.restart().online().run(1000)
        self.assertIsNone(world.engine.delivery.identity)
