"""A cache whose files went bad while nobody looked, from the start to the broker."""

import unittest
from binascii import crc32
from struct import pack

from persistmq_core.errors import FormatError
from persistmq_core.segment import JOURNAL
from tests.support import journal_files as files
from tests.support.rng import Rng
from tests.support.world import World

SIZE = 100  # of each payload


def payload(seq):
    return b"<%d>" % seq + b"." * SIZE


class DamageTestCase(unittest.TestCase):
    COUNT = 24

    def stopped(self, delivered=0, qos=2):
        """A world that went out with messages 1 to COUNT on its disk; the first ``delivered`` have been delivered."""
        world = World(window=4)
        for seq in range(1, self.COUNT + 1):
            if seq == delivered + 1:
                world.run(5000)
                world.broker.listening = False
                world.link.cut(0)
            world.publish(payload(seq), qos)
        world.run(1)
        world.die(False)
        world.broker.listening = True
        return world

    def segments(self, world):
        return sorted(world.store.list(JOURNAL))

    def deliver(self, world):
        """Start, deliver all there is; the numbers that arrived."""
        world.start()
        world.run(30000)
        known = {payload(seq): seq for seq in range(1, self.COUNT + 1)}
        found = [known[each] for each in world.arrived()]  # nothing is invented
        accounts = world.engine.accounts()
        parts = [accounts[name] for name in ("delivered", "expired", "evicted", "refused", "damaged")]
        self.assertEqual(accounts["waiting"], 0)
        self.assertEqual(sum(parts), accounts["accepted"])
        self.assertTrue(min(parts) >= 0, accounts)
        self.assertEqual(world.violations(), [])
        return found

    def works(self, world):
        """And it goes on as if nothing had been."""
        before = len(world.arrived())
        world.publish(payload(1), 2)
        world.run(5000)
        self.assertEqual(len(world.arrived()), before + 1)
        world.restart().run(5000)
        self.assertEqual(world.account("waiting"), 0)


class DamagedCacheTest(DamageTestCase):
    def test_an_undamaged_one_delivers_everything_once(self):
        for delivered in (0, 5, 20):
            world = self.stopped(delivered)
            self.assertEqual(self.deliver(world), list(range(1, self.COUNT + 1)))
            self.works(world)

    def test_a_damaged_byte_in_each_place_of_a_segment_costs_one_message(self):
        size = 240
        for at in range(0, size, 7):
            world = self.stopped()
            name = self.segments(world)[1]
            world.store.corrupt(name, at, bytes((world.store.snapshot()[name][at] ^ 0x5A,)))
            found = self.deliver(world)
            self.assertEqual(len(found), self.COUNT - (1 if at >= 32 else 0), at)
            self.assertEqual(found, sorted(found))
            self.assertEqual(world.account("damaged"), self.COUNT - len(found), at)

    def test_the_damaged_segment_is_kept_in_quarantine(self):
        world = self.stopped()
        name = self.segments(world)[1]
        world.store.corrupt(name, 100, b"\xff\xff")
        content = world.store.snapshot()[name]
        self.deliver(world)
        self.works(world)
        left = world.store.snapshot()
        self.assertIn(content, [left[each] for each in left if each.startswith("quarantine/")])

    def test_a_missing_segment_is_counted_as_damaged(self):
        for index in (0, 1, -1):
            world = self.stopped()
            world.store.remove(self.segments(world)[index])
            found = self.deliver(world)
            self.assertTrue(0 < len(found) < self.COUNT)
            if index != -1:  # without the last one nobody knows how many there were
                self.assertEqual(world.accounts()[0], self.COUNT)
                self.assertEqual(world.account("damaged"), self.COUNT - len(found))
            self.works(world)

    def test_a_journal_that_is_gone_leaves_the_accounts_in_order(self):
        for delivered in (0, 5, 20):
            world = self.stopped(delivered)
            for name in self.segments(world):
                world.store.remove(name)
            self.assertEqual(len(self.deliver(world)), delivered)
            self.works(world)

    def test_both_checkpoints_gone_sends_again_and_loses_nothing(self):
        for delivered in (0, 5, 20):
            world = self.stopped(delivered)
            for name in ("checkpoint.0", "checkpoint.1"):
                world.store.remove(name)
            found = self.deliver(world)
            self.assertEqual(sorted(set(found)), list(range(1, self.COUNT + 1)))
            self.assertEqual(world.account("damaged"), 0)
            self.works(world)

    def test_a_damaged_newest_checkpoint_loses_nothing(self):
        for delivered in (0, 5, 20):
            for name in ("checkpoint.0", "checkpoint.1"):
                world = self.stopped(delivered)
                world.store.corrupt(name, 40, b"\xff\xff\xff")
                found = self.deliver(world)
                self.assertEqual(sorted(set(found)), list(range(1, self.COUNT + 1)))
                self.assertEqual(world.account("damaged"), 0)
                self.works(world)

    def test_everything_gone_begins_anew(self):
        world = self.stopped(5)
        for name in list(world.store.snapshot()):
            world.store.remove(name)
        self.assertEqual(self.deliver(world), [1, 2, 3, 4, 5])
        self.assertEqual(world.accounts(), [0, 0, 0, 0, 0])
        self.works(world)

    def test_swapped_and_misnamed_segments_deliver_in_order(self):
        world = self.stopped()
        names = self.segments(world)
        content = world.store.snapshot()
        world.store.put(names[0], content[names[1]])
        world.store.put(names[1], content[names[0]])
        world.store.move(names[2], names[2].replace("journal/0", "journal/1"))
        self.assertEqual(self.deliver(world), list(range(1, self.COUNT + 1)))
        self.works(world)

    def test_a_duplicated_segment_is_delivered_once(self):
        world = self.stopped()
        names = self.segments(world)
        content = world.store.snapshot()
        world.store.put(names[1].replace("journal/0", "journal/1"), content[names[1]])
        world.store.put(names[2].replace(".seg", ".bad"), content[names[2]])
        self.assertEqual(self.deliver(world), list(range(1, self.COUNT + 1)))
        self.works(world)

    def test_a_segment_of_another_cache_is_never_delivered(self):
        world = self.stopped()
        # The same numbers and the next ones, so that they could be taken for ours.
        for first_seq in (1, self.COUNT + 1):
            files.put(world.store, first_seq, 3, cache_id=5)
        self.assertEqual(self.deliver(world), list(range(1, self.COUNT + 1)))
        self.assertEqual(len(world.store.list("quarantine")), 2)

    def test_empty_files_do_no_harm(self):
        world = self.stopped()
        for name in ("checkpoint.0", "dead/x", "quarantine/y", "journal/" + "f" * 16 + "-00000001.seg"):
            world.store.put(name, b"")
        found = self.deliver(world)
        self.assertEqual(sorted(set(found)), list(range(1, self.COUNT + 1)))
        self.works(world)

    def test_a_newer_disk_version_is_refused_and_nothing_is_touched(self):
        world = self.stopped(5)
        name = self.segments(world)[-1]
        header = bytearray(world.store.snapshot()[name][:28])
        header[4] = 2
        world.store.corrupt(name, 0, bytes(header) + pack("<I", crc32(header)))
        before = world.store.snapshot()
        with self.assertRaises(FormatError):
            world.start()
        self.assertEqual(world.store.snapshot(), before)


class AnyBytesTest(DamageTestCase):
    """Law 6: it always starts, it invents nothing, the accounts add up, and what is whole arrives."""

    def spoil(self, world, rng):
        names = sorted(world.store.snapshot())
        for _ in range(rng.between(1, 5)):
            name = rng.pick(names)
            size = len(world.store.snapshot().get(name, b""))
            kind = rng.below(6)
            if kind == 0:
                world.store.put(name, rng.garbage(rng.below(300)))
            elif kind == 1 and size:
                world.store.truncate(name, rng.below(size))
            elif kind == 2 and size:
                at = rng.below(size)
                world.store.corrupt(name, at, rng.garbage(min(size - at, rng.between(1, 60))))
            elif kind == 3 and name in world.store.snapshot():
                world.store.remove(name)
            elif kind == 4 and size:
                world.store.append(name, rng.garbage(rng.between(1, 60)))
            elif size:
                world.store.put(rng.pick(names), world.store.snapshot()[name])

    def test_whatever_bytes_lie_there(self):
        for seed in range(120):
            rng = Rng(seed)
            world = self.stopped(rng.pick((0, 0, 5, 20)))
            self.spoil(world, rng)
            try:
                self.deliver(world)
            except Exception as error:  # noqa: BLE001 - so that the seed is seen
                self.fail("seed %d: %r" % (seed, error))
            world.publish(payload(1), 1)
            world.run(10000)
            self.assertEqual(world.account("waiting"), 0, seed)
