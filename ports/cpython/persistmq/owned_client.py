"""A paho client whose connection is somebody else's."""

from collections.abc import Callable
from typing import NoReturn

from paho.mqtt.client import Client


def _refusal(name: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        """Not for use here: raises RuntimeError."""
        raise RuntimeError("mqtt_client.%s() is not for use here: %s" % (name, instead))

    return refuse


IN_CHILD = "this client belongs to the parent process; make one in the child, on another cache"
_LOOP = "PersistClient runs the network loop"


class OwnedClient(Client):
    """For its user an ordinary paho client, except for what opens, closes or runs the connection.

    These raise RuntimeError and say what to call instead; otherwise two would read from one socket. ``publish()`` is
    paho's own: nothing of it is stored. For what must arrive there is ``PersistClient.publish()``.
    """

    connect = _refusal("connect", "call PersistClient.connect_async(), which reconnects for ever")
    connect_async = _refusal("connect_async", "call PersistClient.connect_async()")
    connect_srv = _refusal("connect_srv", "look the name up and call PersistClient.connect_async()")
    reconnect = _refusal("reconnect", "PersistClient reconnects by itself")
    disconnect = _refusal("disconnect", "call PersistClient.stop()")
    reinitialise = _refusal("reinitialise", "make another PersistClient")
    loop = _refusal("loop", _LOOP)
    loop_start = _refusal("loop_start", _LOOP)
    loop_forever = _refusal("loop_forever", _LOOP + "; wait for what ends your program instead")
    loop_read = _refusal("loop_read", _LOOP)
    loop_misc = _refusal("loop_misc", _LOOP)

    def forget_in_child(self) -> None:
        """In a forked child: from now on RuntimeError instead of a success, where nobody is to send anything."""

        def refuse(*args: object, **kwargs: object) -> NoReturn:
            raise RuntimeError(IN_CHILD)

        vars(self).update(publish=refuse, subscribe=refuse, unsubscribe=refuse)
