"""The disk that loses what was not synced."""

import unittest

from tests.support.rng import Rng
from tests.support.write_list_store import EIO, ENOENT, ENOSPC, ContractBroken, PowerCut, WriteListStore

SEEDS = range(150)


def after_cut(prepare, name="journal/1.seg", seeds=SEEDS):
    """What can stand in ``name`` after a power cut (None: no such file), over many seeds."""
    found = set()
    for seed in seeds:
        store = WriteListStore()
        try:
            prepare(store)
        except PowerCut:
            pass
        found.add(store.power_up(Rng(seed)).snapshot().get(name))
    return found


def whole(store, name):
    buffer = bytearray(store.size(name))
    store.read(name, 0, memoryview(buffer))
    return bytes(buffer)


class CallsTest(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()

    def test_what_was_appended_reads_back_before_any_sync(self):
        self.store.append("journal/1.seg", b"abc")
        self.store.append("journal/1.seg", memoryview(b"def"))
        self.assertEqual(whole(self.store, "journal/1.seg"), b"abcdef")

    def test_a_read_is_short_only_at_the_end_of_the_file(self):
        self.store.append("journal/1.seg", b"abcdef")
        buffer = bytearray(4)
        self.assertEqual(self.store.read("journal/1.seg", 1, memoryview(buffer)), 4)
        self.assertEqual(buffer, b"bcde")
        self.assertEqual(self.store.read("journal/1.seg", 5, memoryview(buffer)), 1)
        self.assertEqual(self.store.read("journal/1.seg", 9, memoryview(buffer)), 0)

    def test_list_gives_full_names_of_one_folder_only(self):
        for name in ("journal/1.seg", "journal/2.seg", "dead/1.msg", "checkpoint.0"):
            self.store.append(name, b"x")
        self.assertEqual(sorted(self.store.list("journal")), ["journal/1.seg", "journal/2.seg"])
        self.assertEqual(self.store.list(""), ["checkpoint.0"])
        self.assertEqual(self.store.list("quarantine"), [])

    def test_an_absent_file_is_enoent_in_every_call(self):
        store = self.store
        for call in (
            lambda: store.size("a"),
            lambda: store.read("a", 0, memoryview(bytearray(1))),
            lambda: store.sync("a"),
            lambda: store.move("a", "b"),
            lambda: store.remove("a"),
        ):
            with self.assertRaises(OSError) as caught:
                call()
            self.assertEqual(caught.exception.errno, ENOENT)

    def test_replace_move_and_remove_do_what_they_say(self):
        self.store.replace("checkpoint.0", b"old")
        self.store.replace("checkpoint.0", b"new!")
        self.store.move("checkpoint.0", "quarantine/checkpoint.0")
        self.assertEqual(self.store.snapshot(), {"quarantine/checkpoint.0": b"new!"})
        self.store.remove("quarantine/checkpoint.0")
        self.assertEqual(self.store.snapshot(), {})

    def test_a_move_onto_a_file_is_a_bug_of_the_caller(self):
        self.store.replace("a", b"1")
        self.store.replace("b", b"2")
        with self.assertRaises(ContractBroken):
            self.store.move("a", "b")

    def test_a_name_with_two_slashes_is_a_bug_of_the_caller(self):
        for name in ("a/b/c", "/a", "a/", "", "../a"):
            with self.assertRaises(ContractBroken):
                self.store.append(name, b"x")

    def test_the_counters_tell_what_a_program_costs(self):
        self.store.append("a", b"abc")
        self.store.sync("a")
        self.store.replace("b", b"12345")
        self.assertEqual(self.store.calls, {"append": 1, "sync": 1, "replace": 1})
        self.assertEqual((self.store.steps, self.store.bytes_appended, self.store.bytes_replaced), (3, 3, 5))


class FullDiskTest(unittest.TestCase):
    def test_an_append_that_does_not_fit_leaves_what_did_fit(self):
        store = WriteListStore(capacity_bytes=10)
        store.append("a", b"12345678")
        self.assertEqual(store.free_bytes(), 2)
        with self.assertRaises(OSError) as caught:
            store.append("b", b"abcdef")
        self.assertEqual(caught.exception.errno, ENOSPC)
        self.assertEqual(store.snapshot()["b"], b"ab")

    def test_a_replace_that_does_not_fit_leaves_the_old_content(self):
        store = WriteListStore(capacity_bytes=10)
        store.replace("a", b"12345678")
        store.replace("a", b"1234567890")
        with self.assertRaises(OSError):
            store.replace("a", b"12345678901")
        self.assertEqual(store.snapshot(), {"a": b"1234567890"})

    def test_remove_gives_the_space_back(self):
        store = WriteListStore(capacity_bytes=10)
        store.append("a", b"12345678")
        store.remove("a")
        self.assertEqual(store.free_bytes(), 10)


class OrderedFaultsTest(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()
        self.store.append("a", b"abc")
        self.store.sync("a")

    def test_a_short_append_leaves_a_partial_tail(self):
        self.store.fail_next("append", ENOSPC, short=2)
        with self.assertRaises(OSError):
            self.store.append("a", b"defg")
        self.assertEqual(whole(self.store, "a"), b"abcde")

    def test_skip_and_times_choose_which_calls_fail(self):
        self.store.fail_next("append", EIO, skip=1, times=2)
        outcome = ""
        for number in range(4):
            try:
                self.store.append("b%d" % number, b"x")
                outcome += "."
            except OSError:
                outcome += "F"
        self.assertEqual(outcome, ".FF.")

    def test_a_fault_for_ever_ends_with_heal(self):
        self.store.fail_next("read", EIO, times=None, name="a")
        for _ in range(3):
            with self.assertRaises(OSError):
                whole(self.store, "a")
        self.store.heal()
        self.assertEqual(whole(self.store, "a"), b"abc")

    def test_after_a_failed_sync_no_later_sync_saves_the_bytes(self):
        def prepare(store):
            store.append("journal/1.seg", b"abc")
            store.fail_next("sync", EIO)
            try:
                store.sync("journal/1.seg")
            except OSError:
                pass
            self.assertEqual(whole(store, "journal/1.seg"), b"abc")
            store.sync("journal/1.seg")
            self.assertFalse(store.is_synced("journal/1.seg"))

        found = after_cut(prepare)
        self.assertIn(b"", found)
        self.assertIn(b"abc", found)

    def test_going_on_with_a_file_that_failed_is_written_down(self):
        self.store.fail_next("sync", EIO)
        with self.assertRaises(OSError):
            self.store.sync("a")
        self.store.sync("a")
        self.store.append("a", b"more")
        self.assertEqual(self.store.violations, ["sync of a after a failed sync", "append to a after a failed sync"])

    def test_a_failed_replace_keeps_the_old_content_or_tears_it(self):
        self.store.fail_next("replace", ENOSPC)
        self.store.fail_next("replace", EIO, short=2)
        for content in (b"abc", b"xyc"):
            with self.assertRaises(OSError):
                self.store.replace("a", b"xyz")
            self.assertEqual(whole(self.store, "a"), content)


class PowerCutTest(unittest.TestCase):
    def test_what_was_synced_is_never_touched(self):
        def prepare(store):
            store.append("journal/1.seg", b"safe")
            store.sync("journal/1.seg")
            store.append("journal/1.seg", b"waiting")

        for content in after_cut(prepare):
            self.assertEqual(content[:4], b"safe")

    def test_a_waiting_write_is_kept_lost_or_torn_in_every_way(self):
        found = after_cut(lambda store: store.append("journal/1.seg", b"0123"), seeds=range(400))
        for content in (None, b"", b"0123", b"01", b"01\x00\x00", b"\x00\x00\x00\x00", b"0\x00\x003"):
            self.assertIn(content, found)
        self.assertTrue(any(c is not None and len(c) == 4 and not set(c) & set(b"0123\x00") for c in found))

    def test_of_several_writes_a_suffix_is_lost_or_a_hole_is_left(self):
        def prepare(store):
            for write in (b"aa", b"bb", b"cc"):
                store.append("journal/1.seg", write)

        found = after_cut(prepare, seeds=range(400))
        for content in (b"aa", b"aabb", b"aabbcc", b"aa\x00\x00cc", b"\x00\x00bbcc"):
            self.assertIn(content, found)

    def test_writes_of_two_files_survive_in_any_order(self):
        found = set()
        for seed in SEEDS:
            store = WriteListStore()
            store.append("a", b"1")
            store.append("b", b"2")
            left = store.power_up(Rng(seed)).snapshot()
            found.add((left.get("a") == b"1", left.get("b") == b"2"))
        self.assertEqual(len(found), 4)

    def test_a_removed_file_may_come_back(self):
        def prepare(store):
            store.put("journal/1.seg", b"abc")
            store.remove("journal/1.seg")

        self.assertEqual(after_cut(prepare), {None, b"abc"})

    def test_a_removed_file_stays_away_once_its_folder_was_synced(self):
        def prepare(store):
            store.put("journal/1.seg", b"abc")
            store.remove("journal/1.seg")
            store.append("journal/2.seg", b"x")
            store.sync("journal/2.seg")

        self.assertEqual(after_cut(prepare), {None})

    def test_replace_and_move_are_durable_when_they_return(self):
        def prepare(store):
            store.replace("checkpoint.0", b"one")
            store.move("checkpoint.0", "quarantine/checkpoint.0")

        self.assertEqual(after_cut(prepare, "quarantine/checkpoint.0"), {b"one"})
        self.assertEqual(after_cut(prepare, "checkpoint.0"), {None})

    def test_one_fate_can_be_asked_for(self):
        for fate, content in (("keep", b"abc"), ("lose", None), ("nuls", b"\x00\x00\x00")):
            store = WriteListStore()
            store.append("a", b"abc")
            self.assertEqual(store.power_up(Rng(1), fate).snapshot().get("a"), content)

    def test_the_death_of_the_process_alone_loses_nothing(self):
        store = WriteListStore()
        store.append("a", b"abc")
        store.power_up(Rng(1), power_lost=False)
        self.assertEqual(store.snapshot(), {"a": b"abc"})
        self.assertTrue(store.is_synced("a"))

    def test_is_synced_and_synced_bytes_follow_the_syncs(self):
        store = WriteListStore()
        store.append("a", b"abc")
        self.assertEqual((store.is_synced("a"), store.synced_bytes("a")), (False, 0))
        store.sync("a")
        self.assertEqual((store.is_synced("a"), store.synced_bytes("a")), (True, 3))
        store.append("a", b"de")
        self.assertEqual((store.is_synced("a"), store.synced_bytes("a")), (False, 3))


class CutInsideACallTest(unittest.TestCase):
    def cut(self, call, fate, name="a", seeds=SEEDS):
        """What can stand in ``name`` when the power fails inside ``call`` on a store with a = old."""
        found = set()
        for seed in seeds:
            store = WriteListStore()
            store.put("a", b"old")
            store.crash_at = 1
            store.crash_fate = fate
            with self.assertRaises(PowerCut):
                call(store)
            found.add(store.power_up(Rng(seed)).snapshot().get(name))
        return found

    def test_the_chosen_call_raises_and_so_do_all_after_it(self):
        store = WriteListStore()
        store.crash_at = 3
        store.append("a", b"1")
        store.sync("a")
        for _ in range(2):
            with self.assertRaises(PowerCut):
                store.free_bytes()
        store.power_up(Rng(1))
        self.assertEqual(store.list(""), ["a"])

    def test_no_handler_of_oserror_or_exception_catches_a_power_cut(self):
        self.assertFalse(issubclass(PowerCut, Exception))

    def test_a_replace_is_before_after_or_torn(self):
        def replace(store):
            store.replace("a", b"fresh")

        self.assertEqual(self.cut(replace, "before"), {b"old"})
        self.assertEqual(self.cut(replace, "after"), {b"fresh"})
        torn = self.cut(replace, "torn")
        for content in (b"", b"fre", b"frd", b"fresh"):
            self.assertIn(content, torn)
        drawn = self.cut(replace, None)
        self.assertIn(b"old", drawn)
        self.assertIn(b"fresh", drawn)

    def test_a_move_leaves_the_old_or_the_new_name(self):
        def move(store):
            store.move("a", "b")

        self.assertEqual(self.cut(move, "before"), {b"old"})
        self.assertEqual(self.cut(move, "after"), {None})
        self.assertEqual(self.cut(move, "torn"), {b"old", None})
        self.assertEqual(self.cut(move, "torn", "b"), {b"old", None})

    def test_a_sync_that_took_effect_saves_and_one_that_did_not_does_not(self):
        for fate, only in (("before", False), ("after", True)):
            found = set()
            for seed in SEEDS:
                store = WriteListStore()
                store.append("a", b"abc")
                store.crash_at = 2
                store.crash_fate = fate
                with self.assertRaises(PowerCut):
                    store.sync("a")
                found.add(store.power_up(Rng(seed)).snapshot().get("a"))
            self.assertEqual(found == {b"abc"}, only)

    def test_a_first_creation_can_leave_an_empty_file(self):
        found = self.cut(lambda store: store.replace("b", b"new"), "torn", "b")
        self.assertIn(b"", found)

    def test_the_same_seed_tears_alike(self):
        for _ in range(2):
            store = WriteListStore()
            for number in range(6):
                store.append("journal/%d.seg" % number, b"0123456789")
            store.power_up(Rng(5))
            left = store.snapshot()
            self.assertEqual("".join(["%d:%s " % (len(left[n]), n[8]) for n in sorted(left)]), TRACE_OF_SEED_5)


class MeddlingTest(unittest.TestCase):
    def test_corrupt_and_truncate_change_what_is_read(self):
        store = WriteListStore()
        store.put("a", b"abcdef")
        store.corrupt("a", 2, b"XX")
        store.truncate("a", 5)
        self.assertEqual(store.snapshot(), {"a": b"abXXe"})
        self.assertEqual(store.steps, 0)


TRACE_OF_SEED_5 = "10:0 10:1 10:2 0:3 0:4 10:5 "
