"""Brokers that refuse, freeze, forget and move."""

import base64
import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq import MessageDropped, PersistClient

from tests.main_job.cache_files import dead_letters
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]
V5 = MQTTProtocolVersion.MQTTv5


def is_up(client: PersistClient) -> bool:
    up: bool = client.get_status()["connected"]
    return up


# --- it refuses ---


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("stays", [True, False])
def test_a_message_that_the_broker_refuses_is_parked_with_its_reason_and_the_others_are_delivered(
    make_client: Make, tmp_path: Path, qos: int, stays: bool
) -> None:
    # Mosquitto 2.0.11 with max_inflight_messages 0 breaks the connection behind each refusal, without a word, and
    # acknowledgements that were on their way are lost with it.
    rules = tmp_path / "acl"
    rules.write_text("topic read #\ntopic readwrite allowed\n")
    rules.chmod(0o600)
    dropped: list[tuple[Any, ...]] = []
    lines = ["acl_file %s" % rules]
    with Mosquitto(config_lines=lines, default_config=stays) as broker, Receiver(broker.port) as receiver:
        client = make_client(protocol=V5)
        client.on_dropped = lambda who, seq, account, reason: dropped.append((who is client, seq, account, reason))
        infos = [client.publish("allowed" if number != 5 else "forbidden", number, qos=qos) for number in range(10)]
        client.connect_async("127.0.0.1", broker.port)
        assert client.flush(10)
        came = receiver.wait(9)
        if qos == 1 and not stays:
            came = list(dict.fromkeys(came))
        assert came == [str(number) for number in range(10) if number != 5]
        bad = infos.pop(5)
        with pytest.raises(MessageDropped, match="was refused: not authorized") as caught:
            bad.wait_for_publish(1)
        assert (caught.value.seq, caught.value.account) == (bad.seq, "refused")
        assert (bad.is_published(), bad.rc) == (False, 13)
        assert all(info.is_published() and info.rc == 0 for info in infos)
        assert dropped == [(True, bad.seq, "refused", "not authorized (0x87)")]
        status = client.get_status()
        assert (status["delivered"], status["refused"], status["waiting"]) == (9, 1, 0)
        assert status["connections"] == 1 or not stays
    client.stop()
    client = make_client(protocol=V5)
    [(letter, content)] = dead_letters(client).items()
    assert letter.endswith("-87.seg")
    assert b"forbidden" in content
    status = client.get_status()
    assert (status["delivered"], status["refused"], status["waiting"]) == (9, 1, 0)


def password_line(user: str, password: str) -> str:
    """As mosquitto_passwd writes it: PBKDF2 of SHA-512."""
    salt = os.urandom(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101, 64)
    return "%s:$7$101$%s$%s\n" % (user, base64.b64encode(salt).decode(), base64.b64encode(key).decode())


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, V5])
def test_a_refused_password_is_said_is_not_tried_again_at_once_and_a_new_one_is(
    make_client: Make, tmp_path: Path, protocol: MQTTProtocolVersion
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text(password_line("pole", "right"))
    passwords.chmod(0o600)
    with Mosquitto(config_lines=["password_file %s" % passwords], allow_anonymous=False) as broker:

        def attempts() -> int:  # the broker's own, to see whether it is up, among them
            return broker.log_text().count("disconnected, not authorised")

        client = make_client(protocol=protocol, reconnect_delay_ms_max=60_000)
        client.mqtt_client.username_pw_set("pole", "wrong")
        client.publish("a", "b")
        before = attempts()
        client.connect_async("127.0.0.1", broker.port)
        assert until(lambda: "refused the connection" in client.get_status()["down_reason"])
        status = client.get_status()
        assert "not authori" in status["down_reason"].lower()
        assert (status["connected"], status["waiting"]) == (False, 1)
        assert not until(lambda: attempts() > before + 1, 0.5)
        client.mqtt_client.username_pw_set("pole", "right")
        client.connect_async("127.0.0.1", broker.port)
        assert client.flush(10)
        client.stop()


# --- it moves ---


def test_a_second_connect_async_takes_what_waits_to_another_broker(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    assert client.publish("a", "first").wait_for_publish(10)
    with Mosquitto() as other, Receiver(other.port) as other_receiver:
        client.connect_async("127.0.0.1", other.port)
        assert until(lambda: client.get_status()["connections"] == 2)
        client.publish("a", "second")
        assert client.flush(10)
        assert other_receiver.wait(1) == ["second"]
        client.stop()
    assert receiver.wait(1) == ["first"]


def test_a_second_connect_async_ends_a_long_wait_for_a_broker_that_is_not_there(
    make_client: Make, broker: Mosquitto
) -> None:
    client = make_client(reconnect_delay_ms_min=60_000, reconnect_delay_ms_max=60_000)
    client.connect_async("127.0.0.1", 1)
    assert until(lambda: "refused" in client.get_status()["down_reason"].lower())
    client.connect_async("127.0.0.1", broker.port)
    assert client.publish("a", "b").wait_for_publish(5)


# --- it is silent, and it forgets ---


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, V5])
def test_after_a_broker_was_frozen_everything_is_delivered_once(
    make_client: Make, broker: Mosquitto, receiver: Receiver, protocol: MQTTProtocolVersion
) -> None:
    client = make_client(ack_timeout_ms=1000, connect_timeout_ms=1000, protocol=protocol)
    client.connect_async("127.0.0.1", broker.port)
    for number in range(100):
        client.publish("a", number)
    assert until(lambda: client.get_status()["delivered"] > 0)
    broker.freeze()
    for number in range(100, 200):
        client.publish("a", number)
    assert until(lambda: "no acknowledgement for 1000 ms" in client.get_status()["down_reason"], 5)
    # The transport and the engine watch the same time, and either may be the first to say it.
    assert until(lambda: client.get_status()["down_reason"].startswith(("no CONNACK", "no connection")), 5)
    broker.thaw()
    assert client.flush(20), client.get_status()
    assert receiver.wait(200) == [str(number) for number in range(200)]
    assert client.get_status()["repeated"] == 0  # the session was kept, so the broker knew what it had


@pytest.mark.parametrize(("choice", "repeated"), [("resend", 20), ("trust", 20)])
def test_a_broker_that_was_killed_with_its_sessions_costs_no_message_and_the_repeats_are_counted(
    make_client: Make, broker: Mosquitto, choice: str, repeated: int
) -> None:
    client = make_client(on_session_lost=choice)
    client.connect_async("127.0.0.1", broker.port)
    assert until(lambda: is_up(client))
    broker.freeze()
    for number in range(100):
        client.publish("a", number)
    assert until(lambda: client.get_status()["in_flight"] == 20)
    os.kill(broker.pid, signal.SIGKILL)  # as it lies: it has read nothing of it
    assert until(lambda: not is_up(client))
    with Mosquitto() as other, Receiver(other.port) as receiver:
        client.connect_async("127.0.0.1", other.port)
        assert client.flush(10)
        assert receiver.wait(100) == [str(number) for number in range(100)]
        status = client.get_status()
        assert (status["delivered"], status["repeated"]) == (100, repeated)
        client.stop()


def test_over_many_restarts_of_a_broker_without_sessions_nothing_is_lost(make_client: Make, broker: Mosquitto) -> None:
    # A subscriber would lose what a broker loses, so what counts is what the broker itself says that it received.
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    for life in range(5):
        for number in range(40):
            client.publish("life/%d/%d" % (life, number), "x", qos=1 + number % 2)
        broker.kill()
        broker.start()
    assert client.flush(10)
    received = broker.log_text()
    for life in range(5):
        for number in range(40):
            assert "'life/%d/%d'" % (life, number) in received
    status = client.get_status()
    assert (status["accepted"], status["delivered"], status["waiting"]) == (200, 200, 0)
