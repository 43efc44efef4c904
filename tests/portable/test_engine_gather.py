"""Checkpoints for PUBRECs wait for others that are due, if that is wanted: so one serves them all."""

import unittest

from persistmq_core import packets
from persistmq_core.lanes import Lanes
from tests.support.world import World
from tests.support.write_list_store import WriteListStore

GATHER_MS = 5


def begun(gather_ms: int = GATHER_MS, count: int = 4, **options: object) -> World:
    """``count`` messages of QoS 2 are on the wire, and each ``step`` reads one acknowledgement."""
    world = World(gather_ms=gather_ms, checkpoint_delay_ms=1000, **options).online()
    world.publish_many(count, 2)
    world.step()
    world.link.acks_per_receive = 1
    world.saves = world.store.calls["replace"]
    return world


def saves(world: World) -> int:
    return world.store.calls["replace"] - world.saves


class GatherTest(unittest.TestCase):
    def test_one_checkpoint_serves_all_that_come_in_time(self):
        world = begun()
        for _ in range(3):
            self.assertTrue(0 < world.step() <= GATHER_MS)
            self.assertEqual((saves(world), world.sent(packets.PUBREL)), (0, []))
        world.step()
        self.assertEqual((saves(world), len(world.sent(packets.PUBREL))), (1, 4))

    def test_without_it_each_is_stored_as_it_comes(self):
        world = begun(0)
        for count in range(1, 4):
            world.step()
            self.assertEqual(saves(world), count)

    def test_what_does_not_come_is_not_waited_for_longer(self):
        world = begun()
        world.step()
        world.link.acks_per_receive = 0
        self.assertEqual(world.step(GATHER_MS - 1), 1)
        self.assertEqual(saves(world), 0)
        world.step(1)
        self.assertEqual((saves(world), len(world.sent(packets.PUBREL))), (1, 1))

    def test_the_next_ones_have_their_own_time(self):
        world = begun()
        world.step()
        world.step(GATHER_MS)
        self.assertEqual(saves(world), 1)
        self.assertEqual(world.step(), GATHER_MS)
        self.assertEqual(saves(world), 1)

    def test_the_last_one_waits_for_nothing(self):
        world = begun(count=1)
        world.step()
        self.assertEqual(len(world.sent(packets.PUBREL)), 1)

    def test_what_is_urgent_takes_them_along(self):
        world = begun()
        world.step()
        world.engine.delivery.refuse(4, 0x80)
        world.step()
        self.assertEqual((saves(world) > 0, world.account("refused")), (True, 1))
        self.assertEqual(len(world.sent(packets.PUBREL)), 2)

    def test_a_port_is_not_told_to_come_at_once_while_the_link_takes_nothing(self):
        world = begun(send_bytes=20)
        world.step()
        world.link.busy_percent = 100
        world.publish_many(3, 1)
        for _ in range(20):
            wait_ms = world.step(1)
        self.assertTrue(wait_ms > 0)

    def test_the_end_of_a_connection_ends_the_waiting(self):
        world = begun()
        world.step()
        world.link.acks_per_receive = None
        world.link.cut()
        world.run(10000)
        self.assertEqual(sorted(world.arrived()), [b"0", b"1", b"2", b"3"])
        self.assertEqual((world.account("waiting"), world.violations()), (0, []))

    def test_two_lanes_share_the_waiting(self):
        world = World(gather_ms=GATHER_MS, lanes=Lanes(WriteListStore(), "in_order"), window_qos2=8).online()
        world.publish_many(4, 2)
        world.run(100)
        world.publish_many(4, 2)
        world.step()
        world.link.acks_per_receive = 1
        world.saves = world.store.calls["replace"]
        for _ in range(3):
            world.step()
        self.assertEqual(saves(world), 0)
        world.step()
        self.assertEqual(saves(world), 1)

    def test_how_long_is_checked(self):
        for wrong in (-1, 0.5, "1"):
            with self.assertRaises(ValueError):
                World(gather_ms=wrong)
