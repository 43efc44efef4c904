"""One message stored at once, without a group: the same bytes and the same promises."""

import unittest

from persistmq_core.direct import Direct
from persistmq_core.errors import CacheFull, StoreError
from persistmq_core.journal import Journal
from persistmq_core.record import FrameHead, encode
from persistmq_core.segment import END, RECORD, SegmentReader
from persistmq_core.spool import IsLarge, Spool
from tests.support.journal_files import CACHE_ID
from tests.support.rng import Rng
from tests.support.world import World
from tests.support.write_list_store import EIO, ENOSPC, WriteListStore


class FrameHeadTest(unittest.TestCase):
    def test_with_topic_and_payload_behind_it_it_is_the_frame(self):
        rng = Rng(1)
        plain, expiring = FrameHead(False), FrameHead(True)
        for seq in (1, 2, 0xFFFFFFFF, 1 << 32, (1 << 40) + 5):
            topic = b"t" * rng.between(1, 300)
            payload = rng.garbage(rng.below(300))
            accepted_ms = rng.pick((0, 1, 1 << 31, 1767225600123))
            for head, expires_s in ((plain, 0), (expiring, 1), (expiring, 0xFFFFFFFF)):
                fields = (seq, topic, payload, rng.below(3), rng.one_in(2), accepted_ms, CACHE_ID, expires_s)
                self.assertEqual(bytes(head.encode(*fields)) + topic + payload, encode(*fields))


class DirectTest(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()
        self.journal = Journal(self.store, 1024, CACHE_ID)
        self.journal.resume(1, 0, "", 0, 0)
        self.spool = Spool(self.journal, CACHE_ID)
        self.direct = Direct()

    def publish(self, payload=b"p", qos=1, topic="t", retain=False, accepted_ms=0, expires_s=0):
        return self.direct.store(self.spool, topic, payload, qos, retain, accepted_ms, expires_s)

    def stored(self, index=0):
        name = sorted(self.store.list("journal"))[index]
        reader = SegmentReader(self.store, name, int(name[8:24], 16), CACHE_ID)
        found = []
        while reader.next() == RECORD:
            record = reader.record
            topic, payload = bytes(record.topic), bytes(record.payload)
            found.append(
                (record.seq, topic, payload, record.qos, record.retain, record.accepted_ms(), record.expires_s)
            )
        self.assertEqual((reader.next(), reader.tail_bytes), (END, 0))
        return found

    def test_it_is_durable_when_it_returns_at_the_cost_of_one_sync(self):
        self.assertEqual((self.publish(), self.journal.end_seq, self.spool.next_seq), (1, 2, 2))
        self.assertEqual((self.publish(), self.journal.end_seq, self.spool.accepted()), (2, 3, 2))
        self.assertEqual(self.store.calls["sync"], 2)

    def test_what_was_published_is_what_is_stored(self):
        self.publish(b"one", 0, "a", True, 5)
        self.publish(bytearray(b"two"), 2, "b/\u00fc", False, 1 << 40, 7)
        self.publish("3 \u00b0C", 1, "a", 1, 0, 0)
        self.publish(None, 1, "a", False, 0, 9)
        self.publish(41, 1)
        self.assertEqual(
            self.stored(),
            [
                (1, b"a", b"one", 0, True, 5, 0),
                (2, b"b/\xc3\xbc", b"two", 2, False, 1 << 40, 7),
                (3, b"a", b"3 \xc2\xb0C", 1, True, 0, 0),
                (4, b"a", b"", 1, False, 0, 9),
                (5, b"t", b"41", 1, False, 0, 0),
            ],
        )

    def test_of_many_topics_each_keeps_its_own(self):
        topics = ["%d" % (number * 7 % 20) for number in range(60)]
        for topic in topics:
            self.publish(b"", topic=topic)
        found = []
        for index in range(len(self.store.list("journal"))):
            found += [message[1].decode() for message in self.stored(index)]
        self.assertEqual(found, topics)

    def test_a_payload_of_which_nobody_knows_the_length_by_heart(self):
        self.store.free = 1 << 20
        self.publish(b"x" * 300000)
        self.publish(b"y" * 300000)  # the topic is known by now, and the limit has to be looked at
        self.assertEqual([len(self.stored(index)[0][2]) for index in (0, 1)], [300000, 300000])

    def test_what_may_become_too_old_is_known_to_the_spool(self):
        self.publish()
        self.assertFalse(self.spool.has_expiring)
        self.publish(expires_s=5)
        self.assertTrue(self.spool.has_expiring)

    def test_what_is_wrong_takes_no_number_and_writes_nothing(self):
        self.publish()
        steps = self.store.steps
        for qos in (3, -1, True, False, None, "1", 1.5):
            with self.assertRaises(ValueError):
                self.publish(qos=qos)
        for topic in ("", "#", "a\0b", "t" * 65536):
            with self.assertRaises(ValueError):
                self.publish(topic=topic)
        for topic in (b"t", None, ["t"]):
            with self.assertRaises(TypeError):
                self.publish(topic=topic)
        with self.assertRaises(TypeError):
            self.publish([])
        self.assertEqual((self.spool.next_seq, self.store.steps), (2, steps))

    def test_a_large_payload_is_not_for_this(self):
        self.publish()
        self.spool.inline_bytes_max = 10
        self.publish(b"x" * 10)
        self.assertRaises(IsLarge, self.publish, b"x" * 11)
        self.assertEqual(self.spool.next_seq, 3)

    def test_a_write_that_fails_uses_its_number_up_and_ends_the_segment(self):
        self.publish(b"before")
        for call, errno, short in (("append", ENOSPC, 3), ("sync", EIO, 0)):
            self.store.fail_next(call, errno, short=short)
            with self.assertRaises(StoreError) as caught:
                self.publish(b"lost")
            self.assertEqual(caught.exception.errno, errno)
        self.assertEqual((self.journal.end_seq, self.spool.accepted()), (2, 1))
        self.assertEqual((self.publish(b"after"), self.spool.accepted()), (4, 2))
        self.assertEqual([message[:3] for message in self.stored(1)], [(4, b"t", b"after")])
        self.assertEqual(self.store.violations, [])

    def test_a_write_that_leaves_nothing_ends_nothing(self):
        self.publish(b"before")
        for _ in range(5):
            self.store.fail_next("append", ENOSPC)
            self.assertRaises(StoreError, self.publish, b"refused")
        self.assertEqual((self.publish(b"after"), self.spool.accepted()), (2, 2))
        self.assertEqual([message[:3] for message in self.stored()], [(1, b"t", b"before"), (2, b"t", b"after")])
        self.assertEqual((len(self.store.list("journal")), self.journal.skipped), (1, 0))
        self.assertEqual(self.store.violations, [])

    def test_a_segment_that_cannot_be_begun_leaves_nothing(self):
        for _ in range(5):
            self.store.fail_next("sync", ENOSPC)
            self.assertRaises(StoreError, self.publish, b"refused")
            self.assertEqual(self.store.list("journal"), [])
        self.assertEqual((self.publish(b"after"), self.spool.accepted(), self.journal.skipped), (6, 1, 5))

    def test_without_knowing_the_size_nothing_goes_on_in_the_segment(self):
        self.publish(b"before")
        self.store.fail_next("append", EIO)
        self.store.fail_next("size", EIO)
        self.assertRaises(StoreError, self.publish, b"refused")
        self.assertEqual((self.publish(b"after"), len(self.store.list("journal"))), (3, 2))

    def test_without_memory_to_write_it_is_an_error_of_the_store(self):
        def no_memory(*_):
            raise MemoryError

        self.publish()
        self.journal.write, write = no_memory, self.journal.write
        self.assertRaises(StoreError, self.publish)
        self.journal.write = write
        self.assertEqual((self.publish(), len(self.store.list("journal"))), (3, 2))

    def test_a_retain_that_cannot_be_is_named_and_nothing_is_written(self):
        self.publish(b"before")  # now the topic is known
        before = self.store.snapshot()
        for wrong in ("false", None, 2, 1.0):
            with self.assertRaises(TypeError) as caught:
                self.publish(retain=wrong)
            self.assertEqual(str(caught.exception), "retain must be True or False, not %r" % (wrong,))
        self.assertEqual((self.store.snapshot(), self.spool.next_seq), (before, 2))

    def test_it_keeps_nothing_of_the_caller_s(self):
        payload = bytearray(b"before")
        self.publish(payload)
        payload[:] = b"after!"
        payload.extend(b"...")
        self.assertEqual(self.stored()[0][2], b"before")


class RoomTest(unittest.TestCase):
    def test_a_bound_holds_for_it(self):
        world = World(cache_messages_max=2)
        direct, spool = Direct(), world.engine.spool
        direct.store(spool, "t", b"", 1, False, 0)
        direct.store(spool, "t", b"", 1, False, 0)
        before = world.store.snapshot()
        with self.assertRaises(CacheFull) as caught:
            direct.store(spool, "t", b"123", 1, False, 0)
        self.assertEqual((caught.exception.count, caught.exception.wanted_bytes), (1, 24 + 1 + 3))
        self.assertEqual((world.store.snapshot(), spool.next_seq), (before, 3))
        world.online().run(1000)
        self.assertEqual(direct.store(spool, "t", b"123", 1, False, 0), 3)
