"""The delivering side in a worker process: the application's end of it, with the calls of ``DeliveryHere``.

The worker is begun when there is something to connect to, and again whenever it has died. Two things pass to it: how
far the journal is durable, straight from the thread that wrote, so that it knows when the application hangs behind
that; and commands. What comes back are reports, from which this keeps a picture of where delivery stands.
"""

import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import Iterable
from typing import Any

from persistmq_core.contracts import Store
from persistmq_core.engine import Engine
from persistmq_core.parked import letters
from persistmq_core.window import DONE

from .group_commit import GroupCommit
from .link import REPORTED, Link
from .outcomes import Outcomes
from .recorded_client import Call, RecordedClient, check_portable, remembered
from .wakeup import WakeUp
from .worker_start import start_worker

logger = logging.getLogger("persistmq")

_NEXT_DELAY_MS_MIN = 50  # before the next worker is begun; twice as long if it does not get anything done
_NEXT_DELAY_MS_MAX = 30_000
_LONG_LIFE_MS = 60_000  # what dies after this has not died of its beginning
_START_MS_MAX = 60_000  # to import, and to look through the cache while nobody can publish
_STOP_GRACE_MS = 1000  # for the worker's disk, beyond the timeout of stop(); then it is killed, which is safe
_REAP_S = 2.0
_SEND_AGAIN_MS = 100  # when the worker does not read
_NEVER_MS = 1 << 30

# What the worker is at.
_NONE, _STARTING, _RECOVERING, _WORKING = range(4)


class DeliveryElsewhere:
    """``engine`` has recovered the cache and is never stepped: it is where appending begins, and its accounts are
    written here as the worker reports them. ``settings``: see ``Worker``; they can be passed to another process.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        commits: GroupCommit,
        outcomes: Outcomes,
        settings: dict[str, Any],
        client_options: dict[str, Any],
        start_method: str,
    ) -> None:
        self.is_over = False
        self.is_left_behind = False  # at the end of this process the worker is not stopped
        self._store = store
        self._engine = engine
        engine.journal.payload_seqs = None  # the worker's: it removes these files
        self._commits = commits
        self._outcomes = outcomes
        cache_id = engine.lanes[0].delivery.checkpoint.cache_id
        self._settings = settings | {"calls": [], "address": None, "cache_id": cache_id}
        self.mqtt_client = RecordedClient(self._check_call, self._forward, **client_options)
        self._start_method = start_method
        self._wake_up = WakeUp()
        self._link: Link | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._phase = _NONE
        self._deadline_ms = 0  # of starting and recovering
        self._began_ms = 0
        self._begin_at_ms = 0
        self._next_delay_ms = 0
        self._untold_calls: deque[Call] = deque()
        self._address_told: object = None
        self._untold = False  # the worker did not take the journal's numbers, for it does not read
        self._stop_by_ms: int | None = None
        self._stop_told = False
        # Where delivery stands.
        window = engine.lanes[0].delivery.window
        self._cursor = window.cursor
        self._settled = {seq for seq in range(window.cursor, window.end) if window.state(seq) == DONE}
        self._progress = 0
        self._connections = 0
        self._is_up = False  # as was told; while a session is renewed the status says otherwise for a moment
        self._reclaimed_bytes_before = 0  # when this worker began
        self._status: dict[str, Any] = {
            "connected": False,
            "in_flight": 0,
            "repeated": engine.delivery.repeated(),
            "connections": 0,
            "down_reason": engine.down_reason,
            "store_error": "",
            "damaged_bytes": 0,
            "worker_pid": 0,
        }

    # --- by any thread ---

    def connect(self, host: str, port: int, connect_kwargs: dict[str, Any]) -> None:
        """Connect to this broker from now on. Raises TypeError for what cannot be passed to another process."""
        address = {"address": (host, port, connect_kwargs)}
        check_portable("connect_async()", self._settings | address)
        self._settings |= address
        self.wake()

    def stop_by(self, deadline_ms: int) -> None:
        """As in DeliveryHere."""
        self._stop_by_ms = deadline_ms
        self.wake()

    def wake(self) -> None:
        """As in DeliveryHere."""
        self._wake_up.set()

    def appended(self) -> None:
        """More of the journal is durable: told from here, because this thread may be the last to run for a while."""
        if self._phase == _WORKING:
            self._tell_numbers()
        self.wake()

    def cursors(self) -> tuple[int, ...]:
        """As in DeliveryHere."""
        return (self._cursor,)

    def progress(self) -> int:
        """As in DeliveryHere."""
        return self._progress

    def is_settled(self, seq: int) -> bool:
        """As in DeliveryHere."""
        return seq < self._cursor or seq in self._settled

    def status(self) -> dict[str, Any]:
        """As in DeliveryHere."""
        return self._status | {"connections": self._connections, "worker_pid": self._pid}

    def _check_call(self, call: Call) -> None:
        calls = {"calls": remembered(self._settings["calls"], call)}
        check_portable("mqtt_client.%s()" % call[0], self._settings | calls)

    def _forward(self, call: Call) -> None:
        self._settings["calls"] = remembered(self._settings["calls"], call)
        self._untold_calls.append(call)
        self.wake()

    # --- by the client's thread ---

    def turn(self, now_ms: int) -> int:
        """As in DeliveryHere."""
        if self._link is not None:
            self._read(now_ms)
        if self._stop_by_ms is not None:
            return self._stop(now_ms, self._stop_by_ms)
        if self._link is None:
            if self._settings["address"] is None:
                return _NEVER_MS
            if now_ms < self._begin_at_ms:
                return self._begin_at_ms - now_ms
            self._begin(now_ms)
        if self._phase == _WORKING:
            if self._untold:
                self._tell_numbers()
            return _NEVER_MS if self._tell_settings() else _SEND_AGAIN_MS
        if now_ms >= self._deadline_ms:
            logger.error("the worker process does not begin; it is ended")
            self._kill()
            self._ended(now_ms)
            return 0
        return self._deadline_ms - now_ms

    def sleep(self, delay_ms: int) -> None:
        """As in DeliveryHere."""
        descriptor = -1 if self._link is None else self._link.descriptor()
        self._wake_up.wait(max(0, delay_ms), descriptor, self._untold)

    def fail(self, now_ms: int, reason: str) -> None:
        """As in DeliveryHere: with another worker."""
        self._kill()
        self._ended(now_ms)
        self._status["store_error"] = reason
        self.is_over = self._stop_by_ms is not None

    def close(self) -> None:
        """The link ends; a worker that is left behind goes on, any other has ended."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self._wake_up.close()

    def forget_in_child(self) -> None:
        """In a forked child: its copy of the link would hide the end of this application from the worker."""
        if self._link is not None:
            self._link.close()

    # --- the life of a worker ---

    def _begin(self, now_ms: int) -> None:
        ours, theirs = Link.pair()
        self._link = Link(ours, waits=False)
        self._untold = self._stop_told = False
        self._phase = _STARTING
        self._began_ms = now_ms
        self._deadline_ms = now_ms + _START_MS_MAX
        # The next one waits longer, unless this one is seen to get something done.
        self._next_delay_ms = min(_NEXT_DELAY_MS_MAX, max(_NEXT_DELAY_MS_MIN, 2 * self._next_delay_ms))
        try:
            self._process = start_worker(self._start_method, theirs, self._settings["cache_path"])
        finally:
            theirs.close()
        self._untold_calls.clear()
        self._address_told = self._settings["address"]
        log_level = logger.getEffectiveLevel()
        self._link.send("begin", self._settings | {"log_level": log_level})

    def _recover(self) -> None:
        """The worker looks through the cache now, and nobody else may write to it: publishing waits."""
        self._commits.hold()
        self._phase = _RECOVERING
        journal = self._engine.journal
        journal.seal()  # the file that grows may get another name
        self._send_link("recover", (journal.end_seq, journal.active_seq, journal.skipped))

    def _recovered(self, held_bytes: int, cursor: int, done: list[int]) -> None:
        # The one before may have removed files and not have said so any more.
        self._reclaimed_bytes_before = self._engine.journal.appended_bytes - held_bytes
        self._engine.lanes[0].delivery.reader.reclaimed_bytes = self._reclaimed_bytes_before
        # Nor of what it settled at last.
        self._catch_up([*range(self._cursor, cursor), *done])
        self._move_cursor(cursor)
        self._phase = _WORKING
        self._commits.let_go()

    def _ended(self, now_ms: int) -> None:
        """The worker is gone."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
        if self._phase == _RECOVERING:
            self._commits.let_go()
        self._phase = _NONE
        how = self._reap()
        if now_ms - self._began_ms > _LONG_LIFE_MS:
            self._next_delay_ms = _NEXT_DELAY_MS_MIN
        self._begin_at_ms = now_ms + self._next_delay_ms
        reason = "the worker process ended" + how
        self._status["connected"] = False
        self._status["in_flight"] = 0
        if self._stop_told:
            return
        self._status["down_reason"] = reason
        logger.error("%s; another one begins in %d ms", reason, self._next_delay_ms)
        if self._is_up:
            self._is_up = False
            self._outcomes.disconnected(reason)

    def _reap(self) -> str:
        self._pid = 0
        process, self._process = self._process, None
        if process is None:
            return ""
        try:
            status = process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        return " by signal %d" % -status if status < 0 else " with status %d" % status if status else ""

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        elif self._pid:
            try:
                os.kill(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def _stop(self, now_ms: int, stop_by_ms: int) -> int:
        if self.is_left_behind:
            if self._phase == _RECOVERING and now_ms < self._deadline_ms:
                return _SEND_AGAIN_MS  # until it has recovered nothing can be written
            if self._link is None and self._settings["address"] is not None:
                self._begin(now_ms)  # the application ends as soon as it has published
        if self._link is None or (self.is_left_behind and self._phase != _RECOVERING):
            self.is_over = True
        elif self._phase != _WORKING or now_ms >= stop_by_ms + _STOP_GRACE_MS:
            self._stop_told = True
            self._kill()
            self._ended(now_ms)
            self.is_over = True
        elif not self._stop_told:
            self._stop_told = self._send_link("stop", max(0, stop_by_ms - now_ms))
        return min(_NEVER_MS, max(0, stop_by_ms + _STOP_GRACE_MS - now_ms)) if self._stop_told else _SEND_AGAIN_MS

    # --- to the worker ---

    def _send_link(self, *message: Any) -> bool:
        link = self._link  # other threads come here as well
        return link is None or link.send(*message)

    def _tell_numbers(self) -> None:
        journal = self._engine.journal
        self._untold = not self._send_link("numbers", journal.end_seq, journal.active_seq, journal.skipped)

    def _tell_settings(self) -> bool:
        """True if the worker has been told of all."""
        calls = self._untold_calls
        while calls and self._send_link("call", *calls[0]):
            calls.popleft()
        address = self._settings["address"]
        if not calls and address is not self._address_told and self._send_link("connect", *address):
            self._address_told = address
        return not calls and address is self._address_told

    # --- from the worker ---

    def _read(self, now_ms: int) -> None:
        while self._link is not None:
            try:
                what, *rest = self._link.receive()
            except BlockingIOError:
                return
            except EOFError:
                self._ended(now_ms)
                return
            if what == "report":
                self._take_report(*rest)
            elif what == "hello":
                self._pid = rest[0]
                self._recover()
            elif what == "recovered":
                self._recovered(*rest)
            elif what == "failed":
                logger.error("the worker process failed: %s", rest[0])
                self._status["store_error"] = rest[0]

    def _take_report(self, events: list[tuple[Any, ...]], state: tuple[Any, ...] | None) -> None:
        for what, *rest in events:
            if what == "delivered":
                for seq in range(*rest):
                    if self._settle(seq):
                        self._outcomes.delivered(seq)
            elif what == "dropped":
                if self._settle(rest[0]):
                    self._outcomes.dropped(*rest)
            elif what == "connected":
                self._connections += 1
                self._is_up = self._status["connected"] = True
                self._outcomes.connected(rest[0])
            elif what == "disconnected":
                self._is_up = False
                self._outcomes.disconnected(rest[0])
            elif what == "log":
                name, level, text = rest
                logging.getLogger(name).log(level, "%s", text)
        self._progress += 1
        if state is not None:
            self._take_state(*state)

    def _take_state(
        self,
        cursor: int,
        is_complete: bool,
        accounts: tuple[int, ...],
        reclaimed_bytes: int,
        status: tuple[tuple[str, Any], ...],
    ) -> None:
        if not is_complete:
            self._catch_up(range(self._cursor, cursor))
        checkpoint, reader = self._engine.lanes[0].delivery.checkpoint, self._engine.lanes[0].delivery.reader
        for name, count in zip(REPORTED, accounts, strict=True):
            setattr(checkpoint, name, count)
        reader.reclaimed_bytes = self._reclaimed_bytes_before + reclaimed_bytes
        self._status = dict(status)
        self._move_cursor(cursor)

    def _move_cursor(self, cursor: int) -> None:
        if cursor > self._cursor:  # one that was killed may have been further: what is settled stays settled
            self._cursor = cursor
            self._settled = {seq for seq in self._settled if seq >= cursor}

    def _catch_up(self, settled: Iterable[int]) -> None:
        """Who settled these may not have told of them: they are delivered, unless they lie under ``dead/``."""
        untold = [seq for seq in settled if not self.is_settled(seq)]
        if not untold:
            return
        refused = self._dead_letters()
        for seq in untold:
            self._settle(seq)
            if seq in refused:
                self._outcomes.dropped(seq, "refused", refused[seq])
            else:
                self._outcomes.delivered(seq)

    def _dead_letters(self) -> dict[int, int]:
        """Number and reason code of what the broker refused."""
        cache_id = self._settings["cache_id"]
        return {letter.seq: letter.reason_code for letter in letters(self._store) if letter.cache_id == cache_id}

    def _settle(self, seq: int) -> bool:
        """False if it is settled already."""
        if self.is_settled(seq):
            return False
        self._settled.add(seq)
        self._next_delay_ms = 0
        return True
