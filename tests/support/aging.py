"""A world in which the time of day goes on, and what a test asks of messages that expire in it."""

import unittest

from persistmq_core.contracts import Clock
from tests.support.world import World

NOON_MS = 1_700_000_000_000


class Watch(Clock):
    """Shows the time of its world."""

    def unix_ms(self):
        return self.world.unix_ms()


class Aging(World):
    """The time of day goes on with the engine's; ``clock_ms`` is what it said when that was 0, or None."""

    clock_ms = NOON_MS

    def unix_ms(self):
        return 0 if self.clock_ms is None else self.clock_ms + self.now_ms

    def send(self, payload=b"p", qos=1, expires_s=0):
        seq = self.engine.spool.stage("t", payload, qos, False, self.unix_ms() or self.now_ms, expires_s)
        self.store_staged()
        return seq

    def step(self, after_ms=0):
        self.now_ms += after_ms
        self.link.tick(self.now_ms)
        return self.engine.step(self.now_ms)


class AgingCase(unittest.TestCase):
    def world(self, clock_ms=NOON_MS, **options):
        world = Aging(clock=Watch(), **options)
        world.options["clock"].world = world
        world.clock_ms = clock_ms
        world.step()
        return world

    def apart(self, **options):
        """There is no connection, and none comes."""
        world = self.world(**options)
        world.broker.listening = False
        world.link.cut()
        world.run(100)
        return world

    def settle(self, world):
        world.run(8000)
        self.assertEqual(world.account("waiting"), 0)
        self.assertEqual(world.violations(), [])

    def expired(self, world):
        return [seq for seq, account, _ in world.diary.drops if account == "expired"]
