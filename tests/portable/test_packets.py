"""The packets that the core writes and reads itself."""

import unittest

from persistmq_core import packets
from persistmq_core.errors import ProtocolError
from persistmq_core.limits import AHEAD_SEQ
from tests.support import mqtt_wire as wire
from tests.support.acknowledgements import acknowledgements


def acknowledged(content):
    return acknowledgements(content)


class PacketIdTest(unittest.TestCase):
    def test_what_goes_ahead_has_identifiers_of_its_own(self):
        numbers = (AHEAD_SEQ, AHEAD_SEQ + 3999, AHEAD_SEQ + 4000)
        self.assertEqual([packets.packet_id(seq) for seq in numbers], [60001, 64000, 60001])

    def test_the_packet_identifier_wraps_at_60000(self):
        self.assertEqual([packets.packet_id(seq) for seq in (0, 1, 59998, 59999, 60000)], [1, 2, 59999, 60000, 1])

    def test_it_is_never_zero_and_leaves_room_for_subscriptions(self):
        for seq in (1, 59999, 60000, 119999, 120000, (1 << 40) + 5):
            self.assertTrue(1 <= packets.packet_id(seq) <= 60000, seq)

    def test_no_two_messages_of_the_widest_window_share_one(self):
        self.assertEqual(len({packets.packet_id(seq) for seq in range(59990, 59990 + 15000)}), 15000)


class RemainingLengthTest(unittest.TestCase):
    def test_the_table_of_the_standard(self):
        for length, encoded in (
            (0, b"\0"),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (16383, b"\xff\x7f"),
            (16384, b"\x80\x80\x01"),
            (2097151, b"\xff\xff\x7f"),
            (2097152, b"\x80\x80\x80\x01"),
            (268435455, b"\xff\xff\xff\x7f"),
        ):
            self.assertEqual(packets.remaining_length(length), encoded)


class PublishTest(unittest.TestCase):
    def read_back(self, payload, qos, retain, dup, protocol):
        out = bytearray(b"before")
        packets.publish(out, memoryview(b"a/b"), memoryview(payload), qos, retain, dup, 0x1234, protocol == 5)
        self.assertEqual(out[:6], b"before")
        first_byte, body, end = packets.split(out, 6)
        self.assertEqual(first_byte & 0xF0, packets.PUBLISH)
        self.assertEqual(end, len(out))
        return wire.read_publish(first_byte, bytes(out[body:]), protocol)

    def test_a_broker_reads_what_was_meant(self):
        for protocol in (4, 5):
            for qos in (0, 1, 2):
                for payload in (b"", b"x" * 127, b"x" * 20000):
                    for retain in (False, True):
                        for dup in (False, True) if qos else (False,):
                            self.assertEqual(
                                self.read_back(payload, qos, retain, dup, protocol),
                                ("a/b", payload, qos, retain, dup, 0x1234 if qos else 0),
                            )

    def test_a_topic_of_more_than_255_bytes(self):
        out = bytearray()
        packets.publish(out, memoryview(b"t" * 300), memoryview(b"p"), 1, False, False, 1, False)
        first_byte, body, _ = packets.split(out)
        self.assertEqual(wire.read_publish(first_byte, bytes(out[body:]), 4)[0], "t" * 300)

    def test_pubrel_is_the_four_bytes_of_the_standard(self):
        out = bytearray(b"-")
        packets.pubrel(out, 0x1234)
        self.assertEqual(out, b"-\x62\x02\x12\x34")


class SplitTest(unittest.TestCase):
    PACKETS = (
        wire.packet(0x30, b"\0\1tp"),
        wire.packet(0x40, b"\0\1"),
        wire.packet(0x30, b"\0\1t" + b"p" * 300),
        wire.packet(0xD0, b""),
    )

    def test_byte_by_byte_a_packet_is_found_with_its_last_byte(self):
        for packet in self.PACKETS:
            for count in range(len(packet)):
                self.assertIsNone(packets.split(packet[:count]), count)
            first_byte, body, end = packets.split(packet)
            self.assertEqual((first_byte, end), (packet[0], len(packet)))
            self.assertEqual(packet[:body][0], packet[0])

    def test_what_follows_is_left_for_the_next_call(self):
        stream = b"".join(self.PACKETS)
        found = []
        start = 0
        whole = packets.split(stream + b"\x40", start)
        while whole is not None:
            found.append(stream[start : whole[2]])
            start = whole[2]
            whole = packets.split(stream + b"\x40", start)
        self.assertEqual(found, list(self.PACKETS))

    def test_any_kind_of_buffer_will_do(self):
        for kind in (bytes, bytearray, memoryview):
            self.assertEqual(packets.split(kind(b"\x40\x02\0\x01")), (0x40, 2, 4))

    def test_four_bytes_of_length_are_right_and_a_fifth_is_an_error(self):
        self.assertIsNone(packets.split(b"\x30\xff\xff\xff\x7f"))
        with self.assertRaises(ProtocolError):
            packets.split(b"\x30\xff\xff\xff\xff")


class AcknowledgementsTest(unittest.TestCase):
    def test_which_packets_are_for_the_core(self):
        ours = [kind for kind in range(0x10, 0x100, 0x10) if packets.is_acknowledgement(kind)]
        self.assertEqual(ours, [packets.PUBACK, packets.PUBREC, packets.PUBCOMP])
        self.assertTrue(packets.is_acknowledgement(0x4F))

    def test_nothing_is_nothing(self):
        self.assertEqual(acknowledged(b""), [])

    def test_each_form_of_each_kind(self):
        for kind in (packets.PUBACK, packets.PUBREC, packets.PUBCOMP):
            for body, reason in (
                (b"\x12\x34", 0),
                (b"\x12\x34\x10", 0x10),
                (b"\x12\x34\x87\0", 0x87),
                (b"\x12\x34\x97\x05\x1f\0\2no", 0x97),
            ):
                self.assertEqual(acknowledged(wire.packet(kind, body)), [(kind, 0x1234, reason)])

    def test_many_in_one_piece_keep_their_order(self):
        stream = b""
        for identifier in (3, 1, 60000, 2):
            stream += wire.acknowledgement(packets.PUBREC, identifier)
            stream += wire.acknowledgement(packets.PUBACK, identifier, 0x80)
        found = acknowledged(stream)
        self.assertEqual([(each[1], each[2]) for each in found[::2]], [(3, 0), (1, 0), (60000, 0), (2, 0)])
        self.assertEqual([each[2] for each in found[1::2]], [0x80] * 4)
        self.assertEqual(acknowledged(bytearray(stream)), found)
        self.assertEqual(acknowledged(memoryview(stream)), found)

    def test_what_is_no_acknowledgement_is_an_error(self):
        good = wire.acknowledgement(packets.PUBACK, 1)
        for bad in (
            wire.packet(0x30, b"\0\1tp"),
            wire.packet(0x62, b"\0\1"),
            wire.packet(0x41, b"\0\1"),  # 2.2.2: reserved bits
            wire.packet(packets.PUBACK, b"\0\0"),  # 2.3.1: no identifier is 0
            wire.packet(packets.PUBACK, b"\0"),
            wire.packet(packets.PUBACK, b""),
            wire.packet(packets.PUBACK, b"\0\0\x10"),
            b"\x40",
            b"\x40\x02\0",
            b"\x40\x03\0\1",
            b"\x40\xff\xff\xff\xff\0\0",
        ):
            for stream in (bad, good + bad):
                with self.assertRaises(ProtocolError):
                    acknowledged(stream)
