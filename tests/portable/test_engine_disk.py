"""A disk that fails under the delivering side: delivery waits, nothing is lost, nothing is sent that is not stored."""

import unittest

from persistmq_core import packets
from persistmq_core.errors import StoreError
from tests.support.world import World
from tests.support.write_list_store import EIO, ENOSPC, PowerCut, WriteListStore


class DiskTest(unittest.TestCase):
    def test_a_checkpoint_that_fails_holds_the_pubrel_back(self):
        world = World().online()
        world.store.fail_next("replace", ENOSPC, times=None, name="checkpoint")
        world.publish(b"m", 2)
        world.run(1500)
        self.assertEqual((len(world.sent(packets.PUBLISH)), world.sent(packets.PUBREL)), (1, []))
        self.assertTrue("checkpoint" in world.engine.store_error)
        world.store.heal()
        world.run(1100)
        self.assertEqual((len(world.sent(packets.PUBREL)), world.arrived()), (1, [b"m"]))
        self.assertEqual((world.engine.store_error, world.engine.connections), ("", 1))

    def test_a_failing_disk_is_not_hammered(self):
        world = World().online()
        world.store.fail_next("replace", EIO, times=None)
        world.publish(b"m", 2)
        world.steps(3)
        before = world.store.calls["replace"]
        for _ in range(1500):
            world.step(1)
        self.assertTrue(1 <= world.store.calls["replace"] - before <= 3)

    def test_the_next_try_is_due(self):
        world = World(checkpoint_delay_ms=0).online()
        world.publish(b"m", 1)
        world.step()
        world.store.fail_next("replace", EIO)
        self.assertEqual(world.step(), 1000)
        self.assertEqual(world.step(400), 600)
        self.assertEqual(world.step(600), 60000)
        self.assertEqual(world.engine.store_error, "")

    def test_a_port_is_never_told_to_come_back_at_once_while_the_disk_rests(self):
        for checkpoint_delay_ms in (0, 200, 1000):
            for call in ("replace", "remove", "read", "list", "size"):
                world = World(checkpoint_delay_ms=checkpoint_delay_ms).online()
                world.store.fail_next(call, EIO, times=None)
                for _ in range(7):
                    world.publish(b"x" * 200)
                calls = 0
                end_ms = world.now_ms + 20000
                while world.now_ms < end_ms:
                    world.now_ms += world.step()
                    calls += 1
                    self.assertTrue(calls < 200, (call, checkpoint_delay_ms))

    def test_a_read_that_fails_for_a_while_delays_and_loses_nothing(self):
        for call in ("read", "list", "size"):
            world = World().online()
            world.publish_many(3)
            world.store.fail_next(call, EIO, times=2)
            world.run(10000)
            self.assertEqual(world.arrived(), [b"0", b"1", b"2"], call)
            self.assertEqual((world.accounts(), world.engine.store_error), ([3, 3, 0, 0, 0], ""))

    def test_what_was_read_before_the_read_failed_goes_out(self):
        world = World(segment_bytes_max=1024, read_bytes=64).online()
        for index in range(6):
            world.publish(b"%d" % index * 200)
        world.store.fail_next("read", EIO, skip=8, times=1)
        world.run(5000)
        self.assertEqual([payload[:1] for payload in world.arrived()], [b"0", b"1", b"2", b"3", b"4", b"5"])
        self.assertEqual(len(world.sent(packets.PUBLISH)), 6)
        self.assertEqual(world.violations(), [])

    def test_bytes_that_are_ready_go_out_while_the_disk_fails(self):
        world = World().online()
        world.publish(b"m")
        world.link.send_counts = [3, 0]
        world.step()
        world.store.fail_next("replace", EIO, times=None)
        world.store.fail_next("read", EIO, times=None)
        world.run(100)
        self.assertEqual(world.arrived(), [b"m"])

    def test_a_remove_that_fails_is_no_obstacle(self):
        world = World().online()
        world.store.fail_next("remove", EIO, times=5)
        for _ in range(20):
            world.publish(b"x" * 200)
            world.run(200)
        for _ in range(3):
            world.publish(b"last")
            world.run(2000)
        self.assertEqual(world.account("waiting"), 0)
        self.assertTrue(len(world.store.list("journal")) <= 2)

    def test_a_publish_that_cannot_be_stored_is_an_error_and_the_next_goes(self):
        for call, short in (("append", 0), ("append", 20), ("sync", 0)):
            world = World().online()
            world.publish(b"a")
            world.store.fail_next(call, ENOSPC, short=short)
            with self.assertRaises(StoreError) as caught:
                world.publish(b"lost")
            self.assertEqual(caught.exception.args[0], ENOSPC)
            world.publish(b"b")
            world.run(1000)
            self.assertEqual((world.arrived(), world.accounts()), ([b"a", b"b"], [2, 2, 0, 0, 0]))
            self.assertEqual(world.violations(), [])
            # And over a restart, although the bytes may stand on the disk.
            world.restart(False).run(1000)
            self.assertEqual((world.arrived(), world.accounts()), ([b"a", b"b"], [2, 2, 0, 0, 0]))

    def test_a_cache_that_cannot_be_written_sends_nothing_and_says_so(self):
        world = World()
        world.store = world.store.power_up(None, power_lost=False)
        for name in list(world.store.snapshot()):
            world.store.remove(name)
        world.start()
        world.engine.delivery.checkpoint.session_known = False
        world.store.fail_next("replace", EIO, times=None)
        world.publish(b"m")
        world.run(3000)
        self.assertEqual(world.wire, [])
        self.assertFalse(world.engine.online())
        self.assertTrue("cannot be written" in world.engine.down_reason)
        world.store.heal()
        world.run(10000)
        self.assertEqual(world.arrived(), [b"m"])

    def test_an_error_without_words_is_shown_too(self):
        world = World().online()
        world.publish(b"m", 2)

        def fail(name, view):
            raise OSError

        world.store.replace = fail
        world.run(100)
        self.assertTrue(world.engine.store_error)
        del world.store.replace
        world.run(3000)
        self.assertEqual(world.account("delivered"), 1)

    def test_a_disk_that_is_full_at_the_first_start_is_used_when_there_is_room(self):
        store = WriteListStore(capacity_bytes=10)
        world = World(store=store)
        with self.assertRaises(StoreError):
            world.publish(b"m")
        world.run(1000)
        self.assertFalse(world.engine.online())
        store.capacity_bytes = 10000
        world.publish(b"m")
        world.run(10000)
        self.assertEqual((world.arrived(), world.accounts()), ([b"m"], [1, 1, 0, 0, 0]))

    def test_a_full_disk_delivers_what_it_has_and_takes_more_when_there_is_room(self):
        world = World(segment_bytes_max=1024)
        world.broker.listening = False
        world.store.capacity_bytes = 6000
        published = 0
        for _ in range(100):
            try:
                world.publish(b"x" * 100, 1)
                published += 1
            except StoreError:
                break
        self.assertTrue(10 < published < 100)
        with self.assertRaises(StoreError):
            world.publish(b"x" * 100, 1)
        world.broker.listening = True
        world.run(20000)
        self.assertEqual(world.account("delivered"), published)
        world.publish(b"x" * 100, 1)
        world.run(1000)
        self.assertEqual(world.account("delivered"), published + 1)
        self.assertEqual(world.violations(), [])


class EveryCallTest(unittest.TestCase):
    def test_whichever_call_fails_nothing_is_lost_or_invented(self):
        for call in ("list", "size", "read", "append", "sync", "replace", "move", "remove"):
            for skip in range(0, 24, 3):
                world = World(window=4)
                world.store.fail_next(call, EIO, skip=skip, times=2)
                stored = []
                for index in range(12):
                    try:
                        world.publish(b"%d" % index * 60, 2)
                        stored.append(b"%d" % index * 60)
                    except StoreError:
                        pass
                    world.run(300)
                world.run(30000)
                self.assertEqual(world.arrived(), stored, (call, skip))
                self.assertEqual(world.accounts(), [len(stored), len(stored), 0, 0, 0], (call, skip))
                self.assertEqual(world.violations(), [])

    def test_wherever_the_power_fails_nothing_is_lost_and_nothing_comes_twice(self):
        for at in range(1, 70, 2):
            for fate in ("before", "after", "torn"):
                world = World(window=4)
                world.store.crash_at, world.store.crash_fate = world.store.steps + at, fate
                stored = []
                unsure = b""
                try:
                    for index in range(6):
                        unsure = b"%d" % index * 60
                        world.publish(unsure, 2)
                        stored.append(unsure)
                        unsure = b""
                        world.run(50)
                except PowerCut:
                    pass
                world.restart().run(10000)
                arrived = world.arrived()
                if unsure and unsure in arrived:
                    stored.append(unsure)
                self.assertEqual(arrived, stored, (at, fate))
                self.assertEqual(world.account("waiting"), 0)
                self.assertEqual(world.violations(), [])


class WornTest(unittest.TestCase):
    """What never works again, while all around it does."""

    def backlog(self):
        world = World().online()
        world.link.cut()
        world.broker.listening = False
        for _ in range(200):
            world.publish(b"x" * 60, 2)
        world.broker.listening = True
        return world, sorted(world.store.list("journal"))

    def test_a_file_that_cannot_be_removed_keeps_neither_the_others_nor_the_delivery(self):
        for call, errno in (("remove", 1), ("size", EIO)):
            world, names = self.backlog()
            world.store.fail_next(call, errno, times=None, name=names[1])
            world.run(10000)
            self.assertEqual(world.account("waiting"), 0)
            left = sorted(world.store.list("journal"))
            self.assertEqual(left, [names[1], names[-1]] if call == "remove" else [names[-1]])
            self.assertEqual(bool(world.engine.store_error), call == "remove")

    def test_a_slot_that_cannot_be_written_is_moved_aside_and_made_anew(self):
        for name in ("checkpoint.0", "checkpoint.1"):
            world, _ = self.backlog()
            world.store.fail_next("replace", EIO, times=5, name=name)
            world.run(3500)
            self.assertEqual(world.store.list("quarantine"), [])
            self.assertTrue(world.account("waiting"))
            world.run(10000)
            self.assertEqual(world.store.list("quarantine"), ["quarantine/" + name])
            self.assertEqual((world.account("waiting"), world.engine.store_error), (0, ""))
            self.assertEqual(sorted(world.arrived()), [b"x" * 60] * 200)

    def test_settled_files_that_came_back_after_a_power_cut_are_removed_without_a_broker(self):
        world, names = self.backlog()
        world.store.fail_next("remove", EIO, times=None)
        world.run(10000)
        self.assertEqual(len(world.store.list("journal")), len(names))
        world.restart()
        world.store.heal()
        world.broker.listening = False
        world.run(100)
        self.assertEqual(world.store.list("journal"), names[-1:])
