"""The transport on paho-mqtt: when to connect, read and write. ``paho_client.py`` says how."""

import logging
import math
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

from persistmq_core.contracts import CONNECTING, DOWN, UP, Transport
from persistmq_core.errors import ProtocolError
from persistmq_core.limits import CONNECT_TIMEOUT_MS

from .connect_options import check_address, client_options, session_properties
from .connector import Connector, is_about_certificate
from .handshake import DECODE_ERRORS, decode_connack, decode_disconnect
from .paho_client import EngineClient
from .stream import Inbox, rest_of_packet
from .wakeup import WakeUp

_RECEIVE_BYTES = 65536
_RECEIVE_BYTES_MAX = 1 << 20  # in one state(): a flood of incoming messages must not keep the engine from sending
_CONNACK = 0x20
_DISCONNECT = 0xE0
_WHERE = {CONNECTING: "was to come", UP: "had come"}
_FOREVER_MS = 86400000
_log = logging.getLogger("persistmq.transport")


class PahoTransport(Transport):
    """One MQTT connection by paho-mqtt. All but ``wake`` is for one thread, the engine's.

    ``connect_timeout_ms`` is for DNS, TCP, TLS and CONNACK together; ``paho_kwargs`` go to ``paho.mqtt.client.Client``.
    ``client`` is the user's paho client: ``tls_set``, ``username_pw_set``, ``subscribe`` and the callbacks.
    Raises ValueError for what a durable publisher cannot have: no client identifier, ``clean_session=True``.
    """

    def __init__(self, client_id: str, connect_timeout_ms: int = CONNECT_TIMEOUT_MS, **paho_kwargs: Any) -> None:
        options = client_options(client_id, paho_kwargs)
        self.protocol = 5 if options["protocol"] == MQTTProtocolVersion.MQTTv5 else 4
        self._wake_up = WakeUp()
        self.client = EngineClient(self._wake_up.set, **options)
        self.client.connect_timeout = connect_timeout_ms / 1000
        self._connect_timeout_ms = connect_timeout_ms
        self._state = DOWN
        self._address = ""
        self._clean_session = False
        self._deadline_s = 0.0
        self._connector: Connector | None = None  # the last one, which may still be running
        self._inbox = Inbox()
        self._core_rest = 0  # bytes of a packet of the core's of which a part was taken

    def configure(self, host: str, port: int = 1883, keepalive: int = 60, **connect_kwargs: Any) -> None:
        """Set where to connect to, from the next ``open`` on; an open connection is closed.

        ``keepalive`` is in seconds, 0 for none; ``connect_kwargs`` are paho's: bind_address, bind_port, properties.
        Raises ValueError or TypeError for what cannot be.
        """
        check_address(host, port, keepalive, **connect_kwargs)
        connect_kwargs.pop("clean_start", None)  # open() says it for each connection
        if self.protocol == 5:
            connect_kwargs["properties"] = session_properties(connect_kwargs.get("properties"))
        self.close()
        self.client.prepare(host, port, keepalive, **connect_kwargs)
        self._address = "%s:%d" % (host, port)

    def open(self, clean_session: bool) -> None:
        self.close()
        self._inbox.acknowledgements()  # of the former connection
        self.reason, self.reason_code, self.refused, self.dropped = "connecting", 0, False, False
        self.session_present = False
        if not self._address:
            self.reason = "no broker was configured"
            return
        if self._connector is not None and self._connector.is_running:
            # One thread at most: with a DNS server that is silent there would be one more for each try.
            self.reason = "still resolving %s, for %d s" % (self._address, self._connector.age_s)
            return
        self._connector = Connector(self.client.make_socket, self.client.abort_connecting, self._wake_up.set)
        try:
            self._connector.start()
        except RuntimeError as error:
            self.reason = str(error)
            return
        self._clean_session = clean_session
        self._deadline_s = time.monotonic() + self._connect_timeout_ms / 1000
        self._state = CONNECTING

    @property
    def session_is_ours(self) -> bool:  # type: ignore[override]
        return not self.client.has_subscribed

    def state(self) -> int:
        self.client.engine_thread = threading.get_ident()
        if self._state == CONNECTING:
            self._guarded(self._connect)
        if self._state != DOWN and self.client.descriptor() >= 0:
            self._guarded(self._pump)
        return self._state

    def send(self, view: bytearray | memoryview, follows: int = 0) -> int:
        if self._state != UP:
            return 0
        view = memoryview(view)  # whose parts are no copies
        size = len(view)
        taken = 0
        try:
            while taken < size:
                end = size
                if self.client.has_packets:
                    # paho's own, PINGREQ among them, get their turn behind the packet that was begun.
                    if self._core_rest == 0 and not self.client.flush():
                        break
                    end = min(size, taken + self._core_rest) if self._core_rest else size
                count = self.client.send_some(view[taken:end])
                if count == 0:
                    break
                self._core_rest = rest_of_packet(view, taken + self._core_rest, taken + count, follows)
                taken += count
        except OSError as error:
            self._guarded(partial(self._lost_while_writing, error))
            self._wake_up.set()  # there is no descriptor left that could: the engine is to hear of it now
        return taken

    def receive(self) -> bytes:
        return self._inbox.acknowledgements()

    def close(self) -> None:
        self.client.engine_thread = threading.get_ident()
        if self._state == UP:
            # Unread bytes would make the kernel reset the connection, and DISCONNECT might be lost by that.
            self._guarded(self._read)
        if self._state == DOWN:
            return
        was_up = self._state == UP
        self._set_down("closed")
        self._guarded(partial(self.client.goodbye, was_up and self._core_rest == 0))
        self._end("closed")

    def release(self) -> None:
        """Close for good, the wake-up included; ``wake`` does nothing from then on."""
        self.close()
        self._wake_up.close()

    def wake(self) -> None:
        """End a ``wait``, or the next one. From any thread or a signal handler."""
        self._wake_up.set()

    def wait(self, timeout_ms: int, want_write: bool = False, answer_bytes: int = 1) -> None:
        """Wait until there is something to read, room to write (``want_write``), a ``wake``, or work for ``state``.

        ``answer_bytes``: so many are worth waiting a millisecond for, when there are a few.
        """
        can_flush = self.client.has_packets and self._core_rest == 0
        wants_write = want_write or can_flush or self.client.has_taken
        timeout_ms = 0 if self.client.has_decrypted else min(timeout_ms, self._due_ms())
        if answer_bytes > 1 and timeout_ms > 0 and not wants_write and self.client.wake_at(answer_bytes):
            if self._wake_up.wait(1, self.client.descriptor()):
                return
            timeout_ms -= 1
        self.client.wake_at(1)
        self._wake_up.wait(timeout_ms, self.client.descriptor(), wants_write)

    def _due_ms(self) -> int:
        if self._state == CONNECTING:
            return max(0, math.ceil((self._deadline_s - time.monotonic()) * 1000))
        return self.client.keepalive_due_ms() if self._state == UP and not self._core_rest else _FOREVER_MS

    def _guarded(self, work: Callable[[], None]) -> None:
        """Nothing that paho does with bytes from outside may end the engine's thread."""
        try:
            work()
        except (ProtocolError, *DECODE_ERRORS) as error:
            self._end("the broker sent what MQTT forbids: %s" % error)
        except OSError as error:
            self._lost(error)
        except Exception as error:  # noqa: BLE001 - of paho, or of a user's function inside it
            _log.exception("the connection is closed because of an error in the MQTT library")
            self._end("an error in the MQTT library: %s: %s" % (type(error).__name__, error))

    def _connect(self) -> None:
        connector = self._connector
        if connector is not None and self.client.descriptor() < 0 and connector.is_finished:
            sock = connector.take()
            if sock is None:
                self._end("%s: %s" % (self._address, connector.reason), refused=connector.refused)
                self.client.tell_connect_failed()
                return
            self.client.begin(sock, self._clean_session)
        if time.monotonic() >= self._deadline_s:
            where = "no CONNACK" if self.client.descriptor() >= 0 else "no connection"
            self._end("%s from %s in %d ms" % (where, self._address, self._connect_timeout_ms))

    def _pump(self) -> None:
        self._read()
        # Inside a packet there is no place for PINGREQ. That the broker takes bytes shows it is there; when it takes
        # none any more, the engine ends the connection.
        if self._state == UP and not self._core_rest and not self.client.is_alive():
            self._end("%s did not answer PINGREQ" % self._address)
        if self._state == DOWN:
            return
        try:
            self.client.flush_taken()
            if self._core_rest == 0:
                self.client.flush()
        except OSError as error:
            self._lost_while_writing(error)

    def _read(self) -> None:
        budget = _RECEIVE_BYTES_MAX
        while budget > 0 and self._state != DOWN:
            try:
                came = self.client.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._lost(error)
                return
            if not came:
                self._lost(None)
                return
            budget -= len(came)
            self._inbox.feed(came)
            # A packet may end the connection, and what follows it in the stream means nothing any more.
            while self._state != DOWN and (packet := self._inbox.next_packet(self._state == UP)) is not None:
                self._take(*packet)
            if len(came) < _RECEIVE_BYTES and self.client.is_plain:
                return  # which saves the call that says EAGAIN

    def _take(self, first_byte: int, body: bytes) -> None:
        kind = first_byte & 0xF0
        if (self._state == CONNECTING) != (kind == _CONNACK):
            raise ProtocolError("a packet of type %d where CONNACK %s" % (kind >> 4, _WHERE[self._state]))
        if kind == _CONNACK:
            self._take_connack(first_byte, body)
        elif kind == _DISCONNECT and self.protocol == 5:
            code, words = decode_disconnect(body)
            self._set_down("%s ended the connection: %s" % (self._address, words), code, dropped=True)
            self._hand_over(first_byte, body)
            self._end(self.reason, code, dropped=True)
        elif self._hand_over(first_byte, body) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ProtocolError("a packet of type %d that paho takes for malformed" % (kind >> 4))

    def _hand_over(self, first_byte: int, body: bytes) -> MQTTErrorCode:
        try:
            return self.client.handle(first_byte, body)
        except (OSError, *DECODE_ERRORS):
            if self._state != DOWN:  # else it is the last packet, and its own reason was read already
                raise
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        except Exception:  # noqa: BLE001 - while paho logs a callback's error, e.g. a callback without __name__
            # To close for it would be a circle: the broker sends the same message again after the reconnect.
            _log.exception("an error in the MQTT library, at a packet of type %d", first_byte >> 4)
            return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take_connack(self, first_byte: int, body: bytes) -> None:
        connack = decode_connack(body, self.protocol == 5)
        if connack.code:
            self._set_down(
                "%s refused the connection: %s" % (self._address, connack.words),
                connack.code,
                refused=not connack.is_temporary,
            )
            self._hand_over(first_byte, body)
            self._end(self.reason, connack.code, refused=not connack.is_temporary)
            return
        self.session_present = connack.session_present
        self.receive_maximum = connack.receive_maximum
        self.packet_bytes_max = connack.packet_bytes_max
        self.qos_max = connack.qos_max
        self.retain_available = connack.retain_available
        self._state = UP
        self._hand_over(first_byte, body)  # and the user's on_connect
        if connack.keepalive_s is not None:
            self.client.set_keepalive(connack.keepalive_s)
        if connack.session_expiry_s == 0:
            _log.warning("%s keeps no session: a lost connection can mean duplicates", self._address)

    def _lost_while_writing(self, error: OSError) -> None:
        # What the broker said before it closed (acknowledgements, the reason) may still be unread.
        self._read()
        self._lost(error)

    def _lost(self, error: OSError | None) -> None:
        if self._state == DOWN:
            return
        was_up = self._state == UP
        if error is None:
            reason = "%s closed the connection%s" % (self._address, "" if was_up else " in answer to CONNECT")
        else:
            reason = "%s: %s" % (self._address, error.strerror or error)
        by_broker = error is None or isinstance(error, (ConnectionError, ssl.SSLError))
        refused = not was_up and error is not None and is_about_certificate(error)
        self._end(reason, refused=refused, dropped=was_up and by_broker)

    def _set_down(self, reason: str, code: int = 0, refused: bool = False, dropped: bool = False) -> None:
        # Before the user's callbacks run, so that one that looks finds it so.
        self._state = DOWN
        self.reason, self.reason_code, self.refused, self.dropped = reason, code, refused, dropped

    def _end(self, reason: str, code: int = 0, refused: bool = False, dropped: bool = False) -> None:
        self._set_down(reason, code, refused, dropped)
        if self._connector is not None:
            self._connector.cancel()
        self._inbox.drop_incoming()
        self._core_rest = 0
        self.client.drop()
