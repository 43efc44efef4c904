"""What a worker process and its application say to each other: all of it arrives, however much it is."""

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from persistmq.link import Link, TooLarge
from persistmq.worker import Report

from tests.support.world import World


@pytest.fixture
def links() -> Iterator[tuple[Link, Link]]:
    ends = [Link(sock, waits=False) for sock in Link.pair()]
    yield ends[0], ends[1]
    for end in ends:
        end.close()


def arrived(link: Link) -> list[Any]:
    found = []
    while True:
        try:
            found.append(link.receive())
        except BlockingIOError:
            return found


def test_a_message_that_no_socket_takes_is_said_to_be_too_large(links: tuple[Link, Link]) -> None:
    near, far = links
    near._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
    for count in (150_000, 10_000_000):  # for the socket as it is, and for the buffer of the other side
        with pytest.raises(TooLarge):
            near.send("x" * count)
    assert near.send("short")
    assert arrived(far) == [("short",)]


def test_a_message_to_who_is_gone_goes_nowhere(links: tuple[Link, Link]) -> None:
    near, far = links
    far.close()
    assert near.send("short")
    with pytest.raises(EOFError):
        near.receive()


def test_a_report_with_many_long_logs_arrives_in_pieces(links: tuple[Link, Link]) -> None:
    near, far = links
    report = Report(near)
    report.delivered(1)
    for index in range(200):
        report.log("persistmq", 40, chr(0x4E00 + index) * 2000)
    report.delivered(2)
    delivery: Any = SimpleNamespace(cursors=lambda: (3,), status=dict, is_over=True)
    engine: Any = World().engine
    said: list[Any] = []
    for _ in range(1000):
        report.send(engine, delivery, 0)
        found = arrived(far)
        if not found:
            break
        said += found
    events = [event for message in said for event in message[1]]
    assert events[0] == ("delivered", 1, 2)
    assert [event[3][:1] for event in events[1:-1]] == [chr(0x4E00 + index) for index in range(200)]
    assert events[-1] == ("delivered", 2, 3)
    assert [message[2] is None for message in said] == [True] * (len(said) - 1) + [False]
