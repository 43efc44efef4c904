"""Durability "spill": RAM in front of the cache, for a port with threads."""

import logging
import threading

from persistmq_core.contracts import Store
from persistmq_core.limits import SPILL_BYTES_MAX, SPILL_BYTES_MIN
from persistmq_core.spill_store import SpillStore

logger = logging.getLogger("persistmq")

_HANGING_S = 1.0  # for whoever has the lock to give it back


class RamFirst(SpillStore):
    """The application's threads and the client's have it in turns."""

    def __init__(self, store: Store, spill_bytes: int) -> None:
        self._turns = threading.Lock()
        super().__init__(store, spill_bytes, self._turns)  # type: ignore[arg-type] # it serves ``with``

    def rescue(self) -> None:
        """The client's thread hangs and this process ends: write what is in RAM, if it is not the disk that hangs."""
        if not self._turns.acquire(timeout=_HANGING_S):
            return
        self._turns.release()
        try:
            self.spill()
        except OSError as error:
            logger.error("what waited in RAM could not be written: %s", error)


def check_spill(durability: str, spill_bytes: object, spill_after_ms: object, drain: str | None, worker: str) -> None:
    """Raises ValueError for what PersistClient cannot do."""
    if durability != "spill":
        return
    if not isinstance(spill_after_ms, int) or spill_after_ms < 1:
        raise ValueError(f"spill_after_ms must be a whole number from 1, not {spill_after_ms!r}")
    if not isinstance(spill_bytes, int) or not SPILL_BYTES_MIN <= spill_bytes <= SPILL_BYTES_MAX:
        limits = f"from {SPILL_BYTES_MIN} to {SPILL_BYTES_MAX}"
        raise ValueError(f"spill_bytes must be a whole number {limits}, not {spill_bytes!r}")
    if worker == "process":
        raise ValueError('durability="spill" needs worker="thread": another process would not see what waits in RAM')
    if drain is not None:
        raise ValueError(f'drain={drain!r} needs durability "sync" or "async": what waits in RAM has one lane')
