"""The worker process: it delivers what an application stores, and goes on when that hangs.

The application says what to connect to and how far the journal is durable; the worker says what became of messages.
When the link ends the application is gone: the worker ends too, or first empties the cache, if it was asked to.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from typing import Any, NamedTuple, NoReturn

from persistmq_core.contracts import Listener
from persistmq_core.engine import Engine
from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from persistmq_core.window import DONE

from . import clock
from .chance import SystemRandom
from .delivery_here import DeliveryHere
from .link import REPORTED, Link, TooLarge
from .lock import DeliveryLock
from .recorded_client import remembered
from .store import FileStore
from .transport import PahoTransport

logger = logging.getLogger("persistmq")

_FORMER_WORKER_S = 30.0  # for one that was killed or asked to end, and waits for its disk
_ORPHAN_STOP_MS = 5000  # for handshakes that are under way when the application is gone
_GONE_S = 1.0  # a process that dies closes its files one after the other
# More often reports would only keep the application from its work.
_EVENTS_MS = 1
_STATE_MS = 20  # without an event: how many are in flight, and the like
_REPORT_AGAIN_MS = 100  # when the application does not read
_NEVER_MS = 1 << 30
_EVENTS_KEPT = 10_000  # while the application does not read; the cursor tells it of all others
_EVENTS_AT_ONCE = 100  # in one message
_TEXT_MAX = 500  # characters


class Report(Listener):
    """What the application is to be told, until it takes it. ``dropped`` and so on: on the delivering thread only."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._events: deque[tuple[Any, ...]] = deque(maxlen=_EVENTS_KEPT)
        self._is_complete = True  # none of them was dropped since the last report
        self._told: tuple[Any, ...] = ()
        self._told_ms = 0

    def delivered(self, seq: int) -> None:
        events = self._events
        if events and events[-1][0] == "delivered" and events[-1][2] == seq:
            events[-1] = ("delivered", events[-1][1], seq + 1)
        else:
            self._keep("delivered", seq, seq + 1)

    def dropped(self, seq: int, account: str, reason_code: int) -> None:
        self._keep("dropped", seq, account, reason_code)

    def connected(self, session_present: bool) -> None:
        self._keep("connected", session_present)

    def disconnected(self, reason: str) -> None:
        self._keep("disconnected", reason[:_TEXT_MAX])

    def log(self, name: str, level: int, text: str) -> None:
        """From any thread."""
        self._keep("log", name, level, text)

    def _keep(self, *event: Any) -> None:
        if len(self._events) == _EVENTS_KEPT:
            self._is_complete = False
        self._events.append(event)

    def send(self, engine: Engine, delivery: DeliveryHere, now_ms: int) -> int:
        """Tell what is new; after how many milliseconds this should be called again if nothing else happens."""
        lane = engine.lanes[0]
        state = lane.delivery.checkpoint
        now = (
            delivery.cursors()[0],
            self._is_complete,
            tuple(getattr(state, name) for name in REPORTED),
            lane.delivery.reader.reclaimed_bytes,
            tuple(delivery.status().items()),
        )
        at_once = _EVENTS_AT_ONCE
        while self._events or now != self._told:
            due_ms = self._told_ms + (_EVENTS_MS if self._events else _STATE_MS)
            if now_ms < due_ms and not delivery.is_over:
                return due_ms - now_ms
            events = [self._events[index] for index in range(min(len(self._events), at_once))]
            is_last = len(events) == len(self._events)  # the cursor does not run ahead of what is told
            try:
                if not self._link.send("report", events, now if is_last else None):
                    return _REPORT_AGAIN_MS
            except TooLarge:
                if len(events) < 2:
                    raise
                at_once = len(events) // 2  # long logs
                continue
            for _ in events:
                self._events.popleft()
            if is_last:
                self._told = now
                self._is_complete = True
                self._told_ms = now_ms
        return _NEVER_MS


class _Forward(logging.Handler):
    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.log(record.name, record.levelno, self.format(record)[: 4 * _TEXT_MAX])


class _Life(NamedTuple):
    """What delivers: for the application, and another one for what it left behind."""

    engine: Engine
    transport: PahoTransport
    delivery: DeliveryHere


class Worker:
    """One cache, until the application stops it or is gone."""

    def __init__(self, link: Link, settings: dict[str, Any]) -> None:
        self._link = link
        self._settings = settings
        self._report = Report(link)
        self._life: _Life | None = None
        self._is_orphan = False
        self._must_end = False  # somebody asked for it who is not the application
        self._was_stopped = False

    def run(self) -> None:
        self._forward_logs()
        signal.signal(signal.SIGTERM, self._on_sigterm)
        lock = DeliveryLock(self._settings["cache_path"], _FORMER_WORKER_S)
        store = FileStore(self._settings["cache_path"])
        try:
            self._serve(store)
            if self._is_orphan and self._settings["drain_after_exit"] and self._is_alone(lock):
                # The journal may hold more than was told: all of it is looked through again.
                self._deliver(self._begin(store, None), until_empty=True)
        finally:
            store.close()
            lock.release()

    def _serve(self, store: FileStore) -> None:
        """Deliver for the application, as long as there is one."""
        self._link.send("hello", os.getpid())
        try:
            _, numbers = self._link.receive()
        except EOFError:
            self._is_orphan = True
            return
        life = self._begin(store, numbers)
        window = life.engine.lanes[0].delivery.window
        done = [seq for seq in range(window.cursor, window.end) if window.state(seq) == DONE]
        self._link.send("recovered", life.engine.held_bytes(), window.cursor, done)
        threading.Thread(target=self._listen, args=(life,), name="persistmq-link", daemon=True).start()
        self._deliver(life)

    def _is_alone(self, lock: DeliveryLock) -> bool:
        deadline = time.monotonic() + _GONE_S
        while lock.has_publisher() and not self._must_end and time.monotonic() < deadline:
            time.sleep(0.01)
        return not lock.has_publisher() and not self._must_end

    def _begin(self, store: FileStore, followed: "tuple[int, int, int] | None") -> _Life:
        settings = self._settings
        transport = PahoTransport(settings["client_id"], settings["connect_timeout_ms"], **settings["paho_kwargs"])
        for name, args, kwargs in settings["calls"]:
            getattr(transport.client, name)(*args, **kwargs)
        options = Options(followed=followed, clock=clock.SystemClock(), **settings["engine_options"])
        engine = Engine(open_cache(store, SystemRandom(), options, self._report), transport)
        engine.spool.has_expiring = True  # it may be: messages are staged elsewhere
        if engine.lanes[0].delivery.checkpoint.cache_id != settings["cache_id"]:
            raise RuntimeError("the cache has nothing on storage yet by which it could be known again")
        self._life = _Life(engine, transport, DeliveryHere(engine, transport))
        self._life.delivery.connect(*settings["address"])
        return self._life

    def _deliver(self, life: _Life, until_empty: bool = False) -> None:
        engine, _, delivery = life
        while not delivery.is_over:
            now_ms = clock.now_ms()
            try:
                delay_ms = delivery.turn(now_ms)
            except BaseException as failure:  # noqa: BLE001 - as in the thread of PersistClient
                logger.exception("the delivering side failed; it begins again")
                delay_ms = 1000
                delivery.fail(now_ms, f"{type(failure).__name__}: {failure}")
            if until_empty and (self._must_end or engine.accounts()["waiting"] == 0):
                until_empty = False
                delivery.stop_by(now_ms if self._must_end else now_ms + _ORPHAN_STOP_MS)
                delay_ms = 0
            delay_ms = min(delay_ms, self._report.send(engine, delivery, now_ms))
            if not delivery.is_over:
                delivery.sleep(delay_ms)
        delivery.close()
        self._report.send(engine, delivery, clock.now_ms())

    # --- what the application says, on a thread of its own ---

    def _listen(self, life: _Life) -> None:
        while True:
            try:
                self._take(life, *self._link.receive())
            except EOFError:
                self._orphaned(life)
                return

    def _take(self, life: _Life, what: str, *rest: Any) -> None:
        if what == "numbers":
            journal = life.engine.journal
            if rest[0] >= journal.end_seq:  # two threads of the application may overtake each other
                journal.follow(*rest)
                life.delivery.wake()
        elif what == "connect":
            self._settings["address"] = rest
            life.delivery.connect(*rest)
        elif what == "call":
            name, args, kwargs = rest
            self._settings["calls"] = remembered(self._settings["calls"], (name, args, kwargs))
            try:
                getattr(life.transport.client, name)(*args, **kwargs)
            except Exception:  # noqa: BLE001 - it worked in the application; a file may have gone since
                logger.exception("mqtt_client.%s() failed in the worker", name)
        elif what == "stop":
            self._was_stopped = True
            life.delivery.stop_by(clock.now_ms() + rest[0])

    def _orphaned(self, life: _Life) -> None:
        if self._was_stopped:
            return
        self._is_orphan = True
        at_once = self._must_end or self._settings["drain_after_exit"]
        life.delivery.stop_by(clock.now_ms() + (0 if at_once else _ORPHAN_STOP_MS))

    def _on_sigterm(self, _number: int, _frame: object) -> None:
        """A new application wants the cache, or the system goes down. One that is there says itself when to end."""
        self._must_end = True
        if self._is_orphan and self._life is not None:
            self._life.delivery.stop_by(clock.now_ms())

    def _forward_logs(self) -> None:
        for name in ("persistmq", *list(logging.root.manager.loggerDict)):
            if name.startswith("persistmq"):
                logging.getLogger(name).handlers[:] = []
        logger.addHandler(_Forward(self._report))
        logger.propagate = False
        logger.setLevel(self._settings["log_level"])


def main(descriptor: int) -> NoReturn:
    """The whole life of a worker that talks over this socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the application's
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # an application that takes signals by sigwait blocks them
    link = Link(socket.socket(fileno=descriptor), waits=True)
    status = 1
    try:
        _, settings = link.receive()
        # Nobody's terminal, and no pipe whose reader waits for its end.
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        Worker(link, settings).run()
        status = 0
    except EOFError:
        pass  # the application ended before it began
    except BaseException as error:  # noqa: BLE001 - the application is told, and begins another
        link.send("failed", f"{type(error).__name__}: {error}"[:_TEXT_MAX])
    finally:
        os._exit(status)
