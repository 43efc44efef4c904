"""What the write-list store leaves after a power cut, between calls and inside them."""

import unittest

from tests.portable.test_write_list_store import SEEDS, after_cut
from tests.support.rng import Rng
from tests.support.write_list_store import PowerCut, WriteListStore


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


TRACE_OF_SEED_5 = "10:0 10:1 10:2 0:3 0:4 10:5 "
