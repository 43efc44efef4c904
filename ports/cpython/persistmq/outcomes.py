"""What became of messages and of the connection: for the callbacks, for who waits, and for who asks later."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from persistmq_core.contracts import Listener
from persistmq_core.errors import MessageDropped
from persistmq_core.packets import packet_id
from persistmq_core.reasons import reason_words

from .loops import LoopCalls

if TYPE_CHECKING:
    from .client import PersistClient

logger = logging.getLogger("persistmq")

_WORDS = {
    "damaged": "its bytes on storage were damaged",
    "evicted": "the cache was full, and it was the oldest",
    "expired": "it was too old when its turn came",
}
_DAMAGED_SAID = 10  # warnings one by one; then one at each power of ten
_DROPS_KEPT = 10_000  # how many undeliverable messages are remembered by number, for their infos


class Outcomes(Listener):
    """Told by the delivering side, on the client's thread. Everybody else may ask and wait."""

    def __init__(self, client: "PersistClient") -> None:
        self.loops: LoopCalls  # set by the client, before anything is told
        self._last_seq = 0  # of those that were delivered
        self.is_closed = threading.Event()
        self._client = client
        self._counts: Counter[str] = Counter()  # of those that were dropped, by account
        self._drops: dict[int, tuple[str, str]] = {}
        self._told_progress = -1
        self._progress = threading.Condition()
        self._waits: list[Callable[[], bool]] = []  # what callers wait for

    # --- told by the delivering side ---

    def delivered(self, seq: int) -> None:
        self._last_seq = seq
        if self.loops.has_any:
            self.loops.settle(seq, True)
        if self._client.on_delivered is not None:
            self._call(self._client.on_delivered, seq)

    def dropped(self, seq: int, account: str, reason_code: int) -> None:
        words = reason_words(reason_code) if account == "refused" else _WORDS[account]
        if len(self._drops) >= _DROPS_KEPT:
            self._drops.pop(next(iter(self._drops)))
        self._drops[seq] = (account, words)
        self._counts[account] += 1
        self._log_drop(seq, account, words, self._counts[account])
        if account == "refused":
            self._client.dead_letters.trim()
        self.loops.settle(seq, MessageDropped(seq, account, words))
        self._call(self._client.on_dropped, seq, account, words)

    def _log_drop(self, seq: int, account: str, words: str, count: int) -> None:
        level, so_far = logging.WARNING, ""
        if account == "damaged" and count > _DAMAGED_SAID:  # one lost file is tens of thousands
            is_round = count == 10 ** (len(str(count)) - 1)
            level, so_far = (logging.WARNING, f" ({count} so far)") if is_round else (logging.DEBUG, "")
        elif account in ("evicted", "expired") and count > 1:
            level = logging.DEBUG  # whoever bounds the cache or lets messages expire expects many of these
        logger.log(level, "message %d was %s: %s%s", seq, account, words, so_far)

    def connected(self, session_present: bool) -> None:
        logger.info("connected, session %s", "resumed" if session_present else "new")
        self._call(self._client.on_connection_up, session_present)

    def disconnected(self, reason: str) -> None:
        logger.info("disconnected: %s", reason)
        self._call(self._client.on_connection_down, reason)

    def _call(self, callback: Callable[..., object] | None, *arguments: object) -> None:
        if callback is None:
            return
        try:
            callback(self._client, *arguments)
        except BaseException:  # noqa: BLE001 - whatever it is, sys.exit() too: the messages behind it go on
            logger.exception("an exception in a callback of the application")

    # --- asked by anybody ---

    @property
    def last_mid(self) -> int | None:
        """The packet identifier of the message that was delivered last."""
        return packet_id(self._last_seq) if self._last_seq else None

    def drop_of(self, seq: int) -> "tuple[str, str] | None":
        """(account, reason) of a message that will not be delivered; the last 10,000 of a process are remembered."""
        return self._drops.get(seq)

    def raise_if_dropped(self, seq: int) -> None:
        """Raises MessageDropped."""
        drop = self._drops.get(seq)
        if drop is not None:
            raise MessageDropped(seq, *drop)

    def wait(self, done: Callable[[], bool], timeout: float | None) -> bool:
        """Until ``done()``, which is looked at whenever something was settled, ``timeout`` seconds or ``close``."""
        with self._progress:
            self._waits.append(done)
            try:
                return self._progress.wait_for(lambda: done() or self.is_closed.is_set(), timeout) and done()
            finally:
                self._waits.remove(done)

    # --- by the client's thread ---

    def tell(self, progress: int, cursors: tuple[int, ...]) -> None:
        """Wake those whose time has come. ``progress``: another number when something was settled since the last call;
        all before ``cursors`` is.
        """
        if progress != self._told_progress:
            # Not all at each progress: a caller in flush() would take the interpreter from this thread each time.
            if any(map(_is_over, tuple(self._waits))):
                with self._progress:
                    self._progress.notify_all()
            self.loops.settle_flushed(cursors)
            self._told_progress = progress
        self.loops.tell()

    def close(self) -> None:
        """Nothing more will come. Whoever waits is told so."""
        self.is_closed.set()
        self.loops.end()
        with self._progress:
            self._progress.notify_all()


def _is_over(done: Callable[[], bool]) -> bool:
    try:
        return done()
    except Exception:  # noqa: BLE001 - it is raised again where somebody waits for it
        return True
