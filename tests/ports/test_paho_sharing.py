"""One connection for the core, paho and its user: turns, callbacks, keep-alive, waking. The test plays the broker."""

import functools
import threading
import time

import pytest
from paho.mqtt.enums import MQTTErrorCode
from persistmq.transport import PahoTransport

from persistmq_core import packets
from tests.support.scripted_broker import (
    ScriptedBroker,
    connected,
    is_down,
    publish_packet,
    until,
)


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


def test_pahos_own_messages_have_identifiers_of_their_own(transport: PahoTransport, broker: ScriptedBroker) -> None:
    peer = connected(transport, broker)
    info = transport.client.publish("own", b"x", qos=1)
    assert info.mid == 64001
    assert until(transport, peer.packet) == (0x32, b"\x00\x03own\xfa\x01x")
    peer.send(b"\x40\x02\xfa\x01")
    until(transport, info.is_published)
    assert transport.receive() == b""
    transport.client._last_mid = 65534
    mids = [transport.client.publish("own", b"x", qos=0).mid for _ in range(3)]
    assert mids == [65535, 64001, 64002]


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
