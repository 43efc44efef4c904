"""The walk along the journal: which message is sent when."""

from persistmq_core import packets
from tests.support.delivery_case import DeliveryTestCase, ack

PUBACK, PUBREC, PUBCOMP = packets.PUBACK, packets.PUBREC, packets.PUBCOMP


class SendingTest(DeliveryTestCase):
    def test_messages_go_out_in_the_order_of_publishing(self):
        self.publish(1, 2, 0, 1)
        self.assertEqual(self.fill(), [("PUBLISH", seq, False) for seq in (1, 2, 3, 4)])
        self.assertEqual(self.fill(), [])

    def test_a_message_carries_its_own_identifier(self):
        self.publish(1, 2)
        self.fill()
        first = packets.split(self.out)
        self.assertEqual(bytes(self.out[first[1] : first[2]]), b"\0\1t\0\x021")
        self.assertEqual(bytes(self.out[first[2] :]), b"\x34\6\0\1t\0\x032")

    def test_the_window_bounds_what_is_under_way(self):
        self.publish(*[1] * 12)
        self.assertEqual(len(self.fill()), 8)
        self.take(ack(PUBACK, 1))
        self.assertEqual(self.fill(), [("PUBLISH", 9, False)])

    def test_the_oldest_holds_the_window_in_place(self):
        self.publish(*[1] * 12)
        self.fill()
        self.take(*[ack(PUBACK, seq) for seq in (2, 3, 4, 5, 6, 7, 8)])
        self.assertEqual(self.fill(), [])
        self.take(ack(PUBACK, 1))
        self.assertEqual(len(self.fill()), 4)

    def test_in_flight_max_bounds_qos_1(self):
        self.publish(1, 1, 1)
        self.assertEqual(len(self.fill(2)), 2)
        self.assertEqual(self.fill(2), [])
        self.take(ack(PUBACK, 2))
        self.assertEqual(self.fill(2), [("PUBLISH", 3, False)])

    def test_in_flight_max_bounds_qos_2_until_its_pubcomp(self):
        self.publish(2, 2, 2)
        self.fill(2)
        self.take(ack(PUBREC, 1))
        self.delivery.save()
        self.assertEqual(self.fill(2), [("PUBREL", 2, False)])
        self.take(ack(PUBCOMP, 1))
        self.assertEqual(self.fill(2), [("PUBLISH", 3, False)])

    def test_a_window_of_released_ones_may_wait_for_pubcomp_behind_the_next(self):
        self.start(2, 2)
        self.publish(*[2] * 6)
        self.fill()
        self.take(ack(PUBREC, 1), ack(PUBREC, 2))
        self.delivery.save()
        sent = [("PUBREL", 2, False), ("PUBREL", 3, False), ("PUBLISH", 3, False), ("PUBLISH", 4, False)]
        self.assertEqual(sorted(self.fill(self.delivery.limit)), sorted(sent))
        self.take(ack(PUBREC, 3), ack(PUBREC, 4))
        self.delivery.save()
        self.assertEqual([kind for kind, _, _ in self.fill(self.delivery.limit)], ["PUBREL", "PUBREL"])

    def test_qos_1_waits_while_a_window_is_in_flight(self):
        self.start(2, 2)
        self.publish(2, 2, 1, 2)
        self.fill(self.delivery.limit)
        self.take(ack(PUBREC, 1), ack(PUBREC, 2))
        self.delivery.save()
        self.assertEqual([kind for kind, _, _ in self.fill(self.delivery.limit)], ["PUBREL", "PUBREL"])
        self.take(ack(PUBCOMP, 1))
        self.assertEqual([kind for kind, _, _ in self.fill(self.delivery.limit)], ["PUBLISH", "PUBLISH"])

    def test_window_qos2_bounds_what_is_not_released_and_the_order_holds(self):
        self.start(8, 2)
        self.publish(2, 2, 2, 1)
        self.assertEqual(self.fill(), [("PUBLISH", 1, False), ("PUBLISH", 2, False)])
        self.take(ack(PUBREC, 1))
        self.assertEqual(self.fill(), [])
        self.delivery.save()
        self.assertEqual(self.fill(), [("PUBREL", 2, False), ("PUBLISH", 3, False)])
        self.take(ack(PUBREC, 2))
        self.delivery.save()
        # QoS 1 waits as well: behind so many unreleased ones Mosquitto would lose it.
        self.assertEqual(self.fill(), [("PUBREL", 3, False), ("PUBLISH", 4, False)])

    def test_nothing_new_begins_when_publish_is_false(self):
        self.publish(2, 1)
        self.fill(1)
        self.take(ack(PUBREC, 1))
        self.delivery.save()
        self.assertEqual(self.fill(publish=False), [("PUBREL", 2, False)])
        self.take(ack(PUBCOMP, 1))
        self.assertEqual(self.fill(publish=False), [])

    def test_mqtt_5_has_its_property_length(self):
        self.transport.protocol = 5
        self.publish(1, 0)
        self.assertEqual(self.fill(), [("PUBLISH", 1, False), ("PUBLISH", 2, False)])

    def test_no_more_goes_out_than_the_bound_on_storage_allows(self):
        # Law 4: after a restart no number from the stored bound on can have been on the wire.
        self.publish(*[0] * 200)
        self.assertFalse(self.delivery.must_save())
        sent = []
        for _ in range(40):
            sent += self.fill()
            self.delivery.taken()
            if self.delivery.must_save():
                break
        self.assertTrue(self.delivery.must_save())
        self.assertTrue(len(sent) < 200)
        self.assertEqual(self.fill(), [])
        self.delivery.save()
        self.assertTrue(self.fill())

    def test_qos_0_is_delivered_when_the_transport_has_taken_it(self):
        self.publish(0, 0)
        self.fill()
        self.assertEqual(self.diary.delivered_seqs, [])
        self.delivery.taken()
        self.assertEqual(self.diary.delivered_seqs, [1, 2])
        self.assertEqual(self.accounts(), (2, 0, 0))

    def test_qos_0_never_goes_with_dup(self):
        self.publish(0, 1)
        self.fill()
        self.delivery.end_connection()
        self.delivery.resume()
        self.assertEqual(self.fill(), [("PUBLISH", 1, False), ("PUBLISH", 2, True)])
