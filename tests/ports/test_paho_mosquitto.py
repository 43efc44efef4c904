"""The transport on paho against a real Mosquitto: TCP, TLS and websockets, MQTT 3.1.1 and 5."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq.transport import PahoTransport

from persistmq_core import packets
from persistmq_core.contracts import DOWN, UP
from tests.support.acknowledgements import acknowledgements
from tests.support.certificate import make_certificate
from tests.support.mosquitto import HOST, Mosquitto, free_port
from tests.support.scripted_broker import until

V5 = MQTTProtocolVersion.MQTTv5
LINKS = ("tcp", "tls", "websockets", "websockets over tls")


class Broker:
    """One Mosquitto with a listener for each kind of link."""

    def __init__(self, folder: Path) -> None:
        self.certificate = make_certificate(folder, "broker")
        self.other_certificate = make_certificate(folder, "other")
        self.ports = {link: free_port() for link in LINKS}
        tls = ("certfile " + self.certificate, "keyfile " + str(folder / "broker.key"))
        lines = ["listener %d %s" % (self.ports["tls"], HOST), *tls]
        lines += ["listener %d %s" % (self.ports["websockets"], HOST), "protocol websockets"]
        lines += ["listener %d %s" % (self.ports["websockets over tls"], HOST), "protocol websockets", *tls]
        self.opened = 0
        self.mosquitto = Mosquitto(port=self.ports["tcp"], config_lines=lines)

    def open(self, link: str = "tcp", name: str = "", keepalive: int = 60, **kwargs: Any) -> PahoTransport:
        """A transport that is UP."""
        if link.startswith("websockets"):
            kwargs["transport"] = "websockets"
        self.opened += 1  # a name of its own for each, or one test finds the session of another
        transport = PahoTransport(name or "tester-%d" % self.opened, 5000, **kwargs)
        if link.endswith("tls"):
            transport.client.tls_set(ca_certs=self.certificate)
        transport.configure(HOST, self.ports[link], keepalive)
        transport.open(False)
        until(transport, lambda: transport.state() == UP)
        return transport


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("broker"))
    with made.mosquitto:
        yield made


def publishes(count: int, payload_bytes: int, mqtt5: bool = False, qos: int = 1, topic: str = "core") -> bytes:
    out = bytearray()
    for number in range(1, count + 1):
        payload = b"%08d" % number + bytes(payload_bytes - 8)
        packets.publish(out, memoryview(topic.encode()), memoryview(payload), qos, False, False, number, mqtt5)
    return bytes(out)


class Sender:
    """What the engine does: sends what the socket takes and collects what is acknowledged."""

    def __init__(self, transport: PahoTransport, stream: bytes) -> None:
        self.transport = transport
        self.rest = memoryview(stream)
        self.acknowledged: list[tuple[int, int, int]] = []

    def turn(self) -> None:
        assert self.transport.state() == UP, self.transport.reason
        self.rest = self.rest[self.transport.send(self.rest) :]
        self.acknowledged += acknowledgements(self.transport.receive())

    def run(self, acknowledgements: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.acknowledged) < acknowledgements:
            assert time.monotonic() < deadline, "%d acknowledged" % len(self.acknowledged)
            self.turn()
            self.transport.wait(10, bool(self.rest))


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, V5])
@pytest.mark.parametrize("link", LINKS)
def test_publish_and_subscribe_at_the_same_time(broker: Broker, link: str, protocol: MQTTProtocolVersion) -> None:
    transport = broker.open(link, protocol=protocol)
    got: list[tuple[str, int]] = []
    transport.client.on_message = lambda client, userdata, message: got.append(
        (message.topic, int(message.payload[:8]))
    )
    subscribed: list[int] = []
    transport.client.on_subscribe = lambda *arguments: subscribed.append(1)
    transport.client.subscribe([("core", 1), ("own", 2)]) if protocol != V5 else transport.client.subscribe("#", 2)
    until(transport, lambda: subscribed)
    sender = Sender(transport, publishes(500, 1000, protocol == V5))
    infos = [transport.client.publish("own", b"%08d" % number, qos=2) for number in range(20)]
    sender.run(500)
    assert sender.acknowledged == [(packets.PUBACK, number, 0) for number in range(1, 501)]
    until(transport, lambda: len(got) == 520 and all(info.is_published() for info in infos))
    assert [number for topic, number in got if topic == "core"] == list(range(1, 501))
    assert [number for topic, number in got if topic == "own"] == list(range(20))
    transport.release()


@pytest.mark.parametrize("link", LINKS)
def test_a_broker_that_stands_still_for_a_while_loses_nothing(broker: Broker, link: str) -> None:
    listener = broker.open()  # by TCP: Mosquitto 2.0 sends 100 KB/s to a websocket
    got: list[int] = []
    listener.client.on_message = lambda client, userdata, message: got.append(int(message.payload[:8]))
    subscribed: list[int] = []
    listener.client.on_subscribe = lambda *arguments: subscribed.append(1)
    listener.client.subscribe("core", 1)
    until(listener, lambda: subscribed)
    transport = broker.open(link)
    count = 150
    sender = Sender(transport, publishes(count, 100_000))
    broker.mosquitto.freeze()
    try:
        for turn in range(200):
            sender.turn()  # EAGAIN in the middle of a packet, of a TLS record, of a frame
            if turn == 50:
                transport.client.subscribe("nothing")
                transport.client.publish("own", b"x" * 100_000, qos=1)
        assert len(sender.rest) > 0
    finally:
        broker.mosquitto.thaw()
    sender.run(count)
    until(listener, lambda: len(got) == count)
    assert got == list(range(1, count + 1))
    transport.release()
    listener.release()


def test_qos2_and_the_session(broker: Broker) -> None:
    transport = broker.open(name="session")
    assert not transport.session_present
    sender = Sender(transport, publishes(1, 10, qos=2))
    sender.run(1)
    assert sender.acknowledged == [(packets.PUBREC, 1, 0)]
    transport.open(False)
    until(transport, lambda: transport.state() == UP)
    assert transport.session_present
    pubrel = bytearray()
    packets.pubrel(pubrel, 1)
    sender = Sender(transport, bytes(pubrel))
    sender.run(1)
    assert sender.acknowledged == [(packets.PUBCOMP, 1, 0)]
    transport.open(True)
    until(transport, lambda: transport.state() == UP)
    assert not transport.session_present
    transport.release()


def test_mqtt5_sessions_outlive_the_connection(broker: Broker) -> None:
    transport = broker.open(name="session5", protocol=V5)
    transport.open(False)
    until(transport, lambda: transport.state() == UP)
    assert transport.session_present
    transport.open(True)
    until(transport, lambda: transport.state() == UP)
    assert not transport.session_present
    transport.release()


def test_mqtt5_limits_are_read() -> None:
    # In Mosquitto max_inflight_messages is the Receive Maximum that it announces.
    lines = ("max_inflight_messages 7", "max_packet_size 5000", "max_keepalive 11")
    with Mosquitto(default_config=True, config_lines=lines) as mosquitto:
        transport = PahoTransport("limits", 5000, protocol=V5)
        transport.configure(HOST, mosquitto.port, 60)
        transport.open(False)
        until(transport, lambda: transport.state() == UP)
        assert transport.receive_maximum == 7
        assert transport.packet_bytes_max == 5000
        assert transport.client.keepalive == 11
        transport.release()


def test_a_certificate_that_nobody_vouches_for_is_a_refusal(broker: Broker) -> None:
    transport = PahoTransport("tls", 5000)
    transport.client.tls_set(ca_certs=broker.other_certificate)
    transport.configure(HOST, broker.ports["tls"])
    transport.open(False)
    until(transport, lambda: transport.state() == DOWN)
    assert transport.refused
    assert "certificate" in transport.reason
    transport.release()


def test_a_broker_that_wants_our_certificate_is_a_refusal(broker: Broker, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "strict")
    lines = ["certfile " + certificate, "keyfile " + str(tmp_path / "strict.key")]
    lines += ["cafile " + certificate, "require_certificate true"]
    with Mosquitto(config_lines=lines) as mosquitto:
        transport = PahoTransport("tls", 5000)
        transport.client.tls_set(ca_certs=certificate)
        transport.configure(HOST, mosquitto.port)
        transport.open(False)
        until(transport, lambda: transport.state() == DOWN)
        assert transport.refused, transport.reason
        transport.release()


def test_tls_to_a_plain_port_ends_in_time(broker: Broker) -> None:
    transport = PahoTransport("tls", 1000)
    transport.client.tls_set(ca_certs=broker.certificate)
    transport.configure(HOST, broker.ports["tcp"])
    transport.open(False)
    until(transport, lambda: transport.state() == DOWN, timeout_s=3)
    assert not transport.refused
    transport.release()


def test_wrong_password_is_a_refusal() -> None:
    with Mosquitto(allow_anonymous=False) as mosquitto:
        transport = PahoTransport("tester", 5000)
        transport.client.username_pw_set("somebody", "wrong")
        transport.configure(HOST, mosquitto.port)
        transport.open(False)
        until(transport, lambda: transport.state() == DOWN)
        assert transport.refused
        assert transport.reason_code == 5
        transport.release()


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, V5])
def test_a_killed_broker_is_noticed_and_found_again(protocol: MQTTProtocolVersion) -> None:
    with Mosquitto() as mosquitto:
        transport = PahoTransport("tester", 5000, protocol=protocol)
        transport.configure(HOST, mosquitto.port)
        for end in (mosquitto.kill, mosquitto.stop):
            transport.open(False)
            until(transport, lambda: transport.state() == UP)
            end()
            until(transport, lambda: transport.state() == DOWN)
            assert transport.dropped
            transport.open(False)
            until(transport, lambda: transport.state() == DOWN)
            assert "refused" in transport.reason
            assert not transport.refused
            mosquitto.start()
        transport.open(False)
        until(transport, lambda: transport.state() == UP)
        transport.release()


def test_a_frozen_broker_is_noticed_by_keep_alive() -> None:
    with Mosquitto() as mosquitto:
        transport = PahoTransport("tester", 5000)
        transport.configure(HOST, mosquitto.port, keepalive=1)
        transport.open(False)
        until(transport, lambda: transport.state() == UP)
        mosquitto.freeze()
        until(transport, lambda: transport.state() == DOWN, timeout_s=4)
        assert "PINGREQ" in transport.reason
        assert not transport.dropped
        transport.release()


def test_taken_over_by_another_with_the_same_name(broker: Broker) -> None:
    first = broker.open(name="same", protocol=V5)
    second = broker.open(name="same", protocol=V5)
    until(first, lambda: first.state() == DOWN)
    assert first.dropped  # Mosquitto 2.0 says no more than that
    first.release()
    second.release()


def test_nothing_is_left_open(broker: Broker) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for link in LINKS:
        broker.open(link).release()
    assert len(os.listdir("/proc/self/fd")) == before
