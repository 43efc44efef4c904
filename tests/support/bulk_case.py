"""One engine that makes bundles, with all that is around it, for the tests of it."""

import unittest

from persistmq_core import packets
from persistmq_core.bulk_options import Bulk
from persistmq_core.bundles import COUNT
from persistmq_core.checkpoint import NAMES
from persistmq_core.contracts import Clock
from persistmq_core.slots import decode

from . import mqtt_wire as wire
from .unbundle import messages_of
from .world import World

REWRITE = "bulk"
NOON_MS = 1_700_000_000_000


def bulk(count=5, form="simple", bytes_max=4096, rewrite=REWRITE):
    return Bulk(count, rewrite, form, bytes_max, "me")


class Watch(Clock):
    def unix_ms(self):
        return NOON_MS + self.world.now_ms


class Bulky(World):
    """Publishes under t/0, t/1 ...; the payload is the number. Bundles of five, unless ``bulk`` says otherwise."""

    def __init__(self, protocol=4, **options):
        watch = Watch()
        watch.world = self
        options.setdefault("bulk", bulk())
        super().__init__(protocol, clock=watch, **options)
        self.broker.bundles = REWRITE

    def send(self, count, qos=2, retain=False, size=0, expires_s=0, topic="t/%d"):
        """One group; the first number."""
        first = self.engine.spool.next_seq
        if not count:
            return first
        for seq in range(first, first + count):
            name = topic % (seq % 3) if "%" in topic else topic
            payload = b"%d" % seq + b"." * size
            self.engine.spool.stage(name, payload, qos, retain, NOON_MS + self.now_ms, expires_s)
        self.store_staged()
        return first

    def numbers(self):
        """What subscribers saw, in order."""
        return [int(bytes(message[1]).rstrip(b".")) for message in self.broker.deliveries]

    def shapes(self, kind=packets.PUBLISH):
        """(identifier, DUP, numbers) of each PUBLISH that went out."""
        found = []
        for packet in self.sent(kind):
            first_byte, body, end = packets.split(packet)
            topic, payload, qos, retain, dup, identifier = wire.read_publish(
                first_byte, packet[body:end], self.protocol
            )
            held = messages_of((topic, payload, qos, retain), REWRITE)
            found.append((identifier, dup, [int(each[1].rstrip(b".")) for each in held]))
        return found

    def sizes(self):
        return [len(numbers) for _, _, numbers in self.shapes()]

    def ranges(self):
        """Of the bundles in flight: {first: count}."""
        return {first: entry & COUNT for first, entry in self.engine.delivery._ranges.items()}

    def stored(self):
        """The newest checkpoint on storage."""
        found = [decode(self.store.snapshot()[name]) for name in NAMES if name in self.store.snapshot()]
        return max([state for state in found if state is not None], key=lambda state: state.generation)


class BulkCase(unittest.TestCase):
    def check(self, world, *settled):
        """All is delivered, in order, but for ``settled``: (refused, damaged)."""
        accounts = world.engine.accounts()
        refused, damaged = settled or (0, 0)
        self.assertEqual((accounts["waiting"], accounts["refused"], accounts["damaged"]), (0, refused, damaged))
        gone = accounts["expired"] + accounts["evicted"]
        self.assertEqual(accounts["delivered"] + refused + damaged + gone, accounts["accepted"])
        self.assertEqual(world.violations(), [])
        self.assertEqual(world.engine.delivery._ranges, {})
