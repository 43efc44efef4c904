"""What ``publish()`` returns: paho's shape, and two things that paho does not have, ``seq`` and being stored."""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from persistmq_core.packets import packet_id

if TYPE_CHECKING:
    from .client import PersistClient

MQTT_ERR_SUCCESS = 0
MQTT_ERR_UNKNOWN = 13  # paho's number, for a message that will not be delivered


class PublishInfo:
    """One accepted message. Unpacks as ``(rc, mid)`` like paho's ``MQTTMessageInfo``."""

    __slots__ = ("_client", "seq")

    def __init__(self, client: "PersistClient", seq: int) -> None:
        self._client = client
        self.seq = seq
        """The number of the message in this cache: never repeated, also after a restart. In the lane that goes ahead
        (``drain=``) it is 2**48 + n.
        """

    @property
    def mid(self) -> int:
        """The packet identifier on the wire, 1..64000."""
        return packet_id(self.seq)

    @property
    def rc(self) -> int:
        """0, or 13 (MQTT_ERR_UNKNOWN) once the message is known to be undeliverable."""
        return MQTT_ERR_UNKNOWN if self._client.drop_of(self.seq) else MQTT_ERR_SUCCESS

    def is_stored(self) -> bool:
        """True if it survives a power cut, or is delivered. Always so after ``publish()`` with durability "sync"."""
        return self._client.is_stored(self.seq)

    def wait_for_stored(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds (None: without end) until it is stored; True if it is.

        False at the timeout, or when the client was stopped and the disk had not taken it. With durability "spill" all
        that waits in RAM is written for it.
        """
        return self._client.wait_for_stored(self.seq, timeout)

    def is_published(self) -> bool:
        """True if the broker has acknowledged it (QoS 0: if the connection has taken it)."""
        return self._client.is_published(self.seq)

    def wait_for_publish(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds (None: without end) until it is delivered; True if it is.

        It waits before ``connect_async`` as well: another thread may call that. False at the timeout, or when the
        client was stopped.
        Raises MessageDropped if it will not be: refused, damaged, expired or evicted, as its ``account`` says.
        """
        return self._client.wait_for_publish(self.seq, timeout)

    async def stored(self, timeout: float | None = None) -> bool:
        """``wait_for_stored`` for asyncio: other tasks go on meanwhile."""
        return await self._client.stored_async(self.seq, timeout)

    async def published(self, timeout: float | None = None) -> bool:
        """``wait_for_publish`` for asyncio: other tasks go on meanwhile. ``await info`` is the same without timeout.

        False at the timeout, or when the client was stopped before the message was delivered. Raises MessageDropped.
        """
        return await self._client.published_async(self.seq, timeout)

    def __await__(self) -> Generator[Any, None, bool]:
        return self.published().__await__()

    def __iter__(self) -> Iterator[int]:
        return iter((self.rc, self.mid))

    def __getitem__(self, index: int) -> int:
        return (self.rc, self.mid)[index]

    def __repr__(self) -> str:
        return f"PublishInfo(seq={self.seq}, rc={self.rc}, mid={self.mid})"
