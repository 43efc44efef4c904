"""A cache directory to recover, for the tests of it."""

import unittest

from persistmq_core.checkpoint import PLACE_DONE, Checkpoint, save
from persistmq_core.recovery import recover
from persistmq_core.slots import load

from .journal_files import CACHE_ID
from .rng import Rng
from .write_list_store import WriteListStore

SPAN = 4


class RecoveryTestCase(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()

    def recover(self, span=SPAN, read_bytes=64):
        return recover(self.store, span, Rng(1), read_bytes)

    def checkpoint(self, cursor, places=b"", sent_bound=0, known=True, skipped=0, damaged=0):
        """Lay a checkpoint of a consistent cache on the disk."""
        state = load(self.store)[0] or Checkpoint(CACHE_ID, SPAN)
        state.cursor = cursor
        state.sent_bound = sent_bound or cursor + 2 * SPAN
        state.session_known = known
        state.skipped = skipped
        state.damaged = damaged
        state.places = bytearray(places) + bytearray(SPAN - len(places))
        state.delivered = cursor - 1 - skipped - damaged + bytes(state.places).count(bytes((PLACE_DONE,)))
        save(self.store, state)
        return state

    def names(self, folder="journal"):
        return sorted(self.store.list(folder))

    def active(self, found):
        return found.active_name, found.active_first, found.active_bytes
