"""What an acknowledgement means, and a refusal."""

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

    def test_the_sums_hold_across_the_wrap_of_the_identifier(self):
        self.spool.first_seq = self.journal.end_seq = 59998
        self.delivery.window.load(59998, bytearray(8))
        self.delivery._next = 59998
        self.delivery._sent_bound = 1 << 40
        self.publish(1, 1, 1, 1)
        self.fill()
        self.take(*[wire.acknowledgement(PUBACK, identifier) for identifier in (1, 2, 60000, 59999)])
        self.assertEqual(self.diary.delivered_seqs, [60000, 60001, 59999, 59998])


class RefusalTest(DeliveryTestCase):
    def dead(self):
        return sorted(name for name in self.store.snapshot() if name.startswith("dead/"))

    def test_a_negative_puback_parks_the_message_with_its_reason(self):
        self.publish(1, 1)
        self.fill()
        self.assertEqual(self.take(ack(PUBACK, 1, 0x87)), 0)
        self.assertTrue(self.delivery.must_save())
        self.delivery.save()
        self.assertEqual(self.diary.drops, [(1, "refused", 0x87)])
        self.assertEqual(len(self.dead()), 1)
        self.assertTrue(self.dead()[0].endswith("-87.seg"))
        self.assertEqual(self.accounts(), (0, 1, 0))

    def test_a_negative_puback_or_pubrec_parks_qos_2(self):
        self.publish(2, 2)
        self.fill()
        self.take(ack(PUBREC, 1, 0x90), ack(PUBACK, 2, 0x99))
        self.delivery.save()
        self.assertEqual(self.diary.drops, [(1, "refused", 0x90), (2, "refused", 0x99)])

    def test_it_is_parked_before_the_checkpoint_says_so(self):
        self.publish(1)
        self.fill()
        self.take(ack(PUBACK, 1, 0x87))
        self.store.fail_next("replace", ENOSPC, name="dead/")
        with self.assertRaises(OSError):
            self.delivery.save()
        self.assertEqual((self.dead(), self.accounts(), self.diary.drops), ([], (0, 0, 0), []))
        self.store.fail_next("replace", ENOSPC, name="checkpoint")
        with self.assertRaises(OSError):
            self.delivery.save()
        self.assertEqual(len(self.dead()), 1)
        self.delivery.save()
        self.assertEqual(self.accounts(), (0, 1, 0))
        self.assertEqual(self.diary.drops, [(1, "refused", 0x87)])

    def test_one_that_is_parked_and_cannot_be_read_is_damaged(self):
        self.publish(1, 1)
        self.fill()
        self.take(ack(PUBACK, 1, 0x87))
        name = self.store.list("journal")[0]
        self.store.corrupt(name, 32 + 24, b"X")
        self.delivery.save()
        self.assertEqual(self.diary.drops, [(1, "damaged", 0x87)])
        self.assertEqual(self.accounts(), (0, 0, 1))

    def test_a_pause_parks_nothing(self):
        for code in (0x91, 0x97):
            self.setUp()
            self.publish(1, 1)
            self.fill()
            self.assertEqual(self.take(ack(PUBACK, 1, code), ack(PUBACK, 2)), code)
            self.assertFalse(self.delivery.must_save())
            self.delivery.end_connection()
            self.delivery.resume()
            self.assertEqual(self.fill(), [("PUBLISH", 1, True)])

    def test_what_the_broker_said_it_will_not_take_is_never_sent(self):
        self.transport.qos_max = 1
        self.transport.retain_available = False
        self.transport.packet_bytes_max = 100
        self.publish(2)
        self.spool.stage("t", b"3", 1, True, 0)
        self.spool.stage("t", b"x" * 100, 1, False, 0)
        self.publish(1)
        self.assertEqual(self.fill(), [("PUBLISH", 4, False)])
        self.delivery.save()
        self.assertEqual([(each[0], each[2]) for each in self.diary.drops], [(1, 3), (2, 4), (3, 2)])

    def test_a_packet_of_just_the_largest_size_goes(self):
        self.transport.packet_bytes_max = 100
        self.spool.stage("t", b"7" * (100 - 5 - 5 - 1), 1, False, 0)
        self.publish(1)
        self.assertEqual(len(self.fill()), 2)
        self.assertTrue(len(self.out) > 89)
