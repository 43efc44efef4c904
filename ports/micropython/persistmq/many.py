"""``publish_many()``: what it takes, does and returns. Imported when it is called first: few boards do."""

from persistmq_core.errors import CacheFull
from persistmq_core.forms import with_defaults
from persistmq_core.spool import IsLarge

from .info import PublishInfo

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .client import PersistClient


class PublishInfos:
    """The messages that were accepted together, in their order: each info is made when it is asked for."""

    def __init__(self, client: "PersistClient", count: int) -> None:
        self._client = client
        self._count = count
        self.first_seq = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> PublishInfo:
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return PublishInfo(self._client, self.first_seq + index % self._count)


def publish_all(
    client: "PersistClient",
    messages: "Iterable[tuple[object, ...] | list[object] | dict[str, object]]",
    qos: int,
    retain: bool,
    expires_after: "float | None",
    priority: bool,
) -> PublishInfos:
    """``PersistClient.publish_many``."""
    client._make_room()
    batch = [with_defaults(message, qos, retain) for message in messages]
    infos = PublishInfos(client, len(batch))
    if batch:
        expires_s = client._seconds(expires_after)
        spool = client._spool(priority)
        try:
            seq = spool.stage_all(batch, client._clock.stamp_ms(), expires_s)
        except CacheFull as full:
            client._await_room(full)
            seq = spool.stage_all(batch, client._clock.stamp_ms(), expires_s)
        except IsLarge:
            seq = client._stage_large(spool, batch, expires_s)
        if expires_s:
            client._engine.watch_clock(client._clock.now_ms())
        infos.first_seq = client._number(spool, seq)
        if client._sync:
            client._write(spool, client._take(spool))
    return infos
