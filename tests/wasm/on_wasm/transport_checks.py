"""The port's transport and client over an ESP32's sockets: tests by mini_unittest, as in ``tests/portable``.

The broker keeps the book, so each test ends with: all delivered, QoS 2 once, nothing done against the standard.
"""

import time

from persistmq import PersistClient, clock, start
from persistmq import store as stores
from persistmq.transport import UmqttTransport

from persistmq_core.contracts import DOWN, UP
from persistmq_core.engine import Engine
from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from tests.support import mini_unittest
from tests.support import mqtt_wire as wire
from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng
from tests.support.world import Diary
from tests.support.write_list_store import WriteListStore
from tests.wasm.on_wasm import lwip

network = lwip.network


class FakeClock:
    now = 0

    def now_ms(self):
        return self.now


class OverLwip(mini_unittest.TestCase):
    def setUp(self):
        network.__init__()
        self.broker = ModelBroker()
        self.broker.log = []
        network.accept = self.broker.accept
        self.clock = FakeClock()
        self.transport = UmqttTransport("board", self.clock, 1000, 8)
        self.transport.connection.configure("broker", 1883, None, None, None, 60)
        self.diary = Diary()
        self.store = WriteListStore()
        options = Options(
            window=8,
            window_qos2=8,
            ack_timeout_ms=2000,
            reconnect_delay_ms_min=100,
            reconnect_delay_ms_max=60000,
            read_bytes=512,
            segment_bytes_max=4096,
        )
        self.engine = Engine(open_cache(self.store, Rng(1), options, self.diary), self.transport)
        self.published = []

    def publish(self, count, qos=2, payload_bytes=50):
        for _ in range(count):
            payload = b"%d " % len(self.published) + b"." * payload_bytes
            self.published.append(payload)
            self.engine.spool.stage("t", payload, qos, False, 0)
            group = self.engine.spool.take()
            group.write()
            self.engine.spool.finish(group)

    def run_ms(self, duration_ms):
        for _ in range(0, duration_ms, 10):
            self.clock.now += 10
            self.engine.step(self.clock.now)

    def online(self):
        self.run_ms(50)
        self.assertTrue(self.engine.online(), self.engine.down_reason)

    def assertAllDelivered(self, within_ms=10000):
        self.run_ms(within_ms)
        self.assertEqual([bytes(message[1]) for message in self.broker.deliveries], self.published)
        self.assertEqual(self.engine.accounts()["delivered"], len(self.published))
        self.assertEqual(self.broker.violations, [])

    def packets(self, name):
        """(connection, identifier, dup) of what came at the broker."""
        return [(entry[0], entry[2], entry[3]) for entry in self.broker.log if entry[1] == name]


class WhatGoesWell(OverLwip):
    def test_messages_of_each_qos_are_delivered_in_one_connection(self):
        for qos in (0, 1, 2):
            self.publish(20, qos)
            self.assertAllDelivered(2000)
        self.assertEqual(self.engine.connections, 1)

    def test_small_packets_leave_at_once(self):
        self.online()
        self.assertEqual(network.sockets[0].options, [(6, 1, 1)])  # TCP_NODELAY

    def test_what_is_taken_in_parts_is_continued(self):
        self.online()
        network.write_counts = [1, 0, 3, 0, 0, 7, 100, None, 1, 0, None]
        self.publish(20)
        self.assertAllDelivered()
        self.assertEqual(network.write_counts, [])
        self.assertEqual(self.engine.connections, 1)

    def test_acknowledgements_may_come_byte_by_byte(self):
        self.online()
        network.read_bytes_max = 1
        self.publish(20)
        self.assertAllDelivered()
        self.assertEqual(self.engine.connections, 1)

    def test_a_message_longer_than_the_stack_s_buffer(self):
        self.online()
        self.publish(2, payload_bytes=3 * lwip.SEND_BYTES)
        self.assertAllDelivered()
        self.assertEqual(self.engine.connections, 1)


class WhatBreaks(OverLwip):
    def broken(self):
        """After a connection that broke with 8 messages in flight: they came again, with DUP, in the old order."""
        self.assertAllDelivered()
        self.assertEqual(self.engine.connections, 2)
        first = [identifier for number, identifier, _ in self.packets("PUBLISH") if number == 1]
        again = [(identifier, dup) for number, identifier, dup in self.packets("PUBLISH") if number == 2]
        self.assertEqual(again, [(identifier, True) for identifier in first])

    def stand_still(self):
        """Online, with 8 messages sent and nothing answered."""
        self.online()
        self.broker.stay_silent(wire.PUBREC)
        self.publish(8)
        self.run_ms(50)
        self.assertEqual(len(self.packets("PUBLISH")), 8)
        self.broker.heal()

    def test_a_reset_that_a_read_finds(self):
        self.stand_still()
        network.fail_read = lwip.ECONNRESET
        self.run_ms(10)
        self.assertFalse(self.engine.online())
        self.assertIn("104", self.engine.down_reason)
        self.assertTrue(network.sockets[0].closed)
        self.broken()

    def test_a_reset_that_a_write_finds(self):
        self.online()
        network.fail_write = lwip.ECONNRESET
        self.publish(8)
        self.run_ms(10)
        self.assertEqual(self.transport.due_ms(), 0)  # or nobody looks until an acknowledgement is late
        self.run_ms(10)
        self.assertFalse(self.engine.online())
        self.assertGreater(self.transport.due_ms(), 1000)
        self.assertAllDelivered()
        self.assertEqual(self.engine.connections, 2)

    def test_a_broker_that_hangs_up(self):
        self.stand_still()
        self.broker.restart(True)
        self.run_ms(10)
        self.assertFalse(self.engine.online())
        self.assertIn("closed the connection", self.engine.down_reason)
        self.assertTrue(self.transport.dropped)
        self.broken()

    def test_an_acknowledgement_that_does_not_come_closes_the_connection(self):
        self.stand_still()
        self.run_ms(1900)
        self.assertTrue(self.engine.online())
        self.run_ms(200)
        self.assertFalse(self.transport.dropped)
        self.broken()

    def test_a_link_that_freezes_takes_what_has_room_and_is_given_up(self):
        self.online()
        network.is_frozen = True
        self.publish(8, payload_bytes=1000)
        self.run_ms(100)
        self.assertTrue(self.engine.wants_to_write())
        self.assertTrue(self.engine.online())
        self.run_ms(3000)
        self.assertFalse(self.engine.online())
        self.assertFalse(self.transport.dropped)
        network.is_frozen = False
        self.assertAllDelivered()

    def test_power_that_fails_in_the_middle_of_a_handshake(self):
        self.stand_still()
        store = self.store
        network.sockets[0].close()
        store.power_up(Rng(3), "lose", True)
        self.transport = UmqttTransport("board", self.clock, 1000, 8)
        self.transport.connection.configure("broker", 1883, None, None, None, 60)
        self.engine = Engine(open_cache(store, Rng(1), Options(8, 8, read_bytes=512)), self.transport)
        self.assertAllDelivered()


class Connecting(OverLwip):
    def test_a_port_that_nobody_listens_on_is_tried_again(self):
        network.accept = None
        self.publish(1)
        self.run_ms(500)
        self.assertIn("113", self.engine.down_reason)
        self.assertIn("broker:1883", self.engine.down_reason)
        self.assertTrue(len(network.sockets) > 1)
        self.assertTrue(all(sock.closed for sock in network.sockets))
        network.accept = self.broker.accept
        self.assertAllDelivered()

    def test_a_connack_that_does_not_come_ends_after_the_time_out(self):
        self.broker.stay_silent(wire.CONNACK, times=1)
        self.publish(1)
        self.run_ms(10)
        self.run_ms(10)
        self.assertIn("116", self.engine.down_reason)
        self.assertFalse(self.transport.refused)
        self.assertAllDelivered()

    def test_a_refusal_says_why_and_waits_for_the_longest_delay(self):
        self.broker.connect_code = 5
        self.publish(1)
        self.run_ms(30000)
        self.assertEqual(len(network.sockets), 1)
        self.assertTrue(self.transport.refused)
        self.assertEqual(self.transport.reason_code, 5)
        self.assertIn("not authorized", self.engine.down_reason)
        self.broker.heal()
        self.assertAllDelivered(40000)

    def test_a_server_that_is_not_ready_is_no_refusal(self):
        self.broker.connect_code = 3
        self.run_ms(2000)
        self.assertFalse(self.transport.refused)
        self.assertTrue(len(network.sockets) > 2)

    def test_an_end_in_place_of_connack(self):
        def hang_up():
            connection = self.broker.accept()
            connection.lost()
            return connection

        network.accept = hang_up
        self.run_ms(30)
        self.assertEqual(self.transport.state(), DOWN)
        self.assertFalse(self.transport.refused)
        network.accept = self.broker.accept
        self.publish(3)
        self.assertAllDelivered()


class KeepAlive(OverLwip):
    def test_pingreq_goes_out_when_nothing_else_does(self):
        self.online()
        self.run_ms(44000)
        self.assertEqual(self.packets("PINGREQ"), [])
        self.run_ms(60000)
        self.assertEqual(len(self.packets("PINGREQ")), 2)
        self.assertEqual(self.engine.connections, 1)

    def test_a_link_that_freezes_while_nothing_is_sent(self):
        self.online()
        network.is_frozen = True
        self.run_ms(74000)
        self.assertTrue(self.engine.online())
        self.run_ms(2000)
        self.assertFalse(self.engine.online())
        self.assertEqual(self.diary.disconnections, ["no answer to PINGREQ for 30000 ms"])
        network.is_frozen = False
        self.publish(3)
        self.assertAllDelivered()


class Waiting(OverLwip):
    def waited_ms(self, wait_ms, for_room):
        began = time.ticks_ms()
        self.transport.wait(wait_ms, for_room)
        return time.ticks_diff(time.ticks_ms(), began)

    def test_wait_ends_when_bytes_come_or_there_is_room(self):
        self.online()
        self.assertTrue(self.waited_ms(30, False) >= 29)
        self.assertTrue(self.waited_ms(20000, True) < 10000)
        self.transport.connection.ping()
        self.assertTrue(self.waited_ms(20000, False) < 10000)
        self.assertEqual(self.transport.state(), UP)


class StoreInRam(WriteListStore):
    path = ""

    def close(self):
        pass


class FakeOs:
    rng = Rng(5)

    @staticmethod
    def urandom(count):
        return bytes(FakeOs.rng.garbage(count))


class TheClient(OverLwip):
    def test_publishes_flushes_stops_and_goes_on_with_the_same_cache(self):
        store = StoreInRam()
        # The first client has its start's code already, the next one loads it again.
        start.FileStore = stores.FileStore = lambda path: store
        clock.os = FakeOs  # it has no urandom here
        options = {"reconnect_delay_ms_min": 1, "reconnect_delay_ms_max": 5}
        for day in range(3):
            persistent = PersistClient("board", **options)
            infos = []
            for number in range(12):
                payload = "%d %d" % (day, number)
                infos.append(persistent.publish("m\u00fcnchen", payload, number % 3))
                self.published.append(payload.encode())
            if day != 1:
                persistent.connect_async("broker")
                self.assertTrue(persistent.flush(20))
                self.assertTrue(all(info.is_published() for info in infos))
            persistent.stop()
        self.assertEqual(sorted([bytes(message[1]) for message in self.broker.deliveries]), sorted(self.published))
        self.assertEqual({message[0] for message in self.broker.deliveries}, {"m\u00fcnchen"})
        self.assertEqual(self.broker.violations, [])
