"""The transport on paho, UP: what goes out, what comes in, how it ends. The test plays the broker, byte by byte."""

import threading
import time

import pytest
from persistmq.transport import PahoTransport

from persistmq_core import packets
from persistmq_core.contracts import DOWN, UP
from tests.support.acknowledgements import acknowledgements
from tests.support.scripted_broker import CONNACK, ScriptedBroker, connected, is_down, opened, publish_packet, until


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
    stream = b"\x40\x03\x00\x01\x97" + b"\x40\x02\x00\x02" + b"\x50\x04\x00\x03\x87\x00" + b"\x40\x02\xfa\x01"
    peer.send(stream)
    assert until(transport_v5, transport_v5.receive) == stream[:-4]  # the last one is paho's
    assert acknowledgements(stream[:-4]) == [(0x40, 1, 0x97), (0x40, 2, 0), (0x50, 3, 0x87)]


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


def test_the_parts_of_a_packet_are_counted() -> None:
    from persistmq.stream import rest_of_packet

    first, second = publish_packet(1, bytes(300)), publish_packet(2)
    view = memoryview(first + second)
    assert rest_of_packet(view, 0, len(first)) == 0
    assert rest_of_packet(view, 0, 1) == len(first) - 1
    assert rest_of_packet(view, 0, len(first) + 1) == len(second) - 1
    assert rest_of_packet(view, 0, len(view)) == 0
    assert rest_of_packet(view[100:], len(first) - 100, 50) == len(first) - 150


PUBACKS = b"".join(b"\x40\x02\x00" + bytes((number,)) for number in range(1, 101))


def test_many_answers_are_waited_for_together(transport: PahoTransport, broker: ScriptedBroker) -> None:
    peer = connected(transport, broker)
    threading.Timer(0.002, peer.send, (PUBACKS[:4],)).start()
    threading.Timer(0.3, peer.send, (PUBACKS[4:],)).start()
    acknowledged = []
    while sum(map(len, acknowledged)) < len(PUBACKS):
        transport.wait(5000, False, 200)
        transport.state()
        acknowledged.append(transport.receive())
    assert b"".join(acknowledged) == PUBACKS
    assert len(acknowledged) <= 3  # the first alone, for it has waited long enough


def test_a_few_answers_are_not_waited_for_long(transport: PahoTransport, broker: ScriptedBroker) -> None:
    peer = connected(transport, broker)
    peer.send(PUBACKS[:4])
    began = time.monotonic()
    transport.wait(5000, False, 200)
    assert until(transport, transport.receive) == PUBACKS[:4]
    peer.send(PUBACKS[4:8])
    transport.wait(5000)
    assert until(transport, transport.receive) == PUBACKS[4:8]
    assert time.monotonic() - began < 2


def test_a_wake_and_the_end_of_the_connection_end_that_waiting(
    transport: PahoTransport, broker: ScriptedBroker
) -> None:
    peer = connected(transport, broker)
    for cause in (transport.wake, peer.close):
        began = time.monotonic()
        timer = threading.Timer(0.05, cause)
        timer.start()
        transport.wait(5000, False, 200)
        timer.join()
        assert time.monotonic() - began < 2
    until(transport, lambda: transport.state() == DOWN)
    transport.wait(0, False, 200)  # there is no socket


def test_a_new_connection_wakes_at_the_first_answer(transport: PahoTransport, broker: ScriptedBroker) -> None:
    for _ in range(2):
        peer = connected(transport, broker)
        transport.wait(2, False, 200)
        peer.send(PUBACKS[:4])
        began = time.monotonic()
        transport.wait(5000)
        assert time.monotonic() - began < 1
        transport.close()
