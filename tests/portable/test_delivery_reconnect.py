"""What is sent again after the connection or the session was lost."""

from persistmq_core import packets
from persistmq_core.window import SETTLE
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

    def test_what_cannot_be_refused_any_more_is_not(self):
        self.publish(2, 1)
        self.fill()
        self.take(ack(PUBREC, 1), ack(PUBACK, 2))
        for seq in (1, 2, 3, 3000):  # received, done, the next message's number, nowhere near
            self.assertFalse(self.delivery.refuse(seq, 1))
        self.delivery.save()
        self.assertEqual((self.diary.drops, self.accounts()), ([], (1, 0, 0)))

    def test_a_lost_record_whose_identifier_the_broker_may_hold_is_released_and_can_be_given_up(self):
        for given_up in (False, True):
            self.setUp()
            self.publish(2)
            self.fill()
            self.store.corrupt(self.store.list("journal")[0], 57, b"X")
            self.delivery.end_connection()
            self.delivery.resume()
            self.assertEqual(self.fill(), [("PUBREL", 2, False)])
            self.assertEqual(self.diary.drops, [(1, "damaged", 0)])
            if given_up:
                self.delivery.end_connection()
                self.assertTrue(self.delivery.refuse(1, 1))
            else:
                self.take(ack(PUBCOMP, 1))
            self.delivery.window.advance()
            self.assertEqual((self.delivery.window.cursor, self.accounts()), (2, (0, 0, 1)))
            self.assertEqual((self.diary.delivered_seqs, len(self.diary.drops)), ([], 1))

    def test_what_has_its_pubrec_needs_its_record_no_more(self):
        self.publish(2, 2, 2)
        self.fill()
        self.take(ack(PUBREC, 2))
        self.delivery.save()
        self.delivery.end_connection()
        self.store.remove(self.store.list("journal")[0])
        self.delivery.resume()
        with self.assertRaises(OSError):
            self.fill()  # and tried again
        self.assertEqual(self.fill(), [("PUBREL", each, False) for each in (2, 3, 4)])
        self.take(*[ack(PUBCOMP, seq) for seq in (1, 2, 3)])
        self.assertEqual((self.diary.delivered_seqs, self.accounts()), ([2], (1, 0, 2)))

    def test_a_window_that_is_ahead_of_the_journal_waits(self):
        self.delivery.window.move(3, SETTLE)
        self.assertEqual(self.fill(), [])
        self.publish(1, 1)
        self.assertEqual([each[1] for each in self.fill()], [1, 2])

    def test_what_was_never_sent_is_not_counted_as_repeated(self):
        self.publish(1, 1)
        self.delivery.end_connection()
        self.delivery.forget(False)
        self.assertEqual(self.delivery.checkpoint.repeated, 0)

    def test_it_says_since_when_it_is_the_broker_s_turn(self):
        self.assertFalse(self.delivery.awaits())
        self.publish(2)
        self.assertFalse(self.delivery.awaits())
        self.assertEqual(self.delivery.watch(1000, False), 1000)
        self.fill()
        self.assertTrue(self.delivery.awaits())
        self.assertEqual(self.delivery.watch(2000, False), 2000)
        self.assertEqual(self.delivery.watch(3000, False), 2000)
        self.delivery.moved(3500)
        self.assertEqual(self.delivery.watch(4000, False), 3500)
        self.take(ack(PUBREC, 1))
        self.assertFalse(self.delivery.awaits())
        self.assertEqual(self.delivery.watch(5000, False), 5000)
        self.assertEqual(self.delivery.watch(6000, True), 5000)

    def test_progress_changes_with_each_settled_message(self):
        self.publish(1, 1)
        self.fill()
        before = self.delivery.progress()
        self.take(ack(PUBACK, 2))
        middle = self.delivery.progress()
        self.take(ack(PUBACK, 1))
        self.assertEqual(len({before, middle, self.delivery.progress()}), 3)
