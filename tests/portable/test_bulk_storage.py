"""What is on storage of the bundles in flight: a restart, a failing disk, damage."""

from persistmq_core import packets
from persistmq_core.bundles import HEAD_LOST
from persistmq_core.checkpoint import NAMES
from persistmq_core.segment import JOURNAL
from persistmq_core.window import CARRY
from tests.support.bulk_case import BulkCase, Bulky, bulk
from tests.support.write_list_store import EIO, ENOSPC


class StorageTest(BulkCase):
    def test_it_is_on_storage_before_it_is_sent(self):
        world = Bulky()
        seen = []

        def on_wire(packet):
            if packet[0] & 0xF0 == packets.PUBLISH:
                seen.append(world.stored().bundles)

        world.link.on_wire = on_wire
        world.send(10)
        world.online()
        world.step()
        self.assertEqual(len(seen), 2)
        self.assertEqual(seen[0][-8:], b"\0\0\x05\x20\x05\0\x05\x20")

    def test_several_are_stored_at_once(self):
        world = Bulky().online()
        world.send(20)
        before = world.stored().generation
        world.step()
        self.assertEqual(world.sizes(), [5] * 4)
        self.assertEqual(world.stored().generation, before + 1)

    def test_after_a_restart_the_same_messages_go_under_the_same_identifier(self):
        for form in ("simple", "persistmq"):
            for arriving in (0, 1 << 20):
                world = Bulky(bulk=bulk(5, form)).online()
                world.broker.stay_silent(packets.PUBREC)
                world.send(12)
                world.step()
                before = world.shapes()
                self.assertEqual(before[:2], [(2, False, [1, 2, 3, 4, 5]), (7, False, [6, 7, 8, 9, 10])])
                self.assertEqual(before[2:], [(12, False, [11]), (13, False, [12])])
                world.broker.heal()
                world.die(arriving=arriving)
                world.wire.clear()
                world.start()
                world.send(10)
                world.online().run(5000)
                self.assertEqual(world.shapes()[:4], [(each[0], True, each[2]) for each in before])
                self.assertEqual(world.numbers(), list(range(1, 23)))
                self.check(world)

    def test_after_a_restart_a_pubrec_that_was_stored_is_answered(self):
        world = Bulky().online()
        world.broker.stay_silent(packets.PUBCOMP)
        world.send(5)
        world.run(100)
        self.assertEqual(len(world.sent(packets.PUBREL)), 1)
        world.broker.heal()
        world.wire.clear()
        world.restart().online().run(1000)
        self.assertEqual((len(world.sent(packets.PUBREL)), world.sizes()), (1, []))
        self.assertEqual(world.diary.delivered_seqs, [1, 2, 3, 4, 5])
        self.check(world)

    def test_a_restart_makes_new_ones_behind_what_may_have_been_sent(self):
        world = Bulky().online()
        world.send(3)
        world.run(10)
        world.broker.listening = False
        world.link.cut()
        world.send(20)
        world.run(500)
        world.broker.listening = True
        world.restart().online().run(3000)
        # The bound on storage was five beyond what was sent.
        self.assertEqual(world.sizes(), [1] * 3 + [1] * 5 + [5, 5, 5])
        self.check(world)

    def test_without_a_connection_the_bound_is_what_was_sent(self):
        world = Bulky().online()
        world.send(3)
        world.run(1000)
        self.assertEqual(world.stored().sent_bound, 4 + 5)
        world.engine.close()
        world.start()
        world.engine.delivery.save()
        self.assertEqual(world.stored().sent_bound, 4)

    def test_when_it_cannot_be_stored_it_is_sent_as_soon_as_it_can(self):
        world = Bulky().online()
        world.store.fail_next("replace", ENOSPC, times=1)
        world.send(7)
        world.step()
        self.assertEqual((world.sizes(), world.ranges()), ([], {1: 5}))
        self.assertTrue(world.engine.delivery.must_save())
        world.send(20)  # it does not grow by these
        world.run(5000)
        self.assertEqual(world.shapes()[0], (2, False, [1, 2, 3, 4, 5]))
        self.assertEqual(world.numbers(), list(range(1, 28)))
        self.check(world)

    def test_singles_before_a_bundle_that_could_not_be_stored(self):
        world = Bulky().online()
        world.store.fail_next("replace", ENOSPC, times=1)
        world.send(1, 1)
        world.send(8, 2)
        world.step()
        self.assertEqual((world.sizes(), world.ranges()), ([], {2: 5}))
        world.run(5000)
        self.assertEqual(world.sizes()[:2], [1, 5])
        self.check(world)

    def test_what_the_broker_forgot_is_sent_again_as_it_was(self):
        world = Bulky().online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(12)
        world.step()
        world.broker.heal()
        world.broker.restart(False)
        world.run(5000)
        self.assertEqual(world.shapes()[4:8], world.shapes()[:4])
        self.assertEqual(world.engine.delivery.repeated(), 12)
        self.check(world)

    def test_trust_is_for_all_of_a_bundle(self):
        world = Bulky(trust_lost_session=True).online()
        world.broker.stay_silent(packets.PUBCOMP)
        world.send(5)
        world.run(100)
        world.broker.heal()
        world.broker.restart(False)
        world.run(5000)
        self.assertEqual(world.diary.delivered_seqs, [1, 2, 3, 4, 5])
        self.check(world)

    def test_other_settings_are_for_other_bundles(self):
        simple, ours = bulk(5), bulk(5, "persistmq")
        for first, then in ((simple, ours), (ours, simple), (simple, None), (ours, None)):
            world = Bulky(5, bulk=first).online()
            world.broker.stay_silent(packets.PUBREC)
            world.send(5)
            world.step()
            before = world.sent(packets.PUBLISH)[0]
            world.broker.heal()
            world.die()
            world.wire.clear()
            world.start(bulk=then)
            world.send(20)
            world.online().run(5000)
            again = world.sent(packets.PUBLISH)[0]
            self.assertEqual(again[1:], before[1:])
            self.assertEqual(max(world.sizes()[1:]), 5 if then else 1)
            self.assertEqual(world.numbers(), list(range(1, 26)))
            self.check(world)
            self.assertEqual(world.stored().bundles != b"", then is not None)

    def test_damage_to_the_newest_checkpoint_loses_none(self):
        for qos in (1, 2):
            world = Bulky().online()
            world.broker.stay_silent(packets.PUBACK)
            world.broker.stay_silent(packets.PUBREC)
            world.send(15, qos)
            world.step()
            world.broker.heal()
            world.die()
            newest = NAMES[world.stored().generation & 1]
            world.store.corrupt(newest, 90, b"\xff\xff")
            world.start().online().run(20000)
            self.assertEqual(sorted(set(world.numbers())), list(range(1, 16)))
            self.assertEqual(world.account("waiting"), 0)

    def test_without_a_checkpoint_the_broker_is_made_to_forget_what_bundles_there_were(self):
        # It holds the identifier of the first message, alone or with others, and says that it knows nothing.
        for first, rest in ((2, 8), (10, 0)):
            for then in (bulk(), None):
                world = Bulky().online()
                world.broker.denies_session = True
                world.broker.stay_silent(packets.PUBREC)
                world.send(first)
                world.run(5)
                world.send(rest)
                world.die()
                for name in NAMES:
                    world.store.corrupt(name, 90, b"\xff\xff")
                world.broker.heal()
                world.start(bulk=then).die()  # both checkpoints are there again
                world.start(bulk=then).online().run(20000)
                self.assertEqual(world.numbers(), list(range(1, 11)))
                self.assertEqual((world.account("waiting"), world.violations()), (0, []))
                self.assertFalse(world.stored().in_doubt)

    def test_segments_that_are_gone_take_their_bundles_with_them(self):
        # The newest checkpoint is lost, and the one before does not know that its bundle was settled.
        world = Bulky(segment_bytes_max=1024).online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(10, size=300)
        world.step()
        world.broker.heal()
        world.link.cut()
        world.run(300)
        older = world.stored()
        for _ in range(1000):
            world.run(1)
            if world.stored().generation > older.generation + 1 and len(world.store.list(JOURNAL)) < 3:
                break
        state = world.stored()
        world.die()
        other = NAMES[1 - (state.generation & 1)]
        world.store.put(other, bytes(older.encode()))
        world.store.corrupt(NAMES[state.generation & 1], 90, b"\xff\xff")
        world.start()
        self.assertEqual(world.ranges(), {})
        world.online().run(10000)
        self.assertEqual(sorted(set(world.numbers())), list(range(1, 11)))
        self.assertEqual(world.account("waiting"), 0)

    def test_a_signal_while_a_bundle_is_made_leaves_none_and_nothing_is_settled_unsent(self):
        for failing in range(1, 5):
            world = Bulky().online()
            world.send(5)
            window = world.engine.delivery.window
            move = window.move
            seen = []

            def cut(seq, event, move=move, seen=seen, failing=failing):
                if event == CARRY:
                    seen.append(seq)
                    if len(seen) == failing:
                        raise KeyboardInterrupt
                return move(seq, event)

            window.move = cut
            self.assertRaises(KeyboardInterrupt, world.step)
            del window.move
            self.assertEqual(world.ranges(), {})
            world.engine.fail(world.now_ms, "a signal")
            world.run(5000)
            self.assertEqual(world.numbers(), [1, 2, 3, 4, 5])
            self.check(world)


class DamageTest(BulkCase):
    def sent(self, protocol=4, form="simple", count=5, broker_has_it=True, qos=2):
        """A bundle was sent, and the power fails."""
        world = Bulky(protocol, bulk=bulk(count, form)).online()
        world.broker.stay_silent(packets.PUBREC)
        world.broker.stay_silent(packets.PUBACK)
        world.send(count, qos, size=20)
        world.step()
        self.assertEqual(world.sizes(), [count])
        world.broker.heal()
        world.die(arriving=1 << 20 if broker_has_it else 0)
        world.wire.clear()
        return world

    def spoil(self, world, *numbers):
        for name in world.store.list(JOURNAL):
            content = world.store.snapshot()[name]
            for number in numbers:
                at = content.find(b"%d...................." % number)
                if at >= 0:
                    world.store.corrupt(name, at + 5, b"#")

    def test_a_message_whose_record_is_lost_is_left_out(self):
        for form in ("simple", "persistmq"):
            for lost in (1, 3, 4):
                world = self.sent(form=form, broker_has_it=False)
                self.spoil(world, lost)
                world.start()
                world.send(1)  # or what is lost at the end looks like a torn tail
                world.online().run(5000)
                left = [number for number in range(1, 6) if number != lost]
                self.assertEqual(world.shapes()[0], (2, True, left), (form, lost))
                self.assertEqual(world.diary.drops, [(lost, "damaged", 0)])
                self.assertEqual(world.numbers(), left + [6])
                self.check(world, 0, 1)

    def test_the_broker_may_have_had_it_whole(self):
        world = self.sent()
        self.spoil(world, 1, 2)
        world.start()
        world.online().run(5000)
        self.assertEqual(world.shapes()[0], (2, True, [3, 4, 5]))
        self.assertEqual(world.numbers(), [1, 2, 3, 4, 5])  # more than is promised
        self.check(world, 0, 2)

    def test_a_loss_is_remembered_over_another_restart(self):
        for lost in ((1,), (2,), (1, 4)):
            world = self.sent(5, "persistmq")
            self.spoil(world, *lost)
            world.start().online()
            world.broker.stay_silent(packets.PUBREC)
            world.broker.stay_silent(packets.PUBCOMP)
            world.run(1500)
            self.assertEqual(world.account("damaged"), len(lost))
            self.assertEqual(bool(world.engine.delivery._ranges[1] & HEAD_LOST), 1 in lost)
            world.broker.heal()
            world.restart().online().run(5000)
            self.assertEqual(world.diary.drops, [])
            self.assertEqual(world.account("delivered"), 5 - len(lost))
            self.check(world, 0, len(lost))

    def test_when_all_of_it_is_lost_the_identifier_is_freed(self):
        for qos in (1, 2):
            world = self.sent(qos=qos)
            self.spoil(world, 1, 2, 3, 4, 5)
            world.start()
            world.send(7)
            world.online().run(5000)
            self.assertEqual(world.sent(packets.PUBREL)[0], b"\x62\2\0\2")
            self.assertEqual(world.account("damaged"), 5)
            self.check(world, 0, 5)

    def test_when_all_of_one_that_was_never_sent_is_lost(self):
        world = Bulky().online()
        world.store.fail_next("replace", ENOSPC, times=1)
        world.send(6, size=20)
        world.step()
        self.assertEqual(world.ranges(), {1: 5})
        self.spoil(world, 1, 2, 3, 4, 5)
        world.run(10000)
        self.assertEqual(world.sent(packets.PUBREL)[:1], [b"\x62\2\0\7"])
        self.check(world, 0, 5)

    def test_a_gap_before_a_bundle_ends_where_it_begins(self):
        world = Bulky(bulk=bulk(3)).online()
        world.broker.stay_silent(packets.PUBREC)
        world.send(2, 1, size=20)
        world.send(3, 2, size=20)
        world.broker.stay_silent(packets.PUBACK)
        world.step()
        self.assertEqual(world.ranges(), {1: 2, 3: 3})
        world.die()
        self.spoil(world, 1, 2, 3)
        world.broker.heal()
        world.wire.clear()
        world.start().online().run(5000)
        self.assertEqual([numbers for _, _, numbers in world.shapes()], [[4, 5]])
        self.check(world, 0, 3)

    def test_singles_lost_before_a_bundle(self):
        world = Bulky(bulk=bulk(3)).online()
        world.broker.stay_silent(packets.PUBREC)
        world.broker.stay_silent(packets.PUBACK)
        world.send(1, 1, size=20)
        world.send(6, 2, size=20)
        world.step()
        self.assertEqual(world.ranges(), {2: 3, 5: 3})
        world.die()
        self.spoil(world, 1, 2)
        world.broker.heal()
        world.wire.clear()
        world.start().online().run(5000)
        self.assertEqual([numbers for _, _, numbers in world.shapes()], [[3, 4], [5, 6, 7]])
        self.check(world, 0, 2)

    def test_what_does_not_read_now_ends_a_new_bundle_and_holds_up_nothing_before_it(self):
        world = Bulky(read_bytes=64).online()
        world.store.fail_next("read", EIO, skip=5, times=1)
        world.send(10, size=100)
        world.run(10)
        self.assertTrue(len(world.sizes()) >= 1)
        world.run(10000)
        self.assertEqual(world.numbers(), list(range(1, 11)))
        self.check(world)

    def test_what_does_not_read_at_all_is_given_up_in_the_end(self):
        world = Bulky().online()
        world.send(10, size=100)
        name = world.store.list(JOURNAL)[0]
        world.store.fail_next("read", EIO, times=None, name=name)
        world.run(10000)
        world.store.heal()
        world.run(10000)
        self.assertEqual(world.account("waiting"), 0)

    def test_a_bundle_that_does_not_read_waits_and_is_given_up_in_the_end(self):
        world = self.sent(5, "persistmq")
        world.start()
        name = world.store.list(JOURNAL)[0]
        world.online()
        world.store.fail_next("read", EIO, times=None, name=name)
        world.link.cut()
        world.run(1000)
        self.assertEqual(world.account("waiting"), 5)
        world.run(20000)
        world.store.heal()
        world.run(20000)
        self.assertEqual(world.account("waiting"), 0)
