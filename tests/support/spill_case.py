"""A world with durability "spill", brought into the state that a test begins with."""

import unittest

from persistmq_core import slots
from persistmq_core.spill_store import IN_RAM
from tests.support.world import World

WRITES = ("append", "sync", "replace", "remove", "move")


class SpillCase(unittest.TestCase):
    def world(self, **options):
        options.setdefault("spill_bytes", 4096)
        return World(**options)

    def healthy(self, **options):
        """A world whose messages are kept in RAM, with three of them delivered and nothing waiting."""
        world = self.world(**options)
        world.online()
        world.publish(b"first", 2)
        world.run(1500)  # delivered, and the link was healthy for a second
        world.publish(b"second", 2)
        world.run(10)
        world.publish(b"third", 1)
        world.run(10)
        self.assertEqual((world.spill.state, world.arrived()), (IN_RAM, [b"first", b"second", b"third"]))
        return world

    def writes(self, world):
        return sum([world.store.calls.get(call, 0) for call in WRITES])

    def freeze(self, world):
        """Publish a message that gets no answer."""
        world.link.freeze()
        seq = world.publish(b"late", 2)
        world.step()
        return seq

    def durable(self, world):
        return slots.load(world.store)[0]
