"""A subscriber that must itself neither lose nor double anything, or the count of a test is not true.

Mosquitto 2.0.11 gives a subscriber a QoS 2 message twice by itself: restarted between its PUBREL and the PUBCOMP, it
begins again with PUBLISH. Such a repeat has the DUP flag and the packet identifier of a message that was taken already,
and is not counted. A message that a publisher delivered twice has an identifier of its own here.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

import paho.mqtt.client as paho


class Arrival(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool


class Receiver:
    """Bare paho with QoS 2 and a session that the broker keeps: what comes while it is away waits for it there.

    ``with Receiver(port) as receiver`` is subscribed when the block begins. ``qos=0`` shows what a broker routes,
    without a word of its own. ``sessions_lost`` above 0 means that nothing is known.
    """

    def __init__(self, port: int, topic: str = "#", qos: int = 2, name: str = "receiver") -> None:
        self.arrivals: list[Arrival] = []
        self.sessions_lost = 0
        self._topic = topic
        self._qos = qos
        self._taken: dict[int, bytes] = {}  # the last payload under each packet identifier
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, name, clean_session=False)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(0.05, 0.05)  # type: ignore[arg-type] # paho takes fractions
        self._client.connect_async("127.0.0.1", port)

    @property
    def payloads(self) -> list[str]:
        """In the order in which they came, as text."""
        return [arrival.payload.decode(errors="backslashreplace") for arrival in list(self.arrivals)]

    def wait(self, count: int, timeout_s: float = 10.0) -> list[str]:
        """Wait for ``count`` messages and a moment more, in which nothing should come; the payloads."""
        until(lambda: len(self.arrivals) >= count, timeout_s)
        time.sleep(0.05)
        return self.payloads

    def __enter__(self) -> "Receiver":
        self._client.loop_start()
        if not self._subscribed.wait(10):
            self._client.loop_stop()
            raise TimeoutError("the receiver could not subscribe")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, _data: Any, flags: Any, _reason: Any, _properties: Any) -> None:
        if flags.session_present:
            self._subscribed.set()
            return
        self.sessions_lost += self._subscribed.is_set()
        client.subscribe(self._topic, self._qos)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.dup and self._taken.get(message.mid) == message.payload:
            return
        self._taken[message.mid] = message.payload
        self.arrivals.append(Arrival(message.topic, message.payload, message.qos, message.retain))


def until(condition: Callable[[], object], timeout_s: float = 10.0) -> bool:
    """Wait until ``condition`` holds; False if it does not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
