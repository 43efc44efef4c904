"""What becomes too old while there is no connection makes room for newer messages."""

from persistmq_core.errors import CacheFull
from persistmq_core.too_old import expire
from tests.support.aging import AgingCase
from tests.support.write_list_store import EIO


class TooOldTest(AgingCase):
    def test_without_a_connection_too_what_is_too_old_makes_room(self):
        world = self.apart(cache_messages_max=3)
        for _ in range(3):
            world.send(expires_s=2)
        world.run(1500)
        self.assertRaises(CacheFull, world.send)
        self.assertTrue(world.step() <= 1000)
        world.run(2000)
        self.assertEqual(self.expired(world), [1, 2, 3])
        self.assertEqual(world.send(), 4)
        world.broker.listening = True
        self.settle(world)
        self.assertEqual(world.account("delivered"), 1)

    def test_without_a_connection_what_may_be_in_flight_stays_and_those_behind_it_go(self):
        world = self.world(window=2, window_qos2=2)
        world.online()
        world.broker.stay_silent(0x40)
        for number in range(3):
            world.send(b"%d" % number, expires_s=2)
        world.step()
        world.broker.heal()
        world.broker.listening = False
        world.link.cut()
        world.send(b"not so soon", expires_s=1000)
        world.run(4000)
        self.assertEqual(self.expired(world), [3])
        world.broker.listening = True
        self.settle(world)
        self.assertEqual(world.arrived()[-3:], [b"0", b"1", b"not so soon"])
        self.assertEqual(world.account("waiting"), 0)

    def test_without_a_connection_it_waits_behind_one_that_never_expires(self):
        world = self.apart()
        world.send(expires_s=0)
        world.send(expires_s=1)
        world.run(3000)
        self.assertEqual((self.expired(world), world.account("waiting")), ([], 2))

    def test_the_engine_is_told_whether_another_one_will_be(self):
        world = self.apart()
        world.send(expires_s=1)
        world.send(expires_s=60)
        delivery = world.engine.delivery
        self.assertTrue(expire(delivery, world.now_ms, world.options["clock"]))
        self.assertEqual(self.expired(world), [])
        world.run(3000)
        self.assertEqual((self.expired(world), world.account("waiting")), ([1], 1))

    def test_a_disk_that_fails_lets_it_wait(self):
        world = self.apart()
        world.send(expires_s=1)
        world.store.fail_next("read", EIO, times=1)
        world.run(4000)
        self.assertEqual(self.expired(world), [1])


class WithoutClockTest(TooOldTest):
    def world(self, clock_ms=None, **options):
        return super().world(clock_ms, **options)
