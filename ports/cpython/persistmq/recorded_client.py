"""A paho client that is in another process: what is asked of it is checked here, and done there."""

import pickle
from collections.abc import Callable
from typing import Any, NoReturn

from paho.mqtt.client import Client

from .link import MESSAGE_BYTES_MAX
from .owned_client import OwnedClient

Call = tuple[str, tuple[Any, ...], dict[str, Any]]

_NO_CALLBACKS = "callbacks run where the connection is, in another process"
_NO_INCOMING = "what comes in comes to another process; subscribe with a paho client of your own"


def _recorded(name: str) -> Callable[..., Any]:
    def call(self: "RecordedClient", *args: Any, **kwargs: Any) -> Any:
        return self._record(name, args, kwargs)

    call.__doc__ = "paho's ``%s``, done at once here, to check it, and in the worker." % name
    return call


def _refused(name: str, why: str) -> Callable[..., NoReturn]:
    def refuse(self: "RecordedClient", *args: object, **kwargs: object) -> Any:
        """Not for use here: raises RuntimeError."""
        if self._is_within:
            return getattr(Client, name)(self, *args, **kwargs)
        raise RuntimeError('mqtt_client.%s() does not work with worker="process": %s' % (name, why))

    return refuse


class RecordedClient(OwnedClient):
    """Credentials, TLS, will, proxy and websocket options are passed on by ``forward``, at any time, as with paho: what
    is set after the connection came up counts from the next one on. All else raises RuntimeError at once.
    ``check`` raises for a call that cannot be forwarded.
    """

    def __init__(self, check: Callable[[Call], None], forward: Callable[[Call], None], **paho_kwargs: Any) -> None:
        self._is_within = True  # paho's own code is at work
        super().__init__(**paho_kwargs)
        self._check = check
        self._forward = forward
        self._is_within = False

    username_pw_set = _recorded("username_pw_set")
    tls_set = _recorded("tls_set")
    tls_insecure_set = _recorded("tls_insecure_set")
    will_set = _recorded("will_set")
    will_clear = _recorded("will_clear")
    proxy_set = _recorded("proxy_set")
    ws_set_options = _recorded("ws_set_options")
    enable_bridge_mode = _recorded("enable_bridge_mode")

    tls_set_context = _refused("tls_set_context", "an SSLContext cannot be passed on; call tls_set() with file names")
    subscribe = _refused("subscribe", _NO_INCOMING)
    unsubscribe = _refused("unsubscribe", _NO_INCOMING)
    message_callback_add = _refused("message_callback_add", _NO_INCOMING)
    message_callback_remove = _refused("message_callback_remove", _NO_INCOMING)
    manual_ack_set = _refused("manual_ack_set", _NO_INCOMING)
    ack = _refused("ack", _NO_INCOMING)
    publish = _refused("publish", "call PersistClient.publish()")
    user_data_set = _refused("user_data_set", _NO_CALLBACKS)
    enable_logger = _refused("enable_logger", 'its log comes through logging.getLogger("persistmq.paho")')
    socket = _refused("socket", "the socket is in another process")
    is_connected = _refused("is_connected", 'see PersistClient.get_status()["connected"]')

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_") or self._is_within:
            super().__setattr__(name, value)
        else:
            why = _NO_CALLBACKS if name.startswith("on_") else "call username_pw_set(), tls_set() and the like"
            raise RuntimeError('mqtt_client.%s cannot be set with worker="process": %s' % (name, why))

    def _record(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._is_within:
            return getattr(Client, name)(self, *args, **kwargs)
        self._check((name, args, kwargs))
        self._is_within = True
        try:
            result = getattr(Client, name)(self, *args, **kwargs)
        finally:
            self._is_within = False
        self._forward((name, args, kwargs))
        return result


def remembered(calls: list[Call], call: Call) -> list[Call]:
    """``calls`` and ``call``, which replaces an earlier one of its name: a password may be new each hour."""
    return [each for each in calls if each[0] != call[0]] + [call]


def check_portable(what: str, settings: object) -> None:
    """Raises TypeError if they cannot be passed to another process, ValueError if they are too many bytes for it."""
    try:
        size = len(pickle.dumps(settings))
    except Exception as error:  # noqa: BLE001 - whatever the __reduce__ of somebody's class raises
        raise TypeError('%s: with worker="process" this cannot be passed on: %s' % (what, error)) from None
    if size > MESSAGE_BYTES_MAX:
        raise ValueError('%s: %d bytes of settings, with worker="process" at most %d' % (what, size, MESSAGE_BYTES_MAX))
