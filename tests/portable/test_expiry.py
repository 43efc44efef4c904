"""Messages that are not sent when they are too old: how old they are, and what becomes of them. And ``expiry``."""

import unittest

from persistmq_core import packets
from persistmq_core.contracts import Clock
from persistmq_core.expiry import expiry_seconds
from persistmq_core.limits import CLOCK_VALID_MS
from persistmq_core.record import Record, encode
from tests.support import mqtt_wire as wire
from tests.support.aging import NOON_MS, AgingCase
from tests.support.world import World
from tests.support.write_list_store import ENOSPC


class SecondsTest(unittest.TestCase):
    def test_they_are_whole_and_never_fewer(self):
        for given, expected in ((None, 0), (float("inf"), 0), (1, 1), (0.001, 1), (1.5, 2), (2.0, 2), (1 << 31,) * 2):
            self.assertEqual(expiry_seconds(given), expected)

    def test_what_is_no_number_is_named(self):
        for given in (True, False, "60", b"60", [60]):
            with self.assertRaises(TypeError) as caught:
                expiry_seconds(given)
            self.assertEqual(str(caught.exception), "expires_after is a number of seconds, not %r" % (given,))

    def test_a_number_that_cannot_be_is_named_with_the_limit(self):
        for given in (0, -1, 0x100000000, float("nan"), float("-inf")):
            with self.assertRaises(ValueError) as caught:
                expiry_seconds(given)
            words = "expires_after is %r: more than 0 and at most 4294967295 seconds"
            self.assertEqual(str(caught.exception), words % given)


class ExpiryTest(AgingCase):
    def test_what_is_too_old_is_not_sent_and_has_its_account(self):
        world = self.world()
        world.send(b"old", 1, 10)
        world.send(b"older", 2, 5)
        world.send(b"always")
        world.now_ms += 10_000
        world.send(b"new", 1, 10)
        self.settle(world)
        self.assertEqual(world.arrived(), [b"always", b"new"])
        self.assertEqual(self.expired(world), [1, 2])
        self.assertEqual((world.account("expired"), world.account("delivered")), (2, 2))

    def test_nobody_is_told_that_it_is_settled_before_its_account_is_on_storage(self):
        world = self.world()
        delivery = world.engine.delivery
        world.send(b"sent")
        world.online()
        world.run(1000)
        self.assertEqual((delivery.cursor(), delivery.is_settled(1), delivery.is_settled(2)), (2, True, False))
        world.send(b"old", 1, 1)
        world.send(b"older", 1, 1)
        world.now_ms += 5000
        told = []
        while len(told) < 2:
            told = self.expired(world)
            settled = [delivery.is_settled(seq) for seq in (2, 3)]
            self.assertEqual((delivery.cursor(), settled), (4, [True] * 2) if told else (2, [False] * 2))
            world.step(1)

    def test_what_is_not_too_old_yet_is_sent(self):
        world = self.world()
        world.send(b"young", 1, 10)
        world.now_ms += 8_000
        self.settle(world)
        self.assertEqual(world.arrived(), [b"young"])

    def test_a_thousand_at_once_and_then_something_else_has_its_turn(self):
        world = self.world(segment_bytes_max=1 << 20, read_bytes=1 << 16, window=2000)
        for _ in range(2500):
            world.engine.spool.stage("t", b"", 1, False, NOON_MS, 1)
        world.store_staged()
        world.now_ms += 5000
        world.online()
        self.assertEqual(world.account("expired"), 1000)
        self.assertEqual(world.engine.delivery.progress() > 0, True)
        self.settle(world)
        self.assertEqual(world.account("expired"), 2500)

    def test_the_application_is_told_when_it_is_on_storage(self):
        world = self.world()
        world.send(b"old", 1, 1)
        world.send(b"new")
        world.now_ms += 5000
        world.store.fail_next("replace", 5, times=3)
        for _ in range(5):
            world.step()
        self.assertEqual((self.expired(world), world.arrived()), ([], []))
        world.now_ms += 5000
        self.settle(world)
        self.assertEqual((self.expired(world), world.arrived()), ([1], [b"new"]))

    def test_a_message_that_may_be_in_flight_is_brought_to_its_end(self):
        world = self.world()
        world.broker.stay_silent(wire.PUBREC, times=1)
        world.send(b"sent", 2, 1)
        world.online()
        world.step()
        world.link.cut()
        world.now_ms += 60_000
        world.run(10_000)
        self.assertEqual((world.account("expired"), world.account("delivered")), (0, 1))

    def test_mqtt_5_brokers_are_told_what_is_left(self):
        world = self.world(protocol=5)
        world.send(b"p", 1, 100)
        world.now_ms += 39_500
        world.step()
        self.settle(world)
        packet = world.sent(packets.PUBLISH)[0]
        self.assertEqual(packet[7:13], b"\x05\x02\0\0\0\x3d")
        self.assertEqual(world.arrived(), [b"p"])

    def test_in_3_1_1_nothing_is_said_of_it(self):
        world = self.world(protocol=4)
        world.send(b"p", 1, 100)
        self.settle(world)
        self.assertEqual(world.sent(packets.PUBLISH)[0], b"\x32\x06\0\1t\0\2p")


class WithoutClockTest(ExpiryTest):
    def test_age_counts_from_when_it_was_accepted_in_this_start(self):
        world = self.world(None)
        world.now_ms += 50_000
        world.send(b"old", 1, 10)
        world.now_ms += 8_000
        world.send(b"new", 1, 10)
        world.now_ms += 3_000
        self.settle(world)
        self.assertEqual((world.arrived(), self.expired(world)), ([b"new"], [1]))

    def test_what_an_earlier_start_left_is_as_old_as_this_one(self):
        world = self.world(None)
        world.send(b"old", 1, 100)
        world.now_ms += 99_000
        world.restart()
        world.step()
        world.now_ms += 95_000
        world.send(b"new")
        self.settle(world)
        self.assertEqual(world.arrived(), [b"old", b"new"])
        world = self.world(None)
        world.send(b"old", 1, 100)
        world.restart()
        world.step()
        world.now_ms += 101_000
        self.settle(world)
        self.assertEqual(world.account("expired"), 1)

    def test_an_engine_without_a_clock_has_none(self):
        self.assertEqual(Clock().unix_ms(), 0)
        world = World()
        world.engine.spool.stage("t", b"old", 1, False, NOON_MS, 1)
        world.store_staged()
        world.online().run(1000)
        self.assertEqual(world.arrived(), [b"old"])

    def test_a_clock_that_is_set_later_or_lost_changes_nothing_else(self):
        record = Record()
        for accepted_ms, unix_ms, seq, expected_ms in (
            (NOON_MS, NOON_MS + 5, 1, 5),
            (NOON_MS + 5, NOON_MS, 1, 0),  # the clock was put back
            (30, NOON_MS, 9, 70),  # accepted in this start, before the clock was set
            (30, NOON_MS, 3, 80),  # in an earlier one
            (NOON_MS, 0, 9, 80),  # the clock was lost
            (200, 0, 9, 0),
            (CLOCK_VALID_MS, CLOCK_VALID_MS - 1, 9, 80),
        ):
            content = encode(seq, b"t", b"", 1, False, accepted_ms, 5)
            record.measure(memoryview(content), 0, len(content))
            self.assertEqual(record.age_ms(100, unix_ms, 20, 5), expected_ms, (accepted_ms, unix_ms, seq))


class FrameTest(unittest.TestCase):
    def test_the_time_stands_between_header_and_topic(self):
        content = encode(1, b"ab", b"c", 1, False, 7, 5, 300)
        self.assertEqual((content[2], content[8:12], content[24:]), (1 | 8, b"\7\0\0\0", b"\x2c\1\0\0abc"))
        record = Record()
        self.assertEqual(record.measure(memoryview(content), 0, len(content)), len(content))
        self.assertTrue(record.is_whole(5))
        self.assertEqual((bytes(record.topic), bytes(record.payload), record.expires_s), (b"ab", b"c", 300))
        plain = encode(2, b"t", b"", 1, False, 7, 5)
        record.measure(memoryview(plain), 0, len(plain))
        self.assertTrue(record.is_whole(5))
        self.assertEqual(record.expires_s, 0)


class CursorTest(unittest.TestCase):
    def test_what_expired_behind_a_message_in_flight_does_not_settle_that(self):
        """A caller of flush() would believe it delivered."""
        world = World()
        world.broker.listening = False
        spool = world.engine.spool
        spool.stage("t", b"in flight", 1, False, 0)
        spool.stage("t", b"short", 1, False, 0, 1)
        world.store_staged()
        world.run(3000)
        world.broker.listening = True
        world.broker.stay_silent(packets.PUBACK)
        world.store.fail_next("replace", ENOSPC, times=None, skip=1, name="checkpoint")
        cursors = []
        for _ in range(300):
            world.step(10)
            cursors.append(world.engine.delivery.cursor() - world.engine.delivery.window.cursor)
        self.assertEqual(max(cursors), 0)
        self.assertEqual(len(world.sent(packets.PUBLISH)), 1)
