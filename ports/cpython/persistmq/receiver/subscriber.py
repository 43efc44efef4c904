"""A receiver at a broker: paho-mqtt for the connection, and an acknowledgement only for what is durable.

All on one thread, which reads what has come, makes it durable in one step, and then acknowledges it. So a message is
acknowledged in the connection it came in, or not at all; one that was not comes again.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from persistmq_core.backoff import Backoff
from persistmq_core.errors import StoreError
from persistmq_core.limits import RECONNECT_DELAY_MS_MAX, RECONNECT_DELAY_MS_MIN

from ..chance import SystemRandom
from ..connect_options import check_address, session_properties
from .filters import check_filter
from .output import OutputError, Received
from .receiver import OnMessage, Receiver

logger = logging.getLogger("persistmq.receiver")

_WAIT_S = 0.2  # for something to come, before a look at whether it is to stop
_AT_ONCE_MAX = 1000  # messages of one step
_SEND_RETAINED_ONCE = 1  # MQTT 5, 3.8.3.1: only where the subscription is new
_FAILURE = 0x80
_SUBACK_S = 5.0  # then it is said that there is none


class _Raised(Exception):
    """What the application's ``on_message`` raised, which is not to be taken for a failure of ours."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Subscriber:
    """``connect``, then ``run``, which ends when another thread, a callback or a signal handler calls ``stop``.

    Args:
        receiver: what takes the messages. This object does not close it.
        topics: a topic filter, or several. To know what is missing, a receiver has to get all that a publisher sends.
        client: a paho client, or the client identifier of one that is made here, of MQTT 5. It needs a session that the
            broker keeps: a client of MQTT 3.1.1 is made with ``clean_session=False``. Its ``on_message``,
            ``on_connect``, ``on_disconnect`` and ``on_subscribe`` are this object's, and so is its loop.
        on_message: called with each ``Received`` that is new. It makes it durable before it returns; raises it, then
            ``run`` ends with that, and the message comes again.
        qos: 1, or 0. With 2, paho answers PUBREC before anything is durable, and after a crash the broker does not send
            the message again; identity does what QoS 2 would have done.
        reconnect_delay_ms_min, reconnect_delay_ms_max: between attempts, with jitter; also when the output fails.
        unsubscribe: topic filters of earlier runs that are not wanted any more: the broker keeps them with the session.
    """

    def __init__(
        self,
        receiver: Receiver,
        topics: str | Iterable[str],
        client: paho.Client | str,
        on_message: OnMessage | None = None,
        *,
        qos: int = 1,
        reconnect_delay_ms_min: int = RECONNECT_DELAY_MS_MIN,
        reconnect_delay_ms_max: int = RECONNECT_DELAY_MS_MAX,
        unsubscribe: Iterable[str] = (),
    ) -> None:
        if qos not in (0, 1):
            raise ValueError("qos is %r, it must be 0 or 1: see Subscriber" % (qos,))
        if isinstance(client, str):
            if not client:
                raise ValueError("the client identifier is empty: the broker keeps the session under it")
            client = paho.Client(CallbackAPIVersion.VERSION2, client, protocol=MQTTProtocolVersion.MQTTv5)
        self.client = client
        self.connected = False
        self.reason = "not connected yet"
        self._receiver = receiver
        self._on_new = on_message
        self._topics = [topics] if isinstance(topics, str) else list(topics)
        self._qos = qos
        self._unwanted = list(unsubscribe)
        for topic in [*self._topics, *self._unwanted]:
            check_filter(topic)
        for topic in self._unwanted:
            if topic in self._topics:
                raise ValueError("the filter %r is to be subscribed to, and its subscription ended" % topic)
        self._arrived: list[paho.MQTTMessage] = []
        self._connect: Callable[[], object] | None = None
        self._where = ""
        self._asked_mid: int | None = None  # of our SUBSCRIBE
        self._answer_due_s: float | None = None  # when that it has no answer is said
        self._must_stop = threading.Event()
        self._backoff = Backoff(reconnect_delay_ms_min, reconnect_delay_ms_max, SystemRandom())
        self.connections = 0
        self._is_refused = False
        self._up_s = 0.0  # when the connection came up
        self._said_by_broker = ""  # why it ended it
        self._warned = False
        client.manual_ack_set(True)
        client.reconnect_delay_set(1, 1)  # paho's own reconnecting is not used
        client.on_message = self._on_message
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe

    def connect(self, host: str, port: int = 1883, keepalive: int = 60, **connect_kwargs: Any) -> None:
        """Say where ``run`` connects to; ``connect_kwargs`` are paho's. Raises ValueError or TypeError."""
        check_address(host, port, keepalive, **connect_kwargs)
        if self.client.protocol == MQTTProtocolVersion.MQTTv5:
            properties = session_properties(connect_kwargs.pop("properties", None))
            connect_kwargs |= {"clean_start": False, "properties": properties}
        self._where = "%s:%d" % (host, port)
        self._connect = lambda: self.client.connect(host, port, keepalive, **connect_kwargs)

    def run(self) -> None:
        """Receive until ``stop``. Raises what ``on_message`` raises, ``Superseded`` of an output, RuntimeError."""
        if self._connect is None:
            raise RuntimeError("connect() comes before run(): it says where to")
        try:
            while not self._must_stop.is_set():
                try:
                    if self.client.socket() is None:
                        self._connect()
                    self._step()
                except (OSError, OutputError, StoreError) as failure:
                    self._end("%s: %s" % (type(failure).__name__, failure))
        except _Raised as raised:
            raise raised.error from None
        finally:
            self._receiver.rollback()
            self._arrived = []
            self.client.disconnect()
            self.connected = False

    def stop(self) -> None:
        """Let ``run`` end soon. From any thread."""
        self._must_stop.set()

    # --- inside ---

    def _step(self) -> None:
        code = self.client.loop(_WAIT_S)
        before = 0
        while code == MQTTErrorCode.MQTT_ERR_SUCCESS and before < len(self._arrived) < _AT_ONCE_MAX:
            before = len(self._arrived)
            code = self.client.loop(0)
        # With MQTT 5 a broker may say good-bye, and for paho that is a success.
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self.client.socket() is None:
            # What was not acknowledged comes again, but for QoS 0.
            self._arrived = [message for message in self._arrived if message.qos == 0]
            self._work()
            self._end(self.reason if self._is_refused else self._said_by_broker or paho.error_string(code))
            return
        if self._answer_due_s is not None and time.monotonic() >= self._answer_due_s:
            self._answer_due_s = None
            logger.warning("%s has not answered the subscription for %.0f s", self._where, _SUBACK_S)
        self._work()

    def _work(self) -> None:
        """Make what has arrived durable; then the broker may forget it."""
        arrived, self._arrived = self._arrived, []
        if not arrived:
            return
        new: list[Received] = []
        try:
            for message in arrived:
                payload = bytes(message.payload)
                properties = getattr(message, "properties", None)
                new += self._receiver.take(
                    _topic(message), payload, properties, qos=message.qos, retain=message.retain
                )
            if self._on_new is not None:
                try:
                    for each in new:
                        self._on_new(each)
                except Exception as error:  # noqa: BLE001 - it goes on its way in ``run``
                    raise _Raised(error) from None
            self._receiver.commit()
        except BaseException:
            self._receiver.rollback()
            raise
        for message in arrived:
            if message.qos and self.client.ack(message.mid, message.qos) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return  # the connection is lost; it is noticed there
        self._backoff.reset()

    def _end(self, reason: str) -> None:
        """End the connection and wait: what was not acknowledged comes again in the next one."""
        self._receiver.rollback()
        self._arrived = []
        if self.client.socket() is not None:
            self.client.disconnect()
        if reason != self.reason or self.connected:
            logger.warning("no connection: %s", reason)
        if self.connected:
            self._backoff.lasted(int((time.monotonic() - self._up_s) * 1000))
        self.reason = reason
        self.connected = False
        self._answer_due_s = None
        delay_ms = self._backoff.longest_ms() if self._is_refused else self._backoff.next_ms()
        self._must_stop.wait(delay_ms / 1000)

    def _on_connect(self, client: paho.Client, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        self._is_refused = code.is_failure
        self._said_by_broker = ""
        if code.is_failure:
            self.reason = "the broker refused the connection: %s" % code
            return
        if self.connections and not flags.session_present:
            logger.warning("the broker had lost the session: it kept nothing of what was published meanwhile")
        self.connections += 1
        self.connected = True
        self._up_s = time.monotonic()
        self.reason = ""
        self._answer_due_s = time.monotonic() + _SUBACK_S
        if self._unwanted:
            client.unsubscribe(self._unwanted)
        if client.protocol == MQTTProtocolVersion.MQTTv5:
            options = SubscribeOptions(self._qos, retainHandling=_SEND_RETAINED_ONCE)
            _, self._asked_mid = client.subscribe([(topic, options) for topic in self._topics])
        elif not flags.session_present or self.connections == 1:
            _, self._asked_mid = client.subscribe([(topic, self._qos) for topic in self._topics])
        else:
            self._answer_due_s = None
            self._say_subscribed(self._topics)

    def _on_disconnect(self, _client: paho.Client, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._said_by_broker = "the broker ended the connection: %s" % code

    def _on_subscribe(self, _client: paho.Client, _data: Any, mid: int, codes: Any, _properties: Any) -> None:
        if mid != self._asked_mid:
            return  # somebody else's, on the same client
        self._answer_due_s = None
        answers = list(zip(self._topics, codes, strict=False))
        for topic, code in answers:
            if code.value >= _FAILURE:
                logger.error("the broker refused the subscription to %s: %s", topic, code)
        self._say_subscribed([topic for topic, code in answers if code.value < _FAILURE])

    def _say_subscribed(self, topics: list[str]) -> None:
        logger.info("connected to %s, subscribed to %s", self._where, ", ".join(topics) or "nothing")

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._arrived.append(message)
        if message.qos == 2 and not self._warned:
            self._warned = True
            logger.warning("there is a subscription with QoS 2: a crash can lose what comes by it")


def _topic(message: paho.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:  # no broker should have let it pass
        return "\ufffd"
