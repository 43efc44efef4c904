"""What an acknowledgement means."""

from persistmq_core import packets
from persistmq_core.errors import ProtocolError
from tests.support import mqtt_wire as wire
from tests.support.delivery_case import DeliveryTestCase, ack
from tests.support.write_list_store import ENOSPC

PUBACK, PUBREC, PUBCOMP = packets.PUBACK, packets.PUBREC, packets.PUBCOMP


class AcknowledgementTest(DeliveryTestCase):
    def stray(self, *acknowledgements):
        """These mean nothing, change nothing, and are counted."""
        before = self.delivery.strays
        window = self.delivery.window
        states = [window.state(seq) for seq in range(window.cursor, window.cursor + 8)]
        accounts = self.accounts()
        self.take(*acknowledgements)
        self.assertEqual(self.delivery.strays, before + len(acknowledgements))
        self.assertEqual([window.state(seq) for seq in range(window.cursor, window.cursor + 8)], states)
        if self.delivery.must_save() or self.delivery.unsaved:
            self.delivery.save()
        self.assertEqual(self.accounts(), accounts)

    def test_puback_delivers_qos_1_in_any_order(self):
        self.publish(1, 1, 1)
        self.fill()
        self.take(ack(PUBACK, 3), ack(PUBACK, 1))
        self.assertEqual(self.diary.delivered_seqs, [3, 1])
        self.assertEqual(self.accounts(), (2, 0, 0))

    def test_pubrec_is_stored_before_pubrel(self):
        self.publish(2)
        self.fill()
        self.take(ack(PUBREC, 1))
        self.assertTrue(self.delivery.must_save())
        self.assertEqual(self.fill(), [])
        self.delivery.save()
        self.assertEqual(self.fill(), [("PUBREL", 2, False)])
        self.assertEqual(self.diary.delivered_seqs, [])
        self.take(ack(PUBCOMP, 1))
        self.assertEqual(self.diary.delivered_seqs, [1])

    def test_a_pubrec_whose_checkpoint_failed_is_not_released(self):
        self.publish(2)
        self.fill()
        self.take(ack(PUBREC, 1))
        self.store.fail_next("replace", ENOSPC)
        with self.assertRaises(OSError):
            self.delivery.save()
        self.assertEqual(self.fill(), [])
        self.assertTrue(self.delivery.must_save())
        self.delivery.save()
        self.assertEqual(self.fill(), [("PUBREL", 2, False)])

    def test_pubrels_go_in_the_order_of_the_pubrecs(self):
        # 5.0, 4.6.
        self.publish(2, 2, 2)
        self.fill()
        self.take(ack(PUBREC, 2), ack(PUBREC, 3), ack(PUBREC, 1))
        self.delivery.save()
        self.assertEqual([each[1] for each in self.fill()], [3, 4, 2])

    def test_one_checkpoint_serves_a_whole_batch(self):
        self.publish(2, 2, 2, 2)
        self.fill()
        self.take(*[ack(PUBREC, seq) for seq in (1, 2, 3, 4)])
        before = self.store.calls.get("replace", 0)
        self.delivery.save()
        self.assertEqual(len(self.fill()), 4)
        self.assertEqual(self.store.calls["replace"] - before, 1)

    def test_a_puback_for_qos_2_delivers(self):
        # RabbitMQ answers so.
        self.publish(2)
        self.fill()
        self.take(ack(PUBACK, 1))
        self.assertEqual(self.accounts(), (1, 0, 0))
        self.assertFalse(self.delivery.must_save())

    def test_a_pubcomp_that_knows_no_such_identifier_delivers(self):
        self.publish(2)
        self.fill()
        self.take(ack(PUBREC, 1))
        self.delivery.save()
        self.fill()
        self.take(ack(PUBCOMP, 1, 0x92))
        self.assertEqual(self.accounts(), (1, 0, 0))

    def test_what_nobody_asked_for_means_nothing(self):
        self.publish(1, 2)
        self.stray(ack(PUBACK, 1), ack(PUBREC, 2), ack(PUBCOMP, 2))  # not sent yet
        self.fill()
        self.stray(ack(PUBREC, 1), ack(PUBCOMP, 1), ack(PUBCOMP, 2), ack(PUBACK, 3), ack(PUBACK, 30000))
        self.take(ack(PUBREC, 2))
        self.stray(ack(PUBREC, 2), ack(PUBCOMP, 2), ack(PUBACK, 2))

    def test_a_refusal_that_nobody_asked_for_means_nothing(self):
        self.publish(1, 2, 2)
        self.stray(ack(PUBACK, 1, 0x87), ack(PUBREC, 2, 0x87))  # not sent yet
        self.fill()
        self.stray(ack(PUBACK, 4, 0x87))  # not published
        self.stray(ack(PUBACK, 30000, 0x87), ack(PUBREC, 59999, 0x87))  # nowhere near
        self.stray(ack(PUBREC, 1, 0x87))  # no answer to QoS 1
        self.take(ack(PUBREC, 2))
        self.delivery.save()
        self.stray(ack(PUBREC, 2, 0x87))  # the broker has it already
        self.take(ack(PUBACK, 1))
        self.stray(ack(PUBACK, 1, 0x87))

    def test_a_confused_stream_is_an_error(self):
        with self.assertRaises(ProtocolError):
            self.take(b"\x30\x03\0\1t")

    def test_an_acknowledgement_of_no_message_is_an_error_and_what_stands_behind_it_does_not_count(self):
        self.publish(1, 1)
        self.fill()
        with self.assertRaises(ProtocolError):
            self.take(ack(PUBACK, 1), wire.acknowledgement(PUBACK, 0), ack(PUBACK, 2))
        self.assertEqual(self.diary.delivered_seqs, [1])

    def test_the_sums_hold_across_the_wrap_of_the_identifier(self):
        self.spool.first_seq = self.journal.end_seq = 59998
        self.delivery.window.load(59998, bytearray(8))
        self.delivery._next = 59998
        self.delivery._sent_bound = 1 << 40
        self.publish(1, 1, 1, 1)
        self.fill()
        self.take(*[wire.acknowledgement(PUBACK, identifier) for identifier in (1, 2, 60000, 59999)])
        self.assertEqual(self.diary.delivered_seqs, [60000, 60001, 59999, 59998])
