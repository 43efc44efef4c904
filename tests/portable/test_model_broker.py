"""The broker that keeps a book."""

import unittest

from persistmq_core import packets
from tests.support import mqtt_wire as wire
from tests.support.acknowledgements import acknowledgements
from tests.support.model_broker import ModelBroker


def publish(topic="t", payload=b"p", qos=2, identifier=7, dup=False, retain=False, mqtt5=False):
    out = bytearray()
    packets.publish(out, topic.encode(), payload, qos, retain, dup, identifier, mqtt5)
    return bytes(out)


def pubrel(identifier=7):
    out = bytearray()
    packets.pubrel(out, identifier)
    return bytes(out)


class BrokerTestCase(unittest.TestCase):
    def setUp(self):
        self.broker = ModelBroker()

    def connect(self, clean=False, protocol=4, client_id="model"):
        connection = self.broker.accept()
        self.connack = connection.feed(wire.connect(client_id, clean, protocol))
        return connection

    def acks(self, out):
        return acknowledgements(out)

    def violation(self, words):
        """Exactly one violation, and it says this."""
        self.assertEqual(len(self.broker.violations), 1, str(self.broker.violations))
        self.assertIn(words, self.broker.violations[0])


class DeliveryTest(BrokerTestCase):
    def test_qos_0_is_delivered_and_not_answered(self):
        self.assertEqual(self.connect().feed(publish(qos=0)), b"")
        self.assertEqual(self.broker.deliveries, [("t", b"p", 0, False)])

    def test_qos_1_is_delivered_and_acknowledged(self):
        out = self.connect().feed(publish(qos=1, retain=True))
        self.assertEqual(self.acks(out), [(packets.PUBACK, 7, 0)])
        self.assertEqual(self.broker.deliveries, [("t", b"p", 1, True)])

    def test_qos_2_is_delivered_at_pubrel_as_mosquitto_does(self):
        connection = self.connect()
        self.assertEqual(self.acks(connection.feed(publish())), [(packets.PUBREC, 7, 0)])
        self.assertEqual(self.broker.deliveries, [])
        self.assertEqual(self.acks(connection.feed(pubrel())), [(packets.PUBCOMP, 7, 0)])
        self.assertEqual(self.broker.deliveries, [("t", b"p", 2, False)])
        self.assertEqual(self.broker.violations, [])

    def test_qos_2_is_delivered_at_publish_as_ejabberd_does(self):
        self.broker.deliver_at = "publish"
        connection = self.connect()
        connection.feed(publish())
        self.assertEqual(len(self.broker.deliveries), 1)
        connection.feed(pubrel())
        self.assertEqual(len(self.broker.deliveries), 1)

    def test_qos_2_is_answered_with_puback_as_rabbitmq_does(self):
        self.broker.qos2_answer = "puback"
        self.assertEqual(self.acks(self.connect().feed(publish())), [(packets.PUBACK, 7, 0)])
        self.assertEqual(len(self.broker.deliveries), 1)

    def test_a_repeat_in_the_next_connection_is_delivered_once(self):
        for deliver_at in ("pubrel", "publish"):
            self.setUp()
            self.broker.deliver_at = deliver_at
            self.connect().feed(publish())
            connection = self.connect()
            self.assertEqual(self.acks(connection.feed(publish(dup=True))), [(packets.PUBREC, 7, 0)])
            connection.feed(pubrel())
            self.assertEqual(len(self.broker.deliveries), 1)
            self.assertEqual(self.broker.violations, [])

    def test_packets_are_read_byte_by_byte_and_many_at_once(self):
        stream = publish(payload=b"x" * 200) + pubrel() + publish(qos=1, identifier=8)
        connection = self.connect()
        whole = connection.feed(stream)
        self.setUp()
        connection = self.connect()
        out = b""
        for index in range(len(stream)):
            out += connection.feed(stream[index : index + 1])
        self.assertEqual(out, whole)
        self.assertEqual(len(self.broker.deliveries), 2)

    def test_ping_and_subscribe_are_answered(self):
        connection = self.connect()
        self.assertEqual(connection.feed(b"\xc0\x00"), b"\xd0\x00")
        self.assertEqual(connection.feed(b"\x82\x06\xea\x61\x00\x01t\x01"), b"\x90\x03\xea\x61\x02")


class SessionTest(BrokerTestCase):
    def test_a_kept_session_is_present_in_the_next_connection(self):
        for protocol in (4, 5):
            self.setUp()
            self.connect(protocol=protocol)
            self.assertEqual(self.connack[2], 0)
            self.connect(protocol=protocol)
            self.assertEqual(self.connack[2], 1)

    def test_clean_session_wipes_it(self):
        self.connect().feed(publish())
        self.connect(clean=True)
        self.assertEqual(self.connack[2], 0)
        self.assertEqual(self.broker.session().unreleased, {})
        self.assertEqual(self.broker.forgotten, [("t", b"p", 2, False)])

    def test_a_clean_session_of_3_1_1_ends_with_its_connection_and_one_of_5_does_not(self):
        for protocol, present in ((4, 0), (5, 1)):
            self.setUp()
            self.connect(clean=True, protocol=protocol).lost()
            self.connect(protocol=protocol)
            self.assertEqual(self.connack[2], present)

    def test_a_restart_ends_connections_and_keeps_sessions_if_told(self):
        for keep in (True, False):
            self.setUp()
            connection = self.connect()
            connection.feed(publish())
            self.broker.restart(keep)
            self.assertTrue(connection.closed)
            self.connect()
            self.assertEqual(self.connack[2], int(keep))
            self.assertEqual(len(self.broker.forgotten), 0 if keep else 1)

    def test_a_second_connection_of_a_client_ends_the_first(self):
        first = self.connect()
        self.connect(client_id="other")
        self.assertFalse(first.closed)
        self.connect()
        self.assertTrue(first.closed)
        self.assertTrue(self.broker.connected("model"))

    def test_a_broker_may_deny_the_session_it_keeps(self):
        self.connect().feed(publish())
        self.broker.denies_session = True
        connection = self.connect()
        self.assertEqual(self.connack[2], 0)
        connection.feed(pubrel())
        self.assertEqual(len(self.broker.deliveries), 1)

    def test_mqtt_5_announces_its_limits(self):
        self.broker.receive_maximum = 10
        self.broker.qos_max = 1
        self.broker.retain_available = False
        self.broker.packet_bytes_max = 1000
        self.connect(protocol=5)
        reader = wire.Reader(self.connack[4:])
        self.assertEqual(reader.properties(), {0x21: 10, 0x24: 1, 0x25: 0, 0x27: 1000})


class RulesTest(BrokerTestCase):
    def test_a_refused_connect_says_why_and_closes(self):
        self.broker.connect_code = 5
        connection = self.connect()
        self.assertEqual(self.connack, b"\x20\x02\x00\x05")
        self.assertTrue(connection.closed)
        self.broker.heal()
        self.assertFalse(self.connect().closed)

    def test_mqtt_5_refuses_with_a_reason_code_and_forgets_the_identifier(self):
        self.broker.refuse("t", 0x87)
        connection = self.connect(protocol=5)
        self.assertEqual(self.acks(connection.feed(publish(mqtt5=True))), [(packets.PUBREC, 7, 0x87)])
        out = connection.feed(publish(qos=1, identifier=8, mqtt5=True) + publish("u", qos=1, identifier=9, mqtt5=True))
        self.assertEqual(self.acks(out), [(packets.PUBACK, 8, 0x87), (packets.PUBACK, 9, 0)])
        self.assertEqual(self.broker.session().unreleased, {})
        self.assertEqual(self.broker.deliveries, [("u", b"p", 1, False)])
        self.assertEqual(self.broker.violations, [])

    def test_3_1_1_can_only_close(self):
        self.broker.refuse("t", 0x87)
        connection = self.connect()
        self.assertEqual(connection.feed(publish(qos=1)), b"")
        self.assertTrue(connection.closed)

    def test_a_poison_message_closes_the_connection_as_often_as_told(self):
        self.broker.drop_at("t", payload=b"bad", times=1)
        connection = self.connect()
        connection.feed(publish(payload=b"good", identifier=6))
        self.assertFalse(connection.closed)
        self.assertEqual(connection.feed(publish(payload=b"bad")), b"")
        self.assertTrue(connection.closed)
        connection = self.connect()
        connection.feed(publish(payload=b"bad"))
        self.assertFalse(connection.closed)

    def test_silence_does_the_work_and_sends_nothing(self):
        self.broker.stay_silent(wire.PUBACK, topic="t", times=1)
        self.broker.stay_silent(wire.PUBCOMP, identifier=9)
        connection = self.connect()
        self.assertEqual(connection.feed(publish(qos=1)), b"")
        self.assertEqual(len(self.broker.deliveries), 1)
        self.assertEqual(len(self.acks(connection.feed(publish(identifier=9) + pubrel(9)))), 1)
        self.assertEqual(len(self.acks(connection.feed(publish(qos=1, identifier=10)))), 1)

    def test_a_broker_without_qos_2_hangs_up(self):
        self.broker.qos_max = 1
        connection = self.connect()
        connection.feed(publish())
        self.assertTrue(connection.closed)
        self.assertEqual(self.broker.violations, [])
        connection = self.connect(protocol=5)
        self.assertEqual(connection.feed(publish(mqtt5=True)), b"\xe0\x01\x9b")
        self.violation("against a limit of CONNACK (0x9b)")


class LogTest(BrokerTestCase):
    def test_the_log_is_kept_on_demand(self):
        self.connect()
        self.broker.log = []
        self.connect().feed(publish(qos=1, dup=True) + pubrel(9))
        names = [(entry[0], entry[1], entry[2], entry[3]) for entry in self.broker.log]
        self.assertEqual(names, [(2, "CONNECT", 0, False), (2, "PUBLISH", 7, True), (2, "PUBREL", 9, False)])
