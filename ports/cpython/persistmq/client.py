"""PersistClient: the calls of persistmq 0.1.4, on the durable core."""

import asyncio
import logging
import os
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho

from persistmq_core.contracts import Listener, Random
from persistmq_core.dead_letters import reason_words
from persistmq_core.engine import Engine
from persistmq_core.errors import ClientStopped, MessageDropped
from persistmq_core.limits import (
    ACK_TIMEOUT_MS,
    CONNECT_TIMEOUT_MS,
    RECONNECT_DELAY_MS_MAX,
    RECONNECT_DELAY_MS_MIN,
    SEGMENT_BYTES_MAX,
    STORE_RETRY_MS,
    WINDOW_DEFAULT,
    WINDOW_QOS2_DEFAULT,
)
from persistmq_core.packets import packet_id
from persistmq_core.window import DONE

from . import process_events
from .connect_options import check_address
from .group_commit import GroupCommit
from .info import PublishInfo
from .lock import CacheLock
from .loops import LoopCalls
from .store import FileStore
from .transport import PahoTransport

Payload = str | bytes | bytearray | memoryview | int | float | None
Message = tuple[str, Payload] | tuple[str, Payload, int] | tuple[str, Payload, int, bool] | Mapping[str, Any]

logger = logging.getLogger("persistmq")

_STOP_GRACE_S = 10.0  # for the disk, beyond the timeout of stop()
_DROPS_KEPT = 10_000  # how many undeliverable messages are remembered by number, for their infos


class _SystemRandom(Random):
    def below(self, bound: int) -> int:
        return random.SystemRandom().randrange(bound)


class PersistClient:
    """A durable MQTT publisher on one cache directory.

    ``publish()`` works at once, also offline and before ``connect_async``. All methods may be called from any thread.

    Args:
        client_id: the MQTT client identifier. The broker keeps the QoS 2 state under it: keep it, and use it once.
        cache_type: "flat", files of records.
        cache_path: the cache directory, made if it is missing. One client at a time (``CacheInUse``).
        bulk_msg_count: 0. Bundles are not available in this version.
        bulk_topic_rewrite: topic of bundles, see there.
        durability: "sync": ``publish()`` returns when the message survives a power cut. "async": it returns at once and
            the message survives a power cut some milliseconds later (see ``PublishInfo.wait_for_stored``).
        window: QoS 1 messages in flight, at most. Never above the broker's Receive Maximum (MQTT 5).
        window_qos2: QoS 2 messages whose handshake has begun and PUBREL is not sent. More than 20 only on a broker that
            is configured for it: Mosquitto with its default configuration acknowledges such messages and loses them.
        ack_timeout_ms: an acknowledgement later than this ends the connection; the message is repeated on the next one.
        connect_timeout_ms: for TCP, TLS and CONNACK together.
        reconnect_delay_ms_min, reconnect_delay_ms_max: between attempts, with jitter.
        segment_bytes_max: size of one file of the journal.
        on_session_lost: what becomes of messages in flight when the broker lost its session. "resend": they are sent
            again as new, which may give duplicates. "trust": those that it answered with PUBREC count as delivered, the
            others are sent again.
        paho_kwargs: for ``paho.mqtt.client.Client``, e.g. ``protocol=MQTTv5``, ``transport="websockets"``.

    Attributes:
        mqtt_client: the paho client, for ``username_pw_set``, ``tls_set``, ``will_set``, ``subscribe``, ``on_message``
            and every callback of its own. Its connection is run by this object.
        on_delivered: ``f(client, seq)``, the broker has acknowledged a message.
        on_dropped: ``f(client, seq, account, reason)``, it will not be delivered; account is "refused" or "damaged".
        on_connection_up: ``f(client, session_present)``.
        on_connection_down: ``f(client, reason)``.
            All four are called from the engine's thread: they must return soon and may publish.

    Raises:
        ValueError, TypeError: a parameter that cannot be. CacheInUse: another process has the cache. FormatError: a
        cache of a newer version, left untouched. OSError: the directory cannot be used.
    """

    def __init__(
        self,
        client_id: str,
        cache_type: str = "flat",
        cache_path: str | os.PathLike[str] = "./cache",
        bulk_msg_count: int = 0,
        bulk_topic_rewrite: str = "mixed/bulk",
        *,
        durability: str = "sync",
        window: int = WINDOW_DEFAULT,
        window_qos2: int = WINDOW_QOS2_DEFAULT,
        ack_timeout_ms: int = ACK_TIMEOUT_MS,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        reconnect_delay_ms_min: int = RECONNECT_DELAY_MS_MIN,
        reconnect_delay_ms_max: int = RECONNECT_DELAY_MS_MAX,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        on_session_lost: str = "resend",
        **paho_kwargs: Any,
    ) -> None:
        if not isinstance(client_id, str) or not client_id:
            raise ValueError(f"client_id must be a string that is not empty, not {client_id!r}")
        _one_of("cache_type", cache_type, ("flat",))
        _one_of("durability", durability, ("sync", "async"))
        _one_of("on_session_lost", on_session_lost, ("resend", "trust"))
        if bulk_msg_count:
            raise ValueError(f"bulk_msg_count is {bulk_msg_count!r}: bundles are not available yet, it must be 0")
        self.bulk_topic_rewrite = bulk_topic_rewrite
        self.on_delivered: Callable[[PersistClient, int], object] | None = None
        self.on_dropped: Callable[[PersistClient, int, str, str], object] | None = None
        self.on_connection_up: Callable[[PersistClient, bool], object] | None = None
        self.on_connection_down: Callable[[PersistClient, str], object] | None = None

        self._sync = durability == "sync"
        self._transport = PahoTransport(client_id, connect_timeout_ms, **paho_kwargs)
        self.mqtt_client: paho.Client = self._transport.client
        self._cache_lock = CacheLock(cache_path)
        try:
            self._store = FileStore(cache_path)
            self._engine = Engine(
                self._store,
                self._transport,
                _SystemRandom(),
                _Events(self),
                window=window,
                window_qos2=window_qos2,
                ack_timeout_ms=ack_timeout_ms,
                connect_timeout_ms=connect_timeout_ms,
                reconnect_delay_ms_min=reconnect_delay_ms_min,
                reconnect_delay_ms_max=reconnect_delay_ms_max,
                segment_bytes_max=segment_bytes_max,
                session_marker=zlib.crc32(client_id.encode()),
                trust_lost_session=on_session_lost == "trust",
            )
        except BaseException:
            self._cache_lock.release()
            raise
        wake = self._transport.wake
        self._commits = GroupCommit(self._engine.spool, self._engine.journal, not self._sync, on_ended=wake)
        self._drops: dict[int, tuple[str, str]] = {}
        self._last_mid: int | None = None
        self._progress = threading.Condition()
        self._waits: list[Callable[[], bool]] = []  # what callers wait for
        self._thread: threading.Thread | None = None
        self._has_runner = False
        self._new_address: tuple[str, int, dict[str, Any]] | None = None
        self._stopped = False  # no more publishes
        self._stop_by_ms: int | None = None  # the engine thread is to end
        self._closed = threading.Event()
        self._loops = LoopCalls(self._commits, wake, self._closed.is_set)
        self._failure = ""
        self._logged_reason = self._engine.down_reason
        self._forked = False
        _warn_of_older_cache(cache_path)
        process_events.watch(self)

    # --- the seed's calls ---

    def connect_async(self, mqtt_host: str, mqtt_port: int = 1883, **kwargs: Any) -> None:
        """Begin to connect, and stay connected from now on. Returns at once, also when there is no broker.

        ``kwargs`` are paho's (``keepalive``, ``bind_address``, ``properties``, ...). A second call changes the broker.
        Raises ValueError for a host or port that cannot be.
        """
        self._check_alive()
        check_address(mqtt_host, mqtt_port, **kwargs)
        self._new_address = (mqtt_host, mqtt_port, kwargs)
        self._start()
        self._transport.wake()

    def publish(self, topic: str, payload: Payload = None, qos: int = 2, retain: bool = False) -> PublishInfo:
        """Accept one message. With durability "sync" it is on storage when this returns.

        Raises ValueError or TypeError (topic, payload, qos: nothing was written), StoreError (the disk: not accepted,
        what was stored before is whole), ClientStopped.
        """
        if self._stopped or self._forked:
            self._check_alive()
        seq = self._commits.stage(topic, payload, qos, retain)
        if self._sync:
            self._commits.commit(seq)  # which wakes the engine
        else:
            self._start()  # the engine's thread is the one that syncs
            self._transport.wake()
        return PublishInfo(self, seq)

    def publish_many(self, messages: Iterable[Message], qos: int = 2, retain: bool = False) -> list[PublishInfo]:
        """Accept all of them, or none: they are written together, with one sync. Infos in their order.

        A message is ``(topic, payload)``, or with its own ``(topic, payload, qos, retain)``, or a dict of these names.
        They are held in memory until they are stored. Raises what ``publish`` raises.
        """
        if self._stopped or self._forked:
            self._check_alive()
        batch = [_with_defaults(message, qos, retain) for message in messages]
        if not batch:
            return []
        first_seq = self._commits.stage_all(batch)
        if self._sync:
            self._commits.commit_all(first_seq, first_seq + len(batch))
        else:
            self._start()
            self._transport.wake()
        return [PublishInfo(self, seq) for seq in range(first_seq, first_seq + len(batch))]

    async def publish_async(
        self, topic: str, payload: Payload = None, qos: int = 2, retain: bool = False
    ) -> PublishInfo:
        """``publish`` for asyncio: the loop goes on meanwhile, and tasks that publish at the same time share syncs.

        A task that is cancelled while it waits does not take its message back: it is stored and delivered all the same.
        Raises what ``publish`` raises.
        """
        self._check_alive()
        self._check_not_here()
        self._start()  # the client's thread is the one that syncs
        seq = await self._loops.stage(topic, payload, qos, retain)
        if self._sync:
            await self._loops.commit(seq)
        else:
            self._loops.wake_soon()
        return PublishInfo(self, seq)

    async def flush_async(self, timeout: float | None = None) -> bool:
        """``flush`` for asyncio: other tasks go on meanwhile."""
        self._check_process()
        end_seq = self._flush_seq()
        window = self._engine.delivery.window
        return await self._loops.flushed(end_seq, lambda: window.cursor >= end_seq, timeout)

    def get_status(self) -> dict[str, Any]:
        """Where things stand. The accounts: accepted == delivered + expired + evicted + refused + damaged + waiting."""
        engine = self._engine
        accounts = engine.accounts()
        return {
            "connected": engine.online(),
            "last_mid": self._last_mid,
            "cached_items": accounts["waiting"],
            **accounts,
            "staged": self._commits.staged(),
            "in_flight": engine.delivery.under_way() if engine.online() else 0,
            "repeated": engine.delivery.checkpoint.repeated,
            "connections": engine.connections,
            "down_reason": engine.down_reason,
            "store_error": self._commits.store_error or engine.store_error or self._failure,
            "damaged_bytes": engine.delivery.reader.damaged_bytes,
        }

    def flush(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds (None: without end) until all that was accepted is settled; True if it is."""
        self._check_process()
        self._commits.commit_staged()
        end_seq = self._flush_seq()
        return self._wait(lambda: self._engine.delivery.window.cursor >= end_seq, timeout)

    def stop(self, timeout: float = 5.0) -> None:
        """Accept no more; let handshakes that are under way end, within ``timeout`` seconds; store; disconnect.

        What is not delivered stays in the cache for the next start (``flush`` waits for it). Safe to call twice.
        """
        self._stopped = True
        if self._forked or self._closed.is_set():
            return
        self._stop_by_ms = _now_ms() + int(timeout * 1000)
        self._transport.wake()
        if threading.current_thread() is self._thread or self._commits.is_busy_here():
            return  # in a callback, or in a signal handler inside publish(): it ends when these have returned
        if self._is_first():
            self._close()
        elif not self._closed.wait(timeout + _STOP_GRACE_S):
            logger.error("the engine's thread does not end: it hangs in a callback, or in the file system")

    def __enter__(self) -> "PersistClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> "PersistClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    # --- for PublishInfo ---

    def is_stored(self, seq: int) -> bool:
        """See PublishInfo."""
        return seq < self._engine.journal.end_seq

    def wait_for_stored(self, seq: int, timeout: float | None) -> bool:
        """See PublishInfo."""
        self._check_process()
        return self._commits.commit(seq, timeout)

    def is_published(self, seq: int) -> bool:
        """See PublishInfo."""
        window = self._engine.delivery.window
        settled = window.state(seq) == DONE or seq < window.cursor
        return settled and seq not in self._drops

    def wait_for_publish(self, seq: int, timeout: float | None) -> bool:
        """See PublishInfo."""
        self._wait(lambda: self.is_published(seq) or seq in self._drops, timeout)
        drop = self._drops.get(seq)
        if drop is not None:
            raise MessageDropped(seq, *drop)
        return self.is_published(seq)

    async def stored_async(self, seq: int, timeout: float | None) -> bool:
        """See PublishInfo."""
        self._check_process()
        return await self._loops.stored(seq, lambda: self.is_stored(seq), timeout)

    async def published_async(self, seq: int, timeout: float | None) -> bool:
        """See PublishInfo."""
        self._check_process()
        settled = await self._loops.published(seq, lambda: self.is_published(seq) or seq in self._drops, timeout)
        if seq in self._drops:
            raise MessageDropped(seq, *self._drops[seq])
        return settled

    def drop_of(self, seq: int) -> "tuple[str, str] | None":
        """(account, reason) of a message that will not be delivered; the last 10,000 of a process are remembered."""
        return self._drops.get(seq)

    # --- inside ---

    def _flush_seq(self) -> int:
        """The number behind all that was accepted. With "sync" one behind end_seq is an error its caller was told."""
        return self._engine.journal.end_seq if self._sync else self._engine.spool.next_seq

    def _check_alive(self) -> None:
        if self._stopped:
            raise ClientStopped("this client was stopped; make a new one on the same cache to go on")
        self._check_process()

    def _check_process(self) -> None:
        if self._forked:
            raise RuntimeError("this client belongs to the parent process; make one in the child, on another cache")

    def _check_not_here(self) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError("waiting for delivery in a callback: the engine's thread would wait for itself")

    def _wait(self, done: Callable[[], bool], timeout: float | None) -> bool:
        if done():
            return True
        self._check_not_here()
        with self._progress:
            self._waits.append(done)
            try:
                return self._progress.wait_for(lambda: done() or self._closed.is_set(), timeout) and done()
            finally:
                self._waits.remove(done)

    def _start(self) -> None:
        if self._thread is not None:
            return
        with self._progress:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="persistmq", daemon=True)
        # Not under the lock: start() waits for the thread, and a signal handler in it may call stop().
        self._thread.start()

    def _is_first(self) -> bool:
        """Whether the caller is the one that runs the engine and closes it: its thread, or stop() without one."""
        with self._progress:
            first, self._has_runner = not self._has_runner, True
            return first

    def _take_address(self, now_ms: int) -> None:
        with self._progress:
            address, self._new_address = self._new_address, None
        if address is None:
            return
        host, port, kwargs = address
        if not self._engine.draining:
            self._engine.reconnect(now_ms, "the broker's address was changed")
        self._transport.configure(host, port, **kwargs)
        self._engine.draining = False

    def _run(self) -> None:
        """The engine's thread: it syncs what is staged ("async"), and delivers from connect_async on."""
        if not self._is_first():
            return  # stop() came before this
        self._engine.draining = True
        progress = self._engine.delivery.progress()
        while True:
            now_ms = _now_ms()
            stored = True
            try:
                self._take_address(now_ms)
                if self._commits.pending() and self._must_write():
                    stored = self._commits.commit_staged()
                self._loops.settle_stored()
                delay_ms = self._engine.step(now_ms)
                self._failure = ""
            except BaseException as failure:  # noqa: BLE001
                # A bug, ours or a library's, or sys.exit() in a callback of paho's. Never a dead thread that nobody
                # notices: say it, begin again.
                logger.exception("the delivering side failed; it begins again")
                self._failure = f"{type(failure).__name__}: {failure}"
                delay_ms = 1000
                self._engine.fail(now_ms, self._failure)
            self._log_reason()
            before, progress = progress, self._engine.delivery.progress()
            if before != progress and any(done() for done in tuple(self._waits)):
                # Not at each progress: a caller in flush() would take the interpreter from this thread each time.
                with self._progress:
                    self._progress.notify_all()
            if before != progress:
                self._loops.settle_flushed(self._engine.delivery.window.cursor)
            self._loops.tell()
            if self._stop_by_ms is not None:
                self._engine.draining = True
                if self._engine.quiet() or now_ms >= self._stop_by_ms:
                    break
                delay_ms = min(delay_ms, self._stop_by_ms - now_ms)
            if not stored:
                delay_ms = min(delay_ms, STORE_RETRY_MS)
            elif self._commits.pending() and self._must_write():
                delay_ms = 0
            self._transport.wait(delay_ms, self._engine.wants_to_write())
        self._close()

    def _must_write(self) -> bool:
        """What is staged is this thread's to write: no caller waits for it, or one that must not block."""
        return not self._sync or self._loops.waits_for_storage()

    def _log_reason(self) -> None:
        """Say once for each new reason why there is no connection."""
        reason = self._engine.down_reason
        if reason != self._logged_reason and reason and not self._engine.draining:
            logger.warning("no connection: %s", reason)
        self._logged_reason = reason

    def _close(self) -> None:
        self._commits.end()
        if self._commits.staged():
            logger.error("stopped with messages that could not be stored: %s", self._commits.store_error)
        self._engine.close()
        self._transport.release()
        self._store.close()
        self._cache_lock.release()
        self._closed.set()
        self._loops.end()
        with self._progress:
            self._progress.notify_all()

    def _at_fork(self) -> None:
        """In the child: threads and the lock did not come along."""
        self._forked = True

    def _at_exit(self) -> None:
        """The process ends without stop(): what was accepted is stored, the broker is told good-bye."""
        self.stop(timeout=0)

    def _dropped(self, seq: int, account: str, reason_code: int) -> None:
        words = reason_words(reason_code) if account == "refused" else "its bytes on storage were damaged"
        if len(self._drops) >= _DROPS_KEPT:
            self._drops.pop(next(iter(self._drops)))
        self._drops[seq] = (account, words)
        logger.warning("message %d was %s: %s", seq, account, words)
        self._loops.settle(seq, MessageDropped(seq, account, words))
        self._tell(self.on_dropped, seq, account, words)

    def _tell(self, callback: Callable[..., object] | None, *arguments: object) -> None:
        if callback is None:
            return
        try:
            callback(self, *arguments)
        except BaseException:  # noqa: BLE001 - whatever it is, sys.exit() too: the messages behind it go on
            logger.exception("an exception in a callback of the application")


class _Events(Listener):
    """Passes on what the engine tells."""

    def __init__(self, client: PersistClient) -> None:
        self._client = client

    def delivered(self, seq: int) -> None:
        self._client._last_mid = packet_id(seq)
        self._client._loops.settle(seq, True)
        if self._client.on_delivered is not None:
            self._client._tell(self._client.on_delivered, seq)

    def dropped(self, seq: int, account: str, reason_code: int) -> None:
        self._client._dropped(seq, account, reason_code)

    def connected(self, session_present: bool) -> None:
        logger.info("connected, session %s", "resumed" if session_present else "new")
        self._client._tell(self._client.on_connection_up, session_present)

    def disconnected(self, reason: str) -> None:
        logger.info("disconnected: %s", reason)
        self._client._tell(self._client.on_connection_down, reason)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _with_defaults(message: Message, qos: int, retain: bool) -> tuple[str, object, int, bool]:
    if isinstance(message, Mapping):
        given = {"payload": None, "qos": qos, "retain": retain, **message}
        if set(given) != {"topic", "payload", "qos", "retain"}:
            raise ValueError(f"a message has topic, payload, qos and retain, not {', '.join(map(repr, message))}")
        return given["topic"], given["payload"], given["qos"], given["retain"]
    if not isinstance(message, (tuple, list)) or not 2 <= len(message) <= 4:
        raise TypeError(f"a message is (topic, payload), (topic, payload, qos, retain) or a dict, not {message!r:.80}")
    return (*message, qos, retain)[:4] if len(message) != 3 else (*message, retain)


def _warn_of_older_cache(cache_path: str | os.PathLike[str]) -> None:
    for name in sorted(os.listdir(cache_path)):
        if name == "database.sq3" or name.endswith(".pkl"):
            logger.warning("%s holds messages of persistmq 0.1.4 (%s): they are not taken over yet", cache_path, name)
            return


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
