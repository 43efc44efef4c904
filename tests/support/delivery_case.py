"""The delivering side alone, without engine and link, for the tests of it."""

import unittest

from persistmq_core import packets
from persistmq_core.contracts import Clock, Transport
from persistmq_core.delivery import Delivery
from persistmq_core.journal import Journal
from persistmq_core.recovery import recover
from persistmq_core.spool import Spool

from . import mqtt_wire as wire
from .rng import Rng
from .world import Diary
from .write_list_store import WriteListStore


def ack(kind, seq, code=0):
    return wire.acknowledgement(kind, packets.packet_id(seq), code)


class DeliveryTestCase(unittest.TestCase):
    def setUp(self):
        self.store = WriteListStore()
        self.transport = Transport()
        self.start()

    def start(self, window=8, window_qos2=4):
        self.diary = Diary()
        found = recover(self.store, max(window, 2 * window_qos2), Rng(1))
        self.journal = Journal(self.store, 1024, found.checkpoint.cache_id)
        self.journal.resume(found.end_seq, found.skipped, found.active_name, found.active_first, found.active_bytes)
        self.spool = Spool(self.journal, found.checkpoint.cache_id)
        self.delivery = Delivery(self.store, self.journal, found, self.diary, window, window_qos2, 256)
        self.delivery.limit = max(window, 2 * window_qos2)
        # As the engine does when a connection comes up without a session.
        self.delivery.forget(False)
        self.delivery.save()

    def publish(self, *levels):
        """One message for each quality of service."""
        for qos in levels:
            self.spool.stage("t", b"%d" % self.spool.next_seq, qos, False, 0)
        group = self.spool.take()
        group.write()
        self.spool.finish(group)
        self.assertIsNone(group.error)

    def fill(self, in_flight_max=100, publish=True):
        """What goes out: ("PUBLISH" or "PUBREL", sequence number or identifier, DUP)."""
        out = bytearray()
        try:
            self.delivery.fill(out, self.transport, in_flight_max, publish, 0, Clock())
        finally:
            self.out = out
        return self.read(out)

    def read(self, out):
        found = []
        start = 0
        while start < len(out):
            first_byte, body, end = packets.split(out, start)
            if first_byte == packets.PUBREL:
                found.append(("PUBREL", out[body] << 8 | out[body + 1], False))
            else:
                message = wire.read_publish(first_byte, bytes(out[body:end]), self.transport.protocol)
                found.append(("PUBLISH", int(message[1]), message[4]))
            start = end
        return found

    def take(self, *acknowledgements):
        return self.delivery.acknowledge(b"".join(acknowledgements))

    def accounts(self):
        state = self.delivery.checkpoint
        return state.delivered, state.refused, state.damaged
