"""The forms in which messages are given."""

import math
from collections.abc import Mapping
from typing import Any, BinaryIO

from persistmq_core.limits import EXPIRES_S_MAX

Payload = str | bytes | bytearray | memoryview | int | float | BinaryIO | None
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


def expiry_seconds(expires_after: float | None) -> int:
    """Whole seconds for storage, rounded up; 0 for never. Raises ValueError or TypeError."""
    if expires_after is None or expires_after == math.inf:
        return 0
    if isinstance(expires_after, bool) or not isinstance(expires_after, (int, float)):
        raise TypeError(f"expires_after is a number of seconds, not {expires_after!r}")
    if not 0 < expires_after <= EXPIRES_S_MAX:
        raise ValueError(f"expires_after is {expires_after!r}: more than 0 and at most {EXPIRES_S_MAX} seconds")
    return math.ceil(expires_after)
