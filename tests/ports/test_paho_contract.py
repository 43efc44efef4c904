"""What ``paho_client.py`` counts on in paho: the private names, and what they do. Run with the oldest and the newest.

If one of these fails with a new paho, ``paho_client.py`` is to be read again before its bound in pyproject.toml moves.
"""

import inspect
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt
import pytest
from paho.mqtt import client as paho_module
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion, _ConnectionState
from persistmq.paho_client import EngineClient

OVERRIDDEN = [
    "_create_socket",
    "_create_socket_connection",
    "_send_connect",
    "_sock_recv",
    "_sock_send",
    "_mid_generate",
    "loop_write",
    "_call_socket_register_write",
]
CALLED = [
    "_packet_handle",
    "_packet_write",
    "_loop_rc_handle",
    "_handle_on_connect_fail",
    "_packet_queue",
    "_sock_close",
]
# _last_msg_in (2.1) and _last_bytes_received (2.2) are both set, and one of them is read.
READ_OR_SET = [
    "_sock",
    "_protocol",
    "_state",
    "_clean_session",
    "_clean_start",
    "_keepalive",
    "_connect_timeout",
    "_in_packet",
    "_out_packet",
    "_last_mid",
    "_mid_generate_mutex",
    "_last_msg_out",
    "_ping_t",
    "suppress_exceptions",
]


@pytest.fixture
def pair() -> Iterator[tuple[Client, socket.socket]]:
    """A plain paho client on one end of a socket pair, connected as far as it knows."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="tester", clean_session=False, reconnect_on_failure=False)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    client._sock = ours
    client._state = _ConnectionState.MQTT_CS_CONNECTED
    yield client, theirs
    ours.close()
    theirs.close()


def test_the_version_is_one_that_was_read() -> None:
    assert tuple(int(part) for part in paho.mqtt.__version__.split(".")[:2]) in ((2, 1), (2, 2))


@pytest.mark.parametrize("name", OVERRIDDEN + CALLED)
def test_a_method_is_there(name: str) -> None:
    assert inspect.isfunction(getattr(Client, name))


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_an_overriding_method_takes_the_same_arguments(name: str) -> None:
    def names(function: Any) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert names(getattr(EngineClient, name)) == names(getattr(Client, name))


@pytest.mark.parametrize("name", READ_OR_SET)
def test_an_attribute_is_there(pair: tuple[Client, socket.socket], name: str) -> None:
    assert hasattr(pair[0], name)


def test_the_time_of_the_last_bytes_has_one_of_two_names(pair: tuple[Client, socket.socket]) -> None:
    assert [hasattr(pair[0], name) for name in ("_last_msg_in", "_last_bytes_received")].count(True) == 1


def test_packets_in_and_out_have_the_fields_that_are_used(pair: tuple[Client, socket.socket]) -> None:
    client, _ = pair
    assert set(client._in_packet) == {
        "command",
        "have_remaining",
        "remaining_count",
        "remaining_mult",
        "remaining_length",
        "packet",
        "to_process",
        "pos",
    }
    client.on_socket_register_write = lambda *arguments: None  # so that it stays in the queue
    client.subscribe("topic")
    assert client._out_packet[0]["command"] == 0x82


def test_a_whole_packet_is_handled_by_hand(pair: tuple[Client, socket.socket]) -> None:
    client, theirs = pair
    got: list[bytes] = []
    client.on_message = lambda client, userdata, message: got.append(bytes(message.payload))
    client._in_packet = {
        "command": 0x32,
        "have_remaining": 1,
        "remaining_count": [],
        "remaining_mult": 1,
        "remaining_length": 8,
        "packet": bytearray(b"\x00\x03abc\x00\x07!"),
        "to_process": 0,
        "pos": 0,
    }
    assert client._packet_handle() == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert got == [b"!"]
    assert theirs.recv(10) == b"\x40\x02\x00\x07"


def test_a_queued_packet_goes_through_loop_write_or_register_write(pair: tuple[Client, socket.socket]) -> None:
    client, _ = pair
    calls: list[str] = []
    client.loop_write = lambda: calls.append("loop_write") or MQTTErrorCode.MQTT_ERR_SUCCESS  # type: ignore
    client._call_socket_register_write = lambda: calls.append("register")  # type: ignore[method-assign]
    client.subscribe("topic")
    assert calls == ["loop_write"]
    with client._in_callback_mutex:  # as while a callback is at work
        client.publish("topic", b"", qos=1)
    assert calls == ["loop_write", "register"]
    assert len(client._out_packet) == 2


def test_identifiers_come_from_mid_generate(pair: tuple[Client, socket.socket]) -> None:
    client, _ = pair
    client._mid_generate = lambda: 60007  # type: ignore[method-assign]
    assert client.subscribe("topic")[1] == 60007
    assert client.unsubscribe("topic")[1] == 60007
    assert client.publish("topic", b"", qos=1).mid == 60007


def test_packet_write_keeps_what_the_socket_does_not_take(pair: tuple[Client, socket.socket]) -> None:
    client, theirs = pair
    takes = [3, BlockingIOError()]
    written: list[bytes] = []

    def send(buffer: bytes) -> int:
        count = takes.pop(0) if takes else len(buffer)
        if isinstance(count, BaseException):
            raise count
        written.append(bytes(buffer[:count]))
        return count

    client._sock_send = send  # type: ignore[method-assign]
    client.loop_write = lambda: MQTTErrorCode.MQTT_ERR_SUCCESS  # type: ignore[method-assign]
    client.subscribe("topic")
    assert client._packet_write() == MQTTErrorCode.MQTT_ERR_AGAIN
    assert len(client._out_packet) == 1
    assert client._packet_write() == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert b"".join(written) == b"\x82\x0a\x00\x01\x00\x05topic\x00"
    assert len(written) == 2


def test_packet_write_of_disconnect_closes_and_tells(pair: tuple[Client, socket.socket]) -> None:
    client, theirs = pair
    ends: list[bool] = []
    client.on_disconnect = lambda *arguments: ends.append(arguments[3].is_failure)
    client.disconnect()
    assert theirs.recv(10) == b"\xe0\x00"
    assert client._sock is None
    assert ends == [False]


def test_loss_closes_and_tells_once(pair: tuple[Client, socket.socket]) -> None:
    client, _ = pair
    ends: list[bool] = []
    client.on_disconnect = lambda *arguments: ends.append(arguments[3].is_failure)
    client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
    assert client._sock is None
    assert not client.is_connected()
    assert ends == [True]


def test_loop_misc_sends_pingreq_and_closes_without_an_answer(pair: tuple[Client, socket.socket]) -> None:
    client, theirs = pair
    client._keepalive = 10
    now = time.monotonic()
    client._last_msg_out = now - 11
    client._last_msg_in = client._last_bytes_received = now  # type: ignore[attr-defined]
    assert client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert theirs.recv(10) == b"\xc0\x00"
    assert client._ping_t >= now
    client._ping_t = now - 11
    client.loop_misc()
    assert client._sock is None


def test_reconnect_takes_the_socket_of_create_socket_and_sends_connect() -> None:
    client = Client(CallbackAPIVersion.VERSION2, client_id="tester", clean_session=False, reconnect_on_failure=False)
    ours, theirs = socket.socketpair()
    client._create_socket = lambda: ours  # type: ignore[method-assign]
    client.connect_async("127.0.0.1", 1)
    client.reconnect()
    assert ours.gettimeout() == 0
    theirs.settimeout(5)
    assert theirs.recv(100).startswith(b"\x10")
    client._sock_close()
    theirs.close()


def test_no_downgrade_without_reconnect_on_failure(pair: tuple[Client, socket.socket]) -> None:
    client, _ = pair
    client._in_packet["command"] = 0x20
    client._in_packet["remaining_length"] = 2
    client._in_packet["packet"] = bytearray(b"\x00\x01")
    assert client._packet_handle() == MQTTErrorCode.MQTT_ERR_PROTOCOL
    assert client._protocol == MQTTProtocolVersion.MQTTv311


class _StubSocket:
    """A socket under paho's websocket wrapper that takes what it is told."""

    def __init__(self) -> None:
        self.takes: list[int] = []
        self.sent = bytearray()

    def send(self, data: bytes) -> int:
        count = self.takes.pop(0) if self.takes else len(data)
        if count < 0:
            raise BlockingIOError
        self.sent += data[:count]
        return count


def wrapper_on(stub: _StubSocket, monkeypatch: pytest.MonkeyPatch) -> Any:
    wrapper_class: Any = paho_module._WebsocketWrapper
    monkeypatch.setattr(wrapper_class, "_do_handshake", lambda self, headers: None)
    return wrapper_class(stub, "127.0.0.1", 1, False, "/mqtt", None)


def test_the_websocket_wrapper_keeps_the_rest_of_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = _StubSocket()
    wrapper = wrapper_on(stub, monkeypatch)
    assert wrapper._socket is stub
    stub.takes = [5, -1]
    assert wrapper.send(b"payload") == 0
    assert len(wrapper._sendbuffer) == 2 + 4 + 7 - 5
    with pytest.raises(BlockingIOError):
        wrapper.send(b"")
    assert wrapper.send(b"") == 7  # the frame that it had, whatever is passed
    assert len(wrapper._sendbuffer) == 0
    stub.takes = [-1]
    with pytest.raises(BlockingIOError):
        wrapper.send(b"next")
    assert len(wrapper._sendbuffer) == 2 + 4 + 4


def test_engine_client_takes_what_a_frame_holds_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = _StubSocket()
    client = EngineClient(lambda: None, callback_api_version=CallbackAPIVersion.VERSION2, client_id="tester")
    client._sock = wrapper_on(stub, monkeypatch)
    stub.takes = [5]
    assert client.send_some(memoryview(b"payload")) == 7
    assert client.has_taken
    stub.takes = [-1]
    assert client.send_some(memoryview(b"next")) == 0
    assert client.flush_taken()
    assert not client.has_taken
    stub.takes = [-1]
    assert client.send_some(memoryview(b"next")) == 4
    assert client.flush_taken()
    assert len(stub.sent) == 6 + 7 + 6 + 4
    client._sock = None


def test_engine_client_wakes_for_others_and_not_for_itself(pair: tuple[Client, socket.socket]) -> None:
    woken: list[int] = []
    client = EngineClient(lambda: woken.append(1), callback_api_version=CallbackAPIVersion.VERSION2, client_id="tester")
    client._sock, theirs = socket.socketpair()
    theirs.settimeout(0.05)
    client.engine_thread = threading.get_ident()
    client.subscribe("topic")
    assert woken == []
    thread = threading.Thread(target=client.subscribe, args=("topic",))
    thread.start()
    thread.join()
    assert woken
    with pytest.raises(TimeoutError):
        theirs.recv(1)  # nothing was written by anybody but flush()
    assert client.flush()
    assert theirs.recv(100).count(b"topic") == 2
    client._sock_close()
    theirs.close()


def test_connect_goes_first() -> None:
    client = EngineClient(lambda: None, callback_api_version=CallbackAPIVersion.VERSION2, client_id="tester")
    client.engine_thread = threading.get_ident()
    client._sock, theirs = socket.socketpair()
    client.subscribe("topic")  # by another thread, in the moment before CONNECT is queued
    client._send_connect(60)
    assert [packet["command"] for packet in client._out_packet] == [0x10, 0x82]
    client._sock_close()
    theirs.close()
