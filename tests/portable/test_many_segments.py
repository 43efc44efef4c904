"""A cache with many segments: a start looks at those at both ends only, and what is wrong between is seen in time."""

from persistmq_core.many_segments import ManySegmentsReader
from persistmq_core.segment import JOURNAL, encode_header, segment_name
from tests.portable.test_recovery_damage import DamageTestCase
from tests.support.write_list_store import EIO

MANY = 5


class ManySegmentsTest(DamageTestCase):
    COUNT = 100

    def stopped(self):
        world = super().stopped()
        world.options["surveyed_max"] = MANY
        return world

    def names(self, world):
        found = self.segments(world)
        self.assertTrue(len(found) > 2 * MANY)
        return found

    def all_delivered(self, world):
        self.assertEqual(self.deliver(world), list(range(1, self.COUNT + 1)))
        self.assertEqual(world.violations(), [])
        self.works(world)

    def is_believed(self, world):
        """The names were; and the start has come so far."""
        return isinstance(world.engine.delivery.reader, ManySegmentsReader)

    def test_a_start_makes_no_more_calls_for_more_segments(self):
        for count in (self.COUNT, 2 * self.COUNT):
            self.COUNT = count
            world = self.stopped()
            self.names(world)
            world.store.calls.clear()
            world.start()
            world.engine.delivery.reader.peek(1, count + 1, world.engine.journal.active_seq, 0)
            self.assertTrue(self.is_believed(world))
            self.assertTrue(sum(world.store.calls.values()) < 35)  # most of them for the end of the last one

    def test_few_are_looked_at_all(self):
        world = self.stopped()
        world.start(surveyed_max=len(self.names(world)))
        self.assertFalse(self.is_believed(world))

    def test_the_backlog_is_delivered_in_order(self):
        world = self.stopped()
        world.start()
        self.assertTrue(self.is_believed(world))
        self.all_delivered(world)

    def test_held_bytes_are_those_of_all_files(self):
        world = self.stopped()
        sizes = sum([len(content) for name, content in world.store.snapshot().items() if name.startswith(JOURNAL)])
        world.start()
        self.assertTrue(self.is_believed(world))
        self.assertEqual(world.engine.held_bytes(), sizes)
        self.assertEqual(world.engine.held_bytes(), sizes)
        self.all_delivered(world)
        self.is_all_that_is_there(world)

    def test_held_bytes_are_right_also_if_nobody_asks_before_they_go(self):
        world = self.stopped()
        world.start()
        self.all_delivered(world)
        self.is_all_that_is_there(world)

    def is_all_that_is_there(self, world):
        sizes = [len(content) for name, content in world.store.snapshot().items() if name.startswith(JOURNAL)]
        self.assertEqual(world.engine.held_bytes(), sum(sizes))

    def test_large_payloads_are_counted_with_them(self):
        world = self.stopped()
        world.broker.listening = False
        world.start(inline_bytes_max=150)
        world.publish(b"x" * 200, 2)
        world.die(False).start()
        self.assertTrue(self.is_believed(world))
        world.broker.listening = True
        world.run(30000)
        self.assertEqual((world.account("waiting"), len(world.arrived())), (0, self.COUNT + 1))
        self.is_all_that_is_there(world)

    def test_a_size_that_does_not_read_is_an_error_and_is_asked_again(self):
        world = self.stopped().start()
        world.store.fail_next("size", 24)  # too many open files
        with self.assertRaises(OSError):
            world.engine.held_bytes()
        self.assertTrue(world.engine.held_bytes() > 0)

    def test_two_threads_may_ask_for_it(self):
        world = self.stopped().start()
        reader = world.engine.delivery.reader
        sizes = reader.found_bytes()
        # One was in the middle of it, while the other was done and removed a segment.
        reader._unsized = _Vanishing(reader, self.segments(world)[3])
        self.assertEqual(reader.found_bytes(), sizes)

    def test_two_names_that_were_exchanged(self):
        world = self.stopped()
        names = self.names(world)
        content = world.store.snapshot()
        world.store.put(names[4], content[names[6]])
        world.store.put(names[6], content[names[4]])
        world.start()
        self.assertTrue(self.is_believed(world))
        self.all_delivered(world)

    def test_what_is_missing_may_have_another_name(self):
        world = self.stopped()
        names = self.names(world)
        # Its number is one of those in another segment.
        other = int(names[6].split("/")[1][:16], 16) + 1
        world.store.move(names[4], segment_name(other, world.engine.delivery.checkpoint.cache_id))
        world.start()
        self.assertTrue(self.is_believed(world))
        self.all_delivered(world)

    def test_what_is_missing_is_lost(self):
        world = self.stopped()
        names = self.names(world)
        first, end = [int(name.split("/")[1][:16], 16) for name in names[4:6]]
        world.store.remove(names[4])
        world.start()
        self.assertTrue(self.is_believed(world))
        found = self.deliver(world)
        self.assertEqual(found, list(range(1, first)) + list(range(end, self.COUNT + 1)))
        self.assertEqual(world.account("damaged"), end - first)

    def test_a_foreign_header_in_the_middle_is_set_aside(self):
        world = self.stopped()
        names = self.names(world)
        content = bytearray(world.store.snapshot()[names[4]])
        first, end = [int(name.split("/")[1][:16], 16) for name in names[4:6]]
        content[:32] = encode_header(first, 1000, 77)
        world.store.put(names[4], content)
        world.start()
        self.assertTrue(self.is_believed(world))
        found = self.deliver(world)
        self.assertEqual(found, list(range(1, first)) + list(range(end, self.COUNT + 1)))
        self.assertEqual(world.account("damaged"), end - first)
        self.assertEqual(len(world.store.list("quarantine")), 1)

    def test_damage_in_the_middle_costs_what_it_hits(self):
        world = self.stopped()
        names = self.names(world)
        first = int(names[4].split("/")[1][:16], 16)
        world.store.corrupt(names[4], 60, b"\xff\xff")
        world.start()
        self.assertTrue(self.is_believed(world))
        found = self.deliver(world)
        self.assertEqual(found, [seq for seq in range(1, self.COUNT + 1) if seq != first])
        self.is_all_that_is_there(world)

    def test_names_that_look_odd_and_ends_that_do_not_read_make_it_look_at_all(self):
        for odd in ("foreign", "moving", "twice", "first", "last"):
            world = self.stopped()
            names = self.names(world)
            content = world.store.snapshot()
            if odd == "foreign":
                world.store.put(segment_name(5, 99), content[names[5]])
            elif odd == "moving":
                world.store.move(names[5], names[5] + ".moving")
            elif odd == "twice":
                world.store.put(names[5][:-3] + "bad", content[names[5]])
            else:
                world.store.corrupt(names[1 if odd == "first" else -2], 9, b"\xff")
            world.start()
            self.assertFalse(self.is_believed(world), odd)
            self.all_delivered(world)

    def test_what_is_behind_the_cursor_is_not_removed_under_a_wrong_name(self):
        world = self.stopped()
        names = self.names(world)
        content = world.store.snapshot()
        # Power kept the first ones from being removed, and one of these has the bytes of one that was not delivered.
        world.store.put(names[2], content[names[6]])
        world.store.put(names[6], content[names[2]])
        world.start()
        self.assertTrue(self.is_believed(world))
        reader = world.engine.delivery.reader
        reached = int(names[4].split("/")[1][:16], 16)
        with self.assertRaises(OSError):
            reader.reclaim(reached)
        reader._list()
        reader.reclaim(reached)
        self.assertEqual(world.store.snapshot()[names[6]], content[names[6]])

    def test_a_header_that_does_not_read_when_it_is_to_be_removed_keeps_nobody(self):
        world = self.stopped()
        names = self.names(world)
        world.start()
        world.store.fail_next("read", EIO, times=None, name=names[2])
        world.engine.delivery.reader.reclaim(int(names[4].split("/")[1][:16], 16))
        self.assertEqual(self.segments(world), names[4:])

    def test_what_is_wrong_for_a_while_only_delays_a_removal(self):
        world = self.stopped()
        names = self.names(world)
        world.start()
        reader = world.engine.delivery.reader
        world.store.fail_next("read", 24, name=names[2])  # too many open files
        with self.assertRaises(OSError):
            reader.reclaim(int(names[4].split("/")[1][:16], 16))
        self.assertTrue(names[2] in self.segments(world))

    def test_files_that_are_not_ours_do_not_count(self):
        world = self.stopped()
        self.names(world)
        world.store.put("journal/readme.txt", b"not ours")
        world.start()
        self.assertTrue(self.is_believed(world))
        self.all_delivered(world)


class _Vanishing:
    """The names to size, while another thread has done it."""

    def __init__(self, reader: ManySegmentsReader, name: str) -> None:
        self._name = name + ".gone"
        self._reader = reader

    def __iter__(self):
        self._reader._unsized = []
        return iter([self._name])
