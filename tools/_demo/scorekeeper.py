"""The demo's scorekeeper: a subscriber that must itself neither lose nor double anything.

Bare paho, QoS 2, and a session that the broker keeps: what arrives for it while it is away waits for it.
"""

import json
import threading
from typing import Any

import paho.mqtt.client as mqtt
from _demo.broker import HOST
from _demo.judge import Reading

TOPIC = "demo/readings"


class Scorekeeper:
    def __init__(self, port: int, qos: int) -> None:
        self.deliveries: list[Reading] = []
        self.different = 0
        self.sessions_lost = 0  # each one would make the count untrue
        self.repeated_by_broker = 0  # shown, not counted against the publisher
        self.delivery = threading.Event()  # set by every delivery; who waits for the next one clears it
        self._seen: set[Reading] = set()
        self._taken: dict[int, bytes] = {}  # packet identifier -> payload
        self._subscribed = threading.Event()
        self._qos = qos
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "demo-scorekeeper", clean_session=False)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(0.05, 0.05)  # back before the publisher, to see the drain from its start
        self._client.connect_async(HOST, port)

    def start(self) -> None:
        self._client.loop_start()
        if not self._subscribed.wait(15):
            raise SystemExit("The scorekeeper cannot subscribe at the broker.")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _data: Any, flags: Any, _reason: Any, _properties: Any) -> None:
        if flags.session_present:
            return
        if self._subscribed.is_set():
            self.sessions_lost += 1
        client.subscribe(TOPIC, self._qos)

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        # Over its own restart Mosquitto 2.0.11 sends a subscriber some messages again after their PUBREL. That is its
        # own leg, not the publisher's: DUP is set only on such a repeat [MQTT-3.3.1-3], and the identifier is the same.
        # What the publisher doubled comes as another message, under another identifier and without DUP.
        if message.dup and self._taken.get(message.mid) == message.payload:
            self.repeated_by_broker += 1
            return
        self._taken[message.mid] = message.payload
        content = json.loads(message.payload)
        reading = (content["life"], content["reading"])
        self.deliveries.append(reading)
        if reading not in self._seen:
            self._seen.add(reading)
            self.different += 1
        self.delivery.set()
