"""The publishing side: what is accepted, and what becomes of a group that cannot be stored."""

import unittest

from persistmq_core import journal
from persistmq_core.errors import StoreError
from persistmq_core.journal import MESSAGE, Journal, JournalReader
from persistmq_core.record import FRAME_HEADER_BYTES
from persistmq_core.segment import END, HEADER_BYTES, RECORD, SegmentReader
from persistmq_core.spool import Bounds, Spool, check_payload, check_topic
from tests.support.journal_files import CACHE_ID
from tests.support.write_list_store import EIO, ENOSPC, WriteListStore


class TopicTest(unittest.TestCase):
    def test_a_topic_becomes_its_bytes(self):
        self.assertEqual(check_topic("a/b c/"), b"a/b c/")
        self.assertEqual(check_topic("\u00fc/\U0001f600"), b"\xc3\xbc/\xf0\x9f\x98\x80")
        self.assertEqual(len(check_topic("t" * 65535)), 65535)

    def test_a_topic_that_mqtt_forbids_is_named(self):
        for topic, words in (
            ("", "empty"),
            ("a/+/b", "a/+/b"),
            ("a/#", "a/#"),
            ("a\0b", "NUL"),
            ("a\nb", "U+000A"),
            ("a\x7fb", "U+007F"),
            ("a\u0085b", "U+0085"),
            ("a\ufdd0b", "U+FDD0"),
            ("a\uffffb", "U+FFFF"),
            ("t" * 65536, "65535"),
            ("\u00fc" * 32768, "65536"),
        ):
            with self.assertRaises(ValueError) as caught:
                check_topic(topic)
            self.assertTrue(words in str(caught.exception), words)

    def test_a_topic_that_is_no_str_is_named(self):
        for topic in (b"t", None, 7):
            with self.assertRaises(TypeError) as caught:
                check_topic(topic)
            self.assertTrue(type(topic).__name__ in str(caught.exception))


class PayloadTest(unittest.TestCase):
    def test_payloads_become_what_paho_makes_of_them(self):
        for payload, expected in (
            (b"\0\xff", b"\0\xff"),
            (bytearray(b"ab"), b"ab"),
            (memoryview(b"abcd")[1:3], b"bc"),
            ("21,5 \u00b0C", b"21,5 \xc2\xb0C"),
            ("", b""),
            (17, b"17"),
            (-3, b"-3"),
            (21.5, b"21.5"),
            (True, b"True"),
            (None, b""),
        ):
            self.assertEqual(bytes(check_payload(payload)), expected)

    def test_what_is_no_payload_is_named(self):
        for payload in ([1], {"a": 1}, object()):
            with self.assertRaises(TypeError) as caught:
                check_payload(payload)
            self.assertTrue(type(payload).__name__ in str(caught.exception))


class SpoolTest(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()
        self.journal = Journal(self.store, 1024, CACHE_ID)
        self.journal.resume(1, 0, "", 0, 0)
        self.spool = Spool(self.journal, CACHE_ID)

    def stage(self, payload=b"p", qos=1, topic="t", retain=False, accepted_ms=0):
        return self.spool.stage(topic, payload, qos, retain, accepted_ms)

    def write(self):
        group = self.spool.take()
        group.write()
        self.spool.finish(group)
        return group

    def test_many_are_staged_all_or_none(self):
        self.stage()
        for wrong, error in ((("#", b"", 1, False), ValueError), (("t", [], 1, False), TypeError)):
            self.assertRaises(error, self.spool.stage_all, [("t", b"a", 1, False), wrong], 0)
        self.assertEqual(self.spool.next_seq, 2)
        self.assertEqual(self.spool.stage_all([("t", b"a", 1, False), ("u", b"b", 2, True)], 0), 2)
        self.assertEqual(self.spool.next_seq, 4)

    def test_a_retain_that_cannot_be_is_named_and_nothing_is_kept(self):
        for wrong in ("false", b"", None, 2, -1, 1.0):
            for call in (
                lambda: self.stage(retain=wrong),  # noqa: B023 - called at once
                lambda: self.spool.stage_all([("t", b"a", 1, False), ("t", b"b", 1, wrong)], 0),  # noqa: B023
            ):
                with self.assertRaises(TypeError) as caught:
                    call()
                self.assertEqual(str(caught.exception), "retain must be True or False, not %r" % (wrong,))
        self.assertEqual((self.spool.next_seq, self.spool.staged_bytes), (1, 0))
        self.assertEqual([self.stage(retain=right) for right in (True, False, 1, 0)], [1, 2, 3, 4])

    def test_staging_touches_no_storage(self):
        self.stage()
        self.assertEqual((self.store.steps, self.journal.end_seq, self.spool.accepted()), (0, 1, 0))

    def test_numbers_follow_each_other(self):
        self.assertEqual([self.stage() for _ in range(3)], [1, 2, 3])
        group = self.write()
        self.assertEqual((group.first_seq, group.end_seq), (1, 4))
        self.assertEqual(self.stage(), 4)
        self.assertEqual(self.spool.accepted(), 3)

    def test_a_group_costs_one_append_and_one_sync(self):
        for _ in range(5):
            self.stage()
        self.write()
        self.assertEqual((self.store.calls["append"], self.store.calls["sync"]), (1, 1))

    def test_what_was_staged_is_what_is_stored(self):
        messages = [("a", b"one", 0, False, 5), ("b/c", bytearray(b"two"), 1, True, 0), ("d", None, 2, False, 1 << 40)]
        for topic, payload, qos, retain, accepted_ms in messages:
            self.stage(payload, qos, topic, retain, accepted_ms)
        self.write()
        reader = SegmentReader(self.store, self.store.list("journal")[0], 1, CACHE_ID)
        for topic, payload, qos, retain, accepted_ms in messages:
            self.assertEqual(reader.next(), RECORD)
            record = reader.record
            self.assertEqual(
                (bytes(record.topic), bytes(record.payload), record.qos, record.retain, record.accepted_ms()),
                (topic.encode(), bytes(payload or b""), qos, retain, accepted_ms),
            )

    def test_many_at_once_are_one_group_in_their_order(self):
        self.stage()
        self.assertEqual(self.spool.stage_all([("a", b"one", 0, False), ("b", bytearray(b"two"), 2, 1)], 9), 2)
        self.assertEqual((self.spool.next_seq, self.spool.stage_all([], 0)), (4, 4))
        group = self.write()
        self.assertEqual((group.first_seq, group.end_seq), (1, 4))
        reader = SegmentReader(self.store, self.store.list("journal")[0], 1, CACHE_ID)
        found = []
        while reader.next() == RECORD:
            record = reader.record
            found.append((record.seq, bytes(record.payload), record.qos, record.retain, record.accepted_ms()))
        self.assertEqual(found[1:], [(2, b"one", 0, False, 9), (3, b"two", 2, True, 9)])

    def test_many_of_which_one_is_wrong_are_none(self):
        self.stage()
        staged_bytes = self.spool.staged_bytes
        for wrong, error in ((("a", [], 0, False), TypeError), (("#", b"", 0, False), ValueError)):
            with self.assertRaises(error):
                self.spool.stage_all([("a", b"", 0, False), wrong], 0)
        self.assertEqual((self.spool.next_seq, self.spool.staged_bytes), (2, staged_bytes))

    def test_a_payload_that_changes_after_publishing_changes_nothing(self):
        payload = bytearray(b"before")
        self.stage(payload)
        payload[:] = b"after!"
        self.write()
        reader = SegmentReader(self.store, self.store.list("journal")[0], 1, CACHE_ID)
        self.assertEqual(reader.next(), RECORD)
        self.assertEqual(bytes(reader.record.payload), b"before")

    def test_what_is_wrong_takes_no_number_and_keeps_nothing(self):
        for qos in (3, -1, True, False, None, "1", 1.5):
            with self.assertRaises(ValueError):
                self.stage(qos=qos)
        with self.assertRaises(ValueError):
            self.stage(topic="#")
        with self.assertRaises(TypeError):
            self.stage([])
        self.assertEqual((self.spool.next_seq, self.spool.staged_bytes), (1, 0))
        self.assertIsNone(self.spool.take())

    def test_staged_bytes_bound_the_memory(self):
        self.stage(b"x" * 10)
        self.assertEqual(self.spool.staged_bytes, FRAME_HEADER_BYTES + 11)
        self.stage(b"")
        self.assertEqual(self.spool.staged_bytes, 2 * FRAME_HEADER_BYTES + 12)
        self.write()
        self.assertEqual(self.spool.staged_bytes, 0)

    def test_what_is_dropped_before_it_was_written_takes_no_number(self):
        self.stage()
        self.write()
        self.stage()
        self.stage()
        self.spool.drop()
        self.assertEqual((self.spool.staged_bytes, self.spool.take()), (0, None))
        self.assertEqual(self.stage(), 2)
        self.assertIsNone(self.write().error)
        self.assertEqual(self.spool.accepted(), 2)

    def test_without_memory_for_one_piece_frames_are_written_one_by_one(self):
        for _ in range(5):
            self.stage(b"x" * 40)
        frames = self.spool.take()._frames
        self.journal.write(frames[0], 1, frames[1:])
        self.journal.commit(6)
        self.assertEqual((self.store.calls["append"], self.store.calls["sync"]), (5, 1))
        name = self.store.list("journal")[0]
        self.assertEqual(self.journal._bytes, self.store.size(name))
        reader = SegmentReader(self.store, name, 1, CACHE_ID)
        while reader.next() == RECORD:
            pass
        self.assertEqual((reader.end_seq, reader.tail_bytes), (6, 0))

    def test_a_group_that_does_not_fit_into_one_piece_is_stored(self):
        class Scattered:
            """Frames that cannot be joined: the heap has holes."""

            def __init__(self, frames):
                self.frames = frames

            def __len__(self):
                return len(self.frames)

            def __getitem__(self, index):
                return self.frames[index]

            def __iter__(self):
                raise MemoryError

        for _ in range(3):
            self.stage(b"x" * 40)
        group = self.spool.take()
        group._frames = Scattered(group._frames)
        group.write()
        self.spool.finish(group)
        self.assertIsNone(group.error)
        self.assertEqual((self.store.calls["append"], self.store.calls["sync"]), (3, 1))
        self.assertEqual(self.spool.accepted(), 3)

    def test_a_header_that_does_not_fit_into_one_piece_with_its_group_is_written_before_it(self):
        class Header(bytes):
            def __len__(self):
                return HEADER_BYTES

            def __add__(self, frames):
                raise MemoryError

        plain = journal.encode_header
        journal.encode_header = lambda *values: Header(plain(*values))
        try:
            self.stage(b"x" * 40)
            self.assertIsNone(self.write().error)
        finally:
            journal.encode_header = plain
        self.assertEqual((self.store.calls["append"], self.store.calls["sync"]), (2, 1))
        reader = SegmentReader(self.store, self.store.list("journal")[0], 1, CACHE_ID)
        self.assertEqual((reader.next(), reader.next(), reader.end_seq, reader.tail_bytes), (RECORD, END, 2, 0))

    def test_a_group_for_which_there_is_no_memory_ends_its_segment(self):
        def no_memory(*_):
            raise MemoryError

        self.stage()
        self.write()
        self.stage()
        self.journal.write, write = no_memory, self.journal.write
        self.assertIsInstance(self.write().error, StoreError)
        self.journal.write = write
        self.stage()
        self.assertIsNone(self.write().error)
        self.assertEqual(self.spool.accepted(), 2)
        self.assertEqual(len(self.store.list("journal")), 2)  # inside a segment the missing number would be damage

    def test_nothing_staged_is_no_group(self):
        self.assertIsNone(self.spool.take())

    def test_a_group_that_cannot_be_stored_is_a_store_error_with_the_errno(self):
        for call, errno in (("append", ENOSPC), ("append", EIO), ("sync", EIO)):
            self.stage()
            self.store.fail_next(call, errno)
            group = self.write()
            self.assertIsInstance(group.error, StoreError)
            self.assertIsInstance(group.error, OSError)
            self.assertEqual(group.error.args[0], errno)
            self.assertTrue("could not be stored" in str(group.error))
        self.assertEqual(self.spool.accepted(), 0)

    def test_an_error_without_an_errno_is_a_store_error_too(self):
        class Broken(WriteListStore):
            def append(self, name, view):
                raise OSError("no number" if self.steps else ())

        for steps in (0, 1):
            journal = Journal(Broken(), 1024, CACHE_ID)
            journal.resume(1, 0, "", 0, 0)
            journal._store.steps = steps
            spool = Spool(journal, CACHE_ID)
            spool.stage("t", b"p", 1, False, 0)
            group = spool.take()
            group.write()
            self.assertEqual(group.error.args[0], 0)

    def test_the_numbers_of_a_failed_group_are_never_given_again(self):
        self.stage()
        self.write()
        self.stage()
        self.stage()
        self.store.fail_next("sync", EIO)
        self.write()
        self.assertEqual(self.spool.accepted(), 1)
        self.assertEqual(self.stage(), 4)
        self.assertIsNone(self.write().error)
        self.assertEqual((self.journal.end_seq, self.spool.accepted()), (5, 2))

    def test_a_group_staged_while_another_fails_is_stored(self):
        self.stage(b"a")
        first = self.spool.take()
        self.stage(b"b")
        self.store.fail_next("append", ENOSPC)
        first.write()
        self.spool.finish(first)
        second = self.write()
        self.assertIsNone(second.error)
        self.assertEqual((second.first_seq, self.spool.accepted()), (2, 1))

    def interrupted(self, *payloads):
        """A group that a signal ends when all of it is written, and nothing else done: neither stored nor an error."""
        real = self.journal.write

        def write(*arguments):
            real(*arguments)
            raise KeyboardInterrupt

        for payload in payloads:
            self.stage(payload)
        group = self.spool.take()
        self.journal.write = write
        try:
            group.write()
        except KeyboardInterrupt:
            pass
        self.journal.write = real
        self.spool.finish(group)
        self.assertEqual((group.stored, group.error), (False, None))
        return group

    def delivered(self):
        """What the reading side finds."""
        journal = self.journal
        reader = JournalReader(self.store, CACHE_ID, 256)
        found = []
        seq = 1
        while seq < journal.end_seq:
            if reader.peek(seq, journal.end_seq, journal.active_seq, journal.skipped) == MESSAGE:
                found.append(bytes(reader.record.payload))
                seq += 1
            else:
                seq = reader.gap_end
        self.assertEqual((len(found), reader.damaged_bytes), (self.spool.accepted(), 0))
        return found

    def test_a_group_that_a_signal_ended_behind_its_write_is_not_delivered(self):
        for before in (0, 1):  # it begins a segment, or goes into one
            self.setUp()
            if before:
                self.stage(b"first")
                self.write()
            self.interrupted(b"a", b"b")
            self.stage(b"c")
            self.write()
            self.assertEqual(self.delivered(), [b"first"][:before] + [b"c"])

    def test_a_group_that_a_signal_ended_behind_its_write_can_be_written_again(self):
        for before in (0, 1):
            self.setUp()
            if before:
                self.stage(b"first")
                self.write()
            group = self.interrupted(b"a", b"b")
            self.stage(b"c")
            group.write()
            self.spool.finish(group)
            self.write()
            self.assertEqual(self.delivered(), [b"first"][:before] + [b"a", b"b", b"c"])


class BoundsTest(unittest.TestCase):
    def test_bounds_are_room_s_to_answer_for(self):
        self.assertRaises(NotImplementedError, Bounds().reserve, 1, 1)
        self.assertRaises(NotImplementedError, Bounds().lacks, 1, 1)
