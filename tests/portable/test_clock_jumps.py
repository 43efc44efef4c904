"""The clock is set while messages wait."""

import unittest

from persistmq_core.clock_jumps import ClockJumps
from tests.support.world import World

NOON_MS = 1767225600000
YEAR_MS = 365 * 24 * 3600 * 1000


class ClockJumpsTest(unittest.TestCase):
    def setUp(self):
        self.jumps = ClockJumps()

    def test_a_clock_that_goes_with_the_engine_s_makes_nothing_older(self):
        for now_ms in range(0, 100000, 1000):
            self.jumps.watch(now_ms, NOON_MS + now_ms)
        self.assertEqual(self.jumps.behind_ms(NOON_MS + 5), 0)

    def test_a_slewed_clock_is_no_jump(self):
        for step in range(100):
            self.jumps.watch(step * 1000, NOON_MS + step * 1100)
        self.assertEqual(self.jumps.behind_ms(NOON_MS), 0)

    def test_set_forward_what_was_stamped_before_is_behind_by_that(self):
        self.jumps.watch(0, NOON_MS)
        self.jumps.watch(1000, NOON_MS + 1000 + YEAR_MS)
        self.assertEqual(self.jumps.behind_ms(NOON_MS + 900), YEAR_MS)
        self.assertEqual(self.jumps.behind_ms(NOON_MS + 1000 + YEAR_MS), 0)

    def test_set_back_what_is_surely_older_is_ahead_by_that(self):
        self.jumps.watch(0, NOON_MS)
        self.jumps.watch(100000, NOON_MS + 40000)
        self.assertEqual(self.jumps.behind_ms(NOON_MS + 100), -60000)
        self.assertEqual(self.jumps.behind_ms(NOON_MS + 40001), 0)

    def test_two_jumps_add_up(self):
        self.jumps.watch(0, NOON_MS)
        self.jumps.watch(10, NOON_MS + 10 + 50000)
        self.jumps.watch(20, NOON_MS + 20 + 90000)
        self.assertEqual(self.jumps.behind_ms(NOON_MS + 5), 90000)
        self.assertEqual(self.jumps.behind_ms(NOON_MS + 50015), 40000)

    def test_a_clock_that_was_never_set_has_not_jumped_when_it_is(self):
        self.jumps.watch(0, 0)
        self.jumps.watch(1000, NOON_MS)
        self.assertEqual(self.jumps.behind_ms(500), 0)

    def test_many_jumps_are_kept_as_few(self):
        for step in range(100):
            self.jumps.watch(step, NOON_MS + step + step * 10000)
        self.assertTrue(len(self.jumps._jumps) <= 16)
        self.assertEqual(self.jumps.behind_ms(NOON_MS), 990000)


class ClockWorld(World):
    """The time of day is the engine's and ``set_ms``."""

    set_ms = NOON_MS

    def start(self, **options):
        return super().start(clock=self, **options)

    def unix_ms(self):
        return self.set_ms + self.now_ms

    def put(self, payload, expires_s):
        self.engine.spool.stage("t", payload, 1, False, self.unix_ms(), expires_s)
        self.store_staged()


class ExpiryTest(unittest.TestCase):
    def test_a_message_does_not_grow_old_by_setting_the_clock(self):
        world = ClockWorld()
        world.broker.listening = False
        world.put(b"first", 60)
        world.run(5000)
        world.set_ms += YEAR_MS
        world.run(5000)
        world.put(b"second", 60)
        world.broker.listening = True
        world.run(20000)
        self.assertEqual(world.arrived(), [b"first", b"second"])

    def test_nor_in_the_moment_in_which_it_is_set(self):
        world = ClockWorld().online()
        world.put(b"first", 60)
        world.run(5000)
        world.broker.listening = False
        world.link.cut()
        world.put(b"second", 60)
        world.run(3000)
        world.broker.listening = True
        while not world.engine.online():
            world.step(100)
            world.set_ms += YEAR_MS * (not world.engine.online() and world.now_ms % 700 < 100)
        world.run(1000)
        self.assertEqual(world.arrived(), [b"first", b"second"])

    def test_and_none_lives_longer_by_it(self):
        world = ClockWorld()
        world.broker.listening = False
        world.put(b"first", 20)
        world.run(60000)
        world.set_ms -= 50000
        world.run(5000)
        world.broker.listening = True
        world.run(20000)
        self.assertEqual((world.arrived(), world.account("expired")), ([], 1))


if __name__ == "__main__":
    unittest.main()
