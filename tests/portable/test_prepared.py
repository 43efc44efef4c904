"""Messages with large payloads: checked, then written, then staged, or nothing is left of them."""

import io
import unittest

from persistmq_core.errors import CacheFull, StoreError
from persistmq_core.prepared import Prepared, accept
from persistmq_core.spool import IsLarge
from tests.support.world import World
from tests.support.write_list_store import EIO, ENOSPC

LARGE = b"x" * 50


class PreparedTestCase(unittest.TestCase):
    def setUp(self):
        self.world = World(inline_bytes_max=20, send_bytes=16)
        self.spool = self.world.engine.spool

    def prepare(self, *contents, expires_s=0):
        return Prepared(self.spool, [("t", content, 1, False) for content in contents], expires_s)

    def files(self):
        return sorted([name for name in self.world.store.snapshot() if name.startswith("payloads/")])

    def staged(self, *contents):
        prepared = self.prepare(*contents)
        prepared.promise()
        prepared.write()
        prepared.stage(0)


class CheckTest(PreparedTestCase):
    def test_a_payload_that_is_longer_than_inline_is_large(self):
        self.spool.stage("t", b"x" * 20, 1, False, 0)
        self.assertRaises(IsLarge, self.spool.stage, "t", b"x" * 21, 1, False, 0)
        self.assertRaises(IsLarge, self.spool.stage_all, [("t", b"", 1, False), ("t", LARGE, 1, False)], 0)
        self.assertEqual(self.spool.next_seq, 2)

    def test_an_open_file_is_large_whatever_its_length(self):
        self.assertRaises(IsLarge, self.spool.stage, "t", io.BytesIO(b"1"), 1, False, 0)

    def test_what_cannot_be_published_is_refused_before_anything_is_written(self):
        for message, words in (
            (("t+", LARGE, 1, False), "wildcard"),
            (("t", LARGE, 3, False), "qos"),
            (("t", io.BytesIO(LARGE), 3, False), "qos"),
        ):
            with self.assertRaises(ValueError) as caught:
                Prepared(self.spool, [message])
            self.assertTrue(words in str(caught.exception))
        self.assertEqual(self.files(), [])

    def test_a_retain_that_cannot_be_is_named(self):
        for wrong in ("false", None, 2):
            with self.assertRaises(TypeError) as caught:
                Prepared(self.spool, [("t", LARGE, 1, wrong)])
            self.assertEqual(str(caught.exception), "retain must be True or False, not %r" % (wrong,))

    def test_a_payload_larger_than_mqtt_carries_is_refused_with_the_limit(self):
        class Large(bytes):
            def __len__(self):
                return 268435455 - 10 - 1 + 1

        class File:
            def seek(self, offset, whence=0):
                return offset if whence < 2 else 268435445

            def readinto(self, buffer):
                raise AssertionError

        for payload in (Large(), File()):
            with self.assertRaises(ValueError) as caught:
                self.prepare(payload)
            self.assertTrue("268435444" in str(caught.exception))

    def test_a_file_must_seek(self):
        class Pipe:
            def readinto(self, buffer):
                raise AssertionError

        class Socket(Pipe):
            def seek(self, offset, whence=0):
                raise OSError(29)

        for payload in (Pipe(), Socket()):
            with self.assertRaises(TypeError) as caught:
                self.prepare(payload)
            words = "must be one that can seek, and this %s cannot" % type(payload).__name__
            self.assertTrue(words in str(caught.exception))

    def test_a_memoryview_of_bytes_is_not_copied(self):
        self.staged(memoryview(LARGE))
        self.world.store_staged()
        self.assertEqual(self.world.store.snapshot()[self.files()[0]], LARGE)


class StageTest(PreparedTestCase):
    def test_large_and_small_ones_keep_their_order(self):
        self.staged(b"1", LARGE, b"2", LARGE + b"!", io.BytesIO(b""), io.BytesIO(b"3"))
        self.world.store_staged()
        self.world.online().run(1000)
        self.assertEqual(self.world.arrived(), [b"1", LARGE, b"2", LARGE + b"!", b"", b"3"])
        self.assertEqual((self.world.violations(), self.files()), ([], []))

    def test_the_file_is_on_storage_before_the_record_is_staged(self):
        prepared = self.prepare(LARGE)
        prepared.promise()
        prepared.write()
        self.assertEqual(len(self.files()), 1)
        self.assertTrue(self.world.store.is_synced(self.files()[0]))
        self.assertEqual(self.spool.next_seq, 1)
        self.assertEqual(prepared.stage(0), 1)
        self.assertEqual(self.spool.next_seq, 2)
        self.assertTrue(self.files()[0].endswith(".part"))
        self.world.store_staged()
        self.assertEqual([name[9:25] for name in self.files()], ["0000000000000001"])

    def test_others_may_be_staged_while_it_is_written(self):
        prepared = self.prepare(LARGE)
        prepared.promise()
        self.spool.stage("t", b"meanwhile", 1, False, 0)
        prepared.write()
        self.world.store_staged()
        self.assertEqual(prepared.stage(0), 2)
        self.world.store_staged()
        self.world.online().run(1000)
        self.assertEqual(self.world.arrived(), [b"meanwhile", LARGE])

    def test_where_another_process_delivers_its_number_is_not_noted(self):
        self.world.engine.journal.payload_seqs = None
        self.staged(LARGE)
        self.world.store_staged()
        self.world.online().run(1000)
        self.assertEqual((self.world.arrived(), self.files()), ([LARGE], []))

    def test_it_expires_like_any_other(self):
        prepared = self.prepare(LARGE, expires_s=5)
        prepared.promise()
        prepared.write()
        prepared.stage(0)
        self.world.store_staged()
        self.world.broker.listening = False
        self.world.run(6000)
        self.world.broker.listening = True
        self.world.run(5000)
        self.assertEqual((self.world.account("expired"), self.files()), (1, []))

    def test_held_bytes_count_the_file(self):
        before = self.world.engine.held_bytes()
        self.staged(LARGE)
        self.assertEqual(self.world.engine.held_bytes(), before)
        self.world.store_staged()
        sizes = sum([len(content) for name, content in self.world.store.snapshot().items() if "/" in name])
        self.assertEqual(self.world.engine.held_bytes(), sizes)
        self.world.restart()
        self.assertEqual(self.world.engine.held_bytes(), sizes)


class FailureTest(PreparedTestCase):
    def test_a_payload_that_cannot_be_written_leaves_nothing(self):
        prepared = self.prepare(LARGE, LARGE)
        prepared.promise()
        self.world.store.fail_next("append", ENOSPC, skip=5)
        self.assertRaises(StoreError, prepared.write)
        prepared.give_up()
        self.assertEqual((self.files(), self.spool.next_seq, self.spool.unwritten_bytes()), ([], 1, 0))

    def test_a_record_that_cannot_be_written_takes_its_file_with_it(self):
        self.world.publish(b"before")
        for call, errno in (("move", EIO), ("append", ENOSPC), ("sync", EIO)):
            self.staged(LARGE)
            self.world.store.fail_next(call, errno)
            self.assertRaises(StoreError, self.world.store_staged)
            self.assertEqual((self.files(), self.spool.unwritten_bytes()), ([], 0), call)
        self.world.publish(LARGE)
        self.world.online().run(1000)
        self.assertEqual(self.world.arrived(), [b"before", LARGE])
        self.assertEqual((self.world.violations(), self.world.accounts()), ([], [2, 2, 0, 0, 0]))

    def test_what_cannot_be_removed_then_is_kept_in_quarantine(self):
        self.staged(LARGE)
        self.world.store.fail_next("append", ENOSPC)
        self.world.store.fail_next("remove", EIO)
        self.assertRaises(StoreError, self.world.store_staged)
        self.world.publish(b"next")
        self.world.online().run(1000)
        self.assertEqual((self.world.arrived(), self.files()), ([b"next"], []))
        self.assertEqual(len(self.world.store.list("quarantine")), 1)
        sizes = sum([len(content) for name, content in self.world.store.snapshot().items() if name[:4] == "jour"])
        self.assertEqual(self.world.engine.held_bytes(), sizes)

    def test_a_group_that_is_tried_again_keeps_its_files(self):
        self.staged(LARGE, b"small")
        group = self.spool.take()
        self.world.store.fail_next("sync", EIO, name="journal")
        group.write()
        self.spool.finish(group)
        self.assertIsNotNone(group.error)
        self.assertGreater(self.spool.unwritten_bytes(), len(LARGE) - 1)
        group.error = None
        group.write()
        self.spool.finish(group)
        self.assertEqual(self.spool.unwritten_bytes(), 0)
        self.world.online().run(1000)
        self.assertEqual(self.world.arrived(), [LARGE, b"small"])

    def test_what_is_dropped_before_it_was_written_leaves_nothing(self):
        self.staged(LARGE)
        self.spool.drop()
        self.assertEqual((self.files(), self.spool.next_seq, self.spool.unwritten_bytes()), ([], 1, 0))

    def test_a_signal_behind_the_staging_takes_nothing_back(self):
        prepared = self.prepare(LARGE)
        prepared.promise()
        prepared.write()
        prepared.stage(0)
        prepared.give_up()
        self.world.store_staged()
        self.world.online().run(1000)
        self.assertEqual(self.world.arrived(), [LARGE])

    def test_a_signal_before_the_staging_leaves_its_number_to_others(self):
        prepared = self.prepare(LARGE)
        prepared.promise()
        prepared.write()
        stage_frames = self.spool.stage_frames

        def interrupted(frames):
            raise KeyboardInterrupt

        self.spool.stage_frames = interrupted
        self.assertRaises(KeyboardInterrupt, prepared.stage, 0)
        self.spool.stage_frames = stage_frames
        prepared.give_up()
        self.world.publish(b"other")
        self.world.publish(LARGE)
        self.world.online().run(1000)
        self.assertEqual(self.world.arrived(), [b"other", LARGE])
        self.assertEqual((self.files(), self.spool.unwritten_bytes()), ([], 0))

    def test_no_large_one_among_them_after_all(self):
        prepared = self.prepare(io.BytesIO(b""))
        prepared.promise()
        prepared.give_up()
        self.assertEqual(self.spool.unwritten_bytes(), 0)


class AcceptTest(PreparedTestCase):
    def accept(self, content, await_room=None):
        return accept(self.spool, [("t", content, 1, False)], 0, lambda: 0, await_room)

    def test_all_steps_at_once(self):
        self.assertEqual(self.accept(LARGE), 1)
        self.world.store_staged()
        self.world.online().run(1000)
        self.assertEqual(self.world.arrived(), [LARGE])

    def test_what_fails_leaves_nothing(self):
        self.world.store.fail_next("append", ENOSPC)
        self.assertRaises(StoreError, self.accept, LARGE)
        self.assertEqual((self.files(), self.spool.unwritten_bytes(), self.spool.promised()), ([], 0, 0))

    def test_room_may_be_waited_for(self):
        self.world = World(inline_bytes_max=20, cache_messages_max=1)
        self.spool = self.world.engine.spool
        self.world.publish(b"1")
        self.assertEqual(self.accept(LARGE, lambda full: self.world.online().run(1000)), 2)

        def refuse(full):
            raise full

        self.world.store_staged()
        self.assertRaises(CacheFull, self.accept, LARGE, refuse)


class RoomTest(PreparedTestCase):
    def setUp(self):
        self.world = World(inline_bytes_max=20, send_bytes=16, cache_bytes_max=5000, cache_messages_max=4)
        self.spool = self.world.engine.spool

    def test_a_payload_that_never_has_room(self):
        with self.assertRaises(ValueError) as caught:
            self.prepare(b"x" * 5000).promise()
        self.assertTrue("cache_bytes_max is 5000" in str(caught.exception))

    def test_the_files_count(self):
        self.world.publish(b"x" * 3000)
        with self.assertRaises(CacheFull) as caught:
            self.prepare(b"x" * 2000).promise()
        self.assertEqual((caught.exception.count, caught.exception.wanted_bytes), (1, 2000 + 33))
        self.world.online().run(1000)
        self.world.publish(b"x" * 2000)

    def test_what_is_being_written_counts(self):
        prepared = self.prepare(b"x" * 3000, b"1", b"2")
        prepared.promise()
        self.assertRaises(CacheFull, self.prepare(b"x" * 2000).promise)
        self.assertRaises(CacheFull, self.spool.stage_all, [("t", b"", 1, False)] * 2, 0)
        self.spool.stage("t", b"3", 1, False, 0)
        self.assertRaises(CacheFull, self.spool.stage, "t", b"", 1, False, 0)
        prepared.write()
        prepared.stage(0)
        self.assertRaises(CacheFull, self.spool.stage, "t", b"", 1, False, 0)
        self.world.store_staged()
        self.assertEqual(self.world.accounts(), [4, 0, 0, 0, 4])
