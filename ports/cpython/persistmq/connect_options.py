"""What may be asked of a connection, checked where it is asked: later there is nobody to tell."""

import copy
import inspect
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_SESSION_EXPIRY_S_MAX = 0xFFFFFFFF  # 5.0, 3.1.2.11.2: never
_KEEPALIVE_S_MAX = 65535
_VERSIONS = (MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5)
_TRANSPORTS = ("tcp", "websockets", "unix")
_FORGETS = "the broker would forget what it has of a message when the link drops"
_OF_AN_ADDRESS = {"mqtt_host", "mqtt_port", *inspect.signature(Client.connect_async).parameters}


def client_options(client_id: str, paho_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments for paho's Client. Raises TypeError or ValueError for what a durable publisher cannot have."""
    if not isinstance(client_id, str) or not client_id:
        raise ValueError("client_id must be a string that is not empty, not %r" % (client_id,))
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in client_id):
        raise ValueError("client_id %r has a NUL character or a surrogate (MQTT 1.5.4)" % client_id)
    if not 0 < len(client_id.encode()) <= 65535:
        raise ValueError("client_id has %d bytes, it must have 1 to 65535" % len(client_id.encode()))
    for name in sorted(_OF_AN_ADDRESS & paho_kwargs.keys()):
        raise TypeError("%s is a parameter of connect_async(), not of PersistClient" % name)
    if paho_kwargs.get("clean_session"):
        raise ValueError("clean_session=True: " + _FORGETS)
    if paho_kwargs.get("reconnect_on_failure"):
        raise ValueError("reconnect_on_failure=True: PersistMQ reconnects by itself")
    options: dict[str, Any] = {
        "callback_api_version": CallbackAPIVersion.VERSION2,
        "protocol": MQTTProtocolVersion.MQTTv311,
    }
    options |= paho_kwargs
    # paho says nothing of a version that is none, and of such a transport too late.
    if type(options["protocol"]) not in (int, MQTTProtocolVersion) or options["protocol"] not in _VERSIONS:
        raise ValueError("protocol must be MQTTv311 (4) or MQTTv5 (5), not %r" % (options["protocol"],))
    if "transport" in options and str(options["transport"]).lower() not in _TRANSPORTS:
        raise ValueError("transport must be one of %s, not %r" % (", ".join(_TRANSPORTS), options["transport"]))
    # False also keeps paho from going back to MQTT 3.1 by itself.
    options |= {"client_id": client_id, "reconnect_on_failure": False}
    options["clean_session"] = None if options["protocol"] == MQTTProtocolVersion.MQTTv5 else False
    inspect.signature(Client).bind(**options)  # here, because a Client that fails half made complains when it goes
    return options


def check_address(host: object, port: object, keepalive: object = 60, **connect_kwargs: object) -> None:
    """Raises TypeError or ValueError."""
    if not isinstance(host, str):
        raise TypeError("host is a string, not %s" % type(host).__name__)
    if not host or host != host.strip() or "://" in host:
        raise ValueError("host is a name or an address, not %r" % host)
    _check_number("port", port, 1, 65535)
    _check_number("keepalive (seconds)", keepalive, 0, _KEEPALIVE_S_MAX)
    _check_number("bind_port", connect_kwargs.get("bind_port", 0), 0, 65535)
    if not isinstance(connect_kwargs.get("bind_address", ""), str):
        raise TypeError("bind_address is a string, not %r" % (connect_kwargs["bind_address"],))
    _check_properties(connect_kwargs.get("properties"))
    if connect_kwargs.get("clean_start") is True:
        raise ValueError("clean_start=True: " + _FORGETS)
    if getattr(connect_kwargs.get("properties"), "SessionExpiryInterval", None) == 0:
        raise ValueError("SessionExpiryInterval=0: " + _FORGETS)
    inspect.signature(Client.connect_async).bind(None, host, **connect_kwargs)


def session_properties(properties: Properties | None) -> Properties:
    """CONNECT properties of MQTT 5 that ask for a session that outlives the connection, as far as the user did not."""
    asked: Properties = (
        Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        if properties is None
        else copy.deepcopy(properties)  # not the user's own: it may serve elsewhere
    )
    if not hasattr(asked, "SessionExpiryInterval"):
        asked.SessionExpiryInterval = _SESSION_EXPIRY_S_MAX
    return asked


def _check_properties(properties: object) -> None:
    if properties is None:
        return
    if not isinstance(properties, Properties):
        raise TypeError("properties are paho's Properties(PacketTypes.CONNECT), not %r" % (properties,))
    if properties.packetType != PacketTypes.CONNECT:
        kind = PacketTypes.Names[properties.packetType]
        raise ValueError("properties are of a packet %s, they must be Properties(PacketTypes.CONNECT)" % kind)
    try:
        properties.pack()  # type: ignore[no-untyped-call] # paho looks at most values only there
    except Exception as error:  # noqa: BLE001 - whatever that is: to struct, to len, to a codec
        raise ValueError("properties that cannot be sent: %s: %s" % (properties, error)) from None


def _check_number(what: str, number: object, least: int, most: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError("%s is a whole number, not %r" % (what, number))
    if not least <= number <= most:
        raise ValueError("%s is %d, it must be from %d to %d" % (what, number, least, most))
