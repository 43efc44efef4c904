"""Said at the start: what is sent again because a checkpoint is gone or does not read."""

import logging

from persistmq_core.contracts import Store
from persistmq_core.segment import JOURNAL
from persistmq_core.slots import load

logger = logging.getLogger("persistmq")


def warn_of_repeats(store: Store, where: str) -> None:
    """Before the cache is opened, which writes new checkpoints. Raises FormatError or OSError, as ``open_cache``."""
    checkpoint, is_doubtful = load(store)
    if checkpoint is None and store.list(JOURNAL):
        logger.warning(
            "%s: no checkpoint is there that reads: all that the journal holds is sent again, also what was delivered",
            where,
        )
    elif checkpoint is not None and is_doubtful:
        logger.warning(
            "%s: one of the two checkpoints does not read: what was delivered last may be sent again", where
        )
