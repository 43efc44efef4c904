"""What can be set, what is refused, and what is told."""

import logging
import os
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from persistmq import PersistClient

from tests.main_job.receiver import Receiver, until
from tests.main_job.worker_process.applications import worker_of
from tests.support.mosquitto import HOST, Mosquitto

Make = Callable[..., PersistClient]


def test_what_the_worker_logs_comes_out_in_the_application(
    make_client: Make, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    broker.stop()
    client = make_client(worker="process")
    client.connect_async(HOST, broker.port)
    assert until(lambda: "no connection: 127.0.0.1:%d: Connection refused" % broker.port in caplog.text)
    assert "Connection refused" in client.get_status()["down_reason"]
    with caplog.at_level(logging.INFO, "persistmq"):
        broker.start()
        assert until(lambda: "connected, session new" in caplog.text)


def test_settings_of_mqtt_client_are_used_before_and_after_connect_async_and_by_the_next_worker(
    make_client: Make, tmp_path: Path
) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "user", "right"], check=True, capture_output=True)
    lines = ["password_file %s" % passwords]
    with Mosquitto(config_lines=lines, allow_anonymous=False) as broker:
        client = make_client(worker="process")
        client.mqtt_client.username_pw_set("user", "wrong")
        client.mqtt_client.will_set("will", "gone", qos=1, retain=True)
        client.connect_async(HOST, broker.port)
        assert until(lambda: "refused the connection" in client.get_status()["down_reason"])
        client.mqtt_client.username_pw_set("user", "right")
        client.connect_async(HOST, broker.port)
        assert until(lambda: client.get_status()["connected"])
        os.kill(worker_of(client), signal.SIGKILL)
        assert until(lambda: client.get_status()["connections"] == 2)
        assert client.publish("a", "b").wait_for_publish(10)
        client.mqtt_client.username_pw_set("user", "wrong again")
        broker.restart()
        assert until(lambda: "refused the connection" in client.get_status()["down_reason"])


@pytest.mark.parametrize(
    "use",
    [
        lambda mqtt: mqtt.subscribe("a"),
        lambda mqtt: mqtt.unsubscribe("a"),
        lambda mqtt: mqtt.publish("a", "b"),
        lambda mqtt: mqtt.message_callback_add("a", print),
        lambda mqtt: setattr(mqtt, "on_message", print),
        lambda mqtt: setattr(mqtt, "on_connect", print),
        lambda mqtt: mqtt.connect_callback()(print),
        lambda mqtt: mqtt.tls_set_context(ssl.create_default_context()),
        lambda mqtt: setattr(mqtt, "max_inflight_messages", 5),
        lambda mqtt: setattr(mqtt, "password", "by username_pw_set"),
        lambda mqtt: mqtt.user_data_set({}),
        lambda mqtt: mqtt.socket(),
        lambda mqtt: mqtt.is_connected(),
        lambda mqtt: mqtt.connect("127.0.0.1"),
        lambda mqtt: mqtt.loop_start(),
    ],
)
def test_what_cannot_work_in_another_process_says_so_at_once(make_client: Make, use: Callable[[Any], object]) -> None:
    client = make_client(worker="process")
    with pytest.raises(RuntimeError, match=r"mqtt_client\.\w+"):
        use(client.mqtt_client)
    assert not client._delivery._settings["calls"]  # type: ignore[union-attr]


def test_what_paho_does_not_take_raises_here_and_what_cannot_be_passed_on_too(make_client: Make) -> None:
    client = make_client(worker="process")
    with pytest.raises(ValueError, match="topic"):
        client.mqtt_client.will_set("")
    with pytest.raises(FileNotFoundError):
        client.mqtt_client.tls_set(ca_certs="/nowhere/at/all.pem")
    with pytest.raises(TypeError, match="ws_set_options.*cannot be passed on"):
        client.mqtt_client.ws_set_options(headers=lambda headers: headers)
    with pytest.raises(ValueError, match="will_set.*bytes"):
        client.mqtt_client.will_set("a", bytes(1_000_000))
    assert not client._delivery._settings["calls"]  # type: ignore[union-attr]
    for number in range(10_000):  # a token for each hour of a year is one setting
        client.mqtt_client.username_pw_set("user", "token %d" % number)
    assert len(client._delivery._settings["calls"]) == 1  # type: ignore[union-attr]
    client.stop()
    with pytest.raises(TypeError, match="cannot be passed on"):
        make_client(worker="process", userdata=threading.Lock())
    make_client()  # the cache is free


@pytest.mark.parametrize(
    "options",
    [
        {"worker": "fibre"},
        {"worker": "process", "start_method": "vfork"},
        {"drain_after_exit": True},
    ],
)
def test_parameters_that_cannot_be_are_refused_before_anything_is_written(
    make_client: Make, tmp_path: Path, options: "dict[str, Any]"
) -> None:
    with pytest.raises(ValueError):
        make_client(**options)
    make_client()  # the cache is free


def test_a_second_connect_async_changes_the_broker(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    with Mosquitto() as other, Receiver(other.port) as other_receiver:
        client = make_client(worker="process")
        client.connect_async(HOST, broker.port)
        assert client.publish("a", "first").wait_for_publish(10)
        client.connect_async(HOST, other.port)
        assert until(lambda: client.get_status()["connections"] == 2)
        assert client.publish("a", "second").wait_for_publish(10)
        assert (receiver.wait(1), other_receiver.wait(1)) == (["first"], ["second"])
