"""Cache directories that the fuzzer found (tests/fuzz), each with what went wrong before."""

import unittest

from persistmq_core.checkpoint import PLACE_DONE, Checkpoint, save
from tests.support import journal_files as files
from tests.support.bad_blocks import BadBlockStore
from tests.support.journal_files import name_of
from tests.support.world import World


class FoundByFuzzingTest(unittest.TestCase):
    def setUp(self):
        self.store = BadBlockStore()

    def delivered(self):
        """Start on what lies there; the payloads that arrive."""
        world = World(store=self.store)
        world.run(60000)
        self.assertEqual(world.account("waiting"), 0)
        self.assertEqual(world.violations(), [])
        return world.arrived()

    def quarantined(self):
        return len([name for name in self.store.snapshot() if name.startswith("quarantine/")])

    def test_of_two_files_with_one_number_the_one_whose_header_reads_is_the_segment(self):
        for other in (name_of(1, "bad"), name_of(1) + ".moving", name_of(1) + ".moving.moving"):
            for content in (b"", b"noise", files.segment(1, 2)[1:]):
                self.setUp()
                files.put(self.store, 1, 3)
                self.store.put(other, content)
                self.assertEqual(self.delivered(), [files.payload(seq) for seq in (1, 2, 3)], (other, content))
                self.assertEqual(self.quarantined(), 1)

    def test_a_segment_under_another_s_name_is_found_though_its_own_name_is_taken_by_noise(self):
        self.store.put(name_of(9), files.segment(1, 3))
        self.store.put(name_of(1), b"noise")
        files.put(self.store, 4, 2)
        self.assertEqual(self.delivered(), [files.payload(seq) for seq in (1, 2, 3, 4, 5)])
        self.assertEqual(self.quarantined(), 1)

    def test_it_starts_on_a_file_that_is_no_longer_than_a_header_and_does_not_read(self):
        for size in (1, 10, 32):
            self.setUp()
            files.put(self.store, 1, 3)
            self.store.put(name_of(4), files.segment(4, 1)[:size])
            self.store.spoil(name_of(4), 0)
            self.assertEqual(self.delivered(), [files.payload(seq) for seq in (1, 2, 3)])

    def test_nothing_is_appended_to_it(self):
        files.put(self.store, 1, 3)
        self.store.put(name_of(4), files.segment(4, 1)[:2])
        self.store.spoil(name_of(4), 0)
        world = World(store=self.store)
        seq = world.publish(b"new")
        world.run(60000)
        self.assertTrue(seq > 4, seq)
        self.assertEqual(world.arrived()[-1], b"new")
        self.assertEqual(world.account("waiting"), 0)

    def test_what_a_failed_write_left_is_never_more_than_was_accepted(self):
        files.put(self.store, 1, 5)
        damaged = files.put(self.store, 6, 3, 2)  # 4 and 5 were refused to their callers; only this header knew it
        files.put(self.store, 9, 3, 2)
        self.store.corrupt(damaged, 3, b"noise")
        world = World(store=self.store)
        for _ in range(200):
            world.step(10)
            self.assertTrue(world.account("waiting") >= 0, world.accounts())
        self.assertEqual(world.arrived(), [files.payload(seq) for seq in range(1, 12)])
        self.assertEqual(world.accounts(), [11, 11, 0, 0, 0])

    def test_a_skipped_number_that_only_the_checkpoint_remembers_is_not_waited_for(self):
        files.put(self.store, 1, 3)  # 3 was refused to its caller, and the segment that said so is gone
        state = Checkpoint(files.CACHE_ID, 8)
        state.cursor, state.sent_bound, state.delivered, state.skipped = 2, 5, 1, 1
        state.places[1] = PLACE_DONE
        save(self.store, state)
        world = World(store=self.store)
        world.run(60000)
        self.assertEqual(world.arrived(), [files.payload(2)])
        self.assertEqual(world.accounts(), [2, 2, 0, 0, 0])

    def test_a_header_that_reads_in_the_end_is_asked_more_than_once(self):
        """Five failures of one read give up that place; the next one that fails is not a header then."""
        store = BadBlockStore()
        files.put(store, 1, 5)
        files.put(store, 6, 3, 2)
        world = World(store=store)
        store.fail_next("read", 5, times=7)
        world.run(60000)
        self.assertEqual(world.arrived(), [files.payload(seq) for seq in (1, 2, 3, 6, 7, 8)])
        self.assertEqual(world.accounts(), [6, 6, 0, 0, 0])

    def test_an_identifier_that_is_not_ours_acknowledges_nothing(self):
        world = World(store=self.store)
        world.broker.stay_silent(0x40)
        for _ in range(3):
            world.publish()
        world.online().steps(3)
        world.engine.delivery.acknowledge(b"\x40\x02\xea\x63")  # 60003, which is 3 + 60000
        self.assertEqual((world.account("delivered"), world.account("waiting")), (0, 3))


if __name__ == "__main__":
    unittest.main()
