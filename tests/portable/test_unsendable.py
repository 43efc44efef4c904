"""A message is parked for its size only if its packet is larger than the broker takes, to the byte."""

import unittest

from persistmq_core import packets
from persistmq_core.dead_letters import PACKET_TOO_LARGE, QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED
from persistmq_core.limits import REMAINING_LENGTH_MAX
from persistmq_core.unsendable import why
from tests.support.world import World

NOON_MS = 1_700_000_000_000


class Message:
    apart_bytes = 0
    retain = False
    qos = 1
    topic = b"t"
    payload = b""

    def is_apart(self):
        return self.apart_bytes > 0


class Limits:
    protocol = 5
    qos_max = 2
    retain_available = True
    packet_bytes_max = REMAINING_LENGTH_MAX + 5


class UnsendableTest(unittest.TestCase):
    def test_it_is_parked_one_byte_above_the_limit_and_not_at_it(self):
        for protocol in (4, 5):
            for qos in (0, 1, 2):
                for expires_s in (0, 60):
                    for properties in (b"", b"&\0\1n\0\1v", bytes(130)):
                        for size in (0, 90, 125, 126, 127, 128, 16376, 16384):
                            out = bytearray()
                            more = properties if protocol == 5 else b""
                            mqtt5 = protocol == 5
                            packets.publish(out, b"t", bytes(size), qos, False, False, 1, mqtt5, expires_s, more)
                            message, limits = Message(), Limits()
                            message.qos, message.payload = qos, bytes(size)
                            limits.protocol = protocol
                            limits.packet_bytes_max = len(out)
                            case = protocol, qos, expires_s, len(properties), size
                            self.assertEqual(why(message, limits, expires_s, more), 0, case)
                            limits.packet_bytes_max -= 1
                            self.assertEqual(why(message, limits, expires_s, more), PACKET_TOO_LARGE, case)

    def test_a_payload_in_a_file_counts(self):
        message, limits = Message(), Limits()
        message.apart_bytes = 90
        limits.packet_bytes_max = 98
        self.assertEqual(why(message, limits, 0, b""), 0)
        message.apart_bytes = 91
        self.assertEqual(why(message, limits, 0, b""), PACKET_TOO_LARGE)

    def test_a_qos_or_retain_that_is_not_supported(self):
        message, limits = Message(), Limits()
        message.retain = True
        limits.retain_available = False
        self.assertEqual(why(message, limits, 0, b""), RETAIN_NOT_SUPPORTED)
        limits.qos_max = 0
        self.assertEqual(why(message, limits, 0, b""), QOS_NOT_SUPPORTED)

    def test_whatever_fits_arrives_and_nothing_else_is_sent(self):
        for limit in (100, 140, 200):
            world = World(protocol=5)
            world.broker.packet_bytes_max = limit
            world.online()
            for size in range(limit - 20, limit):
                world.publish(bytes(size), 2)
            world.run(3000)
            largest = max([len(packet) for packet in world.sent(packets.PUBLISH)])
            self.assertEqual(largest, limit)
            self.assertEqual(len(world.arrived()) + len(world.diary.drops), 20)
            self.assertEqual(world.violations(), [])
