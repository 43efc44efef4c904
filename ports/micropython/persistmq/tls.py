"""What ``ssl=`` means to umqtt.simple, whose forms differ. Imported when it is wanted."""

import ssl as tls
import sys

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .connection import Connection


def configure(client: "Connection", ssl: "tls.SSLContext | dict[str, object] | bool", takes_context: bool) -> None:
    """Set ``ssl`` and ``ssl_params`` of umqtt's client. ``takes_context``: since 1.4, which takes no dict any more.

    Raises ValueError for an ``ssl`` that this umqtt.simple cannot do.
    """
    if not takes_context:
        if ssl is not True and not isinstance(ssl, dict):
            raise ValueError("umqtt.simple 1.3 takes ssl=True or a dict for ssl.wrap_socket: 1.4 takes a context")
        _give_ussl()
        if ssl is not True:
            client.ssl_params = ssl
        client.ssl = True
        return
    if isinstance(ssl, dict):
        raise ValueError("ssl is True or an ssl.SSLContext with this umqtt.simple, not a dict")
    if ssl is True:
        ssl = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        ssl.verify_mode = tls.CERT_NONE  # a board has no list of authorities to check against
    client.ssl = ssl


def _give_ussl() -> None:
    """umqtt.simple 1.3 asks for ``ussl``, which later firmware calls ``ssl``."""
    try:
        import ussl  # noqa: F401, PLC0415 - what older firmware has
    except ImportError:
        sys.modules["ussl"] = tls
