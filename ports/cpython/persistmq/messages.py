"""The forms in which messages are given."""

from collections.abc import Mapping
from typing import Any

Payload = str | bytes | bytearray | memoryview | int | float | None
Message = tuple[str, Payload] | tuple[str, Payload, int] | tuple[str, Payload, int, bool] | Mapping[str, Any]


def with_defaults(message: Message, qos: int, retain: bool) -> tuple[str, object, int, bool]:
    """(topic, payload, qos, retain). Raises TypeError or ValueError for what has not the form of a message."""
    if isinstance(message, Mapping):
        given = {"payload": None, "qos": qos, "retain": retain, **message}
        if set(given) != {"topic", "payload", "qos", "retain"}:
            raise ValueError(f"a message has topic, payload, qos and retain, not {', '.join(map(repr, message))}")
        return given["topic"], given["payload"], given["qos"], given["retain"]
    if not isinstance(message, (tuple, list)) or not 2 <= len(message) <= 4:
        raise TypeError(f"a message is (topic, payload), (topic, payload, qos, retain) or a dict, not {message!r:.80}")
    return (*message, qos, retain)[:4] if len(message) != 3 else (*message, retain)
