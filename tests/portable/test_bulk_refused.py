"""A bundle that the broker does not take is taken apart, and only the culprit is parked."""

from persistmq_core import packets
from persistmq_core.checkpoint import NAMES
from persistmq_core.dead_letters import CONNECTION_DROPPED, FOLDER, PACKET_TOO_LARGE
from persistmq_core.segment import JOURNAL
from persistmq_core.slots import decode
from tests.support.bulk_case import BulkCase, Bulky, bulk
from tests.support.write_list_store import EIO, ENOSPC


class RefusedTest(BulkCase):
    def test_a_refused_bundle_is_taken_apart_and_only_the_culprit_is_parked(self):
        for form in ("simple", "persistmq"):
            for qos in (1, 2):
                for bad in (1, 3, 5):
                    world = Bulky(5, bulk=bulk(5, form)).online()
                    world.broker.refuse("t/%d" % (bad % 3), 0x87, b"%d" % bad)
                    world.send(12, qos)
                    world.run(3000)
                    self.assertEqual(world.diary.drops, [(bad, "refused", 0x87)], (form, qos, bad))
                    self.assertEqual(sorted(world.numbers()), [number for number in range(1, 13) if number != bad])
                    self.assertEqual(world.sizes()[:2], [5, 5])
                    self.assertEqual(world.engine.connections, 1)
                    self.check(world, 1, 0)

    def test_it_is_not_made_again_after_a_restart(self):
        world = Bulky(5).online()
        world.broker.refuse("t/0", 0x87, b"3")
        world.send(5)
        while world.engine.delivery._singly_end < 6:
            world.step()
        world.wire.clear()
        world.restart()  # nothing of what went singly has arrived
        world.send(10)
        world.online().run(5000)
        self.assertEqual(world.sizes()[:5], [1] * 5)
        self.assertEqual([each[0] for each in world.diary.drops], [3])
        self.check(world, 1, 0)

    def test_both_slots_know_that_it_was_taken_apart_before_anything_goes_singly(self):
        world = Bulky(5).online()
        world.broker.refuse("t/0", 0x87, b"3")
        seen = []

        def on_wire(packet):
            if packet[0] & 0xF0 == packets.PUBLISH:
                seen.append([decode(world.store.snapshot()[name]).bundles for name in NAMES])

        world.link.on_wire = on_wire
        world.send(5)
        world.run(1000)
        none = b"\x0a\0\1\0\4bulk\0"
        self.assertIn(b"\x0e\0" + none[2:] + b"\0\0\5\x20", seen[0])
        self.assertEqual(seen[1], [none, none])

    def test_nothing_goes_singly_before_that_is_on_storage(self):
        world = Bulky(5).online()
        world.broker.refuse("t/0", 0x87, b"3")
        world.send(5)
        world.step()
        self.assertEqual(world.ranges(), {1: 5})
        world.store.fail_next("replace", EIO, skip=1, times=None)
        world.run(200)
        self.assertEqual((world.sizes(), world.ranges()), ([5], {}))
        world.store.heal()
        world.run(5000)
        self.assertEqual(world.sizes()[1:], [1] * 5)
        self.check(world, 1, 0)

    def test_pubrels_behind_it_go_on(self):
        # The walk goes back to the messages of the refused one, and others are between PUBREC and PUBREL.
        world = Bulky(5, bulk=bulk(3), window_qos2=8, window=16).online()
        world.broker.refuse("t/0", 0x87, b"3")
        world.send(12)
        world.run(3000)
        self.assertEqual(sorted(world.numbers()), [1, 2] + list(range(4, 13)))
        self.check(world, 1, 0)

    def test_a_poison_bundle_is_taken_apart_and_the_culprit_is_found(self):
        for protocol in (4, 5):
            for qos in (1, 2):
                for bad in (1, 4):
                    world = Bulky(protocol)
                    world.broker.drop_at("t/%d" % (bad % 3), b"%d" % bad)
                    world.send(12, qos)
                    world.run(200000)
                    self.assertEqual(world.diary.drops, [(bad, "refused", CONNECTION_DROPPED)], (protocol, qos, bad))
                    self.assertEqual(sorted(set(world.numbers())), [number for number in range(1, 13) if number != bad])
                    self.check(world, 1, 0)

    def test_a_bundle_whose_pubrel_kills_the_broker_is_parked_whole(self):
        # The broker has taken it, and it cannot be published again.
        world = Bulky().online()
        world.broker.stay_silent(packets.PUBCOMP)
        world.send(5)
        world.run(100)
        for _ in range(12):
            world.link.cut(0, dropped=True)
            world.run(5000)
        self.assertEqual([seq for seq, _, _ in world.diary.drops], [1, 2, 3, 4, 5])
        self.assertEqual(len(world.store.list(FOLDER)), 5)
        self.check(world, 5, 0)

    def test_one_that_is_too_large_for_another_broker_is_taken_apart(self):
        world = Bulky(5).online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(5, size=40)
        world.step()
        world.broker.heal()
        world.link.cut(0)
        world.broker.packet_bytes_max = 150
        world.run(5000)
        self.assertEqual(world.sizes(), [5, 1, 1, 1, 1, 1])
        self.check(world)

    def test_one_of_a_higher_quality_of_service_than_another_broker_takes(self):
        world = Bulky(5).online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(3, 2)
        world.send(2, 2)
        world.step()
        world.broker.heal()
        world.link.cut(0)
        world.broker.qos_max = 1
        world.run(5000)
        self.assertEqual(len(world.diary.drops), 5)
        self.check(world, 5, 0)

    def lost(self, world, number=1):
        """A message of the bundle in flight is lost, the first one mostly, and that was found out."""
        world.die(arriving=0)
        for name in world.store.list(JOURNAL):
            at = world.store.snapshot()[name].find(b"%d...." % number)
            if at >= 0:
                world.store.corrupt(name, at + 2, b"#")
        world.start().online()

    def test_one_without_its_first_message_is_taken_apart(self):
        world = Bulky(5).online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(5, size=20)
        world.step()
        world.broker.heal()
        world.broker.refuse("t/0", 0x87, b"3" + b"." * 20)
        self.lost(world)
        world.run(5000)
        self.assertEqual(sorted([each[:2] for each in world.diary.drops]), [(1, "damaged"), (3, "refused")])
        self.assertEqual(sorted(world.numbers()), [2, 4, 5])
        self.check(world, 1, 1)

    def test_one_of_which_another_message_is_lost_is_taken_apart(self):
        world = Bulky(5).online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(5, size=20)
        world.step()
        world.broker.heal()
        world.broker.refuse("t/0", 0x87, b"3" + b"." * 20)
        self.lost(world, 4)
        world.run(5000)
        self.assertEqual(sorted([each[:2] for each in world.diary.drops]), [(3, "refused"), (4, "damaged")])
        self.assertEqual(sorted(world.numbers()), [1, 2, 5])
        self.check(world, 1, 1)

    def test_one_without_its_first_message_is_poison(self):
        world = Bulky().online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(5, size=20)
        world.step()
        world.broker.heal()
        world.broker.drop_at("t/0", b"3" + b"." * 20)
        self.lost(world)
        world.run(200000)
        self.assertEqual(sorted([each[:2] for each in world.diary.drops]), [(1, "damaged"), (3, "refused")])
        self.assertEqual(sorted(world.numbers()), [2, 4, 5])
        self.check(world, 1, 1)

    def test_one_without_its_first_message_kills_the_broker_by_its_pubrel(self):
        world = Bulky().online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(5, size=20)
        world.step()
        world.broker.heal()
        world.broker.stay_silent(packets.PUBCOMP)
        self.lost(world)
        world.run(100)
        for _ in range(12):
            world.link.cut(0, dropped=True)
            world.run(5000)
        refused = [(seq, "refused") for seq in (2, 3, 4, 5)]
        self.assertEqual(sorted([each[:2] for each in world.diary.drops]), [(1, "damaged")] + refused)
        self.check(world, 4, 1)

    def test_a_state_in_which_nothing_can_be_refused(self):
        world = Bulky().online()
        world.store.fail_next("replace", ENOSPC, skip=1, times=None)
        world.send(5)
        world.run(50)
        self.assertFalse(world.engine.delivery.refuse(1, 0x80))
        self.assertEqual(world.ranges(), {1: 5})

    def test_a_letter_says_what_each_was(self):
        world = Bulky(5, bulk=bulk(2, bytes_max=4096)).online()
        world.broker.packet_bytes_max = 100
        world.link.cut()
        world.run(500)
        world.send(2, size=200)
        world.run(3000)
        self.assertEqual([each[2] for each in world.diary.drops], [PACKET_TOO_LARGE] * 2)
