"""What is sent again after the connection or the session was lost."""

from persistmq_core import packets
from tests.support.delivery_case import DeliveryTestCase, ack

PUBACK, PUBREC, PUBCOMP = packets.PUBACK, packets.PUBREC, packets.PUBCOMP


class ReconnectTest(DeliveryTestCase):
    def test_what_was_sent_is_repeated_with_dup_in_the_original_order(self):
        self.publish(1, 2, 1, 2)
        self.fill()
        self.take(ack(PUBACK, 3), ack(PUBREC, 4))
        self.delivery.save()
        self.delivery.end_connection()
        self.delivery.resume()
        self.assertEqual(self.fill(), [("PUBLISH", 1, True), ("PUBLISH", 2, True), ("PUBREL", 5, False)])

    def test_what_was_not_sent_yet_goes_without_dup(self):
        self.publish(1, 1, 1)
        self.fill(1)
        self.delivery.end_connection()
        self.delivery.resume()
        self.assertEqual([each[2] for each in self.fill()], [True, False, False])

    def test_a_pubrec_that_was_not_stored_is_stored_and_released_after_the_reconnect(self):
        self.publish(2)
        self.fill()
        self.take(ack(PUBREC, 1))
        self.delivery.end_connection()
        self.delivery.resume()
        self.assertEqual(self.fill(), [])
        self.delivery.save()
        self.assertEqual(self.fill(), [("PUBREL", 2, False)])

    def test_a_pubrel_is_repeated_until_its_pubcomp(self):
        self.publish(2)
        self.fill()
        self.take(ack(PUBREC, 1))
        self.delivery.save()
        for _ in range(3):
            self.assertEqual(self.fill(), [("PUBREL", 2, False)])
            self.assertEqual(self.fill(), [])
            self.delivery.end_connection()
            self.delivery.resume()

    def test_resumed_pubrels_are_bound_by_in_flight_max(self):
        self.publish(2, 2, 2)
        self.fill()
        self.take(*[ack(PUBREC, seq) for seq in (1, 2, 3)])
        self.delivery.save()
        self.delivery.end_connection()
        self.delivery.resume()
        self.assertEqual(len(self.fill(2)), 2)
        self.take(ack(PUBCOMP, 1))
        self.assertEqual(self.fill(2), [("PUBREL", 4, False)])

    def test_a_lost_session_is_sent_again_as_new(self):
        self.publish(1, 2, 2)
        self.fill()
        self.take(ack(PUBREC, 2), ack(PUBREC, 3))
        self.delivery.save()
        self.delivery.end_connection()
        self.delivery.forget(False)
        self.assertEqual(self.fill(), [("PUBLISH", seq, False) for seq in (1, 2, 3)])
        self.assertEqual(self.delivery.checkpoint.repeated, 3)

    def test_a_lost_session_is_trusted_if_so_chosen(self):
        self.publish(1, 2, 2)
        self.fill()
        self.take(ack(PUBREC, 2))
        self.delivery.end_connection()
        self.delivery.forget(True)
        self.assertEqual(self.diary.delivered_seqs, [2])
        self.assertEqual(self.fill(), [("PUBLISH", 1, False), ("PUBLISH", 3, False)])
        self.assertEqual(self.delivery.checkpoint.repeated, 2)

    def test_what_was_never_sent_is_not_counted_as_repeated(self):
        self.publish(1, 1)
        self.delivery.end_connection()
        self.delivery.forget(False)
        self.assertEqual(self.delivery.checkpoint.repeated, 0)

    def test_oldest_and_awaits_tell_whose_turn_it_is(self):
        self.assertFalse(self.delivery.awaits())
        self.publish(2)
        self.assertFalse(self.delivery.awaits())
        self.fill()
        self.assertTrue(self.delivery.awaits())
        before = self.delivery.oldest()
        self.take(ack(PUBREC, 1))
        self.assertFalse(self.delivery.awaits())
        self.assertNotEqual(self.delivery.oldest(), before)

    def test_progress_changes_with_each_settled_message(self):
        self.publish(1, 1)
        self.fill()
        before = self.delivery.progress()
        self.take(ack(PUBACK, 2))
        middle = self.delivery.progress()
        self.take(ack(PUBACK, 1))
        self.assertEqual(len({before, middle, self.delivery.progress()}), 3)
