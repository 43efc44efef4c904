"""One journal and its delivery: accounts, and what it holds."""

import unittest

from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from persistmq_core.packets import PUBLISH
from tests.support.rng import Rng
from tests.support.world import World
from tests.support.write_list_store import WriteListStore


class LaneTest(unittest.TestCase):
    def lane(self, store=None):
        options = Options(8, 4, segment_bytes_max=1024, read_bytes=256, send_bytes=1024, session_marker=7)
        return open_cache(store or WriteListStore(), Rng(1), options).lanes[0]

    def publish(self, lane, count):
        for _ in range(count):
            lane.spool.stage("t", b"p", 1, False, 0)
        group = lane.spool.take()
        group.write()
        lane.spool.finish(group)

    def test_what_is_staged_waits_and_what_is_stored_is_accepted(self):
        lane = self.lane()
        lane.spool.stage("t", b"p", 1, False, 0)
        self.assertEqual(lane.waiting(), 1)
        accounts = {}
        lane.add_accounts(accounts)
        self.assertEqual((accounts["accepted"], accounts["waiting"]), (0, 0))
        self.publish(lane, 2)
        lane.add_accounts(accounts)
        self.assertEqual((accounts["accepted"], accounts["waiting"]), (3, 3))

    def test_accounts_of_lanes_add_up(self):
        accounts = {}
        for count in (2, 3):
            lane = self.lane()
            self.publish(lane, count)
            lane.delivery.checkpoint.delivered = 1
            lane.delivery.checkpoint.expired = 1
            lane.add_accounts(accounts)
        self.assertEqual((accounts["accepted"], accounts["delivered"], accounts["expired"]), (5, 2, 2))
        self.assertEqual((accounts["waiting"], accounts["refused"]), (1, 0))

    def test_held_bytes_are_those_of_the_files(self):
        store = WriteListStore()
        lane = self.lane(store)
        self.publish(lane, 3)
        name = store.list("journal")[0]
        self.assertEqual(lane.held_bytes(), store.size(name))
        self.assertEqual(self.lane(store).held_bytes(), store.size(name))

    def test_identifiers_begin_where_they_are_told_to(self):
        world = World()
        world.engine.delivery._id_first, world.engine.delivery._id_span = 60001, 3
        world.publish_many(4)
        world.online().run(100)
        self.assertEqual([packet[5] << 8 | packet[6] for packet in world.sent(PUBLISH)][:3], [60002, 60003, 60001])


if __name__ == "__main__":
    unittest.main()
