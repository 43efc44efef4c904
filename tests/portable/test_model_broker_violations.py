"""What the model broker writes down against a client, and what it does not."""

from persistmq_core import packets
from tests.portable.test_model_broker import BrokerTestCase, publish, pubrel
from tests.support import mqtt_wire as wire


class ViolationTest(BrokerTestCase):
    def test_a_repeat_inside_one_connection(self):
        connection = self.connect()
        connection.feed(publish() + publish(dup=True))
        self.violation("repeated inside one connection")

    def test_a_repeat_inside_one_connection_after_the_end_of_the_handshake(self):
        connection = self.connect()
        connection.feed(publish(qos=1) + publish(qos=1, dup=True))
        self.violation("repeated inside one connection, after its end")

    def test_an_identifier_used_again_after_the_end_is_none(self):
        connection = self.connect()
        connection.feed(publish(qos=1) + publish(payload=b"other", qos=1))
        connection.feed(publish(identifier=8) + pubrel(8) + publish(payload=b"other", identifier=8))
        self.assertEqual(self.broker.violations, [])

    def test_an_identifier_reused_inside_its_handshake(self):
        connection = self.connect()
        connection.feed(publish() + publish(payload=b"other"))
        self.violation("whose handshake has not ended")
        self.assertEqual(self.broker.lost, [("t", b"other", 2, False)])

    def test_an_identifier_reused_in_the_next_connection(self):
        self.connect().feed(publish())
        self.connect().feed(publish(payload=b"other", dup=True))
        self.violation("reuses the identifier of an unreleased message")

    def test_a_publish_after_its_pubrec_was_received(self):
        connection = self.connect()
        connection.reports_reception = True
        connection.feed(publish())
        connection.client_received(wire.PUBREC, 7)
        connection.feed(publish(dup=True))
        self.violation("after its PUBREC was received")

    def test_a_publish_after_its_pubrec_was_stored(self):
        self.connect().feed(publish())
        self.broker.pubrec_is_durable(7)
        self.connect().feed(publish(dup=True))
        self.violation("after its PUBREC was stored")

    def test_dup_0_on_a_message_sent_again(self):
        self.connect().feed(publish())
        self.connect().feed(publish())
        self.violation("sent again with DUP 0")

    def test_dup_0_on_a_qos_1_message_whose_puback_the_client_never_got(self):
        connection = self.connect()
        connection.reports_reception = True
        connection.feed(publish(qos=1))
        self.connect().feed(publish(qos=1))
        self.violation("sent again with DUP 0")

    def test_a_message_sent_as_new_after_the_session_was_lost_is_none(self):
        self.connect().feed(publish())
        self.broker.restart(False)
        self.connect().feed(publish())
        self.assertEqual(self.broker.violations, [])

    def test_more_in_flight_than_receive_maximum(self):
        self.broker.receive_maximum = 2
        self.broker.enforces = True
        connection = self.connect(protocol=5)
        connection.feed(publish(identifier=1, mqtt5=True) + publish(identifier=2, mqtt5=True))
        self.assertEqual(self.broker.violations, [])
        self.assertEqual(connection.feed(publish(identifier=3, mqtt5=True))[-3:], b"\xe0\x01\x93")
        self.violation("3 messages in flight, Receive Maximum is 2")

    def test_pubcomp_and_not_pubrec_makes_room_under_receive_maximum(self):
        self.broker.receive_maximum = 1
        connection = self.connect(protocol=5)
        connection.feed(publish(identifier=1, mqtt5=True) + pubrel(1) + publish(identifier=2, mqtt5=True))
        self.assertEqual(self.broker.violations, [])

    def test_more_unreleased_messages_than_mosquitto_can_hold_are_lost(self):
        self.broker.unreleased_max = 2
        self.broker.loses_above_max = True
        connection = self.connect()
        for identifier in (1, 2, 3):
            connection.feed(publish(payload=b"%d" % identifier, identifier=identifier))
        for identifier in (1, 2, 3):
            connection.feed(pubrel(identifier))
        self.violation("behind 2 unreleased")
        self.assertEqual([message[1] for message in self.broker.deliveries], [b"1", b"2"])
        self.assertEqual([message[1] for message in self.broker.lost], [b"3"])

    def test_an_unknown_pubrel_is_counted_and_no_violation(self):
        self.assertEqual(self.acks(self.connect().feed(pubrel())), [(packets.PUBCOMP, 7, 0)])
        self.assertEqual(self.acks(self.connect(protocol=5).feed(pubrel())), [(packets.PUBCOMP, 7, 0x92)])
        self.assertEqual(self.broker.unknown_pubrels, 2)
        self.assertEqual(self.broker.violations, [])

    def test_a_publish_again_after_its_pubrel_is_counted_apart(self):
        self.connect().feed(publish() + pubrel())
        self.connect().feed(publish(dup=True))
        self.assertEqual(self.broker.resent_after_pubrel, [("t", b"p", 2, False)])
        self.assertEqual(self.broker.violations, [])

    def test_malformed_packets_end_the_connection(self):
        for stream in (
            publish(qos=3),
            publish(qos=0, dup=True),
            publish(identifier=0),
            publish(topic="a/#"),
            publish(topic=""),
            b"\x30\x04\x00\x02\xff\xfe",
            b"\x30\x02\x00\x05",
            b"\x60\x02\x00\x07",
            b"\x62\x01\x00",
            b"\xf0\x00",
            b"\x30\xff\xff\xff\xff\x01",
            b"\x40\x02\x00\x01",
            wire.connect("model", False, 4),
        ):
            self.setUp()
            connection = self.connect()
            connection.feed(stream)
            self.assertTrue(connection.closed, repr(stream))
            self.violation("malformed")

    def test_a_packet_before_connect_is_malformed(self):
        connection = self.broker.accept()
        connection.feed(publish())
        self.assertTrue(connection.closed)
        self.violation("no CONNECT")
