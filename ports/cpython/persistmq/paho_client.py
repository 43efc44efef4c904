"""paho-mqtt, driven from outside: the one file that touches paho's private names.

paho keeps what it is good at (TCP, TLS, websockets, CONNECT, credentials, last will, keep-alive, SUBSCRIBE, incoming
messages, the user's callbacks); when bytes are read and written is decided by ``transport.py``, on one thread.
``tests/ports/test_paho_contract.py`` holds the names used here against the oldest and newest paho supported.
"""

import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from paho.mqtt.client import Client, _WebsocketWrapper
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion, _ConnectionState

from persistmq_core.limits import PACKET_ID_FOREIGN

from .owned_client import OwnedClient

_PACKET_ID_LAST = 65535
# OpenSSL wants a write that it could not finish again, and all of it: so no write is longer than one record.
_TLS_RECORD_BYTES = 16384
# paho masks a websocket frame byte by byte in Python: 64 KiB are some 5 ms, and the engine wants its turn.
_FRAME_BYTES_MAX = 65536
_UNSENT_BYTES_MAX = 1 << 17
_TCP_QUICKACK = getattr(socket, "TCP_QUICKACK", -1)


class EngineClient(OwnedClient):
    """A paho client whose socket is read and written by the engine's thread only.

    Callbacks run on the engine's thread: while one works, nothing is delivered. Exceptions in them are logged to
    ``persistmq.paho``.
    """

    def __init__(self, wake: Callable[[], None], **paho_kwargs: Any) -> None:
        super().__init__(**paho_kwargs)
        self.suppress_exceptions = True  # of callbacks: they must not end the engine's thread
        self.enable_logger(logging.getLogger("persistmq.paho"))
        self.engine_thread = 0  # threading.get_ident() of the thread that pumps
        self.has_subscribed = False
        self._wake = wake
        self._wanted_keepalive = 60
        self._ready_socket: Any = None
        self._write_error: OSError | None = None
        self._tls_rest = b""  # taken, and held back by OpenSSL: nothing else may go before it
        self._connecting_lock = threading.Lock()
        self._connecting: socket.socket | None = None
        self._is_aborted = False
        self._counting_socket: Any = None  # has SO_RCVLOWAT set
        self._wake_count = 1
        self._last_mid = PACKET_ID_FOREIGN - 1
        self._last_msg_in = 0.0  # paho 2.1 calls it so, 2.2 _last_bytes_received

    def prepare(self, host: str, port: int, keepalive: int, **connect_kwargs: Any) -> None:
        """Set where to connect to; nothing is sent. Raises ValueError or TypeError for what paho does not take."""
        Client.connect_async(self, host, port, keepalive, **connect_kwargs)
        self._wanted_keepalive = keepalive

    def subscribe(self, *args: Any, **kwargs: Any) -> Any:
        """As paho's."""
        self.has_subscribed = True
        return super().subscribe(*args, **kwargs)

    def make_socket(self) -> Any:
        """DNS, TCP, TLS and the websocket handshake, on a thread that may wait. Raises what these raise."""
        with self._connecting_lock:
            self._is_aborted = False
        # paho 2.1 takes the keep-alive as the time-out of the handshakes, and 0 would mean "at once".
        self._keepalive = max(1, math.ceil(self._connect_timeout))
        try:
            return super()._create_socket()
        finally:
            with self._connecting_lock:
                handle, self._connecting = self._connecting, None
            if handle is not None:
                handle.close()

    def abort_connecting(self) -> None:
        """Let ``make_socket`` fail at once if it is behind TCP, else at its time-out."""
        with self._connecting_lock:
            self._is_aborted = True
            if self._connecting is not None:
                with suppress(OSError):  # it was not connected any more
                    self._connecting.shutdown(socket.SHUT_RDWR)

    def begin(self, sock: Any, clean_session: bool) -> None:
        """Take the connected ``sock`` and queue CONNECT on it."""
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            self._clean_start = clean_session
        else:
            self._clean_session = clean_session
        self._keepalive = self._wanted_keepalive  # a broker's Server Keep Alive was for one connection
        self._tls_rest = b""
        self._write_error = None
        self._ready_socket = sock
        try:
            Client.reconnect(self)
        finally:
            self._ready_socket = None

    def _create_socket(self) -> Any:
        # paho's reconnect() calls this, on the engine's thread: there the socket was made before.
        if self._ready_socket is None:
            raise RuntimeError("no socket was made for this connection")
        return self._ready_socket

    def _create_socket_connection(self) -> Any:
        sock = super()._create_socket_connection()
        # A window of 20 over 100 ms of round trip goes nearly twice as fast; the core sends in large pieces anyway.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # What the kernel takes and cannot send yet looks like an unanswered message: on a slow link megabytes of it
            # would outlast the acknowledgement timeout.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES_MAX)
        with self._connecting_lock:
            if not self._is_aborted:
                self._connecting = sock.dup()  # TLS takes the original's descriptor away
                return sock
        sock.close()
        raise ConnectionAbortedError("given up")

    def _send_connect(self, keepalive: int) -> MQTTErrorCode:
        result = super()._send_connect(keepalive)
        # A user's thread may have queued its SUBSCRIBE between the socket and this, and CONNECT must be the first.
        connect = next(packet for packet in list(self._out_packet) if packet["command"] == 0x10)
        self._out_packet.remove(connect)
        self._out_packet.appendleft(connect)
        return result

    def recv(self, count: int) -> bytes:
        """Up to ``count`` bytes, ``b""`` at the end. Raises BlockingIOError if there are none, else OSError."""
        came = self._sock_recv(count)
        if came:
            self._answer_at_once()
            self._last_msg_in = self._last_bytes_received = time.monotonic()
        return came

    def wake_at(self, count: int) -> bool:
        """Let poll say that there is something to read when so many bytes are there, or none will come. False: it
        says it at the first.
        """
        sock = self._sock
        if sock is self._counting_socket is not None:
            if count == self._wake_count:
                return True
        elif count == 1 or type(sock) is not socket.socket:
            return False
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
        except OSError:  # not here
            return False
        self._counting_socket, self._wake_count = sock, count
        return True

    def _answer_at_once(self) -> None:
        # A broker without TCP_NODELAY (Mosquitto's default) holds its second acknowledgement back until the kernel here
        # has confirmed the first, for up to 40 ms: with a window of 20 that is 500 messages a second.
        sock: Any = self._sock._socket if isinstance(self._sock, _WebsocketWrapper) else self._sock
        with suppress(OSError):  # not TCP
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)  # Linux forgets it, so each time

    def handle(self, first_byte: int, body: bytes | bytearray | memoryview) -> MQTTErrorCode:
        """Let paho work on one whole packet. Raises what paho's decoders raise on a malformed one."""
        self._in_packet = {
            "command": first_byte,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        return self._packet_handle()

    def send_some(self, view: memoryview) -> int:
        """Take bytes from the front of ``view``; 0 if the connection is busy. Raises OSError if it is lost."""
        count = 0
        with suppress(BlockingIOError):
            count = self._sock_send(cast(bytes, view))
            self._last_msg_out = time.monotonic()  # the broker's keep-alive counts any packet
        return count

    def flush_taken(self) -> bool:
        """Write what was taken and is still here (see ``_sock_send``); True if nothing is left. Raises OSError."""
        return self._sock is None or self._push_rest(self._sock)

    def flush(self) -> bool:
        """Write paho's own packets; True if none is left. Only between two packets of the core. Raises OSError."""
        result = self._packet_write()
        if result not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
            raise self._write_error or ConnectionError("the connection was lost while writing")
        return not self._out_packet

    @property
    def has_packets(self) -> bool:
        """Whether packets of paho's own wait to be written."""
        return len(self._out_packet) > 0

    @property
    def has_taken(self) -> bool:
        """Whether bytes that were taken wait to be written."""
        return bool(self._sock._sendbuffer if isinstance(self._sock, _WebsocketWrapper) else self._tls_rest)

    @property
    def is_plain(self) -> bool:
        """Whether the socket is TCP itself, where a short read means that nothing is left."""
        return type(self._sock) is socket.socket

    @property
    def has_decrypted(self) -> bool:
        """Whether bytes wait in the TLS library, where poll does not see them."""
        sock: Any = self._sock
        return hasattr(sock, "pending") and sock.pending() > 0

    def descriptor(self) -> int:
        """The socket's, for poll; -1 if there is none."""
        return -1 if self._sock is None else self._sock.fileno()

    def _sock_recv(self, bufsize: int) -> bytes:
        # Overridden, as is _sock_send, because paho's asks to be woken at each EAGAIN, which would be a busy loop.
        if self._sock is None:
            raise ConnectionError("there is no connection")
        try:
            return self._sock.recv(bufsize)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error

    def _sock_send(self, buf: bytes | bytearray) -> int:
        """Bytes taken; those that a TLS record or websocket frame holds back are taken, and go first next time.

        For paho a half-sent frame is 0 bytes sent, come again with the same: by that it loses a packet of its queue,
        and from the core it is more than the contract asks.
        """
        sock = self._sock
        if sock is None:
            raise ConnectionError("there is no connection")
        try:
            if not self._push_rest(sock):
                raise BlockingIOError
            if type(sock) is socket.socket:
                return sock.send(buf)
            if not isinstance(sock, _WebsocketWrapper):
                record = bytes(buf[:_TLS_RECORD_BYTES])
                try:
                    return sock.send(record)
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    self._tls_rest = record
                    return len(record)
            piece = buf[:_FRAME_BYTES_MAX]
            with suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                sock.send(piece)  # what does not go lies in the wrapper
            return len(piece)
        except BlockingIOError:
            raise
        except OSError as error:
            self._write_error = error  # paho makes a number of it
            raise

    def _push_rest(self, sock: Any) -> bool:
        try:
            if isinstance(sock, _WebsocketWrapper):
                if sock._sendbuffer:
                    sock.send(b"")  # goes on with the frame that it has
                return not sock._sendbuffer
            while self._tls_rest:
                self._tls_rest = self._tls_rest[sock.send(self._tls_rest) :]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return False
        return True

    def is_alive(self) -> bool:
        """Queue PINGREQ if it is due; False if the last one was not answered, and then the connection is closed."""
        Client.loop_misc(self)
        return self._sock is not None

    def keepalive_due_ms(self) -> int:
        """How long ``is_alive`` need not be called. A day if there is no keep-alive."""
        if self._keepalive == 0:
            return 86400000
        first = min(self._last_msg_out, self._last_bytes_received, self._ping_t or math.inf)
        return max(0, math.ceil((first + self._keepalive - time.monotonic()) * 1000))

    def tell_connect_failed(self) -> None:
        """Call the user's ``on_connect_fail``."""
        self._handle_on_connect_fail()

    def set_keepalive(self, keepalive: int) -> None:
        """Seconds, for this connection, as the broker's CONNACK asks; paho 2.1 does not look for it."""
        self._keepalive = keepalive

    def goodbye(self, can_send: bool) -> None:
        """Close, with DISCONNECT if ``can_send`` and the socket takes it; ``on_disconnect`` hears of a wanted end."""
        if self._sock is None:
            return
        if can_send:
            Client.disconnect(self)
            self._packet_write()  # closes behind DISCONNECT
        else:
            self._state = _ConnectionState.MQTT_CS_DISCONNECTING
        if self._sock is not None:
            self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)

    def drop(self) -> None:
        """Close what is lost; ``on_disconnect`` is called if it was not yet."""
        if self._sock is not None:
            self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        if self._state == _ConnectionState.MQTT_CS_CONNECTED:
            self._state = _ConnectionState.MQTT_CS_CONNECTION_LOST

    # What paho calls on any thread:

    def _mid_generate(self) -> int:
        # The core's identifiers are a function of its sequence numbers; paho's own must not meet them.
        with self._mid_generate_mutex:
            self._last_mid = PACKET_ID_FOREIGN if self._last_mid >= _PACKET_ID_LAST else self._last_mid + 1
            return self._last_mid

    def loop_write(self) -> MQTTErrorCode:
        """Only wake the engine: paho calls this wherever it queued a packet, and bytes are the engine's to write."""
        if threading.get_ident() != self.engine_thread:  # which is awake, and writes when it is through
            self._wake()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _call_socket_register_write(self) -> None:
        # Instead of loop_write, where a callback is at work or the user has an on_socket_register_write.
        self.loop_write()
        super()._call_socket_register_write()
