"""A cache is opened: what it holds already, and what is on storage then."""

import unittest

from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from persistmq_core.slots import load
from tests.support.rng import Rng
from tests.support.write_list_store import ENOSPC, WriteListStore


class OpeningTest(unittest.TestCase):
    def lane(self, store):
        opened = open_cache(store, Rng(1), Options(8, 4, session_marker=7))
        self.assertIsNone(opened.spill)
        self.assertEqual(len(opened.lanes), 1)
        return opened.lanes[0]

    def test_another_session_is_not_known(self):
        store = WriteListStore()
        lane = self.lane(store)
        lane.delivery.know_session(True, 7)
        lane.delivery.save()
        self.assertTrue(self.lane(store).delivery.session_known())
        lane.delivery.know_session(True, 8)
        lane.delivery.save()
        self.assertFalse(self.lane(store).delivery.session_known())

    def test_both_slots_of_a_new_cache_are_written_at_once(self):
        store = WriteListStore()
        self.lane(store)
        self.assertEqual(load(store)[0].generation, 2)
        self.lane(store)
        self.assertEqual(load(store)[0].generation, 2)

    def test_a_disk_that_is_full_does_not_keep_it_from_being_opened(self):
        store = WriteListStore()
        store.fail_next("replace", ENOSPC)
        lane = self.lane(store)
        self.assertEqual((lane.delivery.has_both_slots(), load(store)), (False, (None, False)))
