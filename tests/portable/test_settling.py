"""settling: what is on storage of what became of a message: the checkpoint, dead letters, and when storage is freed."""

from persistmq_core import packets
from tests.support.delivery_case import DeliveryTestCase, ack
from tests.support.write_list_store import EIO, ENOSPC

PUBACK, PUBREC = packets.PUBACK, packets.PUBREC


class StorageTest(DeliveryTestCase):
    def segments(self):
        return sorted(self.store.list("journal"))

    def test_nothing_is_reclaimed_before_the_checkpoint_is_on_storage(self):
        for _ in range(30):
            self.publish(0, 0)
        self.assertTrue(len(self.segments()) > 1)
        before = self.segments()
        for _ in range(30):
            self.fill()
            self.delivery.taken()
            if self.delivery.must_save():
                self.store.fail_next("replace", EIO)
                with self.assertRaises(OSError):
                    self.delivery.save()
                self.delivery.reclaim()
                self.assertEqual(self.segments()[-1:], before[-1:])
                break
        self.assertEqual(self.segments(), before)
        for _ in range(30):
            self.fill()
            self.delivery.taken()
            self.delivery.save()
        self.delivery.reclaim()
        self.assertEqual(self.segments(), before[-1:])

    def test_a_read_that_fails_sends_nothing_wrong_and_may_be_tried_again(self):
        self.publish(1, 1, 1)
        for call in ("read", "list", "size"):
            self.store.fail_next(call, EIO)
            try:
                sent = self.fill()
            except OSError:
                sent = self.read(self.out)
            sent += self.fill()
            self.store.heal()
            self.assertEqual([each[1] for each in sent], [1, 2, 3], call)
            self.delivery.end_connection()


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
