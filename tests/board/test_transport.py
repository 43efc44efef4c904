"""What a network and a broker can do to a connection; the board goes on with the next one."""

import socket
import struct
import time
from typing import Any

import pytest

from tests.board.conftest import figures
from tests.board.engine import NEWER_UMQTT, Board
from tests.board.scripted import Conversation, ScriptedServer, acknowledge_all
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)


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
        conversation.welcome(session_present=True)
        first_byte, identifier = conversation.take_message()
        flags.append(first_byte)
        conversation.sock.sendall(b"\x40\x02" + identifier)
        conversation.packet()

    with ScriptedServer(hang_up, again) as server:
        assert in_the_end(board, server)["connections"] == 2
    assert flags == [0x32, 0x3A], "the second time with DUP"


@pytest.mark.parametrize(("choice", "repeated"), [("resend", 1), ("trust", 0)])
def test_a_session_that_is_lost_between_pubrec_and_pubcomp(board: Board, choice: str, repeated: int) -> None:
    came = []

    def forget(conversation: Conversation) -> None:
        conversation.welcome()
        identifier = conversation.take_message()[1]
        conversation.sock.sendall(b"\x50\x02" + identifier)
        came.append(conversation.packet()[0])  # PUBREL, and no answer to it

    def begin_anew(conversation: Conversation) -> None:
        conversation.welcome()  # session present 0
        while True:
            first_byte, body = conversation.packet()
            came.append(first_byte)
            if first_byte & 0xF0 == 0x30:
                conversation.sock.sendall(b"\x50\x02" + body[3:5])
            elif first_byte == 0x62:
                conversation.sock.sendall(b"\x70\x02" + body)

    with ScriptedServer(forget, begin_anew) as server:
        status = in_the_end(board, server, qos=2, client={"on_session_lost": choice, "reconnect_delay_ms_min": 5})
    assert came[:-1] == ([0x62, 0x34, 0x62] if repeated else [0x62]), "as new: without DUP"
    assert (status["delivered"], status["repeated"]) == (1, repeated)


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


def half_an_acknowledgement(conversation: Conversation) -> None:
    conversation.welcome()
    identifier = conversation.take_message()[1]
    conversation.sock.sendall(b"\x40\x02" + identifier[:1])  # the next connection must not take it for a beginning


def half_a_length(conversation: Conversation) -> None:
    conversation.welcome()
    conversation.take_message()
    conversation.sock.sendall(b"\x30\xff")


HALVES = (half_a_connack, half_a_length, half_an_acknowledgement)
SCENES = (reset, no_connack, something_else, try_later, nonsense, *HALVES)


@pytest.mark.parametrize("scene", SCENES)
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


def test_a_link_that_freezes_is_noticed_by_keep_alive_while_nothing_is_published(board: Board) -> None:
    asked = []

    def freeze(conversation: Conversation) -> None:
        conversation.welcome()
        conversation.sock.sendall(b"\x40\x02" + conversation.take_message()[1])
        asked.append(conversation.packet()[0])
        time.sleep(0.7)  # nothing is answered, nobody hangs up

    with ScriptedServer(freeze, acknowledge_all) as server:
        output = board.run("idle_job", port=server.port)
        assert server.connections == 2
    assert asked == [0xC0]
    assert "no answer to PINGREQ for 500 ms" in output
    assert output.splitlines()[-1] == "all good"


def test_the_hook_is_asked_before_each_attempt(board: Board, broker: Mosquitto, receiver: Receiver) -> None:
    board.heap = "160k"  # two clients, one after the other: the heap has holes then
    output = board.run("hook_job", port=broker.port)
    assert output.splitlines()[-1] == "all good"
    assert receiver.wait(3) == ["after the hook", "calls back", "from a callback"]


def test_another_client_on_the_same_cache_ends_the_one_before(
    board: Board, broker: Mosquitto, receiver: Receiver
) -> None:
    board.heap = "256k"
    output = board.run("newer_client_job", port=broker.port)
    assert output.splitlines()[-1] == "all good"
    assert receiver.wait(3) == ["older 1", "newer 1", "newer 2"]


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
