"""The forms of a bundle on the wire, and what a checkpoint keeps of those in flight."""

import unittest

from persistmq_core import bundles
from persistmq_core.bundles import COUNT, HEAD_LOST, QOS_2, PersistmqForm, SimpleForm
from persistmq_core.checkpoint import PLACE_CARRIED, PLACE_CARRIER, PLACE_DONE, PLACE_RELEASED, Checkpoint
from persistmq_core.contracts import Compressor
from persistmq_core.limits import CLOCK_VALID_MS, TOPIC_BYTES_MAX
from persistmq_core.record import Record, encode
from persistmq_core.slots import decode
from tests.support.rng import Rng
from tests.support.unbundle import messages_of, read_cbor, read_outer

try:
    import cbor2
except ImportError:
    cbor2 = None  # MicroPython

NO_BOUND = 1 << 28
NOW_MS = 1767225600123


def record_of(topic, payload, qos=2, retain=False, seq=7, expires_s=0, accepted_ms=NOW_MS):
    frame = memoryview(encode(seq, topic.encode(), payload, qos, retain, accepted_ms, 1, expires_s))
    record = Record()
    record.measure(frame, 0, len(frame))
    record.is_whole(1)
    record.seq = seq
    return record


def bundle_of(form, messages, **options):
    """(topic, payload) of all these messages, each (topic, payload); the form has to take them all."""
    for index, (topic, payload) in enumerate(messages):
        content = payload.encode() if isinstance(payload, str) else payload
        record = record_of(topic, content, seq=7 + index, **options)
        if not form.add(record, 0, 6 + index, NO_BOUND):
            raise ValueError("%s is not taken" % topic)
    return form.bundle_topic().decode(), bytes(form.payload())


def taken(form, messages):
    """How many of these records go into one bundle."""
    form.begin(1, [])
    for index, record in enumerate(messages):
        if not form.add(record, 0, 0, NO_BOUND):
            return index
    return len(messages)


# What persistmq 0.1.4 itself made of these messages: (bulk_topic_rewrite, messages, topic, payload).
OF_0_1_4 = (
    (
        "bulk",
        [("dt/blah", "Test Message 0"), ("dt/blah", "Test Message 1"), ("dt/x", b"\x00\xff")],
        "dt/bulk",
        b"\x83\xa2hsubtopicdblahgpayloadnTest Message 0\xa2hsubtopicdblahgpayloadnTest Message 1"
        b"\xa2hsubtopicaxgpayloadB\x00\xff",
    ),
    (
        "mixed/bulk",
        [("dt/blah", "Test Message 0"), ("blah", "1")],
        "/mixed/bulk",
        b"\x82\xa2hsubtopicgdt/blahgpayloadnTest Message 0\xa2hsubtopicdblahgpayloada1",
    ),
    (
        "mixed/bulk",
        [("a/b/c/d", "\xe9"), ("a/b/x/y", "")],
        "a/b/mixed/bulk",
        b"\x82\xa2hsubtopiccc/dgpayloadb\xc3\xa9\xa2hsubtopiccx/ygpayload`",
    ),
)


def as_0_1_4_does(rewrite, messages):
    """The lines of its ``_get_cache_from_database`` that make a bundle."""
    parts = len(rewrite.split("/"))
    entries = [{"subtopic": "/".join(topic.split("/")[-parts:]), "payload": payload} for topic, payload in messages]
    return "/".join(messages[-1][0].split("/")[:-parts]) + "/" + rewrite, cbor2.dumps(entries)


def read_as_its_receivers_do(topic, payload, rewrite):
    """What its receivers were written like."""
    prefix = topic[: -len(rewrite) - 1]
    return [("%s/%s" % (prefix, each["subtopic"]), each["payload"]) for each in cbor2.loads(payload)]


class SimpleFormTest(unittest.TestCase):
    def test_its_bytes_are_those_of_0_1_4(self):
        for rewrite, messages, topic, payload in OF_0_1_4:
            self.assertEqual(bundle_of(SimpleForm(rewrite.encode(), b""), messages), (topic, payload))

    def test_its_bytes_are_those_of_0_1_4_for_any_messages(self):
        if cbor2 is None:
            return
        rng = Rng(3)
        for _ in range(300):
            rewrite = rng.pick(("bulk", "mixed/bulk", "a/b/c"))
            prefix = rng.pick(("x/", "x/y/", "plant/7/"))
            last = ["/".join([rng.pick(("a", "b", "long level")) for _ in rewrite.split("/")]) for _ in range(4)]
            payloads = [rng.pick(("1.5", "", "{}", "x" * 300, b"\x00" * 30, b"\xff", "\u20ac")) for _ in range(30)]
            messages = [(prefix + rng.pick(last), payload) for payload in payloads[: rng.between(2, 30)]]
            found = bundle_of(SimpleForm(rewrite.encode(), b""), messages)
            self.assertEqual(found, as_0_1_4_does(rewrite, messages))
            self.assertEqual(read_as_its_receivers_do(found[0], found[1], rewrite), messages)

    def test_a_bundle_has_one_beginning_of_the_topic(self):
        form = SimpleForm(b"mixed/bulk", b"")
        topics = ("a/b/c/d", "a/b/e/f", "a/x/c/d")
        self.assertEqual(taken(form, [record_of(topic, b"1") for topic in topics]), 2)
        self.assertEqual(taken(form, [record_of(topic, b"1") for topic in ("c/d", "e", "a/c/d")]), 2)

    def test_a_bundle_has_one_quality_of_service(self):
        form = SimpleForm(b"bulk", b"")
        self.assertEqual(taken(form, [record_of("a/b", b"1", qos) for qos in (1, 1, 2)]), 2)
        self.assertEqual(form.qos, 1)

    def test_what_a_receiver_could_not_put_together_goes_alone(self):
        # "/b" would be "b" again; and who retains a message wants it under its own topic.
        self.assertEqual(taken(SimpleForm(b"bulk", b""), [record_of("/b", b"1")]), 0)
        self.assertEqual(taken(SimpleForm(b"mixed/bulk", b""), [record_of("/a/b", b"1")]), 0)
        self.assertEqual(taken(SimpleForm(b"bulk", b""), [record_of("a/b", b"1", retain=True)]), 0)
        self.assertEqual(taken(SimpleForm(b"bulk", b""), [record_of("//b", b"1")]), 1)

    def test_every_topic_that_is_taken_comes_back(self):
        rng = Rng(8)
        count = 0
        for _ in range(400):
            topic = "/".join([rng.pick(("", "a", "b")) for _ in range(rng.between(1, 5))])
            rewrite = rng.pick(("bulk", "x/bulk", "x/y/bulk"))
            form = SimpleForm(rewrite.encode(), b"")
            if not topic or not form.add(record_of(topic, b"1"), 0, 0, NO_BOUND):
                continue
            count += 1
            message = (form.bundle_topic().decode(), bytes(form.payload()), 2, False)
            self.assertEqual(messages_of(message, rewrite), [(topic, b"1", 2, False)])
        self.assertGreater(count, 200)

    def test_its_topic_has_no_more_bytes_than_a_topic_may_have(self):
        form = SimpleForm(b"a level that is rather long", b"")
        long = "x" * (TOPIC_BYTES_MAX - 10)
        self.assertEqual(taken(form, [record_of(long + "/t", b"1")]), 0)
        self.assertEqual(taken(form, [record_of(long[:-30] + "/t", b"1")]), 1)

    def test_no_more_bytes_than_it_may_have(self):
        for bytes_max in (256, 300, 1000):
            form = SimpleForm(b"bulk", b"")
            while form.add(record_of("a/b", b"0123456789"), 0, 0, bytes_max):
                pass
            size = len(form.bundle_topic()) + len(form.payload())
            self.assertTrue(bytes_max - 140 < size <= bytes_max, (size, bytes_max))


class PersistmqFormTest(unittest.TestCase):
    def form(self, compressor=None, epoch=0xC0FFEE, never=()):
        form = PersistmqForm(b"all/bulk", b"pole-17", compressor)
        form.begin(epoch, list(never))
        return form

    def test_it_keeps_all_that_is_known_of_a_message(self):
        form = self.form()
        records = [
            record_of("a/b", b"21.5", 2, False, 1 << 40, 60),
            record_of("a/x", b"\xff", 2, True, (1 << 40) + 1, 0, CLOCK_VALID_MS - 1),
        ]
        self.assertTrue(form.add(records[0], 60, 17, NO_BOUND))
        self.assertTrue(form.add(records[1], 0, 1 << 40, NO_BOUND))
        self.assertEqual(form.bundle_topic(), b"a/all/bulk")
        client, epoch, messages, never = read_outer(form.payload())
        self.assertEqual((client, epoch, never), ("pole-17", 0xC0FFEE, []))
        self.assertEqual(
            messages,
            [
                [1 << 40, 17, "a/b", b"21.5", 2, False, NOW_MS, 60],
                [(1 << 40) + 1, 1 << 40, "a/x", b"\xff", 2, True, CLOCK_VALID_MS - 1, 0],
            ],
        )

    def test_numbers_that_never_come_stand_at_its_end(self):
        form = self.form(never=(3, 9, 300, 300))
        form.add(record_of("a/b", b"1"), 0, 6, NO_BOUND)
        payload = form.payload()
        self.assertEqual(bytes(payload[:6]), b"\x87cpmq\x01")
        self.assertEqual(read_outer(payload)[3], [3, 9, 300, 300])

    def test_cbor2_writes_the_same(self):
        if cbor2 is None:
            return
        form = self.form(never=(3, 9))
        form.add(record_of("a/b", b"21.5", 1, True, 70000, 60), 60, 17, NO_BOUND)
        messages = [[70000, 17, "a/b", b"21.5", 1, True, NOW_MS, 60]]
        self.assertEqual(form.payload(), cbor2.dumps(["pmq", 1, "pole-17", 0xC0FFEE, 0, messages, [3, 9]]))

    def test_topics_and_retain_may_differ_and_the_quality_of_service_may_not(self):
        # A message of QoS 1 in a bundle of QoS 2 might be overtaken by others of QoS 1.
        records = [record_of("a", b"1"), record_of("a/c", b"2", retain=True), record_of("a", b"3", 1)]
        self.assertEqual(taken(self.form(), records), 2)

    def test_its_topic_begins_with_all_the_levels_that_those_of_its_messages_have_in_common(self):
        form = self.form()
        for topics, prefix in (
            (["a/b/c"], "a/b/c"),
            (["a/b/c", "a/b/c"], "a/b/c"),
            (["a/b/c", "a/b/d", "a/b"], "a/b"),
            (["a/b", "a/b/c", "a/bc"], "a"),
            (["a/bc", "a/b"], "a"),
            (["a", "a/b/c/d"], "a"),
            (["/a", "/b"], ""),
            (["//a", "//a/b"], "//a"),
            (["level"], "level"),
        ):
            self.assertEqual(taken(form, [record_of(topic, b"1") for topic in topics]), len(topics), topics)
            self.assertEqual(form.bundle_topic().decode(), prefix + "/all/bulk")

    def test_topics_with_no_level_in_common_do_not_go_together(self):
        # Their bundle's topic would be that of no subscription to either.
        for first, second in (("a/b", "b/b"), ("a", "/a"), ("a", "aa")):
            form = self.form()
            self.assertEqual(taken(form, [record_of(topic, b"1") for topic in (first, second, first)]), 1)
            self.assertEqual(form.bundle_topic().decode(), first + "/all/bulk")  # as it was

    def test_every_subscription_to_what_its_topics_have_in_common_and_all_below_has_it(self):
        rng = Rng(5)
        form = self.form()
        for _ in range(300):
            topics = []
            for _ in range(rng.between(1, 5)):
                topics.append("/".join([rng.pick(("", "a", "b")) for _ in range(rng.between(1, 4))]) or "a")
            count = taken(form, [record_of(topic, b"1") for topic in topics])
            message = (form.bundle_topic().decode(), bytes(form.payload()), 2, False)
            self.assertEqual([each[0] for each in messages_of(message, "all/bulk")], topics[:count])

    def test_its_topic_has_no_more_bytes_than_a_topic_may_have(self):
        long = "x" * (TOPIC_BYTES_MAX - 9)
        self.assertEqual(taken(self.form(), [record_of(long[1:], b"1")]), 1)
        self.assertEqual(taken(self.form(), [record_of(long, b"1")]), 1)
        self.assertEqual(taken(self.form(), [record_of(long + "x", b"1")]), 0)
        form = self.form()
        self.assertEqual(taken(form, [record_of("a/" + long, b"1")]), 1)
        self.assertEqual(form.bundle_topic(), b"a/all/bulk")

    def test_compression_is_used_where_it_helps(self):
        class Halves(Compressor):
            def compress(self, content):
                return content[: len(content) // 2]

        class Doubles(Compressor):
            def compress(self, content):
                return content + content

        plain = self.form()
        plain.add(record_of("a/b", b"1" * 100), 0, 6, NO_BOUND)
        listed = bytes(plain.payload())[len(b"\x86cpmq\x01gpole-17\x1a____\0") :]
        for compressor, expected in ((Halves(), [1, listed[: len(listed) // 2]]), (Doubles(), None)):
            form = self.form(compressor)
            form.add(record_of("a/b", b"1" * 100), 0, 6, NO_BOUND)
            if expected is None:
                self.assertEqual(form.payload(), plain.payload())
            else:
                self.assertEqual(read_cbor(form.payload())[4:], expected)

    def test_no_more_bytes_than_it_may_have(self):
        for bytes_max, never in ((256, ()), (700, (1 << 40,) * 20), (1000, ())):
            form = self.form(never=never)
            while form.add(record_of("a/b", b"0123456789", seq=1 << 60), 0, 1 << 59, bytes_max):
                pass
            size = len(form.bundle_topic()) + len(form.payload())
            self.assertTrue(bytes_max - 140 < size <= bytes_max, (size, bytes_max))

    def test_it_begins_again(self):
        form = self.form(never=(1, 2))
        form.add(record_of("a/b", b"1"), 5, 6, NO_BOUND)
        form.begin(5, [])
        self.assertEqual((form.count, form.qos, form.left_s), (0, 0, 0))
        form.add(record_of("a/b", b"2", 1), 0, 6, NO_BOUND)
        self.assertEqual(read_outer(form.payload())[1:], (5, [[7, 6, "a/b", b"2", 1, False, NOW_MS, 0]], []))


class ExpiryTest(unittest.TestCase):
    def left(self, *seconds):
        form = SimpleForm(b"bulk", b"")
        for left_s in seconds:
            form.add(record_of("a/b", b"1"), left_s, 0, NO_BOUND)
        return form.left_s

    def test_the_broker_may_drop_it_when_it_may_drop_every_message(self):
        self.assertEqual(self.left(5), 5)
        self.assertEqual(self.left(5, 9, 7), 9)
        self.assertEqual(self.left(5, 0), 0)
        self.assertEqual(self.left(0, 5), 0)
        self.assertEqual(self.left(5, 0, 9), 0)


class CheckpointTest(unittest.TestCase):
    def example(self, form, ranges):
        state = Checkpoint(7, 30)
        state.cursor = 1 << 33
        state.bundles = bundles.encode(form, {state.cursor + first: ranges[first] for first in ranges}, state.cursor)
        return state

    def test_what_was_encoded_is_decoded(self):
        ranges = {0: 5, 9: 3 | QOS_2, 20: 9 | QOS_2 | HEAD_LOST}
        for form in (SimpleForm(b"mixed/bulk", b""), PersistmqForm(b"x" * 255, b"y" * 255, None)):
            state = decode(self.example(form, ranges).encode())
            number, topic, client_id, found = bundles.decode(state)
            self.assertEqual((number, topic, client_id), (form.number, form.topic, form.client_id))
            self.assertEqual(found, {(1 << 33) + first: ranges[first] for first in ranges})
            again = bundles.make_form(number, topic, client_id, None)
            self.assertEqual((type(again), again.topic, again.client_id), (type(form), topic, client_id))

    def test_there_may_be_none_in_flight(self):
        state = decode(self.example(SimpleForm(b"bulk", b""), {}).encode())
        self.assertEqual(bundles.decode(state), (0, b"bulk", b"", {}))

    def test_it_stands_beside_the_evicted_and_those_that_never_come(self):
        state = self.example(SimpleForm(b"bulk", b""), {4: 3})
        state.identity = b"\0\0\7\0\0\0"
        state.evicted_first, state.evicted_end = state.cursor + 50, state.cursor + 60
        found = decode(state.encode())
        self.assertEqual((found.bundles, found.identity), (state.bundles, state.identity))
        self.assertEqual((found.evicted_first, found.evicted_end), (state.evicted_first, state.evicted_end))

    def test_the_bytes_are_those_of_the_format(self):
        state = self.example(SimpleForm(b"bulk", b""), {9: 3 | QOS_2})
        self.assertEqual(state.bundles, b"\x0e\0\x01\x00\x04bulk\x00\x09\0\x03\x20")
        content = state.encode()
        self.assertEqual(content[5], 4)
        self.assertEqual(bytes(content[96 + 8 : -4]), state.bundles)

    def test_no_byte_of_it_where_bundles_are_off(self):
        state = Checkpoint(7, 16)
        self.assertEqual((len(state.encode()), state.encode()[5]), (104, 0))
        self.assertEqual(decode(state.encode()).bundles, b"")

    def test_a_cut_one_is_no_checkpoint(self):
        content = self.example(SimpleForm(b"bulk", b""), {4: 3}).encode()
        for size in range(len(content)):
            self.assertIsNone(decode(content[:size]))

    def test_recovery_sees_which_numbers_it_had_on_the_wire(self):
        state = self.example(SimpleForm(b"bulk", b""), {2: 3, 6: 3 | HEAD_LOST, 20: 2})
        state.places[3] = PLACE_DONE  # its record was lost
        state.places[6] = PLACE_RELEASED
        bundles.mark(state)
        expected = bytearray(30)
        expected[2] = expected[20] = PLACE_CARRIER
        expected[4] = expected[7] = expected[8] = expected[21] = PLACE_CARRIED
        expected[3] = PLACE_DONE
        expected[6] = PLACE_RELEASED
        self.assertEqual(state.places, expected)
        self.assertEqual(COUNT & (QOS_2 | HEAD_LOST), 0)
