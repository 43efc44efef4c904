"""The simulated link when it breaks, freezes or is hung up on."""

from persistmq_core.contracts import DOWN, UP
from tests.portable.test_link import LinkTestCase, publish
from tests.support.link import ModelTransport
from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng


class TroubleTest(LinkTestCase):
    def test_a_cut_lets_arrive_exactly_what_it_is_told(self):
        size = len(publish())
        for arriving, delivered in ((0, 0), (size - 1, 0), (size, 1), (2 * size - 1, 1), (2 * size, 2)):
            self.setUp()
            self.up()
            self.send(publish(1, qos=1) + publish(2, qos=1))
            self.assertEqual(self.link.boundaries(), [size, 2 * size])
            self.link.cut(arriving)
            self.assertEqual(len(self.broker.deliveries), delivered)
            self.assertEqual((self.link.state(), self.link.dropped, self.link.receive()), (DOWN, False, b""))
            self.assertEqual(self.broker.violations, [])

    def test_a_drawn_cut_reaches_every_place(self):
        found = set()
        for seed in range(60):
            self.broker = ModelBroker()
            self.link = ModelTransport(self.broker, Rng(seed))
            self.up()
            self.send(publish(1, qos=1) + publish(2, qos=1))
            self.link.cut()
            found.add(len(self.broker.deliveries))
        self.assertEqual(found, {0, 1, 2})

    def test_a_cut_may_look_like_a_reset(self):
        self.up()
        self.link.cut(dropped=True)
        self.assertTrue(self.link.dropped)

    def test_boundaries_know_of_a_packet_that_arrived_in_part(self):
        self.up()
        self.link.bytes_per_tick = 3
        self.send(publish(1) + publish(2))
        self.link.tick(0)
        size = len(publish(1))
        self.assertEqual(self.link.boundaries(), [size - 3, 2 * size - 3])

    def test_a_message_cut_off_its_answer_is_sent_again_with_dup(self):
        self.up()
        self.send(publish(qos=1))
        self.link.cut(self.link.on_the_way())
        self.up()
        self.send(publish(qos=1, dup=True))
        self.link.tick(0)
        self.assertEqual(self.broker.violations, [])
        self.link.cut()
        self.up()
        self.send(publish(qos=1))
        self.link.tick(0)
        self.assertEqual(len(self.broker.violations), 1)

    def test_a_frozen_link_stays_up_and_moves_nothing(self):
        self.up()
        self.link.freeze()
        self.send(publish())
        self.link.tick(60000)
        self.assertEqual((self.link.state(), self.link.receive(), self.broker.publishes), (UP, b"", 0))
        self.link.thaw()
        self.link.tick(60001)
        self.assertEqual(len(self.acks()), 1)

    def test_a_link_frozen_for_long_is_given_up_and_that_is_no_drop(self):
        self.up()
        self.link.freeze()
        self.assertEqual(self.link.next_due_ms(), 90000)
        self.link.tick(90000)
        self.assertEqual((self.link.state(), self.link.dropped), (DOWN, False))

    def test_a_broker_that_hangs_up_is_a_drop(self):
        self.broker.drop_at("t")
        self.up()
        self.send(publish())
        self.link.tick(0)
        self.assertEqual((self.link.state(), self.link.dropped), (DOWN, True))

    def test_answers_before_the_hang_up_arrive_only_if_they_are_fetched_first(self):
        self.link = self.make(latency_ms_min=5, latency_ms_max=5)
        self.link.open(False)
        self.link.tick(5)
        self.link.tick(10)
        self.send(publish(1, qos=1))
        self.link.tick(15)
        self.link.tick(16)
        self.broker.restart(True)
        self.link.tick(20)
        self.assertEqual(len(self.acks()), 1)
        self.assertEqual(self.link.state(), UP)
        self.link.tick(25)
        self.assertEqual((self.link.state(), self.link.dropped), (DOWN, True))

    def test_disconnect_of_mqtt_5_gives_its_reason(self):
        self.broker.receive_maximum = 1
        self.broker.enforces = True
        self.link = self.make(protocol=5)
        self.up()
        self.send(publish(1, mqtt5=True) + publish(2, mqtt5=True))
        self.link.tick(0)
        self.assertEqual((self.link.state(), self.link.dropped, self.link.reason_code), (DOWN, True, 0x93))

    def test_a_dead_client_leaves_bytes_behind_and_the_next_one_finds_the_session(self):
        self.up()
        self.send(publish())
        self.link.abandon(arriving=self.link.on_the_way())
        self.link.open(False)
        self.link.tick(1)
        self.assertEqual(self.link.state(), DOWN)
        self.link = self.make()
        self.up()
        self.assertTrue(self.link.session_present)
        self.assertEqual(list(self.broker.session().unreleased), [7])

    def test_receive_maximum_counts_until_the_client_has_its_answer(self):
        self.broker.receive_maximum = 1
        self.link = self.make(protocol=5)
        self.up()
        self.send(publish(1, qos=1, mqtt5=True))
        self.link.tick(0)
        self.send(publish(2, qos=1, mqtt5=True))
        self.link.tick(0)
        self.assertEqual(len(self.broker.violations), 1)
        self.acks()
        self.send(publish(3, qos=1, mqtt5=True))
        self.link.tick(0)
        self.assertEqual(len(self.broker.violations), 1)
