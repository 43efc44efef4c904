"""Large payloads from end to end: stored in files of their own, sent in pieces, settled like any other message."""

import unittest

from persistmq_core import packets
from persistmq_core.errors import StoreError
from persistmq_core.lanes import Lanes
from tests.support import mqtt_wire as wire
from tests.support.world import World
from tests.support.write_list_store import EIO, WriteListStore

LARGE = bytes([number * 7 & 255 for number in range(300)])


class LargeTestCase(unittest.TestCase):
    def setUp(self):
        self.world = self.make()

    def make(self, **options):
        return World(**dict({"inline_bytes_max": 50, "send_bytes": 40}, **options))

    def files(self, folder="payloads"):
        return sorted(self.world.store.list(folder))

    def until_it_has_begun(self):
        """The connection is up and the header of a large message has gone out."""
        for _ in range(100):
            if self.world.engine.delivery.stream is not None:
                return
            self.world.step(0 if self.world.engine.online() else 50)
        raise AssertionError("no large message is sent")

    def done(self, *arrived):
        world = self.world
        world.run(20000)
        self.assertEqual(sorted(world.arrived()), sorted(arrived))
        self.assertEqual((world.violations(), self.files()), ([], []))


class SendTest(LargeTestCase):
    def test_each_quality_of_service_in_both_protocols(self):
        for protocol in (4, 5):
            self.world = self.make(protocol=protocol)
            for qos in (0, 1, 2):
                self.world.publish(LARGE + b"%d" % qos, qos)
            self.done(LARGE + b"0", LARGE + b"1", LARGE + b"2")
            self.assertEqual(self.world.accounts(), [3, 3, 0, 0, 0])

    def test_it_is_never_in_memory_as_a_whole(self):
        self.world.publish(LARGE)
        sends = []
        take = self.world.link.send
        self.world.link.send = lambda view, follows=0: sends.append(len(view)) or take(view, follows)
        self.done(LARGE)
        self.assertGreater(len(sends), 300 // 40)
        self.assertLess(max(sends), 80)

    def test_nothing_else_goes_out_before_its_end(self):
        self.world.publish(b"before", 2)
        self.world.publish(LARGE, 1)
        self.world.publish(b"behind", 1)
        self.world.link.short_percent = 50
        self.done(b"before", LARGE, b"behind")  # and the link would have told

    def test_a_step_sends_a_piece_and_asks_to_be_called_again(self):
        self.world.publish(LARGE)
        self.until_it_has_begun()
        left = self.world.engine.delivery.stream.left
        self.assertEqual(self.world.step(), 0)
        self.assertEqual(self.world.engine.delivery.stream.left, left - 40)

    def test_qos_0_is_delivered_when_its_last_byte_is_taken(self):
        self.world.publish(LARGE, 0)
        self.until_it_has_begun()
        while self.world.engine.delivery.stream is not None:
            self.assertEqual(self.world.diary.delivered_seqs, [])
            self.world.step()
        self.assertEqual(self.world.diary.delivered_seqs, [1])

    def test_after_a_broken_connection_it_is_sent_again_from_its_beginning(self):
        self.world.publish(LARGE, 2)
        for _ in range(3):
            self.until_it_has_begun()
            self.world.steps(3)
            self.world.link.cut()
            self.world.step()
        self.done(LARGE)
        self.assertEqual(len(self.world.sent(packets.PUBLISH)), 1)  # only one was whole
        self.assertTrue(self.world.sent(packets.PUBLISH)[0][0] & 8)

    def test_after_a_restart_it_is_sent_again(self):
        self.world.publish(LARGE, 2)
        self.until_it_has_begun()
        self.world.restart()
        self.done(LARGE)

    def test_the_acknowledgement_time_out_counts_from_the_last_byte_taken(self):
        self.world.publish(LARGE)
        self.until_it_has_begun()
        self.world.link.send_counts = [1, 0] * 20  # a byte a second; the time-out is two
        for _ in range(20):
            self.world.step(1000)
        self.assertEqual((self.world.engine.connections, self.world.arrived()), (1, []))
        self.done(LARGE)

    def test_and_so_it_does_where_each_piece_is_taken_as_a_whole(self):
        self.world.publish(LARGE)
        self.until_it_has_begun()
        while self.world.engine.delivery.stream is not None:
            self.world.step(1500)
        self.assertEqual(self.world.engine.connections, 1)
        self.done(LARGE)

    def test_a_connection_that_takes_nothing_ends(self):
        self.world.publish(LARGE)
        self.until_it_has_begun()
        self.world.link.send_counts = [0] * 10
        for _ in range(3):
            self.world.step(1000)
        self.assertFalse(self.world.engine.online())
        self.assertTrue("no acknowledgement" in self.world.engine.down_reason)

    def test_stopping_does_not_wait_for_what_has_begun_and_repeats_it_then(self):
        self.world.publish(LARGE)
        self.until_it_has_begun()
        self.assertFalse(self.world.engine.quiet())
        self.world.engine.close()
        self.world.restart()
        self.done(LARGE)

    def test_two_lanes_do_not_mix_their_packets(self):
        for large_first in (True, False):
            self.world = self.make(lanes=Lanes(WriteListStore(), "live_first"))
            behind, ahead = self.world.engine.lanes
            contents = [LARGE + b"behind", b"ahead", LARGE + b"ahead", b"behind"]
            for lane, content in zip((behind, ahead, ahead, behind), contents if large_first else contents[::-1]):  # noqa: B905
                self.world.engine.spool = lane.spool
                self.world.publish(content, 1)
            self.done(*contents)

    def test_a_broker_that_announced_less_does_not_get_it(self):
        self.world = self.make(protocol=5)
        self.world.broker.packet_bytes_max = 200
        self.world.publish(LARGE)
        self.world.publish(b"small")
        self.done(b"small")
        self.assertEqual(self.world.diary.drops, [(1, "refused", 2)])
        self.assertEqual(self.world.store.snapshot()[self.files("dead")[0]], LARGE)


class AnswersTooEarlyTest(LargeTestCase):
    """A broker may answer what it has not got all of."""

    def test_a_puback_lets_the_packet_come_to_its_end(self):
        self.world.publish(LARGE)
        self.until_it_has_begun()
        self.world.link._acks.append(wire.acknowledgement(wire.PUBACK, packets.packet_id(1)))
        self.world.step()
        self.assertEqual((self.world.account("delivered"), len(self.files())), (1, 1))
        self.done(LARGE)

    def test_a_refusal_waits_for_that_too(self):
        self.world = self.make(protocol=5)
        self.world.publish(b"before", 1)
        self.world.publish(LARGE)
        self.until_it_has_begun()
        self.world.link._acks.append(wire.acknowledgement(wire.PUBACK, packets.packet_id(2), 0x87))
        generation = self.world.engine.delivery.checkpoint.generation
        self.world.steps(2)
        self.assertEqual((self.world.account("refused"), len(self.files())), (0, 1))
        self.assertGreater(self.world.engine.delivery.checkpoint.generation, generation)
        self.world.run(5000)
        self.assertEqual((self.world.account("refused"), self.files()), (1, []))


class DamageTest(LargeTestCase):
    def test_damaged_bytes_never_reach_the_broker(self):
        self.world.publish(LARGE, 2)
        self.world.publish(b"behind")
        self.world.store.corrupt(self.files()[0], 10, b"!!")
        self.done(b"behind")
        self.assertEqual(self.world.diary.drops, [(1, "damaged", 0)])
        self.assertEqual(self.world.accounts(), [2, 1, 0, 1, 0])
        self.assertTrue("damaged" in self.world.diary.disconnections[0])
        self.assertEqual(len(self.files("quarantine")), 1)
        self.assertEqual(self.world.engine.delivery.damaged_bytes(), 300)

    def test_a_file_that_is_gone_costs_no_connection(self):
        self.world.publish(LARGE, 2)
        self.world.publish(b"behind")
        self.world.store.remove(self.files()[0])
        self.done(b"behind")
        self.assertEqual((self.world.accounts(), self.world.engine.connections), ([2, 1, 0, 1, 0], 1))

    def test_one_that_may_have_been_sent_leaves_no_identifier_behind(self):
        self.world.publish(LARGE, 2)
        self.world.broker.stay_silent(wire.PUBREC, times=1)
        self.until_it_has_begun()
        while not self.world.sent(packets.PUBLISH):
            self.world.step()
        self.world.steps(2)
        self.world.link.cut()
        self.world.store.corrupt(self.files()[0], 10, b"!!")
        self.world.run(20000)
        self.assertEqual(self.world.accounts(), [1, 0, 0, 1, 0])
        self.assertGreater(len(self.world.sent(packets.PUBREL)), 0)
        self.assertEqual(self.world.broker.session("model").unreleased, {})

    def test_a_record_that_is_lost_leaves_the_payload_in_quarantine(self):
        self.world.publish(LARGE, 2)
        self.world.publish(b"behind")
        name = self.files("journal")[0]
        self.world.store.corrupt(name, 40, b"!!")
        self.done(b"behind")
        self.assertEqual(self.world.accounts(), [2, 1, 0, 1, 0])
        kept = [self.world.store.snapshot()[each] for each in self.files("quarantine")]
        self.assertTrue(LARGE in kept)

    def test_a_refused_one_whose_record_is_lost_too(self):
        self.world = self.make(protocol=5)
        self.world.broker.refuse("t", 0x87)
        self.world.publish(LARGE)
        self.world.publish(b"behind", topic="u")
        self.until_it_has_begun()
        self.world.engine.delivery._fetch = lambda seq: None
        self.done(b"behind")
        self.assertEqual(self.world.accounts(), [2, 1, 0, 1, 0])
        self.assertEqual(len(self.files("quarantine")), 1)

    def test_a_place_that_does_not_read_is_given_up_after_a_while(self):
        self.world.publish(LARGE)
        self.world.publish(b"behind")
        self.world.store.fail_next("read", EIO, times=None, name="payloads")
        self.done(b"behind")
        self.assertEqual(self.world.accounts(), [2, 1, 0, 1, 0])

    def test_a_device_that_is_gone_costs_nothing(self):
        self.world.publish(LARGE)
        self.until_it_has_begun()
        for call in ("read", "size", "replace"):
            self.world.store.fail_next(call, EIO, times=None)
        self.world.run(60000)
        self.assertEqual(self.world.account("damaged"), 0)
        self.world.store.heal()
        self.done(LARGE)

    def test_a_size_that_does_not_read(self):
        self.world.publish(LARGE)
        self.world.store.fail_next("size", EIO, times=3, name="payloads")
        self.done(LARGE)
        self.world.publish(LARGE)
        self.world.store.fail_next("size", EIO, times=None, name="payloads")
        self.world.run(20000)
        self.assertEqual((self.world.account("damaged"), self.files()), (1, []))

    def test_a_hole_in_a_sealed_segment(self):
        self.world.publish(b"x" * 40)
        self.world.publish(LARGE)
        self.world.publish(b"y" * 40)
        self.world.engine.journal.seal()
        self.world.publish(b"behind")
        content = self.world.store.snapshot()[self.files("journal")[0]]
        self.world.store.truncate(self.files("journal")[0], len(content) - 70)
        self.done(b"x" * 40, b"behind")
        self.assertEqual(self.world.account("damaged"), 2)
        self.assertEqual(len([name for name in self.files("quarantine") if "payloads" in name]), 1)


class DeadLetterTest(LargeTestCase):
    def setUp(self):
        self.world = self.make(protocol=5)
        self.world.broker.refuse("t", 0x87)
        self.world.publish(LARGE, 2)

    def test_it_is_parked_without_being_copied(self):
        before = self.world.store.bytes_replaced
        self.done()
        self.assertEqual(self.world.diary.drops, [(1, "refused", 0x87)])
        name = self.files("dead")[0]
        self.assertEqual(self.files("dead"), [name, name[:-4] + ".seg"])
        self.assertEqual(self.world.store.snapshot()[name], LARGE)
        self.assertLess(self.world.store.bytes_replaced - before, 700)

    def test_power_that_fails_behind_the_move_makes_no_damage_of_it(self):
        self.world.store.fail_next("replace", EIO, times=None, name="checkpoint", skip=1)
        self.world.run(3000)
        self.assertEqual((self.files(), len(self.files("dead"))), ([], 2))
        self.world.restart()
        self.world.broker.refuse("t", 0x90)
        self.done()
        self.assertEqual(self.world.diary.drops, [(1, "refused", 0x87)])
        self.assertEqual((self.world.accounts(), len(self.files("dead"))), ([1, 0, 1, 0, 0], 2))

    def test_a_refused_one_whose_file_is_gone_is_damaged(self):
        self.until_it_has_begun()
        while self.world.engine.delivery.stream is not None:
            self.world.step()
        self.world.store.remove(self.files()[0])
        self.done()
        self.assertEqual(self.world.accounts(), [1, 0, 0, 1, 0])


class RoomTest(LargeTestCase):
    def test_the_file_goes_when_the_checkpoint_says_that_it_may(self):
        self.world = self.make(checkpoint_delay_ms=500)
        self.world.publish(LARGE, 1)
        self.world.online().run(400)
        self.assertEqual((self.world.account("delivered"), len(self.files())), (1, 1))
        self.world.run(400)
        self.assertEqual(self.files(), [])

    def test_a_start_removes_what_power_kept_from_being_removed(self):
        self.world.publish(LARGE, 1)
        self.world.publish(b"waits")
        self.world.store.fail_next("remove", EIO, times=None)
        self.world.broker.stay_silent(wire.PUBACK, times=1)
        self.world.online().run(1000)
        self.world.restart()
        self.world.broker.listening = False
        self.world.run(10)
        self.assertEqual(len(self.files()), 1)  # it is not settled

        self.world.broker.listening = True
        self.world.run(20000)
        self.world.publish(LARGE, 1)
        self.world.store.fail_next("remove", EIO, times=None)
        self.world.run(1000)
        self.assertEqual(len(self.files()), 1)
        self.world.restart()
        self.world.broker.listening = False
        self.world.run(10)
        self.assertEqual(self.files(), [])

    def test_a_file_whose_record_was_never_written_is_removed_at_the_start(self):
        self.world.publish(b"1")
        seqs = []
        for how_far in ("before", "after"):
            self.world.store.crash_at = self.world.store.steps + 100
            engine = self.world.engine
            write = engine.journal.write
            engine.journal.write = lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt())
            self.assertRaises(KeyboardInterrupt, self.world.publish, LARGE)
            engine.journal.write = write
            seqs.append(len(self.files()))
            self.world.restart()
            self.assertEqual(self.files(), [], how_far)
        self.assertEqual(seqs, [1, 1])

    def test_evicted_ones_give_their_room_up_one_by_one(self):
        self.world = self.make(cache_bytes_max=4096)
        for number in range(9):
            self.world.publish(LARGE + b"%d" % number)
        held = self.world.engine.held_bytes()
        self.assertTrue(self.world.engine.make_room(0, 1, 4096 - held))
        self.assertGreater(len(self.files()), 5)
        self.world.publish(b"x" * (4096 - held))
        evicted = self.world.account("evicted")
        self.assertEqual(len(self.files()), 9 - evicted + 1)
        self.world.online().run(20000)
        self.assertEqual(len(self.world.arrived()), 9 - evicted + 1)
        self.assertEqual((self.world.violations(), self.files()), ([], []))

    def test_evicted_ones_of_an_earlier_start(self):
        self.world = self.make(cache_messages_max=40)
        for number in range(20):
            self.world.publish(LARGE + b"%d" % number)
        self.world.restart(window=1, window_qos2=1)
        self.world.store.fail_next("remove", EIO, times=1)
        self.assertTrue(self.world.engine.make_room(0, 30, 0))
        self.assertGreater(self.world.account("evicted"), 5)
        self.world.restart()
        self.world.online().run(20000)
        self.assertEqual((self.world.violations(), self.files()), ([], []))

    def test_a_cache_without_room_says_so_and_nothing_is_written(self):
        before = self.world.store.snapshot()
        self.world.store.capacity_bytes = 200 + sum([len(content) for content in before.values()])
        self.assertRaises(StoreError, self.world.publish, LARGE)
        self.assertEqual(self.world.store.snapshot(), before)
