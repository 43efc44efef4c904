"""What ``publish()`` does when a bound of the cache is reached. Imported then: few boards have bounds."""

from persistmq_core.errors import CacheFull

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .client import PersistClient


def await_room(client: "PersistClient", full: CacheFull) -> None:
    """Make room or wait for it, as ``on_full`` says. Raises ``full`` if there is none."""
    engine = client._engine
    has_room = False
    if not client._is_stepping:  # else this is a callback, in the middle of it all
        if client._on_full == "drop_oldest":
            client._commit()  # only what is on storage can be given up
            has_room = engine.make_room(client._clock.now_ms(), full.count, full.wanted_bytes)
        elif client._on_full == "block":
            timeout = None if client._full_timeout_ms is None else client._full_timeout_ms / 1000
            has_room = client._step_until(lambda: engine.spool.has_room(full.count, full.wanted_bytes), timeout)
    if not has_room:
        raise full
