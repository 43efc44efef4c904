"""The transport on paho against a broker that the test plays itself, so that each byte is known."""

import functools
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from persistmq.transport import PahoTransport

from persistmq_core import packets
from persistmq_core.contracts import CONNECTING, DOWN, UP
from tests.support.scripted_broker import Peer, ScriptedBroker, until

V5 = MQTTProtocolVersion.MQTTv5
CONNACK = b"\x20\x02\x00\x00"
CONNACK_V5 = b"\x20\x03\x00\x00\x00"


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as scripted:
        yield scripted


@pytest.fixture
def transport() -> Iterator[PahoTransport]:
    made = PahoTransport("tester", 5000)
    yield made
    made.release()


@pytest.fixture
def transport_v5() -> Iterator[PahoTransport]:
    made = PahoTransport("tester", 5000, protocol=V5)
    yield made
    made.release()


def opened(transport: PahoTransport, broker: ScriptedBroker, clean_session: bool = False, **options: Any) -> Peer:
    """Up to the CONNECT, which is still unread."""
    transport.configure("127.0.0.1", broker.port, **options)
    transport.open(clean_session)
    return until(transport, broker.accept)


def connected(transport: PahoTransport, broker: ScriptedBroker, connack: bytes = b"", **options: Any) -> Peer:
    peer = opened(transport, broker, **options)
    until(transport, peer.packet)
    peer.send(connack or (CONNACK_V5 if transport.protocol == 5 else CONNACK))
    until(transport, lambda: transport.state() == UP)
    return peer


def is_down(transport: PahoTransport) -> bool:
    return transport.state() == DOWN


def publish_packet(identifier: int, payload: bytes = b"payload", mqtt5: bool = False) -> bytes:
    out = bytearray()
    packets.publish(out, memoryview(b"topic"), memoryview(payload), 1, False, False, identifier, mqtt5)
    return bytes(out)


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


def test_acknowledgements_byte_by_byte(transport: PahoTransport, broker: ScriptedBroker) -> None:
    peer = opened(transport, broker)
    until(transport, peer.packet)
    got: list[bytes] = []
    transport.client.on_message = lambda client, userdata, message: got.append(message.payload)
    stream = CONNACK + b"\x40\x02\x00\x01" + b"\x30\x08\x00\x05topic!" + b"\x50\x02\xea\x60" + b"\x70\x02\x00\x02"
    acknowledged = b""
    for byte in stream:
        peer.send(bytes((byte,)))
        time.sleep(0.001)
        transport.state()
        acknowledged += transport.receive()
    acknowledged += until(transport, transport.receive) if not acknowledged.endswith(b"\x70\x02\x00\x02") else b""
    assert acknowledged == b"\x40\x02\x00\x01" + b"\x50\x02\xea\x60" + b"\x70\x02\x00\x02"
    assert got == [b"!"]
    assert transport.state() == UP


def test_acknowledgements_with_reason_codes_stay_whole(transport_v5: PahoTransport, broker: ScriptedBroker) -> None:
    peer = connected(transport_v5, broker)
    stream = b"\x40\x03\x00\x01\x97" + b"\x40\x02\x00\x02" + b"\x50\x04\x00\x03\x87\x00" + b"\x40\x02\xea\x61"
    peer.send(stream)
    assert until(transport_v5, transport_v5.receive) == stream[:-4]  # the last one is paho's
    assert packets.acknowledgements(stream[:-4]) == [(0x40, 1, 0x97), (0x40, 2, 0), (0x50, 3, 0x87)]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x40\x02\x00\x01",  # before CONNACK
        b"\x20\x01\x00",
        b"\x20\x03\x00\x00\x00",
        CONNACK + CONNACK,
        CONNACK + b"\x40\xff\xff\xff\xff\x7f",
        CONNACK + b"\x40\x01\x00",
        CONNACK + b"\x40\x02\x00\x00",
        CONNACK + b"\x30\x01\x00",  # a PUBLISH whose topic length is cut
        CONNACK + b"\x30\x04\x00\x09ab",
        CONNACK + b"\x90\x00",
        CONNACK + b"\x00\x00",
        CONNACK + b"\xd0\x01\x00",
    ],
)
def test_what_mqtt_forbids_ends_the_connection(transport: PahoTransport, broker: ScriptedBroker, sent: bytes) -> None:
    peer = opened(transport, broker)
    until(transport, peer.packet)
    peer.send(sent)
    until(transport, lambda: is_down(transport))
    assert "forbids" in transport.reason
    assert not transport.dropped
    connected(transport, broker)


def test_the_broker_closes_and_what_it_said_before_is_kept(transport: PahoTransport, broker: ScriptedBroker) -> None:
    ends: list[object] = []
    transport.client.on_disconnect = lambda *arguments: ends.append(arguments[3])
    peer = connected(transport, broker)
    peer.send(b"\x40\x02\x00\x01")
    peer.close()
    until(transport, lambda: is_down(transport))
    assert transport.dropped
    assert "closed the connection" in transport.reason
    assert transport.receive() == b"\x40\x02\x00\x01"
    assert len(ends) == 1
    assert not transport.client.is_connected()
    assert transport.send(memoryview(b"\xc0\x00")) == 0


def test_a_reset_is_a_drop(transport: PahoTransport, broker: ScriptedBroker) -> None:
    connected(transport, broker).reset()
    until(transport, lambda: is_down(transport))
    assert transport.dropped
    assert "reset" in transport.reason


def test_an_error_while_sending_does_not_hide_what_the_broker_said(
    transport_v5: PahoTransport, broker: ScriptedBroker
) -> None:
    peer = connected(transport_v5, broker)
    peer.send(b"\x40\x02\x00\x05" + b"\xe0\x01\x93")  # receive maximum exceeded
    peer.close()
    packet = publish_packet(1, bytes(1000), mqtt5=True)
    for _ in range(1000):
        if transport_v5.send(memoryview(packet)) == 0:
            break
        time.sleep(0.001)
    until(transport_v5, lambda: is_down(transport_v5))
    assert transport_v5.reason_code == 0x93
    assert transport_v5.dropped
    assert transport_v5.receive() == b"\x40\x02\x00\x05"


def test_disconnect_of_the_broker_in_mqtt5(transport_v5: PahoTransport, broker: ScriptedBroker) -> None:
    ends: list[object] = []
    transport_v5.client.on_disconnect = lambda *arguments: ends.append(arguments[2].is_disconnect_packet_from_server)
    peer = connected(transport_v5, broker)
    peer.send(b"\xe0\x02\x8e\x00")
    until(transport_v5, lambda: is_down(transport_v5))
    assert transport_v5.reason_code == 0x8E
    assert "session taken over" in transport_v5.reason
    assert transport_v5.dropped
    assert ends == [True]
    assert not transport_v5.client.is_connected()


def test_close_says_goodbye_on_a_packet_boundary(transport: PahoTransport, broker: ScriptedBroker) -> None:
    ends: list[bool] = []
    transport.client.on_disconnect = lambda *arguments: ends.append(arguments[3].is_failure)
    peer = connected(transport, broker)
    transport.close()
    assert transport.state() == DOWN
    assert transport.reason == "closed"
    assert not transport.dropped
    assert until(transport, peer.packet) == (0xE0, b"")
    with pytest.raises(EOFError):
        until(transport, peer.packet)
    assert ends == [False]
    transport.close()


def fill(transport: PahoTransport, view: memoryview) -> int:
    """Send until the socket takes no more; the peer reads nothing."""
    taken = 0
    while taken < len(view):
        count = transport.send(view[taken:])
        taken += count
        if count == 0:
            break
    assert 0 < taken < len(view)
    return taken


def test_a_half_sent_packet_is_finished_before_anything_else(transport: PahoTransport, broker: ScriptedBroker) -> None:
    peer = connected(transport, broker)
    sent = [publish_packet(number, bytes((number,)) * 3_000_000) for number in (1, 2, 3)]
    stream = b"".join(sent)
    view = memoryview(stream)
    position = fill(transport, view)
    thread = threading.Thread(target=transport.client.subscribe, args=("answers",))
    thread.start()
    thread.join()
    got: list[tuple[int, bytes]] = []
    deadline = time.monotonic() + 10
    while len(got) < 4 and time.monotonic() < deadline:
        transport.state()
        position += transport.send(view[position:])
        packet = peer.packet()
        if packet is not None:
            got.append(packet)
    kinds = [first_byte for first_byte, _ in got]
    assert sorted(kinds) == [0x32, 0x32, 0x32, 0x82]
    assert kinds[-1] == 0x32, "SUBSCRIBE had its turn between two packets"
    assert b"".join(packets_again(got)) == stream


def packets_again(got: list[tuple[int, bytes]]) -> list[bytes]:
    return [
        bytes((first_byte,)) + packets.remaining_length(len(body)) + body
        for first_byte, body in got
        if first_byte < 0x80
    ]


def test_close_in_the_middle_of_a_packet_sends_no_disconnect(transport: PahoTransport, broker: ScriptedBroker) -> None:
    peer = connected(transport, broker)
    packet = publish_packet(1, bytes(20_000_000))
    fill(transport, memoryview(packet))
    transport.close()
    with pytest.raises(EOFError):
        until(transport, peer.packet)


def test_the_rest_after_a_reconnect_does_not_hang_over(transport: PahoTransport, broker: ScriptedBroker) -> None:
    connected(transport, broker)
    fill(transport, memoryview(publish_packet(1, bytes(20_000_000))))
    peer = connected(transport, broker)
    packet = publish_packet(7)
    assert transport.send(memoryview(packet)) == len(packet)
    assert until(transport, peer.packet) == (0x32, packet[2:])


def test_pahos_own_messages_have_identifiers_of_their_own(transport: PahoTransport, broker: ScriptedBroker) -> None:
    peer = connected(transport, broker)
    info = transport.client.publish("own", b"x", qos=1)
    assert info.mid == 60001
    assert until(transport, peer.packet) == (0x32, b"\x00\x03own\xea\x61x")
    peer.send(b"\x40\x02\xea\x61")
    until(transport, info.is_published)
    assert transport.receive() == b""
    transport.client._last_mid = 65534
    mids = [transport.client.publish("own", b"x", qos=0).mid for _ in range(3)]
    assert mids == [65535, 60001, 60002]


def test_incoming_messages_are_acknowledged_by_paho(transport: PahoTransport, broker: ScriptedBroker) -> None:
    got: list[bytes] = []
    transport.client.on_message = lambda client, userdata, message: got.append(message.payload)
    peer = connected(transport, broker)
    peer.send(b"\x34\x08\x00\x03abc\x00\x011")  # QoS 2, with an identifier that is the broker's
    assert until(transport, peer.packet) == (0x50, b"\x00\x01")
    peer.send(b"\x62\x02\x00\x01")
    assert until(transport, peer.packet) == (0x70, b"\x00\x01")
    assert got == [b"1"]


def test_errors_in_callbacks_end_nothing(transport: PahoTransport, broker: ScriptedBroker) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("of the user")

    client = transport.client
    client.on_connect = client.on_message = client.on_disconnect = client.on_subscribe = fail
    client.message_callback_add("abc", functools.partial(fail))  # it has no __name__, which paho's log line wants
    peer = connected(transport, broker)
    peer.send(b"\x30\x05\x00\x03abc" + b"\x30\x05\x00\x03abd" + b"\x40\x02\x00\x01")
    assert until(transport, transport.receive) == b"\x40\x02\x00\x01"
    peer.close()
    until(transport, lambda: is_down(transport))
    assert transport.dropped


def test_a_flood_leaves_the_engine_its_turn(transport: PahoTransport, broker: ScriptedBroker) -> None:
    got: list[int] = []
    transport.client.on_message = lambda client, userdata, message: got.append(len(message.payload))
    peer = connected(transport, broker)
    message = b"\x30" + packets.remaining_length(100_005) + b"\x00\x03abc" + bytes(100_000)
    thread = threading.Thread(target=peer.send, args=(message * 40,))
    thread.start()
    largest = 0
    while len(got) < 40:
        before = len(got)
        transport.state()
        largest = max(largest, len(got) - before)
        transport.wait(10)
    thread.join()
    assert largest <= 12


def test_keep_alive(transport: PahoTransport, broker: ScriptedBroker) -> None:
    peer = connected(transport, broker, keepalive=1)
    transport.wait(0)  # takes the wake-up of the connecting
    started = time.monotonic()
    transport.wait(10_000)  # it knows itself when PINGREQ is due
    assert 0.5 < time.monotonic() - started < 2
    assert until(transport, peer.packet) == (0xC0, b"")
    peer.send(b"\xd0\x00")
    assert until(transport, peer.packet, timeout_s=3) == (0xC0, b"")
    until(transport, lambda: is_down(transport), timeout_s=3)
    assert "PINGREQ" in transport.reason
    assert not transport.dropped


def test_wake_ends_a_wait(transport: PahoTransport, broker: ScriptedBroker) -> None:
    connected(transport, broker)
    for wake in (transport.wake, lambda: transport.client.subscribe("topic")):
        transport.wait(0)
        timer = threading.Timer(0.05, wake)
        timer.start()
        started = time.monotonic()
        transport.wait(10_000)
        assert time.monotonic() - started < 5
        timer.join()
        transport.state()
    for _ in range(100_000):  # more than a pipe holds
        transport.wake()
    started = time.monotonic()
    transport.wait(10_000)
    transport.wait(10)
    assert 0.005 < time.monotonic() - started < 5


def test_no_wait_after_a_wake_and_none_after_release(broker: ScriptedBroker) -> None:
    transport = PahoTransport("tester", 5000)
    transport.wake()
    started = time.monotonic()
    transport.wait(10_000)
    assert time.monotonic() - started < 5
    transport.release()
    transport.release()
    transport.wake()


def test_a_busy_socket_is_not_a_busy_loop(transport: PahoTransport, broker: ScriptedBroker) -> None:
    connected(transport, broker)
    fill(transport, memoryview(publish_packet(1, bytes(20_000_000))))
    transport.client.subscribe("topic")
    transport.state()
    transport.wait(0)
    started = time.monotonic()
    transport.state()
    transport.wait(50, want_write=True)
    assert time.monotonic() - started > 0.03


@pytest.mark.parametrize(
    "name",
    [
        "connect",
        "connect_async",
        "connect_srv",
        "reconnect",
        "disconnect",
        "reinitialise",
        "loop",
        "loop_start",
        "loop_forever",
        "loop_read",
        "loop_misc",
    ],
)
def test_what_would_take_the_connection_away_says_what_to_call(transport: PahoTransport, name: str) -> None:
    with pytest.raises(RuntimeError, match=name + r"\(\) is not for use here: .*PersistClient"):
        getattr(transport.client, name)()


def test_subscribe_without_a_connection_is_pahos_answer(transport: PahoTransport) -> None:
    assert transport.client.subscribe("topic")[0] == MQTTErrorCode.MQTT_ERR_NO_CONN


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


def test_the_parts_of_a_packet_are_counted() -> None:
    from persistmq.stream import rest_of_packet

    first, second = publish_packet(1, bytes(300)), publish_packet(2)
    view = memoryview(first + second)
    assert rest_of_packet(view, 0, len(first)) == 0
    assert rest_of_packet(view, 0, 1) == len(first) - 1
    assert rest_of_packet(view, 0, len(first) + 1) == len(second) - 1
    assert rest_of_packet(view, 0, len(view)) == 0
    assert rest_of_packet(view[100:], len(first) - 100, 50) == len(first) - 150
