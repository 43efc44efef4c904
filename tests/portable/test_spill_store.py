"""Files in RAM in front of a disk: what is kept, what is written when, and what a power cut leaves."""

import unittest

from persistmq_core import checkpoint as checkpoints
from persistmq_core import slots
from persistmq_core.checkpoint import Checkpoint
from persistmq_core.segment import segment_name
from persistmq_core.spill_store import ENTERING, IN_RAM, LEAVING, STORED, RamFile, SpillStore
from tests.support.write_list_store import EIO, ENOSPC, WriteListStore

OLDER = segment_name(1, 9)
OLD = segment_name(2, 9)
NEW = segment_name(5, 9)
NEXT = segment_name(8, 9)
WRITES = ("append", "sync", "replace", "remove", "move")


def written(disk):
    """How many calls changed something."""
    return sum([disk.calls.get(call, 0) for call in WRITES])


def state_of(generation, cursor=5, sent_bound=40, session_known=True):
    state = Checkpoint(9, 8)
    state.generation = generation
    state.cursor = cursor
    state.sent_bound = sent_bound
    state.delivered = cursor - 1
    state.session_known = session_known
    return state


class SpillStoreCase(unittest.TestCase):
    def setUp(self):
        self.disk = WriteListStore()
        self.store = SpillStore(self.disk, 2048, numbers=100)

    def read(self, name, offset=0, count=100):
        buffer = bytearray(count)
        return bytes(buffer[: self.store.read(name, offset, memoryview(buffer))])

    def write(self, name):
        self.store.append(name, b"content")
        self.store.sync(name)

    def save(self, state):
        checkpoints.save(self.store, state)

    def in_ram(self):
        """A file on storage, one in RAM, checkpoints in RAM; the state that the last of them has."""
        self.store.append(OLD, b"old")
        self.store.sync(OLD)
        state = state_of(2)
        self.save(state)
        self.store.keep_appends()
        self.store.append(NEW, b"new")
        self.store.sync(NEW)
        self.store.keep_checkpoints()
        self.save(state)
        self.save(state)
        self.store.entered()
        return state

    def durable(self):
        return slots.load(self.disk)[0]


class StoredTest(SpillStoreCase):
    def test_at_first_it_is_the_store_behind_it(self):
        self.store.append(OLD, b"a")
        self.store.append(OLD, b"b")
        self.store.sync(OLD)
        self.store.replace("checkpoint.0", b"c")
        self.store.replace("dead/1", b"d")
        self.assertTrue(self.disk.is_synced(OLD))
        self.assertEqual((self.read(OLD), self.store.size(OLD)), (b"ab", 2))
        self.assertEqual(self.store.list("journal"), [OLD])
        self.store.move(OLD, "quarantine/x")
        self.store.remove("quarantine/x")
        self.store.spill()
        self.assertEqual(sorted(self.disk.snapshot()), ["checkpoint.0", "dead/1"])
        self.assertEqual(self.store.free_bytes(), self.disk.free_bytes())
        self.assertEqual(self.store.spills, 0)

    def test_its_bounds(self):
        for wrong in (2047, 1 << 31, 4096.0, "4096", None):
            with self.assertRaises(ValueError) as caught:
                SpillStore(self.disk, wrong)
            self.assertTrue("spill_bytes must be a whole number from 2048 to 1073741824" in str(caught.exception))

    def test_a_lock_is_held_for_each_append(self):
        held = []

        class Lock:
            def __enter__(self):
                held.append(True)

            def __exit__(self, *_):
                held.append(False)

        store = SpillStore(self.disk, 2048, Lock())
        store.append(OLD, b"a")
        self.assertEqual(held, [True, False])


class EnteringTest(SpillStoreCase):
    def test_a_new_file_is_kept_and_the_one_that_grows_goes_on_where_it_is(self):
        self.store.append(OLD, b"a")
        self.store.keep_appends()
        self.assertEqual((self.store.state, self.store.first_seq), (ENTERING, 0))
        self.store.append(OLD, b"b")
        self.store.sync(OLD)
        self.store.append(NEW, b"c")
        self.store.append(NEW, bytearray(b"d"))
        self.store.sync(NEW)
        self.assertEqual(self.disk.snapshot(), {OLD: b"ab"})
        self.assertTrue(self.disk.is_synced(OLD))
        self.assertEqual((self.store.first_seq, self.store.ram_bytes), (5, 2))
        self.assertEqual((self.read(OLD), self.read(NEW), self.store.size(NEW)), (b"ab", b"cd", 2))
        self.assertEqual(sorted(self.store.list("journal")), [OLD, NEW])
        self.assertEqual(self.store.list("dead"), [])
        self.assertEqual(self.store.free_bytes(), self.disk.free_bytes() - 2)

    def test_what_is_kept_is_held_and_kept_back(self):
        self.store.keep_appends()
        self.store.append(NEW, b"c")
        self.assertEqual([self.store.holds(seq) for seq in (4, 5, 6)], [False, True, True])
        self.assertEqual([self.store.keeps_back(seq) for seq in (4, 5, 6)], [False, True, True])
        self.store.spill()
        self.assertEqual([self.store.holds(5), self.store.keeps_back(5)], [False, False])

    def test_a_file_that_is_no_segment_is_kept_as_well(self):
        self.store.keep_appends()
        self.store.append("journal/x", b"c")
        self.assertEqual((self.store.first_seq, self.read("journal/x")), (0, b"c"))

    def test_checkpoints_still_go_to_storage(self):
        self.store.keep_appends()
        self.save(state_of(2))
        self.assertEqual(self.durable().generation, 3)
        self.store.append(NEW, b"c")
        self.store.spill()
        self.assertEqual((self.store.state, self.disk.calls["replace"]), (STORED, 1))
        self.assertTrue(self.disk.is_synced(NEW))
        self.assertEqual(self.store.needs_checkpoint, False)

    def test_it_may_be_left_before_the_first_checkpoint_is_kept(self):
        self.store.keep_appends()
        self.store.append(NEW, b"c")
        self.store.keep_checkpoints()
        self.store.spill()
        self.assertEqual((self.store.state, self.disk.snapshot()), (STORED, {NEW: b"c"}))
        self.store.keep_checkpoints()
        self.assertEqual(self.store.state, STORED)


class InRamTest(SpillStoreCase):
    def test_storage_says_that_numbers_are_used_up(self):
        state = self.in_ram()
        self.assertEqual((self.store.state, state.generation), (IN_RAM, 5))
        for name in checkpoints.NAMES:
            found = slots.decode(self.disk.snapshot()[name])
            self.assertEqual((found.cursor, found.sent_bound, found.session_known), (140, 140, False))
            self.assertEqual((found.delivered, found.skipped, sum(found.places)), (4, 135, 0))
        self.assertEqual(self.durable().generation, 4)

    def test_nothing_more_is_written(self):
        state = self.in_ram()
        before = written(self.disk)
        for _ in range(50):
            self.store.append(NEW, b"n")
            self.store.sync(NEW)
            self.save(state)
        self.assertEqual(written(self.disk), before)

    def test_the_next_block_is_used_up_when_the_bound_comes_there(self):
        state = self.in_ram()
        before = written(self.disk)
        state.cursor, state.sent_bound, state.delivered = 90, 140, 89
        self.save(state)
        self.assertEqual(written(self.disk), before)
        state.sent_bound = 141
        self.save(state)
        self.assertEqual(written(self.disk), before + 2)
        self.assertEqual((self.durable().cursor, self.durable().delivered), (241, 89))

    def test_numbers_that_were_evicted_ahead_are_used_up_too(self):
        state = self.in_ram()
        state.sent_bound = 141
        state.evicted_first, state.evicted_end, state.evicted = 200, 1000, 800
        self.save(state)
        found = self.durable()
        self.assertEqual((found.cursor, found.evicted_end, found.skipped), (1100, 0, 1099 - 804))

    def test_a_block_that_cannot_be_written_is_an_error_and_is_tried_again(self):
        state = self.in_ram()
        state.sent_bound = 141
        for skip in (0, 1):
            self.disk.fail_next("replace", EIO, skip=skip)
            self.assertRaises(OSError, self.save, state)
        self.save(state)
        self.assertEqual(self.durable().cursor, 241)

    def test_numbers_of_records_that_are_about_to_be_written_are_used_up_first(self):
        class Spool:
            next_seq = 140

        self.in_ram()
        self.store.spool = Spool()
        before = self.disk.calls["replace"]
        self.disk.fail_next("append", EIO)
        self.assertRaises(OSError, self.store.spill)
        self.assertEqual((self.disk.calls["replace"], self.durable().cursor), (before, 140))
        self.store.spool.next_seq = 141
        for call in ("replace", "append"):
            self.disk.fail_next(call, EIO)
            self.assertRaises(OSError, self.store.spill)
        self.assertEqual((self.store.state, self.durable().cursor), (IN_RAM, 241))
        self.store.spill()
        self.assertEqual((self.store.state, self.durable().cursor), (STORED, 5))

    def test_dead_letters_go_to_storage(self):
        self.in_ram()
        self.store.replace("dead/1", b"d")
        self.assertEqual(self.disk.snapshot()["dead/1"], b"d")

    def test_what_failed_on_storage_is_removed_at_once(self):
        for call in ("append", "sync"):
            self.setUp()
            self.disk.fail_next(call, EIO, short=2)
            self.assertRaises(OSError, self.write, OLD)
            self.store.append(OLDER, b"older")
            self.store.keep_appends()
            self.store.remove(OLD)
            self.assertEqual(self.disk.list("journal"), [OLDER])

    def test_a_file_that_the_other_thread_writes_while_the_names_are_read_is_among_them(self):
        """In neither place, its messages would count as damaged."""
        for is_before in (True, False):
            self.setUp()
            self.in_ram()
            real = self.disk.list

            def meanwhile(folder, is_before=is_before, real=real):
                found = [] if is_before else real(folder)
                if self.store.state != STORED:
                    self.store.spill()
                return real(folder) if is_before else found

            self.disk.list = meanwhile
            self.assertEqual(sorted(self.store.list("journal")), [OLD, NEW])

    def test_files_of_both_kinds_are_removed(self):
        self.store.append(OLDER, b"older")
        self.in_ram()
        self.store.remove(OLDER)
        self.store.append(NEXT, b"next")
        self.store.remove(NEW)
        self.assertEqual((sorted(self.store.list("journal")), self.store.ram_bytes), ([OLD, NEXT], 4))
        self.assertEqual([name for name in self.disk.snapshot() if name.startswith("journal")], [OLD])
        self.assertEqual((self.store.size("checkpoint.0"), self.read("checkpoint.0", 0, 4)), (102, b"PMQC"))

    def test_the_last_file_on_storage_stays_until_there_is_another(self):
        self.in_ram()
        before = written(self.disk)
        self.store.remove(OLD)
        self.assertEqual((written(self.disk), self.store.list("journal")), (before, [NEW]))
        self.assertRaises(OSError, self.store.size, OLD)
        self.assertRaises(OSError, self.read, OLD)
        self.disk.fail_next("remove", EIO, times=2)
        self.store.tidy()
        self.store.spill()
        self.store.tidy()
        self.assertEqual(sorted(self.disk.list("journal")), [OLD, NEW])
        self.assertEqual(self.store.list("journal"), [NEW])
        self.store.append(NEXT, b"next")
        self.store.keep_appends()
        self.assertRaises(OSError, self.store.remove, NEXT)
        self.store.remove(NEXT)
        self.assertEqual((self.store.list("journal"), sorted(self.disk.list("journal"))), ([NEW], [NEW, NEXT]))
        self.store.spill()
        self.store.tidy()
        self.assertEqual(self.disk.list("journal"), [NEW])

    def test_a_file_on_storage_that_is_moved_is_moved(self):
        self.in_ram()
        self.store.move(OLD, "quarantine/x")
        self.assertEqual((self.store.state, self.disk.snapshot()["quarantine/x"]), (IN_RAM, b"old"))

    def test_a_file_that_is_moved_is_written_first(self):
        self.in_ram()
        self.store.move(NEW, "quarantine/x")
        self.assertEqual((self.store.state, self.disk.snapshot()["quarantine/x"]), (STORED, b"new"))


class SpillTest(SpillStoreCase):
    def test_files_are_synced_before_the_checkpoint_and_both_slots_are_written(self):
        state = self.in_ram()
        self.store.append(NEXT, b"n")
        order = []
        real = self.disk._begin

        def begin(call, name, argument=b""):
            if call in WRITES:
                order.append((call, name))
            return real(call, name, argument)

        self.disk._begin = begin
        self.store.spill()
        self.assertEqual(
            order,
            [("append", NEW), ("sync", NEW), ("append", NEXT), ("sync", NEXT)]
            + [("replace", "checkpoint.1"), ("replace", "checkpoint.0")]  # the newer one first,
        )
        self.assertEqual((self.store.state, self.store.spills), (STORED, 1))
        self.assertEqual((self.store.ram_bytes, self.store.needs_checkpoint), (0, False))
        found = self.durable()
        self.assertEqual((found.generation, found.cursor, found.session_known), (state.generation, 5, True))
        self.assertEqual(self.disk.snapshot()[NEW], b"new")
        self.store.append(NEW, b"er")
        self.store.sync(NEW)
        self.assertEqual(self.read(NEW), b"newer")

    def test_what_does_not_fit_writes_all_and_goes_to_storage_itself(self):
        for size in (2046, 5000):
            self.setUp()
            self.in_ram()
            self.store.append(NEW, b"x" * 2000)
            self.assertEqual(self.store.state, IN_RAM)
            self.store.append(NEXT, b"y" * size)
            self.assertEqual((self.store.state, self.store.has_appended), (STORED, True))
            self.assertEqual(self.disk.snapshot()[NEXT], b"y" * size)
            self.assertEqual(len(self.disk.snapshot()[NEW]), 2003)

    def test_when_nothing_more_is_to_be_kept_the_next_append_writes_all(self):
        self.in_ram()
        self.store.keeps_no_more = True
        self.store.append(NEW, b"er")
        self.assertEqual((self.store.state, self.disk.snapshot()[NEW]), (STORED, b"newer"))

    def test_a_heap_that_is_full_is_ram_that_is_full(self):
        self.in_ram()

        def add(view):
            raise MemoryError

        self.store._files[NEW].add = add
        self.store.append(NEW, b"er")
        self.assertEqual((self.store.state, self.disk.snapshot()[NEW]), (STORED, b"newer"))

    def test_a_disk_that_fails_loses_nothing_and_what_fits_is_still_kept(self):
        for call in ("append", "sync"):
            self.setUp()
            self.in_ram()
            self.disk.fail_next(call, ENOSPC, short=2, times=2)
            self.assertRaises(OSError, self.store.spill)
            self.assertEqual((self.store.state, self.read(NEW)), (IN_RAM, b"new"))
            self.store.append(NEW, b"er")
            self.assertRaises(OSError, self.store.append, NEXT, b"x" * 2048)
            self.assertEqual(self.read(NEW), b"newer")
            self.store.spill()
            self.assertEqual(self.disk.snapshot()[NEW], b"newer")
            self.assertEqual(self.disk.violations, [])

    def test_files_that_were_written_before_the_disk_failed_are_not_written_again(self):
        self.in_ram()
        self.store.append(NEXT, b"next")
        self.disk.fail_next("append", ENOSPC, name=NEXT, times=2)
        self.assertRaises(OSError, self.store.spill)
        self.assertRaises(OSError, self.store.spill)
        self.store.append(NEW, b"er")
        appended = self.disk.bytes_appended
        self.store.spill()
        self.assertEqual(self.disk.bytes_appended - appended, len(b"er") + len(b"next"))
        self.assertEqual((self.disk.snapshot()[NEW], self.disk.snapshot()[NEXT]), (b"newer", b"next"))

    def test_a_file_that_was_written_in_vain_is_removed_with_its_twin(self):
        self.in_ram()
        self.store.append(NEXT, b"next")
        self.disk.fail_next("append", ENOSPC, name=NEXT, short=1)
        self.assertRaises(OSError, self.store.spill)
        self.store.remove(NEW)
        self.store.remove(NEXT)
        self.assertEqual([name for name in self.disk.snapshot() if name.startswith("journal")], [OLD])

    def test_while_the_checkpoint_cannot_be_written_nothing_is_accepted(self):
        state = self.in_ram()
        self.disk.fail_next("replace", EIO, times=2)
        self.assertRaises(OSError, self.store.spill)
        self.assertEqual((self.store.state, self.store.holds(5)), (LEAVING, True))
        self.assertRaises(OSError, self.store.append, NEW, b"er")
        self.assertEqual((self.read(NEW), self.store.size(NEW)), (b"new", 3))
        self.assertEqual(self.durable().cursor, 140)
        self.save(state)
        self.assertEqual((self.store.state, self.durable().cursor, self.store.needs_checkpoint), (STORED, 5, True))
        self.store.append(NEW, b"er")
        self.assertEqual(self.disk.snapshot()[NEW], b"newer")

    def test_the_next_append_tries_the_checkpoint_again(self):
        self.in_ram()
        self.disk.fail_next("replace", EIO)
        self.assertRaises(OSError, self.store.spill)
        self.store.append(NEW, b"er")
        self.assertEqual((self.store.state, self.durable().cursor), (STORED, 5))

    def test_the_second_copy_may_fail(self):
        self.in_ram()
        self.disk.fail_next("replace", EIO, skip=1)
        self.store.spill()
        self.assertEqual((self.store.state, self.store.needs_checkpoint), (STORED, True))

    def test_where_one_checkpoint_was_kept_both_slots_say_the_same(self):
        self.store.keep_appends()
        self.store.append(NEW, b"c")
        self.store.keep_checkpoints()
        self.save(state_of(2))
        self.store.spill()
        self.assertEqual((self.store.needs_checkpoint, self.durable().cursor), (False, 5))
        self.assertEqual(slots.load(self.disk)[0].older_cursor, 5)

    def test_where_the_first_that_is_kept_fails_the_next_checkpoint_is_newer_than_both_slots_or_all_there_is(self):
        state = state_of(2)
        self.save(state)
        self.store.keep_appends()
        self.store.append(NEW, b"c")
        self.store.keep_checkpoints()
        self.disk.fail_next("replace", EIO, short=9)
        self.assertRaises(OSError, self.save, state)
        self.store.spill()
        self.assertEqual((self.durable().cursor, slots.load(self.disk)[1]), (5, False))
        state.cursor = 6
        self.save(state)
        self.assertEqual(self.durable().cursor, 6)
        for name in checkpoints.NAMES:
            self.assertTrue(slots.decode(self.disk.snapshot()[name]).cursor in (5, 6))

    def test_a_heap_with_holes_writes_piece_by_piece(self):
        self.in_ram()
        self.store.append(NEW, b"er")
        self.store._files[NEW].whole = lambda: None
        before = self.disk.calls["append"]
        self.store.spill()
        self.assertEqual((self.disk.snapshot()[NEW], self.disk.calls["append"] - before), (b"newer", 2))

    def test_a_checkpoint_that_comes_while_the_other_side_writes_all_goes_to_storage(self):
        store = None

        class Lock:
            def __enter__(self):
                if store is not None and store.state == IN_RAM:
                    store._spill()

            def __exit__(self, *_):
                pass

        self.store = SpillStore(self.disk, 2048, Lock(), 100)
        state = self.in_ram()
        store = self.store
        self.save(state)
        self.assertEqual((store.state, self.durable().generation), (STORED, state.generation))

    def test_in_a_heap_with_holes_a_file_that_has_grown_is_written_anew(self):
        self.in_ram()
        self.store.append(NEXT, b"next")
        self.disk.fail_next("append", ENOSPC, name=NEXT)
        self.assertRaises(OSError, self.store.spill)
        self.store.append(NEW, b"er")
        self.store._files[NEW].whole = lambda: None
        self.store.spill()
        self.assertEqual(self.disk.snapshot()[NEW], b"newer")
        self.assertEqual(self.disk.violations, [])


class RamFileTest(unittest.TestCase):
    def test_a_heap_that_has_no_piece_large_enough(self):
        class Pieces:
            def __iter__(self):
                raise MemoryError

        file = RamFile()
        file.pieces = Pieces()
        self.assertEqual(file.whole(), None)

    def test_it_is_read_from_any_place_in_any_order(self):
        file = RamFile()
        content = bytes(range(60))
        for start, end in ((0, 1), (1, 1), (1, 20), (20, 33), (33, 60)):
            file.add(content[start:end])
        for offset in list(range(62)) + list(range(61, -1, -1)) + [0, 59, 3, 34, 33]:
            for count in (0, 1, 7, 60):
                buffer = bytearray(b"\xff" * count)
                found = file.read(offset, memoryview(buffer))
                self.assertEqual(bytes(buffer[:found]), content[offset : offset + count])

    def test_it_is_read_while_it_grows(self):
        file = RamFile()
        buffer = bytearray(4)
        for number in range(10):
            self.assertEqual(file.read(number, memoryview(buffer)), 0)
            file.add(bytes([number]))
            self.assertEqual((file.read(number, memoryview(buffer)), buffer[0]), (1, number))
