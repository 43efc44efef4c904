"""Which message is which, at the receiving end; and which numbers a receiver is told not to wait for."""

import unittest

from persistmq_core import packets
from persistmq_core.checkpoint import NAMES
from persistmq_core.contracts import Clock
from persistmq_core.identity import Identity
from persistmq_core.limits import UNTOLD_KEPT_MAX, UNTOLD_TOLD_MAX
from persistmq_core.recovery import recover
from persistmq_core.segment import JOURNAL
from persistmq_core.slots import decode
from tests.simulation.identities import read
from tests.support import mqtt_wire as wire
from tests.support.rng import Rng
from tests.support.world import World
from tests.support.write_list_store import WriteListStore

NOON_MS = 1_700_000_000_000


class Watch(Clock):
    def unix_ms(self):
        return NOON_MS + self.world.now_ms


class Named(World):
    """MQTT 5 with identity, as ``me``."""

    def __init__(self, **options):
        watch = Watch()
        watch.world = self
        super().__init__(5, identity="me", clock=watch, **options)

    def start(self, **options):
        self.seed += 1  # or a new epoch would be the old one
        return super().start(**options)

    def send(self, payload=b"p", qos=1, topic="t", expires_s=0):
        seq = self.engine.spool.stage(topic, payload, qos, False, NOON_MS + self.now_ms, expires_s)
        self.store_staged()
        return seq

    def said(self):
        """(number, number before it, runs that never come) of each PUBLISH, in order."""
        found = []
        for packet in self.sent(packets.PUBLISH):
            first_byte, body, end = packets.split(packet)
            found.append(read(wire.user_properties(first_byte, packet[body:end]))[1:])
        return found

    def epoch(self):
        return self.engine.delivery.identity.epoch


class MessageTest(unittest.TestCase):
    def test_each_message_says_which_it_is(self):
        world = Named()
        world.publish_many(3, qos=2)
        world.run(3000)
        self.assertEqual(world.said(), [(1, 0, []), (2, 1, []), (3, 2, [])])
        self.assertEqual(world.epoch(), world.engine.delivery.checkpoint.cache_id)
        self.assertEqual((world.arrived(), world.violations()), ([b"0", b"1", b"2"], []))

    def test_the_bytes_are_those_of_the_format(self):
        world = Named()
        world.engine.delivery.identity.epoch = 0xC0FFEE
        world.send(b"x")
        world.run(1000)
        said = b"\x26\0\x03pmq\0\x0f00c0ffee 1 0 me"
        self.assertEqual(world.sent(packets.PUBLISH)[0], b"\x32\x1e\0\1t\0\2" + bytes((len(said),)) + said + b"x")

    def test_it_stands_behind_the_expiry(self):
        world = Named()
        world.send(b"x", expires_s=7)
        world.run(1000)
        packet = world.sent(packets.PUBLISH)[0]
        self.assertEqual((packet[8:13], packet[13], packet[-1:]), (b"\x02\0\0\0\x07", 0x26, b"x"))
        self.assertEqual(world.said(), [(1, 0, [])])

    def test_without_mqtt_5_nothing_is_said(self):
        world = World(4, identity="me")
        world.publish(b"x")
        world.run(1000)
        self.assertEqual(world.sent(packets.PUBLISH), [b"\x32\x06\0\1t\0\2x"])

    def test_a_long_client_identifier_makes_the_length_of_the_properties_longer(self):
        world = Named()
        world.restart(identity="m" * 300)
        world.send(b"x" * 40)
        world.run(1000)
        self.assertEqual(world.arrived(), [b"x" * 40])
        self.assertEqual(world.broker.heard[0][1][0][1][-300:], "m" * 300)

    def test_a_client_identifier_that_has_no_room_is_refused(self):
        found = recover(WriteListStore(), 8, Rng(1))
        for name in ("", "m" * 65001):
            with self.assertRaises(ValueError):
                Identity(name, found, Rng(1))
        Identity("m" * 65000, found, Rng(1))

    def test_it_counts_for_the_broker_s_maximum_packet_size(self):
        world = Named()
        world.broker.packet_bytes_max = 100
        for size in range(40, 100):
            world.send(b"x" * size)
        world.run(8000)
        self.assertEqual(world.violations(), [])
        self.assertEqual(max([len(packet) for packet in world.sent(packets.PUBLISH)]), 100)
        self.assertEqual(world.account("refused") + len(world.arrived()), 60)


class EpochTest(unittest.TestCase):
    def test_it_lasts_over_restarts(self):
        world = Named()
        epoch = world.epoch()
        for power_lost in (True, False):
            world.send()
            world.run(1000)
            world.restart(power_lost)
            self.assertEqual(world.epoch(), epoch)
        world.send()
        world.run(2000)
        self.assertEqual([seq for seq, _, _ in world.said()], [1, 2, 3])

    def test_it_is_on_storage_before_anything_is_sent_under_it(self):
        world = Named()
        world.restart(identity="")
        world.publish()
        world.run(1000)
        world.restart(identity="me")
        world.store.fail_next("replace", 5, times=2)
        world.publish()
        world.step()
        for _ in range(3):
            world.step(10)
        self.assertEqual(len(world.sent(packets.PUBLISH)), 1)
        world.run(10_000)
        self.assertEqual(len(world.sent(packets.PUBLISH)), 2)
        kept = [decode(world.store.snapshot()[name]) for name in NAMES]
        section = max(kept, key=lambda state: state.generation).identity
        self.assertEqual(int.from_bytes(section[2:6], "little"), world.epoch())

    def test_a_new_cache_has_another_one(self):
        self.assertTrue(Identity("me", recover(WriteListStore(), 8, Rng(1)), Rng(1)).epoch
                        != Identity("me", recover(WriteListStore(), 8, Rng(2)), Rng(2)).epoch)  # fmt: skip

    def test_without_a_checkpoint_it_is_another_one_because_numbers_may_be_given_again(self):
        world = Named(segment_bytes_max=1024)
        world.broker.listening = False
        for _ in range(4):
            world.send(b"x" * 600)
        world.broker.listening = True
        world.step(3000)
        for _ in range(20):
            world.step(1)
        before = {seq for seq, _, _ in world.said()}
        epoch = world.epoch()
        world.die()
        for name in NAMES:
            world.store.corrupt(name, 30, b"\xff")
        last = max(world.store.list(JOURNAL))
        world.store.remove(last)
        world.start()
        self.assertEqual(world.engine.delivery.checkpoint.cache_id, epoch)
        again = world.send(b"another")
        self.assertTrue(again in before)
        self.assertTrue(world.epoch() != epoch)

    def test_messages_that_went_without_it_begin_another_one(self):
        world = Named()
        epoch = world.epoch()
        world.send()
        world.run(1000)
        world.restart(identity="")
        world.send()
        world.run(2000)
        self.assertEqual(world.engine.delivery.checkpoint.identity, b"")
        world.restart(identity="me")
        self.assertTrue(world.epoch() != epoch)


class GivenUpTest(unittest.TestCase):
    def world(self, **options):
        world = Named(**options)
        world.step()
        return world

    def send_and_expire(self, world, *expires_s):
        for each in expires_s:
            world.send(b"%d" % each, 1, "t", each)
        world.now_ms += 10_000

    def test_the_next_message_says_which_expired_before_it(self):
        world = self.world()
        self.send_and_expire(world, 0, 1, 1, 0, 1, 0)
        world.run(3000)
        self.assertEqual(world.said(), [(1, 0, []), (4, 1, []), (6, 4, [])])
        self.assertFalse(world.engine.delivery.identity.owes())

    def test_it_is_remembered_over_a_power_cut(self):
        world = self.world()
        self.send_and_expire(world, 0, 1, 1)
        world.run(3000)
        self.assertTrue(world.engine.delivery.identity.owes())
        world.restart()
        world.send()
        world.run(3000)
        self.assertEqual(world.said(), [(1, 0, []), (4, 1, [])])

    def test_what_is_refused_behind_one_that_was_sent_is_told_by_a_later_one(self):
        world = self.world()
        world.broker.refuse("no", 0x87)
        world.send(b"a")
        world.send(b"b", 1, "no")
        world.send(b"c")
        world.run(3000)
        self.assertEqual(world.said(), [(1, 0, []), (2, 1, []), (3, 2, [])])
        world.send(b"d", 0)
        world.send(b"e", 1)
        world.send(b"f", 1)
        world.run(1000)
        self.assertEqual(world.said()[3:], [(4, 3, []), (5, 4, [(2, 2)]), (6, 5, [])])

    def test_it_is_told_again_until_what_tells_it_is_acknowledged(self):
        world = self.world()
        world.broker.refuse("no", 0x87)
        world.send(b"a", 1, "no")
        world.send(b"b")
        world.run(1000)
        world.broker.stay_silent(wire.PUBREC, times=1)
        world.send(b"c", 2)
        world.run(100)
        world.restart()
        world.send(b"d")
        world.run(9000)
        # The broker may hold the third as it came first: what it says counts, and it says the same again.
        self.assertEqual(world.said()[2:], [(3, 2, [(1, 1)]), (3, 2, []), (4, 3, [(1, 1)])])
        self.assertFalse(world.engine.delivery.identity.owes())

    def test_if_what_tells_it_is_given_up_too_another_one_tells_both(self):
        world = self.world()
        world.broker.refuse("no", 0x87)
        world.send(b"a", 1, "no")
        world.send(b"b")
        world.run(1000)
        world.send(b"c", 1, "no")
        world.run(1000)
        self.assertEqual(world.said()[2], (3, 2, [(1, 1)]))
        world.send(b"d")
        world.run(1000)
        self.assertEqual(world.said()[3], (4, 2, [(1, 1)]))

    def test_numbers_that_a_failed_write_skipped(self):
        world = self.world()
        world.send()
        world.store.fail_next("sync", 5)
        with self.assertRaises(OSError):
            world.send()
        world.send()
        world.run(1000)
        self.assertEqual(world.said(), [(1, 0, []), (3, 1, [])])

    def test_what_was_evicted(self):
        world = self.world(cache_messages_max=4)
        world.broker.listening = False
        for number in range(9):
            if not world.engine.make_room(world.now_ms, 1, 1):
                self.fail("no room")
            world.send(b"%d" % number)
        world.broker.listening = True
        world.run(9000)
        self.assertEqual(world.arrived(), [b"5", b"6", b"7", b"8"])
        self.assertEqual(world.said()[0], (6, 0, []))

    def test_more_than_the_window_that_no_longer_read(self):
        world = self.world(window=2, window_qos2=2)
        world.broker.listening = False
        for _ in range(8):
            world.send(b"x" * 300)
        world.send(b"last")
        world.die()
        for name in sorted(world.store.list(JOURNAL))[:2]:
            world.store.corrupt(name, 32, b"\0" * (len(world.store.snapshot()[name]) - 32))
        world.broker.listening = True
        world.start()
        world.run(9000)
        first = world.said()[0]
        self.assertEqual(first, (world.account("damaged") + 1, 0, []))
        self.assertTrue(world.account("damaged") > 2)


class RangesTest(unittest.TestCase):
    """The list alone."""

    def setUp(self):
        self.found = recover(WriteListStore(), 8, Rng(1))
        self.identity = Identity("me", self.found, Rng(1))

    def again(self):
        self.found.checkpoint.identity = self.identity.encode()
        return Identity("me", self.found, Rng(2))

    def test_neighbours_become_one(self):
        for first, end in ((5, 6), (7, 9), (6, 7), (3, 5)):
            self.identity.never(first, end)
        self.assertEqual(self.identity.tell(20, True), (19, [3, 6, 7, 8]))
        self.assertEqual(self.again().tell(20, False), (19, [3, 6, 7, 8]))
        self.assertEqual(self.identity.tell(21, True), (20, []))

    def test_a_message_that_does_not_count_says_only_what_stands_before_it(self):
        self.identity.never(3, 5)
        self.identity.never(8, 9)
        self.assertEqual(self.identity.tell(9, False), (7, []))
        self.identity.delivered(9)
        self.assertEqual(self.identity.tell(10, True), (9, [3, 4, 8, 8]))

    def test_a_message_says_no_more_than_has_room_in_it(self):
        for number in range(60):
            self.identity.never(3 * number, 3 * number + 1)
        _, told = self.identity.tell(1000, True)
        self.assertEqual(len(told), UNTOLD_TOLD_MAX)
        _, rest = self.identity.tell(1001, True)
        self.assertEqual(told + rest, [3 * (index // 2) for index in range(120)])
        self.assertTrue(len(self.identity.properties(1000, True)) < 600)

    def test_of_too_many_the_oldest_are_forgotten(self):
        for number in range(100):
            self.identity.never(3 * number, 3 * number + 1)
        self.assertEqual(len(self.identity.encode()), 6 + 24 * UNTOLD_KEPT_MAX)
        again = self.again()
        for seq in (1000, 1001):
            self.assertEqual(self.identity.tell(seq, True), again.tell(seq, True))
        self.assertEqual(again.tell(1002, True), (1001, []))
