"""A receiver at a real broker: nothing is acknowledged before it is durable."""

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from persistmq import PersistClient, StoreError
from persistmq.receiver import Received, Receiver, Subscriber
from persistmq.receiver.filters import check_filter

from persistmq_core.backoff import Backoff
from tests.main_job.receiver import until
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.scripted_broker import CONNACK_V5, Peer, ScriptedBroker

Make = Callable[..., PersistClient]
T = TypeVar("T")
QUICK = {"reconnect_delay_ms_min": 20, "reconnect_delay_ms_max": 100}


class Running:
    """A subscriber on a thread of its own."""

    def __init__(self, state: Path, port: int, client: Any = "historian", **options: Any) -> None:
        self.messages: list[Received] = []
        self.error: BaseException | None = None
        self.receiver = Receiver(state)
        options = {"topics": "#", "on_message": self.messages.append} | QUICK | options
        self.subscriber = Subscriber(self.receiver, client=client, **options)
        self.subscriber.connect("127.0.0.1", port)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.subscriber.run()
        except BaseException as error:  # noqa: BLE001 - for the test to look at
            self.error = error

    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    def complete_to(self) -> list[int]:
        return [stream["complete_to"] for stream in self.receiver.status()["streams"]]

    def end(self) -> None:
        self.subscriber.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.receiver.close()


@contextmanager
def running(*arguments: Any, **options: Any) -> Iterator[Running]:
    made = Running(*arguments, **options)
    try:
        yield made
    finally:
        made.end()


def until_some(get: Callable[[], T | None]) -> T:
    """What it gives, as soon as that is not None."""
    found: list[T] = []

    def came() -> bool:
        something = get()
        if something is not None:
            found.append(something)
        return bool(found)

    assert until(came)
    return found[0]


def accepted(broker: ScriptedBroker) -> Peer:
    """The next connection, up to its CONNECT, which is read."""
    peer = until_some(broker.accept)
    until_some(peer.packet)
    return peer


@pytest.fixture
def publisher(make_client: Make, broker: Mosquitto) -> PersistClient:
    client = make_client("pole", identity=True, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect_async("127.0.0.1", broker.port)
    return client


def test_what_was_published_comes_once_and_in_order(
    publisher: PersistClient, broker: Mosquitto, tmp_path: Path
) -> None:
    with running(tmp_path / "state", broker.port) as receiving:
        assert until(lambda: receiving.subscriber.connected)
        publisher.publish_many([("t", n) for n in range(300)], qos=1)
        assert publisher.flush(20) and until(lambda: len(receiving.messages) == 300)
        assert receiving.payloads() == [b"%d" % n for n in range(300)]
        assert [message.identity and message.identity.seq for message in receiving.messages] == list(range(1, 301))
        assert until(lambda: receiving.complete_to() == [300])


def test_what_a_callback_raises_ends_it_and_the_message_comes_again(
    publisher: PersistClient, broker: Mosquitto, tmp_path: Path
) -> None:
    def fails(message: Received) -> None:
        if message.payload == b"7":
            raise OSError("of the application")

    with running(tmp_path / "state", broker.port, on_message=fails) as receiving:
        assert until(lambda: receiving.subscriber.connected)
        for number in range(10):
            publisher.publish("t", number, qos=1)
        assert publisher.flush(20)
        receiving.thread.join(10)
        assert isinstance(receiving.error, OSError) and str(receiving.error) == "of the application"
    with running(tmp_path / "state", broker.port) as receiving:
        assert until(lambda: b"9" in receiving.payloads())
        assert receiving.payloads()[-3:] == [b"7", b"8", b"9"]
        assert until(lambda: receiving.complete_to() == [10])


def test_a_disk_that_fails_for_a_while_costs_nothing(
    publisher: PersistClient, broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path / "state", broker.port) as receiving:
        assert until(lambda: receiving.subscriber.connected)
        files = receiving.receiver._output._files  # type: ignore[attr-defined]
        write, failures = files.write, [1, 2, 3]

        def fails(*arguments: Any) -> None:
            if failures:
                failures.pop()
                raise StoreError(28, "full")
            write(*arguments)

        monkeypatch.setattr(files, "write", fails)
        publisher.publish_many([("t", n) for n in range(50)], qos=1)
        assert publisher.flush(20) and until(lambda: receiving.receiver.received == 50)
        assert not failures
        assert set(receiving.payloads()) == {b"%d" % n for n in range(50)}  # the consumer saw some of them again
        identities = [message.identity for message in receiving.messages]
        assert len(set(identities)) == 50


def test_a_broker_that_is_killed_and_forgets_gives_nothing_twice(
    publisher: PersistClient, broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path / "state", broker.port) as receiving:
        for number in range(4):
            assert until(lambda: receiving.subscriber.connected)
            publisher.publish_many([("t", 100 * number + n) for n in range(100)], qos=1)
            enough = 100 * number + 10
            until(lambda: len(receiving.messages) > enough)  # noqa: B023 - it is called here
            broker.kill()
            assert until(lambda: not receiving.subscriber.connected)
            broker.start()
        assert until(lambda: receiving.subscriber.connected)
        publisher.publish("t", "last", qos=1)
        assert publisher.flush(30) and until(lambda: b"last" in receiving.payloads())
        assert until(lambda: not receiving.receiver._taken)
        # A killed broker loses what it had acknowledged: that is named, exactly. ("last" need not come last.)
        assert until(lambda: receiving.receiver.status()["streams"][0]["missing"] == 401 - len(receiving.payloads()))
        came = receiving.payloads()
        assert len(came) == len(set(came))
        (stream,) = receiving.receiver.status()["streams"]
        lost = {b"%d" % (seq - 1) for first, last in stream["gaps"] for seq in range(first, last + 1)}
        assert lost == {b"%d" % n for n in range(400)} - set(came)
    assert "the broker had lost the session" in caplog.text


def test_a_client_of_3_1_1_gets_messages_without_identity(
    publisher: PersistClient, broker: Mosquitto, tmp_path: Path
) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, "old", clean_session=False)
    with running(tmp_path / "state", broker.port, client) as receiving:
        assert until(lambda: receiving.subscriber.connected)
        publisher.publish("t", "x", qos=1)
        assert until(lambda: receiving.payloads() == [b"x"])
        assert receiving.messages[0].identity is None and receiving.receiver.unmarked == 1
        broker.restart()
        assert until(lambda: receiving.payloads() and receiving.subscriber.connections == 2)
        publisher.publish("t", "y", qos=1)
        assert until(lambda: receiving.payloads()[-1:] == [b"y"])


def test_retained_messages_come_when_the_subscription_is_new_and_not_at_each_connection(
    publisher: PersistClient, tmp_path: Path, broker: Mosquitto
) -> None:
    publisher.publish("t", "kept", qos=1, retain=True)
    assert publisher.flush(10)
    with running(tmp_path / "state", broker.port) as receiving:
        assert until(lambda: receiving.payloads() == [b"kept"])
        assert receiving.messages[0].retain
    with running(tmp_path / "state", broker.port) as receiving:
        assert until(lambda: receiving.subscriber.connected)
        publisher.publish("t", "live", qos=1)
        assert until(lambda: receiving.payloads() == [b"live"])


def test_a_refused_subscription_and_one_with_qos_2_are_said(
    publisher: PersistClient, broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path / "state", broker.port, topics=["one", "no"]) as receiving:
        assert until(lambda: receiving.subscriber.connected)
        codes = [ReasonCode(PacketTypes.SUBACK, identifier=code) for code in (1, 0x87)]
        mid = receiving.subscriber._asked_mid
        receiving.subscriber._on_subscribe(receiving.subscriber.client, None, mid, codes, None)  # type: ignore[arg-type]
        receiving.subscriber.client.subscribe("two", 2)
        publisher.publish("two", "x")
        assert until(lambda: b"x" in receiving.payloads())
    assert "there is a subscription with QoS 2" in caplog.text
    assert "the broker refused the subscription to no: Not authorized" in caplog.text


@pytest.mark.parametrize("version", [4, 5])
def test_each_connection_and_what_it_is_subscribed_to_is_said_once(
    tmp_path: Path, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "persistmq.receiver")
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        "historian",
        protocol=MQTTProtocolVersion(version),
        clean_session=None if version == 5 else False,
    )
    with Mosquitto() as broker, running(tmp_path / "state", broker.port, client, topics=["a/#", "b"]) as receiving:
        said = f"connected to 127.0.0.1:{broker.port}, subscribed to a/#, b"
        assert until(lambda: caplog.text.count(said) == 1)
        client.subscribe("c")  # somebody else's
        client.socket().close()  # type: ignore[union-attr] # the session is kept
        assert until(lambda: caplog.text.count(said) == 2)
        assert until(lambda: receiving.subscriber.connected)
    assert caplog.text.count("connected to ") == 2


def test_without_a_broker_it_tries_again_and_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    port = free_port()
    with running(tmp_path / "state", port) as receiving:
        assert until(lambda: "refused" in receiving.subscriber.reason)
        with Mosquitto(port):
            assert until(lambda: receiving.subscriber.connected)
    assert "no connection: ConnectionRefusedError" in caplog.text


def test_a_broker_that_refuses_is_not_asked_all_the_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Mosquitto(allow_anonymous=False) as broker, running(tmp_path / "state", broker.port) as receiving:
        assert until(lambda: "refused the connection: Not authorized" in receiving.subscriber.reason)


def test_a_broker_that_says_good_bye_behind_each_connack_is_asked_less_and_less(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []
    with ScriptedBroker() as broker, Receiver(tmp_path) as receiver:
        subscriber = Subscriber(receiver, "#", "x")
        longest = SimpleNamespace(below=lambda count: count - 1)
        subscriber._backoff = Backoff(1000, 60_000, longest)  # type: ignore[arg-type]
        monkeypatch.setattr(subscriber._must_stop, "wait", delays.append)

        def answer() -> None:
            for _ in range(4):
                accepted(broker).send(CONNACK_V5 + b"\xe0\x01\x81")  # DISCONNECT: malformed packet
            subscriber.stop()

        thread = threading.Thread(target=answer)
        thread.start()
        subscriber.connect("127.0.0.1", broker.port)
        subscriber.run()
        thread.join()
    assert delays == [1, 3, 9, 27][: len(delays)] and len(delays) >= 3
    assert caplog.text.count("no connection: the broker ended the connection: Malformed packet") == len(delays)


@pytest.mark.parametrize("answers", [False, True])
def test_a_subscription_without_an_answer_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr("persistmq.receiver.subscriber._SUBACK_S", 60.0 if answers else 0.0)
    monkeypatch.setattr("persistmq.receiver.subscriber._WAIT_S", 0.01)
    with ScriptedBroker() as broker, running(tmp_path, broker.port) as receiving:
        peer = accepted(broker)
        peer.send(CONNACK_V5)
        kind, body = until_some(peer.packet)
        assert kind == 0x82
        if answers:
            peer.send(b"\x90\x04" + body[:2] + b"\x00\x01")
        assert until(lambda: receiving.subscriber.connected and receiving.subscriber._answer_due_s is None)
        assert until(lambda: caplog.text.count("has not answered") > 1, 0.1) is False
    assert caplog.text.count(f"127.0.0.1:{broker.port} has not answered the subscription for") == (not answers)


@pytest.mark.parametrize("good", ["#", "+", "a/#", "+/a/+/#", "/", "$SYS/#", "$share/group/a/#", "ä b", "$share/g/+"])
def test_what_a_filter_may_be(good: str) -> None:
    check_filter(good)


@pytest.mark.parametrize(("bad", "words"), [
    ("", "empty"),
    (None, "a string, not None"),
    (b"a", "a string, not b'a'"),
    ("a#", "'a#' has a #"),
    ("#/a", "'#/a' has a #"),
    ("a/##", "'a/##' has a #"),
    ("a+/b", "'a+/b' has a +"),
    ("a\0b", "NUL"),
    ("a\nb", "U+000A"),
    ("a" * 65536, "65536 bytes"),
    ("$share/a", "$share/GROUP/FILTER"),
    ("$share//a", "$share/GROUP/FILTER"),
    ("$share/a/", "$share/GROUP/FILTER"),
    ("$share/+/a", "$share/GROUP/FILTER"),
])  # fmt: skip
def test_what_no_filter_may_be_is_said_with_its_name(bad: str, words: str, tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        for options in ({"topics": [bad]}, {"topics": ["a"], "unsubscribe": [bad]}):
            with pytest.raises((ValueError, TypeError), match=re.escape(words)):
                Subscriber(receiver, client="x", **options)  # type: ignore[arg-type]


def test_mistakes_are_said_before_anything_is_connected(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        with pytest.raises(ValueError, match="the filter 'a' is to be subscribed to, and its subscription ended"):
            Subscriber(receiver, ["a", "b"], "x", unsubscribe=["a"])
        with pytest.raises(ValueError, match="qos is 2"):
            Subscriber(receiver, "#", "x", qos=2)
        with pytest.raises(ValueError, match="the client identifier is empty"):
            Subscriber(receiver, "#", "")
        subscriber = Subscriber(receiver, "#", "x")
        with pytest.raises(RuntimeError, match="connect"):
            subscriber.run()
        with pytest.raises(ValueError, match="clean_start"):
            subscriber.connect("broker.example", clean_start=True)
