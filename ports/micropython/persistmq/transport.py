"""The ``Transport`` over umqtt.simple: its connection, and the bytes on it without waiting for anything.

Only connecting blocks, for ``connect_timeout_ms`` at most (the look-up of a name has a limit of its own).
"""

import gc
import select
import time

from umqtt.simple import MQTTException

from persistmq_core.contracts import CONNECTING, DOWN, UP, Transport
from persistmq_core.errors import ProtocolError
from persistmq_core.limits import const

from .clock import Clock
from .connection import Connection
from .incoming import Incoming

_EAGAIN = const(11)
# MBEDTLS_ERR_X509_CERT_VERIFY_FAILED (older firmware; newer raises ValueError), _SSL_CA_CHAIN_REQUIRED
_CERTIFICATE = (-0x2700, -0x7680)
_READ_BYTES_MIN = const(64)  # besides what a window of messages is answered with
_ANSWER_BYTES = const(4)
_ASK_AGAIN_MS = const(250)  # while before_connect says no
_IDLE_MS = const(60000)
_SERVER_UNAVAILABLE = const(3)  # the one refusal that passes by itself
_REFUSALS = (
    "",
    "unacceptable protocol version",
    "client identifier rejected",
    "server unavailable",
    "bad user name or password",
    "not authorized",
)


class UmqttTransport(Transport):
    """One connection at a time. ``connection`` is umqtt.simple's client. ``window``: messages in flight at most."""

    session_is_ours = True

    def __init__(self, client_id: str, clock: Clock, connect_timeout_ms: int, window: int) -> None:
        self.connection = Connection(client_id)
        self.before_connect = None  # asked before each attempt; what is not true means: not yet
        self._clock = clock
        self._connect_timeout_ms = connect_timeout_ms
        self._state = DOWN
        self._is_told = True  # state() has said so
        self._clean_session = False
        self._incoming = Incoming(_READ_BYTES_MIN + _ANSWER_BYTES * window)
        self._poll = select.poll()
        self._is_polled = 0
        self._is_plain = True
        self._is_mid_packet = False
        self._sent_at = 0
        self._ping_at = -1  # when PINGREQ was sent, -1 while none is open
        self._pongs = 0

    def open(self, clean_session: bool) -> None:
        self.close()
        self._clean_session = clean_session
        self._state = CONNECTING

    def state(self) -> int:
        if self._state == CONNECTING:
            self._connect()
        elif self._state == UP:
            self._read()
            if self._state == UP:
                self._keep_alive()
        self._is_told = True
        return self._state

    def send(self, view: "bytearray | memoryview", follows: int = 0) -> int:
        if self._state != UP:
            return 0
        try:
            count = self.connection.sock.write(view) or 0  # None: busy
        except OSError as failure:
            if failure.errno != _EAGAIN:
                self._read()  # what the broker said before it closed
                self._lost(failure)
                return 0
            count = 0
        self._is_mid_packet = count < len(view) or follows > 0
        if count:
            self._sent_at = self._clock.now_ms()
        return count

    def receive(self) -> "bytes | memoryview":
        return self._incoming.take()

    def close(self) -> None:
        if self._state == UP and not self._is_mid_packet:
            try:
                self.connection.disconnect()
            except OSError:
                pass  # the broker may be gone: then there is nobody to tell
        self._end("closed")

    def due_ms(self) -> int:
        """For how long ``state()`` has nothing to do unless bytes come."""
        if self._state == CONNECTING:
            return _ASK_AGAIN_MS
        if not self._is_told:
            return 0  # send() found that the connection is gone
        keepalive_ms = self.connection.keepalive * 1000
        if self._state != UP or not keepalive_ms or self._is_mid_packet:
            return _IDLE_MS
        if self._ping_at >= 0:
            due = self._ping_at + keepalive_ms // 2
        else:
            due = self._sent_at + keepalive_ms * 3 // 4
        return max(0, due - self._clock.now_ms())

    def wait(self, wait_ms: int, for_room: bool) -> None:
        """Sleep until bytes come (``for_room``: or can be sent), for ``wait_ms`` at most."""
        if self._state != UP:
            time.sleep_ms(wait_ms)
            return
        wanted = select.POLLIN | (select.POLLOUT if for_room else 0)
        if wanted != self._is_polled:
            self._poll.register(self.connection.sock, wanted)
            self._is_polled = wanted
        for _ in self._poll.ipoll(wait_ms):  # allocates nothing
            pass

    # --- inside ---

    def _connect(self) -> None:
        reason = "connecting"
        code = 0
        refused = False
        try:
            if self.before_connect is not None and not self.before_connect():
                return
            self.session_present = self.connection.connect(self._clean_session, self._connect_timeout_ms / 1000)
            self._came_up()
            return
        except MQTTException as refusal:
            code = refusal.args[0]
            words = _REFUSALS[code] if code < len(_REFUSALS) else "code %d" % code
            reason = "refused the connection: " + words
            refused = code != _SERVER_UNAVAILABLE
        except OSError as failure:
            reason = str(failure)
            refused = failure.errno in _CERTIFICATE
        except ValueError as failure:  # what mbedtls has against the certificate, in lines of their own
            reason = " ".join(str(failure).split())
            refused = True
        except (IndexError, AssertionError):
            reason = "closed the connection in answer to CONNECT"
        except Exception as failure:  # noqa: BLE001 - of umqtt, TLS or the hook: a reason to try again later
            reason = "%s: %s" % (type(failure).__name__, failure)
            failure = None
            gc.collect()  # MemoryError: TLS wants much of it in one piece
        self._end("%s:%d %s" % (self.connection.server, self.connection.port, reason), code, refused)

    def _came_up(self) -> None:
        self._state = UP
        self._incoming.reset()
        self._is_polled = 0
        self._is_plain = hasattr(self.connection.sock, "settimeout")
        self._is_mid_packet = False
        self._sent_at = self._clock.now_ms()
        self._ping_at = -1

    def _read(self) -> None:
        incoming = self._incoming
        try:
            room = incoming.room()
            while room:
                count = self.connection.sock.readinto(room)
                if count is None:
                    return
                if count == 0:
                    self._lost(None)
                    return
                incoming.feed(count)
                if count < len(room) and self._is_plain:
                    return  # TLS may have more, which poll does not see
                room = incoming.room()
        except OSError as failure:
            if failure.errno != _EAGAIN:
                self._lost(failure)
        except ProtocolError as confusion:
            self._end("protocol error: %s" % confusion)

    def _keep_alive(self) -> None:
        keepalive_ms = self.connection.keepalive * 1000
        if not keepalive_ms:
            return
        now_ms = self._clock.now_ms()
        if self._ping_at >= 0:
            if self._incoming.pongs != self._pongs:
                self._ping_at = -1
            elif now_ms - self._ping_at >= keepalive_ms // 2:
                self._end("no answer to PINGREQ for %d ms" % (keepalive_ms // 2))
        elif now_ms - self._sent_at >= keepalive_ms * 3 // 4 and not self._is_mid_packet and self._has_room():
            self._pongs = self._incoming.pongs
            self._ping_at = self._sent_at = now_ms
            try:
                self.connection.ping()
            except OSError as failure:
                self._lost(failure)

    def _has_room(self) -> bool:
        # umqtt does not look at how much of PINGREQ was taken; with room it is all of it.
        self._poll.register(self.connection.sock, select.POLLOUT)
        self._is_polled = select.POLLOUT
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))

    def _lost(self, failure: "OSError | None") -> None:
        reason = "closed the connection" if failure is None else str(failure)
        self._end("%s:%d %s" % (self.connection.server, self.connection.port, reason), dropped=True)

    def _end(self, reason: str, code: int = 0, refused: bool = False, dropped: bool = False) -> None:
        if self.connection.sock is not None:
            try:
                self._poll.unregister(self.connection.sock)
            except (KeyError, OSError):
                pass  # it was never polled
            self.connection.close()
        self._state = DOWN
        self._is_told = False
        self._is_mid_packet = False
        self.reason, self.reason_code, self.refused, self.dropped = reason, code, refused, dropped
