"""The transport on paho until it is UP, or is told why not. The test plays the broker, byte by byte."""

import socket
import threading
import time
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from persistmq.transport import PahoTransport

from persistmq_core.contracts import CONNECTING, DOWN
from tests.support.scripted_broker import ScriptedBroker, connected, is_down, opened, until


@pytest.mark.parametrize("clean_session", [False, True])
def test_connect_asks_for_the_session(transport: PahoTransport, broker: ScriptedBroker, clean_session: bool) -> None:
    peer = opened(transport, broker, clean_session, keepalive=77)
    assert transport.state() == CONNECTING
    assert until(transport, peer.packet) == (
        0x10,
        b"\x00\x04MQTT\x04" + bytes((2 if clean_session else 0,)) + b"\x00\x4d\x00\x06tester",
    )


@pytest.mark.parametrize("clean_session", [False, True])
def test_mqtt5_asks_for_a_session_that_does_not_expire(
    transport_v5: PahoTransport, broker: ScriptedBroker, clean_session: bool
) -> None:
    peer = opened(transport_v5, broker, clean_session)
    first_byte, body = until(transport_v5, peer.packet)
    assert body[:10] == b"\x00\x04MQTT\x05" + bytes((2 if clean_session else 0,)) + b"\x00\x3c"
    assert body[10:16] == b"\x05\x11\xff\xff\xff\xff"


def test_a_session_expiry_of_the_user_stays(transport_v5: PahoTransport, broker: ScriptedBroker) -> None:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    peer = opened(transport_v5, broker, properties=properties)
    assert until(transport_v5, peer.packet)[1][10:16] == b"\x05\x11\x00\x00\x0e\x10"


def test_connack_tells_session_and_limits(transport_v5: PahoTransport, broker: ScriptedBroker) -> None:
    limits = b"\x21\x00\x0a" + b"\x27\x00\x00\x10\x00" + b"\x24\x01" + b"\x25\x00" + b"\x13\x00\x07"
    connected(transport_v5, broker, b"\x20" + bytes((3 + len(limits), 1, 0, len(limits))) + limits)
    assert transport_v5.session_present
    assert transport_v5.receive_maximum == 10
    assert transport_v5.packet_bytes_max == 4096
    assert transport_v5.qos_max == 1
    assert not transport_v5.retain_available
    assert transport_v5.client.keepalive == 7
    # They were for one connection.
    connected(transport_v5, broker)
    assert not transport_v5.session_present
    assert transport_v5.receive_maximum == 65535
    assert transport_v5.packet_bytes_max == 268435460
    assert transport_v5.qos_max == 2
    assert transport_v5.retain_available
    assert transport_v5.client.keepalive == 60


def test_session_present_in_3_1_1(transport: PahoTransport, broker: ScriptedBroker) -> None:
    connected(transport, broker, b"\x20\x02\x01\x00")
    assert transport.session_present
    assert transport.protocol == 4


@pytest.mark.parametrize(
    ("code", "refused", "words"),
    [
        (1, True, "protocol version"),
        (2, True, "identifier"),
        (3, False, "unavailable"),
        (4, True, "password"),
        (5, True, "authorized"),
        (77, True, "77"),
    ],
)
def test_a_refusal_says_why(
    transport: PahoTransport, broker: ScriptedBroker, code: int, refused: bool, words: str
) -> None:
    peer = opened(transport, broker)
    until(transport, peer.packet)
    peer.send(bytes((0x20, 2, 0, code)))
    until(transport, lambda: is_down(transport))
    assert transport.reason_code == code
    assert transport.refused == refused
    assert words in transport.reason
    assert not transport.dropped
    # paho would try again by itself, with MQTT 3.1 after code 1.
    for _ in range(20):
        assert transport.state() == DOWN
        transport.wait(1)
    assert broker.accept() is None


@pytest.mark.parametrize(
    ("code", "refused", "words"),
    [
        (0x86, True, "password"),
        (0x87, True, "authorized"),
        (0x88, False, "unavailable"),
        (0x89, False, "busy"),
        (0x8A, True, "banned"),
        (0x97, False, "quota"),
        (0x9F, False, "rate"),
        (0xF0, True, "0xf0"),
    ],
)
def test_a_refusal_says_why_in_mqtt5(
    transport_v5: PahoTransport, broker: ScriptedBroker, code: int, refused: bool, words: str
) -> None:
    peer = opened(transport_v5, broker)
    until(transport_v5, peer.packet)
    peer.send(bytes((0x20, 3 + 6, 0, code, 6, 0x1F, 0, 3)) + b"why")
    until(transport_v5, lambda: is_down(transport_v5))
    assert transport_v5.reason_code == code
    assert transport_v5.refused == refused
    assert words in transport_v5.reason
    assert transport_v5.reason.endswith(": why")


def test_an_older_broker_refuses_mqtt5_in_its_own_words(transport_v5: PahoTransport, broker: ScriptedBroker) -> None:
    peer = opened(transport_v5, broker)
    until(transport_v5, peer.packet)
    peer.send(b"\x20\x02\x00\x01")
    until(transport_v5, lambda: is_down(transport_v5))
    assert transport_v5.refused
    assert "protocol version" in transport_v5.reason


def test_nobody_listens(transport: PahoTransport, broker: ScriptedBroker) -> None:
    failed: list[int] = []
    transport.client.on_connect_fail = lambda client, userdata: failed.append(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        transport.configure("127.0.0.1", taken.getsockname()[1])
        transport.open(False)
        until(transport, lambda: is_down(transport))
    assert "refused" in transport.reason
    assert not transport.refused
    assert failed == [1]
    # DOWN is left by open alone.
    assert transport.state() == DOWN
    connected(transport, broker)


def test_no_connack_in_time(broker: ScriptedBroker) -> None:
    transport = PahoTransport("tester", 200)
    peer = opened(transport, broker)
    until(transport, peer.packet)
    until(transport, lambda: is_down(transport), timeout_s=2)
    assert "no CONNACK" in transport.reason
    assert not transport.refused
    transport.release()


def test_a_name_that_does_not_resolve_holds_one_thread_and_nobody_up(broker: ScriptedBroker) -> None:
    transport = PahoTransport("tester", 100)
    transport.configure("127.0.0.1", broker.port)
    answered = threading.Event()
    make_socket = transport.client.make_socket

    def slow() -> Any:
        answered.wait(10)
        return make_socket()

    transport.client.make_socket = slow  # type: ignore[method-assign]
    started = time.monotonic()
    transport.open(False)
    assert transport.state() == CONNECTING
    assert time.monotonic() - started < 0.1
    until(transport, lambda: is_down(transport), timeout_s=2)
    assert "no connection" in transport.reason
    transport.open(False)
    assert transport.state() == DOWN
    assert "still resolving" in transport.reason
    answered.set()
    # What comes too late is closed.
    deadline = time.monotonic() + 5
    while (peer := broker.accept()) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert peer is not None
    peer.sock.settimeout(5)
    assert peer.sock.recv(1) == b""
    transport.client.make_socket = make_socket  # type: ignore[method-assign]
    assert transport.state() == DOWN
    connected(transport, broker)
    transport.release()


def test_what_a_durable_publisher_cannot_have() -> None:
    with pytest.raises(ValueError, match="clean_session"):
        PahoTransport("tester", clean_session=True)
    with pytest.raises(ValueError, match="client_id"):
        PahoTransport("")
    with pytest.raises(ValueError, match="reconnect_on_failure"):
        PahoTransport("tester", reconnect_on_failure=True)
    PahoTransport("tester", clean_session=False).release()


@pytest.mark.parametrize(
    ("host", "port", "keepalive"),
    [
        ("", 1883, 60),
        (" a", 1883, 60),
        ("mqtt://a", 1883, 60),
        ("a", 0, 60),
        ("a", 65536, 60),
        ("a", 1, -1),
        ("a", 1, 65536),
    ],
)
def test_an_address_that_cannot_be(transport: PahoTransport, host: str, port: int, keepalive: int) -> None:
    with pytest.raises(ValueError):
        transport.configure(host, port, keepalive)
    transport.open(False)
    assert transport.state() == DOWN
    assert transport.reason == "no broker was configured"


def test_a_host_that_no_resolver_takes_is_a_reason(transport: PahoTransport) -> None:
    transport.configure("a" * 70 + ".invalid")  # a label of more than 63 bytes: a UnicodeError in Python
    transport.open(False)
    until(transport, lambda: is_down(transport))
    assert transport.reason


def test_no_delay_is_set(transport: PahoTransport, broker: ScriptedBroker) -> None:
    connected(transport, broker)
    with socket.socket(fileno=socket.dup(transport.client.descriptor())) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_websocket_server_that_says_no(broker: ScriptedBroker) -> None:
    transport = PahoTransport("tester", 5000, transport="websockets")
    peer = opened(transport, broker)
    peer.send(b"HTTP/1.1 404 Not Found\r\n\r\n")
    until(transport, lambda: is_down(transport))
    assert "handshake" in transport.reason
    transport.release()
