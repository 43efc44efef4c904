"""Durability "spill": RAM while the link is healthy, storage on any trouble and at the end."""

import sys

from persistmq_core import packets
from persistmq_core.contracts import UP
from persistmq_core.errors import StoreError
from persistmq_core.spill_store import ENTERING, IN_RAM, STORED
from tests.support.spill_case import SpillCase
from tests.support.world import World
from tests.support.write_list_store import EIO, ENOSPC

MANY = 500 if sys.implementation.name == "micropython" else 10000  # the model of the broker keeps them all


class HealthyTest(SpillCase):
    def test_a_start_stores_every_message_until_the_link_was_healthy_for_a_while(self):
        world = self.world()
        world.publish(b"a", 2)
        world.online().run(900)
        self.assertEqual((world.spill.state, world.arrived()), (STORED, [b"a"]))
        world.publish(b"b", 2)
        world.run(10)
        self.assertTrue(world.store.bytes_appended > 2 * 26)
        world.run(200)
        self.assertEqual(world.spill.state, ENTERING)

    def test_thousands_of_messages_write_nothing(self):
        world = self.healthy()
        world.publish(b"x", 2)
        world.run(2000)  # the segment that was left on storage goes
        before = self.writes(world)
        for number in range(MANY):
            world.publish(b"%d" % number, number % 3)
            world.run(2)
        self.assertEqual(self.writes(world), before)
        self.assertEqual((world.account("delivered"), world.account("waiting")), (4 + MANY, 0))
        self.assertEqual(world.violations(), [])
        self.assertTrue(world.spill.ram_bytes <= 4096)

    def test_a_block_of_numbers_costs_two_writes(self):
        world = self.healthy(spill_numbers=200)
        world.publish(b"x", 2)
        world.run(2000)
        before = self.writes(world)
        for number in range(500):
            world.publish(b"%d" % number, 1)
            world.run(2)
        self.assertTrue(2 <= self.writes(world) - before <= 2 * 500 // 200)

    def test_a_link_that_carries_nothing_costs_nothing(self):
        world = self.world().online()
        before = self.writes(world)
        for _ in range(5):
            world.run(5000)
            world.link.cut()
        self.assertEqual(self.writes(world), before)

    def test_without_messages_that_wait_a_broken_link_costs_nothing_either(self):
        world = self.healthy()
        before = self.writes(world)
        for _ in range(5):
            world.link.cut()
            world.run(20000)
            world.publish(b"m", 2)
            world.run(100)
            world.run(2000)
        self.assertEqual((self.writes(world), world.spill.state), (before, IN_RAM))
        self.assertEqual((world.account("delivered"), world.account("waiting")), (8, 0))

    def test_no_message_is_sent_before_storage_says_that_its_number_is_used_up(self):
        world = self.world().online()
        world.publish(b"a", 2)
        world.run(1500)
        world.store.fail_next("replace", EIO, times=None)
        seq = world.publish(b"b", 2)
        world.run(400)
        self.assertEqual((len(world.sent(packets.PUBLISH)), world.engine.spill.holds(seq)), (1, True))
        self.assertTrue(world.engine.store_error)
        world.store.heal()
        world.run(5000)
        self.assertEqual((world.arrived(), world.account("waiting"), world.violations()), ([b"a", b"b"], 0, []))

    def test_ram_comes_back_as_messages_are_settled_although_checkpoints_are_seldom(self):
        world = self.healthy(checkpoint_delay_ms=1 << 20, spill_bytes=8192)
        for _ in range(400):
            world.publish(b"." * 100, 1)
            world.run(2)
        self.assertEqual((world.spill.state, world.spill.spills), (IN_RAM, 0))

    def test_the_first_message_behind_a_failed_write_does_not_hold_up_the_others(self):
        world = self.world().online()
        world.publish(b"a", 2)
        world.run(1500)
        self.assertEqual(world.spill.state, ENTERING)
        world.spill.keeps_no_more = False
        world.store.fail_next("append", ENOSPC)
        self.assertRaises(StoreError, world.publish, b"x" * 5000)
        for payload in (b"b", b"c", b"d"):
            world.publish(payload, 2)
            world.run(3000)
        self.assertEqual((world.arrived(), world.account("waiting")), ([b"a", b"b", b"c", b"d"], 0))


class TroubleTest(SpillCase):
    def test_a_link_that_breaks_writes_all_that_waits(self):
        world = self.healthy()
        seq = self.freeze(world)
        self.assertEqual((world.engine.spill.holds(seq), world.engine.spill.waiting()), (True, 1))
        world.link.cut()
        world.step()
        self.assertEqual((world.engine.spill.holds(seq), world.engine.spill.waiting()), (False, 0))
        self.assertEqual((world.spill.state, self.durable(world).session_known), (STORED, True))
        world.restart()
        world.online().run(2000)
        self.assertEqual(world.arrived(), [b"first", b"second", b"third", b"late"])
        self.assertEqual((world.account("delivered"), world.violations()), (4, []))

    def test_what_is_published_while_there_is_no_link_is_stored_at_once(self):
        world = self.healthy()
        world.link.cut()
        world.broker.listening = False
        world.run(50)
        self.assertEqual(world.spill.state, IN_RAM)
        seq = world.publish(b"m", 2)
        self.assertEqual((world.spill.state, world.engine.spill.holds(seq)), (STORED, False))
        world.step()
        world.restart()
        world.broker.listening = True
        world.online().run(2000)
        self.assertEqual(world.arrived()[3:], [b"m"])

    def test_an_acknowledgement_that_is_late_writes_all_and_the_connection_goes_on(self):
        world = self.healthy()
        seq = self.freeze(world)
        self.assertEqual(world.engine.step(world.now_ms), 1000)
        world.run(999)
        self.assertEqual(world.engine.spill.holds(seq), True)
        world.run(2)
        self.assertEqual((world.engine.spill.holds(seq), world.engine.connections), (False, 1))
        self.assertTrue(world.engine.step(world.now_ms) > 900)  # until then nothing is due
        world.link.thaw()
        world.run(500)
        self.assertEqual((world.arrived()[3:], world.spill.state), ([b"late"], STORED))

    def test_a_late_one_while_it_is_being_entered_writes_what_was_kept(self):
        world = self.world().online()
        world.publish(b"a", 2)
        world.run(990)
        world.link.freeze()
        world.publish(b"b", 2)
        world.run(20)
        self.assertEqual(world.spill.state, ENTERING)
        seq = world.publish(b"c", 2)
        self.assertEqual(world.engine.spill.holds(seq), True)
        world.run(1000)
        self.assertEqual((world.spill.state, world.engine.spill.holds(seq)), (STORED, False))
        self.assertEqual(len(world.sent(packets.PUBLISH)), 3)
        world.link.thaw()
        world.run(2000)
        self.assertEqual((world.arrived(), world.violations()), ([b"a", b"b", b"c"], []))

    def test_after_trouble_it_is_stored_until_the_link_was_healthy_for_as_long_again(self):
        world = self.healthy()
        self.freeze(world)
        world.link.cut()
        world.link.thaw()
        while not world.engine.online():
            world.run(10)
        for _ in range(9):
            world.run(100)
            world.publish(b"m", 2)
            self.assertEqual(world.spill.state, STORED)
        world.run(1000)
        world.publish(b"m", 2)
        world.run(10)
        self.assertEqual(world.spill.state, IN_RAM)

    def test_ram_that_is_full_is_written_by_who_publishes(self):
        world = self.healthy()
        world.link.freeze()
        for number in range(60):
            world.publish(b"%02d" % number + b"." * 100, 2)
        self.assertEqual((world.spill.state, world.spill.spills, world.engine.spill.waiting()), (STORED, 1, 0))
        world.step()
        world.restart()
        world.online().run(5000)
        self.assertEqual([payload[:2] for payload in world.arrived()[3:]], [b"%02d" % number for number in range(60)])
        self.assertEqual((world.account("waiting"), world.violations()), (0, []))

    def test_when_ram_fills_what_is_settled_has_its_checkpoint_before_it_is_written(self):
        world = self.healthy(checkpoint_delay_ms=1 << 20)
        world.broker.stay_silent(packets.PUBACK, times=1)  # the first one keeps the others' file
        for number in range(6):
            world.publish(b"%d" % number + b"." * 400, 1)
            world.run(2)
        self.assertEqual((world.spill.state, world.account("waiting")), (IN_RAM, 1))
        world.publish(b"6" + b"." * 2000, 1)
        self.assertEqual(world.spill.state, STORED)
        world.restart()
        self.assertEqual(world.account("waiting"), 2)
        world.online().run(2000)
        self.assertEqual(b"".join([payload[:1] for payload in world.arrived()[3:]]), b"01234506")

    def test_one_message_that_is_larger_than_all_of_it_goes_to_storage(self):
        world = self.healthy()
        seq = world.publish(b"x" * 5000, 2)
        self.assertEqual((world.engine.spill.holds(seq), world.spill.state), (False, STORED))
        world.run(100)
        self.assertEqual(len(world.arrived()[-1]), 5000)

    def test_files_on_storage_have_their_own_size_again(self):
        world = self.world(segment_bytes_max=65536).online()
        world.publish(b"a", 2)
        world.run(1500)
        world.publish(b"b", 2)
        world.run(10)
        world.broker.listening = False
        world.link.cut()
        world.run(10)
        for _ in range(100):
            world.publish(b"." * 100, 2)
            world.step()
        self.assertTrue(len(world.store.list("journal")) <= 3)

    def test_somebody_who_wants_it_stored_has_it_stored(self):
        world = self.healthy()
        seq = self.freeze(world)
        world.engine.spill.wanted = True
        world.step()
        self.assertEqual((world.engine.spill.holds(seq), world.engine.spill.wanted), (False, False))
        world.engine.spill.wanted = True
        world.step()
        self.assertEqual(world.engine.spill.wanted, False)


class StopTest(SpillCase):
    def test_it_writes_all(self):
        world = self.healthy()
        self.freeze(world)
        world.engine.close()
        self.assertEqual(world.spill.state, STORED)
        world.restart()
        self.assertEqual(world.accounts(), [4, 3, 0, 0, 1])
        world.online().run(2000)
        self.assertEqual((world.arrived()[3:], world.account("delivered")), ([b"late"], 4))

    def test_where_nothing_is_in_ram_nothing_is_written(self):
        world = self.world()
        before = self.writes(world)
        world.engine.close()
        self.assertEqual((self.writes(world), world.engine.store_error), (before, ""))

    def test_a_checkpoint_that_cannot_be_made_newer_is_written_as_it_is(self):
        world = self.healthy(spill_numbers=1, checkpoint_delay_ms=1 << 20)
        for _ in range(5):
            world.publish(b"m", 1)
            world.run(10)
        seq = self.freeze(world)
        world.store.fail_next("replace", EIO)  # the next block of numbers
        world.engine.spill.wanted = True
        world.step()
        self.assertEqual((world.spill.state, world.engine.spill.holds(seq)), (STORED, False))
        world.restart()
        self.assertEqual(world.account("accepted"), 9)

    def test_a_client_that_ends_its_handshakes_first_is_quiet_when_all_is_written(self):
        world = self.healthy()
        world.publish(b"last", 2)
        world.engine.draining = True
        self.assertEqual(world.engine.quiet(), False)
        world.run(100)
        self.assertEqual((world.engine.quiet(), world.spill.state), (True, STORED))
        self.assertEqual(self.durable(world).delivered, 3)

    def test_a_disk_that_fails_then_is_tried_again(self):
        world = self.healthy()
        world.store.fail_next("replace", EIO)
        world.engine.draining = True
        world.step()
        self.assertEqual(world.engine.quiet(), False)
        world.run(1100)
        self.assertEqual(world.engine.quiet(), True)

    def test_a_disk_that_fails_to_the_end_is_said(self):
        world = self.healthy()
        self.freeze(world)
        world.store.fail_next("append", ENOSPC, times=None)
        world.engine.close()
        self.assertTrue("append" in world.engine.store_error)
        self.assertEqual(world.engine.spill.waiting(), 1)

    def test_a_store_that_keeps_nothing_is_a_mistake(self):
        with self.assertRaises(TypeError):
            World(spill_after_ms=1000)
        with self.assertRaises(ValueError):
            World(spill_bytes=4096, spill_after_ms=-1)
        self.assertEqual(World().link.state() == UP, False)
