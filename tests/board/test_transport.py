"""What a network and a broker can do to a connection; the board goes on with the next one."""

import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.board.conftest import figures
from tests.board.engine import Board
from tests.board.scripted import Conversation, ScriptedServer
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)
NEWER_UMQTT = Path(__file__).resolve().parent / "newer_umqtt"


def acknowledge_all(conversation: Conversation) -> None:
    conversation.welcome()
    while True:
        first_byte, body = conversation.packet()
        if first_byte & 0xF0 == 0x30:
            topic_bytes = int.from_bytes(body[:2], "big")
            conversation.sock.sendall(b"\x40\x02" + body[2 + topic_bytes : 4 + topic_bytes])
        elif first_byte == 0xC0:
            conversation.sock.sendall(b"\xd0\x00")


def in_the_end(board: Board, server: ScriptedServer, **options: Any) -> dict[str, Any]:
    """Publish one message of QoS 1 to ``server`` until it is delivered; where things stand then."""
    output = board.run("main_job", **({"port": server.port, "count": 1, "qos": 1} | options))
    found = figures(output)
    assert found["drained"], found
    status: dict[str, Any] = found["status"]
    return status


def test_packets_that_come_byte_by_byte(board: Board) -> None:
    def dribble(conversation: Conversation) -> None:
        conversation.welcome()
        identifier = conversation.take_message()[1]
        for byte in b"\xd0\x00\x30\x05\x00\x01txx\x40\x02" + identifier:
            conversation.sock.sendall(bytes([byte]))
            time.sleep(0.002)
        conversation.packet()

    with ScriptedServer(dribble) as server:
        assert in_the_end(board, server)["connections"] == 1


def test_a_connection_that_ends_before_the_acknowledgement(board: Board) -> None:
    flags = []

    def hang_up(conversation: Conversation) -> None:
        conversation.welcome()
        flags.append(conversation.take_message()[0])

    def again(conversation: Conversation) -> None:
        conversation.packet()
        conversation.sock.sendall(b"\x20\x02\x01\x00")  # session present
        first_byte, identifier = conversation.take_message()
        flags.append(first_byte)
        conversation.sock.sendall(b"\x40\x02" + identifier)
        conversation.packet()

    with ScriptedServer(hang_up, again) as server:
        assert in_the_end(board, server)["connections"] == 2
    assert flags == [0x32, 0x3A], "the second time with DUP"


def reset(conversation: Conversation) -> None:
    conversation.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_a_connack(conversation: Conversation) -> None:
    conversation.packet()
    conversation.sock.sendall(b"\x20\x02")


def no_connack(conversation: Conversation) -> None:
    conversation.packet()


def something_else(conversation: Conversation) -> None:
    conversation.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def try_later(conversation: Conversation) -> None:
    conversation.packet()
    conversation.sock.sendall(b"\x20\x02\x00\x03")


def nonsense(conversation: Conversation) -> None:
    conversation.welcome()
    conversation.sock.sendall(b"\x00\x00\x00")


@pytest.mark.parametrize("scene", [reset, half_a_connack, no_connack, something_else, try_later, nonsense])
def test_after_each_of_these_it_tries_again(board: Board, scene: Any) -> None:
    with ScriptedServer(scene, acknowledge_all) as server:
        in_the_end(board, server)
        assert server.connections >= 2


def test_a_connack_that_never_comes_ends_in_time(board: Board) -> None:
    def silence(conversation: Conversation) -> None:
        conversation.packet()
        conversation.packet()  # until the board hangs up

    with ScriptedServer(silence, acknowledge_all) as server:
        in_the_end(board, server, client={"connect_timeout_ms": 300, "reconnect_delay_ms_min": 10})


def test_a_refusal_waits_for_the_longest_delay_and_says_why(board: Board) -> None:
    def refuse(conversation: Conversation) -> None:
        conversation.packet()
        conversation.sock.sendall(b"\x20\x02\x00\x05")

    with ScriptedServer(refuse) as server:
        client = {"reconnect_delay_ms_min": 10, "reconnect_delay_ms_max": 60000}
        output = board.run("main_job", port=server.port, count=1, drain_s=0.4, stop_s=0, client=client)
        assert "not authorized" in figures(output)["status"]["down_reason"]
        assert server.connections == 1


def test_pingreq_is_sent_when_nothing_else_is_and_its_answer_is_watched(board: Board) -> None:
    came = []

    def listen(conversation: Conversation) -> None:
        conversation.welcome()
        while True:
            came.append(conversation.packet()[0])
            if came.count(0xC0) == 1 and came[-1] == 0xC0:
                conversation.sock.sendall(b"\xd0\x00")  # the first one only

    with ScriptedServer(listen, acknowledge_all) as server:
        status = in_the_end(board, server, count=1, connect={"keepalive": 1})
    assert came[0] & 0xF0 == 0x30
    assert came[1:3] == [0xC0, 0xC0]
    assert status["connections"] == 2


def test_a_broker_that_does_not_read_gets_the_rest_later(board: Board) -> None:
    payload_bytes = 60000  # more than the buffers of the connection hold
    sizes = []

    def slow(conversation: Conversation) -> None:
        conversation.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conversation.welcome()
        time.sleep(0.3)
        while True:
            first_byte, body = conversation.packet()
            if first_byte & 0xF0 == 0x30:
                sizes.append(len(body))
                conversation.sock.sendall(b"\x40\x02" + body[3:5])

    with ScriptedServer(slow) as server:
        board_options = {"count": 3, "payload_bytes": payload_bytes, "client": {"segment_bytes_max": 16384}}
        bigger = Board(board._library, board.flash.parent, blocks=400, heap="4m")
        assert in_the_end(bigger, server, **board_options)["connections"] == 1
    assert sizes == [payload_bytes + 5] * 3


def test_the_hook_is_asked_before_each_attempt(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    output = board.run("hook_job", port=broker.port)
    assert output.splitlines()[-1] == "all good"
    assert receiver.wait(1) == ["after the hook"]


@pytest.mark.parametrize("version", ["1.3.4", "newer"])
def test_tls(library: Path, board: Board, tmp_path: Path, version: str) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True
    )
    lines = ("certfile %s" % (tmp_path / "cert"), "keyfile %s" % (tmp_path / "key"))
    board.heap = "400k"
    with Mosquitto(config_lines=lines) as broker:
        options = {"port": broker.port, "count": 30, "drain_s": 5, "connect": {"ssl": True}}
        first_on_path = NEWER_UMQTT if version == "newer" else None
        found = figures(board.run("main_job", first_on_path, **options))
    assert found["drained"], found
    assert found["after"]["delivered"] == 30
    assert found["after"]["connections"] == 1


def test_a_newer_umqtt(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    board.heap = "160k"  # umqtt is compiled on the board here
    found = figures(board.run("main_job", NEWER_UMQTT, port=broker.port, count=50))
    assert found["drained"]
    assert len(receiver.wait(50)) == 50


def test_a_newer_umqtt_keeps_its_timeout(board: Board) -> None:
    def silence(conversation: Conversation) -> None:
        conversation.packet()
        conversation.packet()

    board.heap = "160k"
    with ScriptedServer(silence) as server:
        options = {"port": server.port, "count": 1, "drain_s": 0.5, "stop_s": 0}
        client = {"connect_timeout_ms": 300, "reconnect_delay_ms_min": 5000, "reconnect_delay_ms_max": 5000}
        status = figures(board.run("main_job", NEWER_UMQTT, client=client, **options))["status"]
        assert "ETIMEDOUT" in status["down_reason"]
