"""The forms in which ``publish_many`` takes a message. Only that needs them: few boards load this."""


def with_defaults(message: "object", qos: int, retain: bool) -> "tuple[str, object, int, bool]":
    """(topic, payload, qos, retain). Raises TypeError or ValueError for what has not the form of a message.

    ``message``: a tuple or list of two to four of these in this order, or a mapping with these names (MicroPython: a
    dict).
    """
    if isinstance(message, (tuple, list)):
        count = len(message)
        if 2 <= count <= 4:
            return message[0], message[1], message[2] if count > 2 else qos, message[3] if count > 3 else retain
    elif hasattr(message, "keys"):
        given: dict = {"payload": None, "qos": qos, "retain": retain}  # type: ignore[type-arg]
        given.update(message)  # type: ignore[call-overload]
        if len(given) != 4 or "topic" not in given:
            names = ", ".join(map(repr, message.keys()))
            raise ValueError("a message has topic, payload, qos and retain, not %s" % names)
        return given["topic"], given["payload"], given["qos"], given["retain"]
    raise TypeError("a message is (topic, payload), (topic, payload, qos, retain) or a dict, not %.80r" % (message,))
