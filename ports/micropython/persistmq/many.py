"""What ``publish_many()`` takes and returns. Imported when it is called first: few boards do."""

from .info import PublishInfo


class PublishInfos:
    """The messages that were accepted together, in their order: each info is made when it is asked for."""

    def __init__(self, client: object, count: int) -> None:
        self._client = client
        self._count = count
        self.first_seq = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> PublishInfo:
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return PublishInfo(self._client, self.first_seq + index % self._count)


def with_defaults(message: object, qos: int, retain: bool) -> "tuple[str, object, int, bool]":
    """(topic, payload, qos, retain). Raises TypeError or ValueError for what has not the form of a message."""
    if isinstance(message, dict):
        given = {"payload": None, "qos": qos, "retain": retain}
        given.update(message)
        if len(given) != 4 or "topic" not in given:
            raise ValueError("a message has topic, payload, qos and retain, not %s" % ", ".join(map(repr, message)))
        return given["topic"], given["payload"], given["qos"], given["retain"]
    if not isinstance(message, (tuple, list)) or not 2 <= len(message) <= 4:
        raise TypeError("a message is (topic, payload), (topic, payload, qos, retain) or a dict, not %r" % (message,))
    return message[0], message[1], message[2] if len(message) > 2 else qos, message[3] if len(message) > 3 else retain
