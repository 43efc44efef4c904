"""Durability "spill" on a disk that fails, and what a power cut takes."""

from persistmq_core import checkpoint as checkpoints
from persistmq_core import packets
from persistmq_core.errors import StoreError
from persistmq_core.spill_store import ENTERING, IN_RAM, LEAVING, STORED
from tests.support.spill_case import SpillCase
from tests.support.write_list_store import EIO, ENOSPC


class DiskTest(SpillCase):
    def test_a_disk_that_fails_takes_no_message_and_when_ram_is_full_publish_says_so(self):
        world = self.healthy()
        world.store.fail_next("append", ENOSPC, times=None)
        world.broker.listening = False
        self.freeze(world)
        world.link.cut()
        world.step()
        self.assertTrue("append" in world.engine.store_error)
        self.assertEqual((world.spill.state, world.engine.spill.waiting()), (IN_RAM, 1))
        accepted = 0
        while accepted < 100:
            world.spill.keeps_no_more = False  # as if the link had come back for a moment
            try:
                world.publish(b"." * 100, 2)
            except StoreError:
                break
            accepted += 1
        self.assertTrue(20 < accepted < 40)
        world.run(3000)
        world.store.heal()
        world.run(1100)
        self.assertEqual((world.engine.spill.waiting(), world.engine.store_error), (0, ""))
        world.restart()
        world.broker.listening = True
        world.online().run(20000)
        self.assertEqual((world.account("waiting"), len(world.arrived())), (0, 4 + accepted))
        self.assertEqual(world.violations(), [])

    def test_a_checkpoint_that_fails_while_it_is_left_is_tried_again_also_when_the_link_is_back(self):
        world = self.healthy()
        self.freeze(world)
        world.store.fail_next("replace", EIO, times=3)
        world.link.cut()
        world.step()
        self.assertEqual(world.spill.state, LEAVING)
        world.link.thaw()
        world.run(300)
        world.run(5000)
        self.assertEqual((world.spill.state, self.durable(world).session_known), (STORED, True))
        self.assertEqual((world.arrived()[3:], world.violations()), ([b"late"], []))

    def test_the_second_slot_is_written_soon_if_it_failed(self):
        world = self.healthy(checkpoint_delay_ms=100)
        self.freeze(world)
        world.link.cut()
        world.store.fail_next("replace", EIO, skip=1)
        world.step()
        self.assertEqual((world.spill.state, world.spill.needs_checkpoint), (STORED, True))
        self.assertTrue(self.durable(world).older_cursor > 1000)
        world.run(1500)
        self.assertTrue(self.durable(world).older_cursor < 1000)

    def test_a_start_writes_the_second_slot_if_power_failed_before_it(self):
        world = self.healthy()
        self.freeze(world)
        world.link.cut()
        world.store.fail_next("replace", EIO, skip=1, times=None)
        world.step()
        world.restart()
        found = self.durable(world)
        self.assertTrue(found.older_cursor <= found.cursor < 1000)
        world.store.corrupt(checkpoints.NAMES[found.generation & 1], 30, b"\xff\xff")
        world.restart()
        world.online().run(2000)
        self.assertEqual(world.arrived()[3:], [b"late"])

    def test_while_it_fails_the_other_side_is_left_alone_for_a_second(self):
        world = self.healthy()
        self.freeze(world)
        world.store.fail_next("append", EIO, times=None)
        world.link.cut()
        world.step()
        before = world.store.calls["append"]
        for _ in range(900):
            world.step(1)
        self.assertEqual(world.store.calls["append"], before)

    def test_a_block_of_numbers_that_cannot_be_written_holds_up_what_is_beyond_it(self):
        world = self.healthy(spill_numbers=1, spill_bytes=16384)
        world.store.fail_next("replace", EIO, times=None)
        for number in range(200):
            world.publish(b"%d" % number, 1)
            world.run(1)
        world.run(20000)
        self.assertTrue(100 < len(world.sent(packets.PUBLISH)) < 150)
        world.store.heal()
        world.run(10000)
        self.assertEqual((world.account("waiting"), world.account("delivered")), (0, 203))


class PowerCutTest(SpillCase):
    def test_the_broker_is_made_to_forget_what_was_in_flight_whatever_it_says_of_the_session(self):
        # Two jumps over numbers that are used up are a whole round of packet identifiers.
        for denies in (False, True):
            world = self.healthy()
            world.broker.denies_session = denies
            world.broker.stay_silent(packets.PUBREC)
            for _ in range(4):
                world.publish(b"held", 2)
                world.run(1)
            world.run(5)
            world.broker.heal()
            self.assertEqual((world.spill.state, len(world.broker.session().unreleased)), (IN_RAM, 4))
            world.restart()
            world.publish(b"new", 2)
            world.run(3000)
            self.assertEqual((world.arrived()[3:], world.broker.session().unreleased), ([b"new"], {}))
            self.assertEqual(world.violations(), [])

    def test_it_takes_what_waits_in_ram_and_nothing_else(self):
        world = self.healthy()
        last = self.freeze(world)
        world.restart()
        self.assertEqual(world.accounts(), [1, 1, 0, 0, 0])
        seq = world.publish(b"next", 2)
        self.assertTrue(seq > last)
        world.online().run(2000)
        self.assertEqual(world.arrived(), [b"first", b"second", b"third", b"next"])
        self.assertEqual((world.accounts(), world.violations()), ([2, 2, 0, 0, 0], []))

    def test_the_broker_s_session_is_not_resumed(self):
        world = self.healthy()
        world.broker.stay_silent(0x50)  # a PUBREC that comes and a message that is between it and the PUBREL
        world.publish(b"half", 2)
        world.step()
        world.restart()
        self.assertEqual(world.engine.delivery.checkpoint.session_known, False)
        world.broker.heal()
        for number in range(100):
            world.publish(b"%d" % number, 2)
        world.online().run(5000)
        self.assertEqual(world.arrived()[3:], [b"%d" % number for number in range(100)])
        self.assertEqual((world.account("waiting"), world.violations()), (0, []))

    def test_in_the_middle_of_writing_it_takes_what_was_in_ram(self):
        world = self.healthy()
        self.freeze(world)
        world.publish(b"more", 2)
        world.store.fail_next("sync", EIO)
        world.link.cut()
        world.step()  # the file stands there, and nothing says that it counts
        world.restart()
        world.publish(b"next", 2)
        world.online().run(3000)
        self.assertEqual(world.arrived()[3:], [b"next"])
        self.assertEqual((world.accounts(), world.violations()), ([2, 2, 0, 0, 0], []))

    def test_one_damaged_checkpoint_makes_no_difference(self):
        for slot in (0, 1):
            world = self.healthy()
            last = self.freeze(world)
            world.die()
            world.store.corrupt("checkpoint.%d" % slot, 30, b"\xff\xff")
            world.start()
            self.assertEqual(world.accounts(), [1, 1, 0, 0, 0])
            self.assertTrue(world.publish(b"next", 2) > last)
            world.online().run(2000)
            self.assertEqual((world.arrived()[3:], world.violations()), ([b"next"], []))

    def test_while_it_is_being_entered_it_takes_only_what_was_kept(self):
        world = self.world().online()
        world.publish(b"a", 2)
        world.run(990)
        world.link.freeze()
        world.publish(b"b", 2)
        world.run(20)
        world.publish(b"c", 2)
        self.assertEqual(world.spill.state, ENTERING)
        world.restart()
        world.online().run(3000)
        self.assertEqual((world.arrived(), world.violations()), ([b"a", b"b"], []))

    def test_refused_messages_are_on_storage(self):
        world = self.healthy(protocol=5)
        world.broker.refuse("bad", 0x87)
        world.publish(b"no", 2, topic="bad")
        world.run(100)
        self.assertEqual((world.spill.state, len(world.store.list("dead"))), (IN_RAM, 1))
