"""What ``publish()`` takes and returns: the forms and the names of the CPython port."""

from persistmq_core.packets import packet_id

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .client import PersistClient


class PublishInfo:
    """One accepted message."""

    def __init__(self, client: "PersistClient", seq: int) -> None:
        self._client = client
        self.seq = seq  # the number of the message in this cache, never repeated; 2**48 + n in the lane that goes ahead

    @property
    def mid(self) -> int:
        """The packet identifier on the wire, 1..64000."""
        return packet_id(self.seq)

    @property
    def rc(self) -> int:
        """0, or 13 once the message is known to be undeliverable."""
        return 13 if self._client.drop_of(self.seq) else 0

    def is_stored(self) -> bool:
        """True if it survives a power cut, or is delivered. Always so after ``publish()`` with durability "sync"."""
        return self._client.is_stored(self.seq)

    def wait_for_stored(self, timeout: "float | None" = None) -> bool:
        """Store it now, and with it all that waits in RAM; True if it is. There is nothing to wait for on a board."""
        return self._client.store_now(self.seq)

    def is_published(self) -> bool:
        """True if the broker has acknowledged it (QoS 0: if the connection has taken it)."""
        return self._client.is_published(self.seq)

    def wait_for_publish(self, timeout: "float | None" = None) -> bool:
        """Step for up to ``timeout`` seconds (None: without end) until it is delivered; True if it is.

        Raises MessageDropped if it will not be: refused, damaged, expired or evicted, as its ``account`` says.
        """
        return self._client.wait_for_publish(self.seq, timeout)
