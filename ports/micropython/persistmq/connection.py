"""umqtt.simple's client, for what it does well: TCP, TLS, CONNECT, the last will, PINGREQ and DISCONNECT.

Its publish and its reading are never used: they wait without end and forget the handshake. Works with umqtt.simple
1.3.4 and later, whose ``connect`` takes a timeout and whose ``ssl`` is a context.
"""

from umqtt.simple import MQTTClient

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from socket import socket
    from ssl import SSLContext

_IPPROTO_TCP = 6
_TCP_NODELAY = 1


class Connection(MQTTClient):
    """The application may call ``set_last_will``; everything else is for the transport."""

    def __init__(self, client_id: str) -> None:
        self.timeout_s = None
        self._socket = None
        super().__init__(client_id.encode(), "")  # as bytes: umqtt writes len(str), and counts characters
        self._without_tls = self.ssl  # None; in 1.3, which takes no context, False

    @property
    def sock(self) -> "socket | None":
        return self._socket

    @sock.setter
    def sock(self, made: "socket | None") -> None:
        # umqtt makes the socket inside connect(), and 1.3 gives it no timeout.
        self._socket = made
        if hasattr(made, "settimeout"):  # not the TLS one: it has the timeout of the socket below
            made.settimeout(self.timeout_s)
            try:
                made.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)  # what is sent is one piece already
            except (OSError, AttributeError):
                pass  # a network stack without it

    def set_last_will(self, topic: str, msg: "str | bytes", retain: bool = False, qos: int = 0) -> None:
        """What the broker publishes when this client vanishes. Before ``connect_async``."""
        super().set_last_will(_bytes(topic), _bytes(msg), retain, qos)

    def configure(
        self,
        host: str,
        port: int,
        user: "str | None",
        password: "str | None",
        ssl: "SSLContext | dict[str, object] | bool | None",
        keepalive: int,
    ) -> None:
        """Raises ValueError for an ``ssl`` that this umqtt.simple cannot do."""
        if ssl:
            from .tls import configure  # noqa: PLC0415 - only here: it costs memory

            configure(self, ssl, self._without_tls is None)
        else:
            self.ssl = self._without_tls
        self.server = host
        self.port = port
        self.user = None if user is None else _bytes(user)
        self.pswd = None if user is None else _bytes(password or "")
        self.keepalive = keepalive

    def connect(self, clean_session: bool, timeout_s: float) -> bool:
        """Connect and wait for CONNACK, up to ``timeout_s`` for each step; True if the broker kept the session."""
        self.timeout_s = timeout_s
        try:
            present = super().connect(clean_session, timeout_s)
        except TypeError:
            if self._socket is not None:
                raise
            present = super().connect(clean_session)  # without a timeout of its own
        self._socket.setblocking(False)
        return bool(present)

    def close(self) -> None:
        """Let go of the socket."""
        made = self._socket
        self._socket = None
        if made is not None:
            try:
                made.close()
            except OSError:
                pass  # gone already


def _bytes(text: "str | bytes") -> bytes:
    return text.encode() if isinstance(text, str) else text
