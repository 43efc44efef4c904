"""The simulated link between the core and the model broker."""

import unittest

from persistmq_core import packets
from persistmq_core.contracts import CONNECTING, DOWN, UP
from tests.support import mqtt_wire as wire
from tests.support.acknowledgements import acknowledgements
from tests.support.link import ModelTransport
from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng


def publish(identifier=7, qos=2, payload=b"p", dup=False, mqtt5=False):
    out = bytearray()
    packets.publish(out, b"t", payload, qos, False, dup, identifier, mqtt5)
    return bytes(out)


class LinkTestCase(unittest.TestCase):
    def setUp(self):
        self.broker = ModelBroker()
        self.link = self.make()

    def make(self, **options):
        return ModelTransport(self.broker, Rng(1), **options)

    def up(self, clean=False, now_ms=0):
        """Open, and let time pass until UP."""
        self.link.open(clean)
        self.link.tick(now_ms)
        self.assertEqual(self.link.state(), UP)

    def send(self, view):
        return self.link.send(memoryview(view))

    def acks(self):
        return acknowledgements(self.link.receive())


class ConnectionTest(LinkTestCase):
    def test_it_begins_down_and_comes_up_by_open_and_time(self):
        self.assertEqual(self.link.state(), DOWN)
        self.link.open(False)
        self.assertEqual(self.link.state(), CONNECTING)
        self.link.tick(0)
        self.assertEqual(self.link.state(), UP)
        self.assertFalse(self.link.session_present)

    def test_what_connack_says_can_be_read_while_up(self):
        self.broker.receive_maximum = 10
        self.broker.packet_bytes_max = 999
        self.broker.qos_max = 1
        self.link = self.make(protocol=5)
        self.up()
        self.link.close()
        self.up()
        link = self.link
        self.assertTrue(link.session_present)
        self.assertEqual((link.protocol, link.receive_maximum, link.packet_bytes_max, link.qos_max), (5, 10, 999, 1))
        self.assertTrue(link.retain_available)

    def test_a_clean_session_forgets_the_one_before(self):
        self.up()
        self.send(publish())
        self.link.tick(0)
        self.up(clean=True)
        self.assertFalse(self.link.session_present)
        self.assertEqual(self.broker.session().unreleased, {})
        self.up()
        self.assertFalse(self.link.session_present)

    def test_a_clean_session_of_mqtt_5_is_kept_afterwards(self):
        self.link = self.make(protocol=5)
        self.up(clean=True)
        self.up()
        self.assertTrue(self.link.session_present)

    def test_a_refused_connect_needs_a_person(self):
        self.broker.connect_code = 5
        self.link.open(False)
        self.link.tick(0)
        link = self.link
        self.assertEqual((link.state(), link.refused, link.dropped, link.reason_code), (DOWN, True, False, 5))
        self.broker.heal()
        self.up()
        self.assertFalse(link.refused)

    def test_an_absent_broker_is_no_drop(self):
        self.broker.listening = False
        self.link.open(False)
        self.link.tick(0)
        link = self.link
        self.assertEqual(
            (link.state(), link.refused, link.dropped, link.reason), (DOWN, False, False, "nobody answers")
        )

    def test_a_broker_that_never_answers_connect_is_given_up(self):
        self.broker.stay_silent(wire.CONNACK)
        self.link.open(False)
        self.link.tick(29999)
        self.assertEqual(self.link.state(), CONNECTING)
        self.link.tick(30000)
        self.assertEqual((self.link.state(), self.link.dropped), (DOWN, False))

    def test_only_open_leaves_down(self):
        self.up()
        self.link.cut()
        self.link.tick(1000)
        self.assertEqual(self.link.state(), DOWN)
        self.assertEqual(self.send(publish()), 0)
        self.assertEqual(self.link.receive(), b"")

    def test_a_closed_connection_has_said_disconnect(self):
        self.up()
        self.broker.log = []
        self.send(publish())
        self.link.close()
        self.assertEqual([entry[1] for entry in self.broker.log], ["PUBLISH", "DISCONNECT"])
        self.assertEqual((self.link.state(), self.link.dropped), (DOWN, False))

    def test_open_closes_the_connection_there_was(self):
        self.up()
        self.up()
        self.assertEqual(self.link.opens, 2)
        self.assertTrue(self.link.session_present)


class BytesTest(LinkTestCase):
    def test_a_handshake_goes_through(self):
        self.up()
        self.assertEqual(self.send(publish()), len(publish()))
        self.link.tick(0)
        self.assertEqual(self.acks(), [(packets.PUBREC, 7, 0)])
        self.send(b"\x62\x02\x00\x07")
        self.link.tick(0)
        self.assertEqual(self.acks(), [(packets.PUBCOMP, 7, 0)])
        self.assertEqual(len(self.broker.deliveries), 1)
        self.assertEqual(self.broker.violations + self.link.violations, [])

    def test_bytes_take_their_time_in_both_directions(self):
        self.link = self.make(latency_ms_min=10, latency_ms_max=10)
        self.link.open(False)
        for now_ms, state in ((0, CONNECTING), (10, CONNECTING), (19, CONNECTING), (20, UP)):
            self.link.tick(now_ms)
            self.assertEqual(self.link.state(), state)
        self.send(publish())
        self.assertEqual(self.link.next_due_ms(), 30)
        self.link.tick(30)
        self.assertEqual(self.link.receive(), b"")
        self.assertEqual(self.link.next_due_ms(), 40)
        self.link.tick(40)
        self.assertEqual(len(self.acks()), 1)
        self.assertIsNone(self.link.next_due_ms())

    def test_packets_arrive_in_order_whatever_the_latency(self):
        self.link = self.make(latency_ms_min=0, latency_ms_max=50)
        self.link.open(False)
        self.link.tick(0)
        self.link.tick(50)
        self.link.tick(100)
        found = []
        for identifier in range(1, 21):
            self.send(publish(identifier, qos=1))
            self.link.tick(100 + identifier)
            found += self.acks()
        self.link.tick(170)
        self.link.tick(250)
        found += self.acks()
        self.assertEqual([ack[1] for ack in found], list(range(1, 21)))

    def test_receive_gives_whole_packets_though_bytes_come_one_by_one(self):
        self.up()
        self.link.bytes_per_tick = 1
        self.send(publish(1, qos=1) + publish(2, qos=1))
        sizes = set()
        for _ in range(60):
            self.link.tick(0)
            sizes.add(len(self.link.receive()))
        self.assertEqual(sizes, {0, 4})
        self.assertEqual(len(self.broker.deliveries), 2)

    def test_receive_may_give_a_few_at_a_time(self):
        self.up()
        self.link.acks_per_receive = 2
        self.send(publish(1, qos=1) + publish(2, qos=1) + publish(3, qos=1))
        self.link.tick(0)
        self.assertEqual([len(self.acks()) for _ in range(3)], [2, 1, 0])

    def test_foreign_identifiers_are_kept_from_the_core(self):
        self.up()
        self.send(publish(64000, qos=1) + publish(64001, qos=1))
        self.link.tick(0)
        self.assertEqual(self.acks(), [(packets.PUBACK, 64000, 0)])

    def test_a_send_takes_what_the_schedule_says(self):
        self.up()
        self.link.send_counts = [3, 0, 2, None]
        view = publish()
        taken = []
        while view:
            taken.append(self.send(view))
            view = view[taken[-1] :]
        self.assertEqual(taken, [3, 0, 2, len(publish()) - 5])
        self.link.tick(0)
        self.assertEqual(len(self.acks()), 1)
        self.assertEqual(self.link.violations, [])

    def test_a_full_buffer_takes_nothing(self):
        self.up()
        self.link.buffer_bytes_max = 10
        self.assertEqual(self.send(publish(payload=bytes(20))), 10)
        self.assertEqual(self.send(publish(payload=bytes(20))[10:]), 0)
        self.assertEqual(self.link.on_the_way(), 10)

    def test_drawn_sends_are_full_short_or_busy(self):
        self.up()
        self.link.busy_percent = 30
        self.link.short_percent = 50
        view = publish(payload=bytes(90))
        taken = set()
        for identifier in range(1, 40):
            rest = publish(identifier, qos=1, payload=bytes(90))
            while rest:
                count = self.send(rest)
                taken.add(0 if not count else 1 if count < len(view) else 2)
                rest = rest[count:]
        self.link.tick(0)
        self.assertEqual(taken, {0, 1, 2})
        self.assertEqual(len(self.broker.deliveries), 39)

    def test_a_send_that_does_not_go_on_where_the_last_one_stopped_is_written_down(self):
        self.up()
        self.link.send_counts = [3]
        self.send(publish(1))
        self.send(publish(2))
        self.assertIn("a send that does not begin with the rest of the one before", self.link.violations)

    def test_a_send_that_ends_inside_a_packet_is_written_down(self):
        self.up()
        self.send(publish(1) + publish(2)[:4])
        self.assertEqual(self.link.violations, ["a send that does not end with a whole packet"])

    def test_on_wire_sees_each_packet_before_its_first_byte_goes(self):
        self.up()
        seen = []
        self.link.on_wire = lambda packet: seen.append((packet, self.link.on_the_way()))
        stream = publish(1) + publish(2) + publish(3)
        size = len(publish(1))
        self.link.send_counts = [size, 1, 0, size, None]
        at = counts = 0
        shown = []
        while at < len(stream):
            at += self.send(stream[at:])
            counts += 1
            shown.append(len(seen))
        self.assertEqual(shown, [1, 2, 2, 3, 3])
        self.assertEqual([packet for packet, _ in seen], [publish(1), publish(2), publish(3)])
        self.assertEqual(seen[0][1], 0)
