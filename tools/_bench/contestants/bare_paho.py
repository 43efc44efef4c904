"""Bare paho-mqtt: in memory, with TCP_NODELAY, which it does not set by itself."""

import socket
import threading
import time
from typing import Any

import paho.mqtt.client as paho

from _bench.meter import Meter
from _bench.wire import HOST, TOPIC

_TIMEOUT_S = 120
# Above 65,535 it gives an identifier that is in use to another message, and forgets the first one.
_UNACKNOWLEDGED_MAX = 10_000


def publish(port: int, messages: int, warm_up: int, payload_bytes: int, qos: int, window: int) -> dict[str, Any]:
    run = _Run(qos, window)
    run.connect(port)
    payload = bytes(payload_bytes)
    run.publish(warm_up, payload)
    with Meter() as meter:
        run.publish(messages, payload)
    run.client.disconnect()
    run.client.loop_stop()
    return meter.figures(messages)


def drain(port: int, messages: int, payload_bytes: int, qos: int, window: int) -> dict[str, Any]:
    """From CONNECT on: what publish() is given offline paho sends at once, past its own window."""
    run = _Run(qos, window)
    with Meter() as meter:
        run.connect(port)
        run.publish(messages, bytes(payload_bytes))
    run.client.disconnect()
    run.client.loop_stop()
    return meter.figures(messages)


class _Run:
    def __init__(self, qos: int, window: int) -> None:
        self._qos = qos
        self._acknowledged = 0
        self._wanted = 0
        self._up = threading.Event()
        self._all = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"bench-paho-{time.monotonic_ns()}")
        self.client.max_inflight_messages_set(window)
        self.client.on_socket_open = self._without_delay
        self.client.on_connect = lambda *_: self._up.set()
        self.client.on_publish = self._count

    def connect(self, port: int) -> None:
        self.client.connect(HOST, port)
        self.client.loop_start()
        if not self._up.wait(_TIMEOUT_S):
            raise TimeoutError("no connection")

    def publish(self, messages: int, payload: bytes) -> None:
        self._all.clear()
        self._wanted += messages
        publish, qos = self.client.publish, self._qos
        for number in range(self._wanted - messages, self._wanted):
            while number - self._acknowledged >= _UNACKNOWLEDGED_MAX:
                time.sleep(0.001)
            publish(TOPIC, payload, qos)
        if not self._all.wait(_TIMEOUT_S):
            raise TimeoutError(f"{self._acknowledged} of {self._wanted} were acknowledged")

    def _count(self, *_: Any) -> None:
        self._acknowledged += 1
        if self._acknowledged == self._wanted:
            self._all.set()

    @staticmethod
    def _without_delay(_client: paho.Client, _userdata: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
