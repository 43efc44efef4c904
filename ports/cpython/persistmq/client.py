"""PersistClient: the calls of persistmq 0.1.4, on the durable core."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho

from persistmq_core.contracts import Transport
from persistmq_core.engine import Engine
from persistmq_core.errors import CacheFull, ClientStopped
from persistmq_core.expiry import expiry_seconds
from persistmq_core.forms import with_defaults
from persistmq_core.limits import (
    ACK_TIMEOUT_MS,
    BULK_BYTES_MAX,
    CONNECT_TIMEOUT_MS,
    INLINE_BYTES_MAX,
    RECONNECT_DELAY_MS_MAX,
    RECONNECT_DELAY_MS_MIN,
    SEGMENT_BYTES_MAX,
    SPILL_AFTER_MS,
    SPILL_BYTES,
    WINDOW_DEFAULT,
    WINDOW_QOS2_DEFAULT,
)
from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from persistmq_core.spool import IsLarge
from persistmq_core.together import BACKLOG_SHARE

from . import clock, process_events
from .arguments import engine_options
from .cache_types import OpenStore, known_type, open_store
from .chance import SystemRandom
from .checks import check_timeout
from .client_thread import ClientThread
from .connect_options import check_address, client_options
from .dead_letters import DeadLetters
from .delivery_elsewhere import DeliveryElsewhere
from .delivery_here import DeliveryHere
from .full_cache import FullCache
from .group_commit import GroupCommit
from .info import PublishInfo
from .lock import CacheLock
from .loops import LoopCalls, are_behind
from .lost_checkpoints import warn_of_repeats
from .messages import Message, Payload
from .outcomes import Outcomes
from .owned_client import IN_CHILD
from .ram_first import RamFirst
from .recorded_client import check_portable
from .takeover import take_over
from .transport import PahoTransport
from .two_lanes import ahead_store, lanes_of, together

logger = logging.getLogger("persistmq")

_STOP_GRACE_S = 10.0  # for the disk, beyond the timeout of stop()
_STOP_S_MAX = threading.TIMEOUT_MAX - _STOP_GRACE_S


def _of_paho(name: str) -> property:
    def refuse(client: "PersistClient", callback: object) -> None:
        raise AttributeError(f"{name} is a callback of paho's: set it on mqtt_client, here it would never be called")

    return property(None, refuse)


class PersistClient:
    """A durable MQTT publisher on one cache directory.

    ``publish()`` works at once, also offline and before ``connect_async``. All methods may be called from any thread.
    Delivered is what the broker has acknowledged, also if nobody is subscribed at that moment. Messages of one QoS
    reach its subscribers in the order of ``publish()``; those of different QoS may overtake each other there.

    Args:
        client_id: the MQTT client identifier. The broker keeps the QoS 2 state under it: keep it, and use it once.
        cache_type: of a new cache: "flat", files of records (also None), or "sqlite", a database; "pickle" and "sq3"
            are older names of these. A cache that exists keeps its type.
        cache_path: the cache directory, made if it is missing. One client at a time (``CacheInUse``). What 0.1.4 left
            there is taken over. The default depends on the working directory: a service should name an absolute path.
        bulk_msg_count: when so many messages wait, that many are sent as one bundle; 0: never. With QoS 2 a bundle
            reaches the broker once, with all of its messages; ``docs/receiver.md`` says how it is taken apart.
        bulk_topic_rewrite: the last levels of a bundle's topic, with "simple" in place of as many of its messages',
            with "persistmq" behind what these have in common. A receiver needs a filter for it, e.g. "pole/#".
        bulk_form: "simple": what receivers of persistmq 0.1.4 read, a CBOR list of subtopic and payload; those of one
            bundle have the same prefix of the topic and the same QoS; retained messages go alone. "persistmq": topic,
            retain, time accepted and identity of each message as well; those of one bundle have the same QoS and the
            same first level of the topic.
        bulk_compress: bundles of the form "persistmq" are compressed (zlib).
        bulk_bytes_max: of one bundle, before it is compressed.
        durability: "sync": ``publish()`` returns when the message survives a power cut. "async": it returns at once and
            the message survives a power cut some milliseconds later (see ``PublishInfo.wait_for_stored``). A disk that
            fails shows in the status (``store_error``, ``staged``): what is staged, 256 KiB at most, is tried again,
            and lost if the program ends first; ``publish()`` raises StoreError for it only when no more can be staged.
            "spill", for flash that wears: it returns when the message is in RAM, and nothing is written while the link
            is healthy; a power cut or a kill takes what the broker has not acknowledged. All of it is written when the
            connection is down or an acknowledgement late, when RAM is full, and at the end (``stop``, or the
            interpreter's exit).
        spill_bytes: of messages in RAM, at most. One that is larger goes to storage.
        spill_after_ms: an acknowledgement later than this is late. RAM is used again when all that is on storage is
            delivered, and the link was healthy for as long.
        window: QoS 1 messages in flight, at most. Never above the broker's Receive Maximum (MQTT 5).
        window_qos2: QoS 2 messages whose handshake has begun and PUBREL is not sent. More than 20 only on a broker that
            is configured for it: Mosquitto with its default configuration acknowledges such messages and loses them.
        ack_timeout_ms: an acknowledgement later than this ends the connection; the message is repeated on the next one.
        connect_timeout_ms: for TCP, TLS and CONNACK together.
        reconnect_delay_ms_min, reconnect_delay_ms_max: between attempts, with jitter.
        segment_bytes_max: size of one file of the journal.
        inline_bytes_max: a longer payload is stored in a file of its own, and sent from there in pieces, so that it is
            never in memory as a whole. None: none is, but for those that are given as files.
        cache_bytes_max: of the journal's files and large payloads; None: no bound. Space comes back by whole files, a
            quarter of it each at most, and by payloads.
        cache_messages_max: that are not settled; None: no bound.
        free_bytes_min: of the file system, left to others, and to what the broker refuses.
        on_full: what ``publish()`` does when one of these three is reached; "reject": it raises CacheFull. The others
            need one of the three. "block": it waits for room, ``full_timeout_ms`` at most (None: without end), then
            raises CacheFull. "drop_oldest": the oldest messages that are not in flight are given up (account
            "evicted"); with ``cache_messages_max`` one in a hundred beyond what is needed, with bytes whole files;
            needs ``worker="thread"``.
        expires_after: seconds after which a message is not sent any more (account "expired"), kept as whole ones,
            rounded up; None: never. What may be in flight is brought to its end. MQTT 5 brokers are told what is left
            of the time.
        on_session_lost: what becomes of messages in flight when the broker lost its session. "resend": they are sent
            again as new, which may give duplicates. "trust": those that it answered with PUBREC count as delivered, the
            others are sent again.
        drain: what becomes of messages that are published while a backlog is sent, after an outage. None: they go
            behind it; the cache has one lane. The others make a second one, for what is published with
            ``priority=True``, and: "in_order": the same. "live_first": they go ahead, the backlog gets what is left of
            the link. "interleaved": they go ahead, the backlog keeps its share. Order is kept within a lane. Each lane
            has half of ``window_qos2``. The second lane stays in the cache, as ``ahead/``, when ``drain`` is given up:
            "spill" and ``worker="process"`` are refused until all is delivered and the folder is removed.
        backlog_share: the part of the window that the backlog may take while live messages go ahead.
        drain_messages_per_s, drain_bytes_per_s: how fast the backlog goes out, so that it leaves room on a slow link;
            bytes are those of topic and payload. None: as fast as it can.
        identity: each message carries (client identifier, epoch, number), so that a receiver drops what comes twice and
            knows what is missing: see ``persistmq.receiver``. Needs ``protocol=MQTTv5``, and of bundles the form
            "persistmq".
        worker: what delivers. "thread": one of this process. "process": a process of its own, which goes on when this
            one hangs, and is begun again when it dies. ``mqtt_client`` is then for settings only: what has to do with
            incoming messages or callbacks of paho's raises RuntimeError.
        start_method: how that process is begun: "spawn" (a fresh interpreter), "forkserver" or "fork".
        drain_after_exit: that process goes on when this one is killed, or ends without ``stop()``, until the cache is
            empty. The next client on the cache takes over from it.
        dead_letters_max: how many messages that the broker refused are kept, with ``drain`` in each lane; the oldest
            beyond it are removed when another one comes. None: all.
        paho_kwargs: for ``paho.mqtt.client.Client``, e.g. ``protocol=MQTTv5``, ``transport="websockets"``.

    Attributes:
        mqtt_client: the paho client, for ``username_pw_set``, ``tls_set``, ``will_set``, ``subscribe``, ``on_message``
            and every callback of its own. Its connection is run by this object. Its ``publish()`` is paho's own: what
            goes that way is not stored.
        dead_letters: what the broker would not take (see DeadLetters): iterate over it, ``requeue``, ``export``.
        on_delivered: ``f(client, seq)``, the broker has acknowledged a message.
        on_dropped: ``f(client, seq, account, reason)``, it will not be delivered; account is "refused",
            "damaged", "expired" or "evicted".
        on_connection_up: ``f(client, session_present)``.
        on_connection_down: ``f(client, reason)``.
            All four are called from the client's own thread: they must return soon and may publish.

    With asyncio: ``publish_async``, ``flush_async``, ``async with`` and the infos leave the loop free. The constructor,
    ``publish_many`` and ``dead_letters`` wait for the disk: ``await asyncio.to_thread(client.publish_many, messages)``.

    Raises:
        ValueError, TypeError: a parameter that cannot be. CacheInUse: another process has the cache. FormatError: a
        cache of a newer version, left untouched. OSError: the directory cannot be used.
    """

    on_connect = _of_paho("on_connect")
    on_disconnect = _of_paho("on_disconnect")
    on_publish = _of_paho("on_publish")
    on_message = _of_paho("on_message")
    on_subscribe = _of_paho("on_subscribe")
    on_log = _of_paho("on_log")

    def __init__(
        self,
        client_id: str,
        cache_type: str | None = None,
        cache_path: str | os.PathLike[str] = "./cache",
        bulk_msg_count: int = 0,
        bulk_topic_rewrite: str = "mixed/bulk",
        *,
        bulk_form: str = "simple",
        bulk_compress: bool = False,
        bulk_bytes_max: int = BULK_BYTES_MAX,
        durability: str = "sync",
        spill_bytes: int = SPILL_BYTES,
        spill_after_ms: int = SPILL_AFTER_MS,
        window: int = WINDOW_DEFAULT,
        window_qos2: int = WINDOW_QOS2_DEFAULT,
        ack_timeout_ms: int = ACK_TIMEOUT_MS,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        reconnect_delay_ms_min: int = RECONNECT_DELAY_MS_MIN,
        reconnect_delay_ms_max: int = RECONNECT_DELAY_MS_MAX,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        inline_bytes_max: int | None = INLINE_BYTES_MAX,
        cache_bytes_max: int | None = None,
        cache_messages_max: int | None = None,
        free_bytes_min: int = 0,
        on_full: str = "reject",
        full_timeout_ms: int | None = None,
        expires_after: float | None = None,
        on_session_lost: str = "resend",
        drain: str | None = None,
        backlog_share: float = BACKLOG_SHARE,
        drain_messages_per_s: float | None = None,
        drain_bytes_per_s: float | None = None,
        identity: bool = False,
        worker: str = "thread",
        start_method: str = "spawn",
        drain_after_exit: bool = False,
        dead_letters_max: int | None = None,
        **paho_kwargs: Any,
    ) -> None:
        given = dict(locals())  # the arguments, as long as this is the first line
        paho_options = client_options(client_id, paho_kwargs)
        options = engine_options(given, paho_options["protocol"])
        wanted_type = known_type(cache_type)
        self._expires_s = expiry_seconds(expires_after)
        self.on_delivered: Callable[[PersistClient, int], object] | None = None
        self.on_dropped: Callable[[PersistClient, int, str, str], object] | None = None
        self.on_connection_up: Callable[[PersistClient, bool], object] | None = None
        self.on_connection_down: Callable[[PersistClient, str], object] | None = None

        self._stores: list[OpenStore] = []
        self.dead_letters = DeadLetters(self._stores, self.publish, dead_letters_max)
        self._sync = durability != "async"
        self._outcomes = Outcomes(self)
        settings = {
            "cache_path": os.path.abspath(cache_path),
            "client_id": client_id,
            "connect_timeout_ms": connect_timeout_ms,
            "paho_kwargs": paho_kwargs,
            "engine_options": options,
            "drain_after_exit": drain_after_exit,
        }
        is_here = worker == "thread"
        if not is_here:
            check_portable("the arguments of PersistClient", settings)
        with ExitStack() as undo:
            transport = PahoTransport(client_id, connect_timeout_ms, **paho_kwargs) if is_here else None
            if transport is not None:
                undo.callback(transport.release)
            self._cache_lock = CacheLock(cache_path)
            undo.callback(self._cache_lock.release)
            self._stores.append(open_store(cache_path, wanted_type, for_worker=not is_here))
            undo.callback(self._stores[0].close)
            ahead = ahead_store(cache_path, drain, worker, self._stores[0].cache_type, durability)
            if ahead is not None:
                self._stores.append(ahead)
                undo.callback(ahead.close)
            self._ram = RamFirst(self._stores[0], spill_bytes) if durability == "spill" else None
            here = Options(
                clock=clock.SystemClock(),
                lanes=lanes_of(ahead, drain, backlog_share),
                spill_after_ms=spill_after_ms if self._ram is not None else 0,
                **options,
            )
            for number, store in enumerate(self._stores):
                warn_of_repeats(store, os.path.abspath(cache_path) + number * " (the lane that goes ahead)")
            opened = open_cache(self._ram or self._stores[0], SystemRandom(), here, self._outcomes)
            self._engine = Engine(opened, transport or Transport())
            commits = [
                GroupCommit(lane.spool, lane.journal, not self._sync, self._appended) for lane in self._engine.lanes
            ]
            self._commits = together(commits, self._engine)
            self._older = take_over(cache_path, self._stores[0], self._engine, commits[0])
            if self._older is not None and self._older.is_pending:
                # A worker that is left alone could not tell a part of what is being taken over from all of it.
                settings["drain_after_exit"] = drain_after_exit = False
            self._delivery: DeliveryHere | DeliveryElsewhere
            if transport is not None:
                self._delivery = DeliveryHere(self._engine, transport)
            else:
                self._delivery = DeliveryElsewhere(
                    self._stores[0], self._engine, commits[0], self._outcomes, settings, paho_options, start_method
                )
                undo.callback(self._delivery.close)
                self._cache_lock.leave_delivering()
            undo.pop_all()
        self.mqtt_client: paho.Client = self._delivery.mqtt_client
        self._drain_after_exit = drain_after_exit
        self._full = FullCache(on_full, full_timeout_ms, self._engine, self._outcomes, self._make_room_soon)
        self._loops = LoopCalls(self._commits, self._delivery.wake, self._outcomes.is_closed.is_set)
        self._outcomes.loops = self._loops
        self._thread = ClientThread(
            self._commits,
            self._delivery,
            self._outcomes,
            self._loops,
            self._full,
            self._older,
            not self._sync,
            self._let_go,
        )
        self._stopped = False  # no more publishes
        self._forked = False
        process_events.watch(self)

    # --- the seed's calls ---

    def connect_async(self, mqtt_host: str, mqtt_port: int = 1883, **kwargs: Any) -> None:
        """Begin to connect, and stay connected from now on. Returns at once, also when there is no broker.

        ``kwargs`` are paho's (``keepalive`` in seconds, ``bind_address``, ``properties``, ...). A second call changes
        the broker, or tries the same one again at once, e.g. after it had refused a password and there is a new one.
        Raises ValueError or TypeError for what cannot be, ClientStopped.
        """
        self._check_alive()
        check_address(mqtt_host, mqtt_port, **kwargs)
        self._delivery.connect(mqtt_host, mqtt_port, kwargs)
        self._thread.start()

    def publish(
        self,
        topic: str,
        payload: Payload = None,
        qos: int = 2,
        retain: bool = False,
        *,
        expires_after: float | None = None,
        priority: bool = False,
    ) -> PublishInfo:
        """Accept one message. With durability "sync" it is on storage when this returns.

        ``payload``: also an open binary file, from where it stands to its end; it is copied into the cache.
        ``expires_after``: seconds (rounded up to whole ones), instead of the client's; ``math.inf``: never. It is the
        only property of MQTT 5 that a message can have of its own. ``priority``: it goes ahead of all that has none;
        needs ``drain=``.
        Raises ValueError or TypeError (topic, payload, qos: nothing was written), StoreError (the disk: not accepted,
        what was stored before is whole), CacheFull (a StoreError: a bound of the cache), ClientStopped. In a signal
        handler that interrupted a call of ``publish`` it may raise StoreError (EINTR) as well: not accepted, for that
        call cannot go on before the handler has returned.
        """
        if self._stopped or self._forked or self._older is not None:
            self._check_ready()
        expires_s = self._expires_s if expires_after is None else expiry_seconds(expires_after)
        stage = self._commits.stage
        try:
            seq = stage(topic, payload, qos, retain, expires_s, priority)
        except CacheFull as full:
            seq = self._full.accept(
                full, lambda: stage(topic, payload, qos, retain, expires_s, priority), self._thread.is_here()
            )
        if self._sync:
            self._commits.commit(seq)  # which wakes the engine
            if expires_s:
                self._thread.start()  # also before there is a broker: it sees when the clock is set
        else:
            self._thread.start()  # the engine's thread is the one that syncs
            self._delivery.wake()
        return PublishInfo(self, seq)

    def publish_many(
        self,
        messages: Iterable[Message],
        qos: int = 2,
        retain: bool = False,
        *,
        expires_after: float | None = None,
        priority: bool = False,
    ) -> list[PublishInfo]:
        """Accept all of them, or none: they are written together, with one sync. Infos in their order.

        A message is ``(topic, payload)``, or with its own ``(topic, payload, qos, retain)``, or a dict of these names.
        They are held in memory until they are stored. Raises what ``publish`` raises.
        """
        self._check_ready()
        batch = [with_defaults(message, qos, retain) for message in messages]
        if not batch:
            return []
        expires_s = self._expires_s if expires_after is None else expiry_seconds(expires_after)
        stage = self._commits.stage_all
        try:
            first_seq = stage(batch, expires_s, priority)
        except CacheFull as full:
            first_seq = self._full.accept(full, lambda: stage(batch, expires_s, priority), self._thread.is_here())
        if self._sync:
            self._commits.commit_all(first_seq, first_seq + len(batch))
            if expires_s:
                self._thread.start()
        else:
            self._thread.start()
            self._delivery.wake()
        return [PublishInfo(self, seq) for seq in range(first_seq, first_seq + len(batch))]

    async def publish_async(
        self,
        topic: str,
        payload: Payload = None,
        qos: int = 2,
        retain: bool = False,
        *,
        expires_after: float | None = None,
        priority: bool = False,
    ) -> PublishInfo:
        """``publish`` for asyncio: the loop goes on meanwhile, and tasks that publish at the same time share syncs.

        A task that is cancelled while it waits does not take its message back: it is stored and delivered all the same.
        Raises what ``publish`` raises.
        """
        self._check_ready()
        self._check_not_here()
        self._thread.start()  # the client's thread is the one that syncs
        expires_s = self._expires_s if expires_after is None else expiry_seconds(expires_after)
        try:
            seq = await self._loops.stage(topic, payload, qos, retain, expires_s, priority)
        except IsLarge:
            publish = partial(self.publish, expires_after=expires_after, priority=priority)
            return await asyncio.to_thread(publish, topic, payload, qos, retain)
        except CacheFull as full:
            # Seldom, so a thread may wait for room.
            seq = await asyncio.to_thread(
                self._full.accept, full, lambda: self._commits.stage(topic, payload, qos, retain, expires_s, priority)
            )
        if self._sync:
            await self._loops.commit(seq)
        else:
            self._loops.wake_soon()
        return PublishInfo(self, seq)

    async def flush_async(self, timeout: float | None = None) -> bool:
        """``flush`` for asyncio: other tasks go on meanwhile."""
        timeout = check_timeout(timeout)
        self._check_process()
        end_seqs = self._end_seqs()
        return await self._loops.flushed(end_seqs, lambda: are_behind(end_seqs, self._delivery.cursors()), timeout)

    def get_status(self) -> dict[str, Any]:
        """Where things stand. The accounts: accepted == delivered + expired + evicted + refused + damaged + waiting.

        ``connected``: from ``on_connection_up`` to ``on_connection_down``. ``last_mid``: the packet identifier of the
        message that was delivered last, None before the first one of this run. ``damaged_bytes``: that did not read on
        storage, in this run. ``clock_valid``: the clock was ever set. ``worker_pid``: of the process that delivers.
        """
        accounts = self._engine.accounts()
        status = self._delivery.status()
        return {
            "connected": status["connected"],
            "last_mid": self._outcomes.last_mid,
            "cached_items": accounts["waiting"],
            **accounts,
            "staged": self._commits.staged(),
            "in_ram": self._in_ram(),
            "cache_bytes": self._engine.held_bytes(),
            "cache_type": self._stores[0].cache_type,
            "clock_valid": clock.unix_ms() > 0,
            **status,
            "store_error": self._commits.store_error or status["store_error"],
            "takeover_error": self._older.error if self._older is not None else "",
        }

    def flush(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds (None: without end) until all that was accepted is settled; True if it is.

        Settled is what was delivered, or given up: refused, damaged, expired or evicted. False at the timeout, or when
        the client was stopped. It waits before ``connect_async`` as well: another thread may call that.
        """
        timeout = check_timeout(timeout)
        self._check_process()
        self._commits.commit_staged()
        end_seqs = self._end_seqs()
        return self._wait(lambda: are_behind(end_seqs, self._delivery.cursors()), timeout)

    def stop(self, timeout: float = 5.0) -> None:
        """Accept no more; let handshakes that are under way end, within ``timeout`` seconds; store; disconnect.

        What is not delivered stays in the cache for the next start (``flush`` waits for it). Safe to call twice.
        A worker process that has not ended a second after that hangs: it is killed, which costs no message. Where the
        disk or a callback hangs, this returns 10 s after ``timeout``, and says so in the log.
        """
        seconds = check_timeout(timeout, may_be_none=False)
        timeout = _STOP_S_MAX if seconds is None else min(seconds, _STOP_S_MAX)
        self._stopped = True
        if self._forked or self._outcomes.is_closed.is_set():
            return
        self._delivery.stop_by(clock.now_ms() + int(timeout * 1000))
        if self._thread.is_here() or self._commits.is_busy_here():
            return  # in a callback, or in a signal handler inside publish(): it ends when these have returned
        if not self._thread.end(timeout + _STOP_GRACE_S):
            logger.error("the engine's thread does not end: it hangs in a callback, or in the file system")
            if self._ram is not None:
                self._ram.rescue()

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
        is_in_ram = self._ram is not None and self._ram.holds(seq) and not self._delivery.is_settled(seq)
        return self._commits.is_stored(seq) and not is_in_ram

    def wait_for_stored(self, seq: int, timeout: float | None) -> bool:
        """See PublishInfo."""
        timeout = check_timeout(timeout)
        self._check_process()
        if not self._commits.commit(seq, timeout):
            return False
        if self._engine.spill is None or self.is_stored(seq):
            return True
        self._engine.spill.wanted = True
        self._delivery.wake()
        return self._wait(lambda: self.is_stored(seq), timeout)

    def is_published(self, seq: int) -> bool:
        """See PublishInfo."""
        return self._delivery.is_settled(seq) and self._outcomes.drop_of(seq) is None

    def wait_for_publish(self, seq: int, timeout: float | None) -> bool:
        """See PublishInfo."""
        timeout = check_timeout(timeout)
        self._wait(lambda: self._is_known(seq), timeout)
        self._outcomes.raise_if_dropped(seq)
        return self.is_published(seq)

    async def stored_async(self, seq: int, timeout: float | None) -> bool:
        """See PublishInfo."""
        timeout = check_timeout(timeout)
        self._check_process()
        if self._ram is not None and not self.is_stored(seq):
            return await asyncio.to_thread(self.wait_for_stored, seq, timeout)
        return await self._loops.stored(seq, lambda: self.is_stored(seq), timeout)

    async def published_async(self, seq: int, timeout: float | None) -> bool:
        """See PublishInfo."""
        timeout = check_timeout(timeout)
        self._check_process()
        is_published = await self._loops.published(seq, lambda: self._is_known(seq), timeout)
        self._outcomes.raise_if_dropped(seq)
        return is_published

    def drop_of(self, seq: int) -> "tuple[str, str] | None":
        """See Outcomes."""
        return self._outcomes.drop_of(seq)

    # --- inside ---

    def _is_known(self, seq: int) -> bool:
        return self._delivery.is_settled(seq) or self._outcomes.drop_of(seq) is not None

    def _end_seqs(self) -> tuple[int, ...]:
        """The numbers behind all that was accepted. With "sync" one behind end_seq is an error its caller was told."""
        return tuple(lane.journal.end_seq if self._sync else lane.spool.next_seq for lane in self._engine.lanes)

    def _check_alive(self) -> None:
        if self._stopped:
            raise ClientStopped("this client was stopped; make a new one on the same cache to go on")
        self._check_process()

    def _check_ready(self) -> None:
        """For a message."""
        self._check_alive()
        if self._older is not None:
            self._older.check(self._thread.start)

    def _check_process(self) -> None:
        if self._forked:
            raise RuntimeError(IN_CHILD)

    def _in_ram(self) -> int:
        return self._engine.spill.waiting() if self._engine.spill is not None else 0

    def _make_room_soon(self) -> None:
        self._thread.start()
        self._delivery.wake()

    def _check_not_here(self) -> None:
        if self._thread.is_here():
            raise RuntimeError("waiting for delivery in a callback: the engine's thread would wait for itself")

    def _wait(self, done: Callable[[], bool], timeout: float | None) -> bool:
        if done():
            return True
        self._check_not_here()
        return self._outcomes.wait(done, timeout)

    def _appended(self) -> None:
        self._delivery.appended()

    def _let_go(self) -> None:
        """At the very end, when nothing more is staged or written."""
        if self._commits.staged():
            logger.error("stopped with messages that could not be stored: %s", self._commits.store_error)
        self._delivery.close()
        if self._in_ram():
            logger.error("stopped with %d messages that waited in RAM and could not be stored", self._in_ram())
        if self._older is not None:
            self._older.settle(self._delivery.cursors()[0])
        for store in self._stores:
            store.close()
        self._cache_lock.release()

    def _at_fork(self) -> None:
        """In the child: threads and the lock did not come along."""
        self._forked = True
        self._delivery.forget_in_child()

    def _at_exit(self) -> None:
        """The process ends without stop(): what was accepted is stored, the broker is told good-bye."""
        self._delivery.is_left_behind = self._drain_after_exit
        self.stop(timeout=0)
