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


class MeddlingTest(unittest.TestCase):
    def test_corrupt_and_truncate_change_what_is_read(self):
        store = WriteListStore()
        store.put("a", b"abcdef")
        store.corrupt("a", 2, b"XX")
        store.truncate("a", 5)
        self.assertEqual(store.snapshot(), {"a": b"abXXe"})
        self.assertEqual(store.steps, 0)
