"""PersistClient on a board: the names of the CPython port, and ``step`` or ``run`` in place of a thread."""

import gc
import sys

import persistmq.start  # noqa: F401 - with the rest, while the heap is in order; see _start
from persistmq_core.direct import Direct
from persistmq_core.errors import CacheFull, ClientStopped, MessageDropped, StoreError
from persistmq_core.limits import AHEAD_SEQ, STORE_RETRY_MS, const
from persistmq_core.spool import IsLarge

from .info import PublishInfo
from .outcomes import Outcomes

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ssl import SSLContext

    from persistmq_core.spool import Group, Spool

    from .many import PublishInfos

_START = (
    "persistmq.start",
    "persistmq.directory",
    "persistmq_core.opening",
    "persistmq_core.options",
    "persistmq_core.recovery",
    "persistmq_core.slots",
    "persistmq_core.together",
)
_NO_MEMORY = "no memory"
_BUSY_MS = const(5)  # how often run() looks while the broker owes an answer
_IDLE_MS = const(100)  # and while nothing is under way: a publish waits for that long


class PersistClient(Outcomes):
    """A durable MQTT publisher on one cache directory, on littlefs. One at a time for a directory.

    Parameters as in the CPython port, as far as there are any here, with a board's defaults: ``window`` is 8 for both
    QoS, so that the checkpoint stays below 128 bytes. MQTT is 3.1.1.
    ``staged_bytes_max``: from here on ``publish`` with durability "async" writes itself.
    ``spill_bytes``: with durability "spill", of messages in RAM; a deep sleep or reset without ``stop()`` takes them.
    ``inline_bytes_max``: a longer payload has a file of its own, from which it is sent in pieces. None: only what is
    given as a file has one.
    ``bulk_...``: see ``bundling.bulk_of``.
    ``send_bytes``: one send, and with one message more the RAM for it; 4096 is a little faster, 512 a third slower.
    ``read_bytes``: one read of what waits, and the RAM for it; 4096 is a tenth faster.
    ``mqtt_client`` is umqtt.simple's client, for ``set_last_will``.
    ``before_connect``: a function that is asked before each attempt; while it is not true none is made (``Wlan``).
    ``on_delivered``, ``on_dropped``, ``on_connection_up``, ``on_connection_down``: called inside ``step``.
    """

    clients = {}  # by the paths of their caches: the one that each has

    def __init__(self, client_id: str, *more: object, **named: object) -> None:
        """The parameters are those of ``Start``."""
        super().__init__()
        made = _start(self, client_id, more, named)
        gc.collect()
        threshold = gc.threshold()
        gc.threshold(2048)
        # Only now, in the place of what the start needed.
        from persistmq_core.engine import Engine  # noqa: PLC0415

        from .transport import UmqttTransport  # noqa: PLC0415

        gc.threshold(threshold)
        gc.collect()

        options = made.opened.options
        self._clock = made.clock
        self._transport = UmqttTransport(client_id, made.clock, made.connect_timeout_ms, options.in_flight_max)
        self.mqtt_client = self._transport.connection
        self._engine = Engine(made.opened, self._transport)
        self._stores = made.stores
        self._sync = made.sync
        self._staged_bytes_max = made.staged_bytes_max
        self._on_full = made.on_full
        self._full_timeout_ms = made.full_timeout_ms
        self._expires_s = made.expires_s
        self._direct = Direct() if self._sync else None
        self._kept = {}  # "async": spool -> a group that storage refused
        self._store_error = ""
        self._failure = ""  # why the last step broke off; the next one begins again
        self._is_stepping = False
        self._stops_soon = False  # a callback called stop()
        self._has_address = False
        self._stopped = False
        self._closed = False
        self.clients[self._stores[0].path] = self

    @property
    def before_connect(self) -> "Callable[[], object] | None":
        return self._transport.before_connect

    @before_connect.setter
    def before_connect(self, hook: "Callable[[], object] | None") -> None:
        self._transport.before_connect = hook

    def connect_async(
        self,
        mqtt_host: str,
        mqtt_port: int = 1883,
        user: "str | None" = None,
        password: "str | None" = None,
        ssl: "SSLContext | dict[str, object] | bool | None" = None,
        keepalive: int = 60,
    ) -> None:
        """From now on ``step`` connects and stays connected. A second call changes the broker.

        ``ssl``: an ``ssl.SSLContext``, or True to encrypt without checking the broker's certificate.
        ``keepalive``: seconds, as in MQTT: PINGREQ goes before the connection was quiet for so long; 0: never.
        Raises ValueError for a host, port, keepalive or ``ssl`` that cannot be, ClientStopped.
        """
        self._check_alive()
        if not isinstance(mqtt_host, str) or not mqtt_host or "://" in mqtt_host:
            raise ValueError("host is a name or an address, not %r" % (mqtt_host,))
        for name, number, least in (("port", mqtt_port, 1), ("keepalive", keepalive, 0)):
            if not isinstance(number, int) or not least <= number < 65536:
                raise ValueError("%s is a whole number from %d to 65535, not %r" % (name, least, number))
        if self._has_address:
            self._engine.reconnect(self._clock.now_ms(), "the broker's address was changed")
        self.mqtt_client.configure(mqtt_host, mqtt_port, user, password, ssl, keepalive)
        self._has_address = True

    def publish(
        self,
        topic: str,
        payload: object = None,
        qos: int = 2,
        retain: bool = False,
        *,
        expires_after: "float | None" = None,
        priority: bool = False,
    ) -> PublishInfo:
        """Accept one message. With durability "sync" it is on storage when this returns.

        ``payload``: also an open binary file, from where it stands to its end: so it may be larger than the RAM.
        ``expires_after``: seconds, instead of the client's. ``priority``: ahead of all that has none; needs ``drain=``.
        Raises ValueError or TypeError (topic, payload, qos), StoreError (CacheFull at a bound) or MemoryError: it was
        not accepted, and what was stored before is whole. ClientStopped.
        """
        self._make_room()
        info = PublishInfo(self, 0)  # before anything is staged, should there be no memory for it
        expires_s = self._seconds(expires_after)
        spool = self._spool(priority)
        try:
            seq = self._accept(spool, topic, payload, qos, retain, expires_s)
        except CacheFull as full:
            self._await_room(full)
            seq = self._accept(spool, topic, payload, qos, retain, expires_s)
        except IsLarge:
            seq = self._stage_large(spool, [(topic, payload, qos, retain)], expires_s)
            if self._sync:
                self._write(spool, self._take(spool))
        if expires_s:
            self._engine.watch_clock(self._clock.now_ms())
        info.seq = self._number(spool, seq)
        return info

    def publish_many(
        self,
        messages: "Iterable[tuple[object, ...] | list[object] | dict[str, object]]",
        qos: int = 2,
        retain: bool = False,
        *,
        expires_after: "float | None" = None,
        priority: bool = False,
    ) -> "PublishInfos":
        """Accept all of them, or none: they are written together, with one sync. Infos in their order.

        A message is ``(topic, payload)``, or with its own ``(topic, payload, qos, retain)``, or a dict of these names.
        They are held in memory until they are stored. Raises what ``publish`` raises.
        """
        from .many import publish_all  # noqa: PLC0415 - only here: few boards use it

        return publish_all(self, messages, qos, retain, expires_after, priority)

    def step(self, wait_ms: int = 0) -> int:
        """Do what is due; returns for how many ms it need not be called, unless bytes come or something is published.

        ``wait_ms``: wait up to that long for bytes from the broker first. Never raises for network or storage.
        Inside a callback RuntimeError.
        """
        if self._is_stepping:
            raise RuntimeError("a callback is part of step(): it cannot wait for another one")
        if self._closed:
            return STORE_RETRY_MS
        if wait_ms > 0:
            self._transport.wait(wait_ms, self._engine.wants_to_write())
        stored = self._sync or self._commit()
        if not self._has_address:
            return STORE_RETRY_MS
        now_ms = self._clock.now_ms()
        try:
            if self._failure:
                # What is on storage is whole, so begin again from there.
                self._engine.fail(now_ms, self._failure, self._failure != _NO_MEMORY)
                self._failure = ""
            self._is_stepping = True
            delay_ms = self._engine.step(now_ms)
        except MemoryError:
            self._failure = _NO_MEMORY
            gc.collect()
            delay_ms = _IDLE_MS
        except Exception as failure:  # noqa: BLE001 - a bug, ours or a library's
            self._failure = "%s: %s" % (type(failure).__name__, failure)
            delay_ms = _IDLE_MS
        except BaseException:  # Ctrl-C, with half of it done
            self._failure = "interrupted"
            raise
        finally:
            self._is_stepping = False
        if self._stops_soon:
            self.stop(0)
        if not stored:
            delay_ms = min(delay_ms, STORE_RETRY_MS)
        return min(delay_ms, self._transport.due_ms())

    def _stage_large(
        self, spool: "Spool", messages: "list[tuple[str, object, int, bool]]", expires_s: int
    ) -> int:
        """Some have a payload that goes to a file of its own, which is on storage when this returns."""
        from persistmq_core.prepared import accept  # noqa: PLC0415 - only here: few boards have such

        return accept(spool, messages, expires_s, self._clock.stamp_ms, self._await_room)

    def _await_room(self, full: CacheFull) -> None:
        """Make room in the cache or wait for it, if that is wanted. Raises ``full`` if there is none."""
        from .full import await_room  # noqa: PLC0415 - only here: few boards have bounds

        await_room(self, full)

    async def run(self) -> None:
        """``step`` for ever, beside other tasks that publish; ends after ``stop()``."""
        import asyncio  # noqa: PLC0415 - only here: it costs 4 KB

        while not self._closed:
            delay_ms = self.step()
            busy = self._engine.wants_to_write() or (self._engine.online() and self._engine.delivery.under_way())
            await asyncio.sleep_ms(min(delay_ms, _BUSY_MS if busy else _IDLE_MS))

    def flush(self, timeout: "float | None" = None) -> bool:
        """Step for up to ``timeout`` seconds (None: without end) until all that was accepted is settled; True if so.

        Settled is what was delivered, or given up (refused, damaged, expired, evicted). Without ``connect_async``
        before it, it returns at once.
        """
        self._commit()
        lanes = self._engine.lanes
        ends = [lane.journal.end_seq if self._sync else lane.spool.next_seq for lane in lanes]
        return self._step_until(lambda: _is_behind(ends, self._engine.delivery.cursors()), timeout)

    def get_status(self) -> "dict[str, object]":
        """Where things stand, in the words of the CPython port."""
        engine = self._engine
        kept = list(self._kept.values())
        spill = engine.spill
        status = engine.accounts()
        status.update({
            "connected": engine.is_connected(),
            "last_mid": self.last_mid,
            "cached_items": status["waiting"],
            "cache_bytes": engine.held_bytes(),
            "clock_valid": self._clock.unix_ms() > 0,
            "staged": sum([lane.spool.next_seq - lane.spool.first_seq for lane in engine.lanes])
            + sum([group.end_seq - group.first_seq for group in kept]),
            "in_ram": spill.waiting() if spill else 0,
            "in_flight": engine.delivery.under_way() if engine.online() else 0,
            "repeated": engine.delivery.repeated(),
            "connections": engine.connections,
            "down_reason": engine.down_reason,
            "store_error": self._store_error or engine.store_error or self._failure or self.callback_error,
            "damaged_bytes": engine.delivery.damaged_bytes(),
        })
        return status

    def stop(self, timeout: float = 5.0) -> None:
        """Accept no more; let handshakes that are under way end, within ``timeout`` seconds; store; disconnect.

        What is not delivered stays in the cache for the next start. Safe to call twice. In a callback: when ``step``
        has ended.
        """
        self._stopped = True
        self._stops_soon = self._is_stepping
        if self._closed or self._is_stepping:
            return
        self._commit()
        self._engine.draining = True
        self._step_until(self._engine.quiet, timeout)
        self._closed = True
        self.clients.pop(self._stores[0].path)
        try:
            self._engine.close()
        except MemoryError:
            gc.collect()
            self._engine.close()
        for store in self._stores:
            store.close()

    # --- for PublishInfo ---

    def is_stored(self, seq: int) -> bool:
        lane = self._engine.lanes[seq >= AHEAD_SEQ]
        spill = self._engine.spill
        if spill and spill.holds(seq) and not self._engine.delivery.is_settled(seq):
            return False
        return (seq - AHEAD_SEQ if seq >= AHEAD_SEQ else seq) < lane.journal.end_seq

    def store_now(self, seq: int) -> bool:
        self._commit()
        if self._engine.spill:
            try:
                self._engine.spill.leave()
            except OSError as failure:
                self._engine.store_error = str(failure)
        return self.is_stored(seq)

    def is_published(self, seq: int) -> bool:
        return self._engine.delivery.is_settled(seq) and self.drop_of(seq) is None

    def wait_for_publish(self, seq: int, timeout: "float | None") -> bool:
        self._step_until(lambda: self.is_published(seq) or self.drop_of(seq), timeout)
        drop = self.drop_of(seq)
        if drop is not None:
            raise MessageDropped(*drop)
        return self.is_published(seq)

    # --- inside ---

    def _check_alive(self) -> None:
        if self._stopped:
            raise ClientStopped("this client was stopped; make a new one on the same cache to go on")

    def _step_until(self, done: "Callable[[], object]", timeout: "float | None") -> bool:
        ends_at = None if timeout is None else self._clock.now_ms() + int(timeout * 1000)
        delay_ms = 0
        while not done():
            left_ms = delay_ms if ends_at is None else ends_at - self._clock.now_ms()
            if self._closed or not self._has_address or left_ms < 0 or (left_ms == 0 and ends_at is not None):
                return False
            delay_ms = self.step(min(delay_ms, left_ms))
        return True

    def _make_room(self) -> None:
        self._check_alive()
        if not self._sync and self._staged_bytes() >= self._staged_bytes_max and not self._commit():
            raise StoreError(0, "storage is failing and the staging memory is full: %s" % self._store_error)

    def _spool(self, priority: bool) -> "Spool":
        """For what is published now."""
        engine = self._engine
        if priority or engine.goes_ahead():
            if len(engine.lanes) < 2:
                raise ValueError("priority needs a client that was made with drain=: the cache has one lane")
            return engine.lanes[1].spool
        return engine.spool

    def _seconds(self, expires_after: "float | None") -> int:
        """For storage: of one message, or of the client where it has none."""
        if expires_after is None:
            return self._expires_s
        import persistmq_core.expiry  # noqa: PLC0415 - only here; with ``from`` each message would pay for a tuple

        return persistmq_core.expiry.expiry_seconds(expires_after)

    def _number(self, spool: "Spool", seq: int) -> int:
        """The application's number of what was staged there."""
        return seq if spool is self._engine.spool else AHEAD_SEQ + seq

    def _staged_bytes(self) -> int:
        count = 0
        for lane in self._engine.lanes:
            count += lane.spool.staged_bytes
        return count

    def _accept(self, spool: "Spool", topic: str, payload: object, qos: int, retain: bool, expires_s: int) -> int:
        stamp_ms = self._clock.stamp_ms()
        if self._direct is not None:
            return self._direct.store(spool, topic, payload, qos, retain, stamp_ms, expires_s)
        return spool.stage(topic, payload, qos, retain, stamp_ms, expires_s)

    def _take(self, spool: "Spool") -> "Group | None":
        """What is staged, as a group; without the memory for one, nothing of it was accepted."""
        try:
            return spool.take()
        except MemoryError:
            spool.drop()
            raise

    def _write(self, spool: "Spool", group: "Group | None") -> None:
        """Raises StoreError."""
        if group is None:
            return
        group.write()
        spool.finish(group)
        if group.error is not None:
            if self._sync:
                spool.discard(group)
            raise group.error

    def _commit(self) -> bool:
        """ "async": write what is staged; what storage refuses is kept and tried again. False if it did."""
        try:
            for lane in self._engine.lanes:
                spool = lane.spool
                while True:
                    group = self._kept.get(spool) or spool.take()
                    if group is None:
                        break
                    group.error = None
                    self._kept[spool] = group
                    self._write(spool, group)
                    del self._kept[spool]
        except (OSError, MemoryError) as failure:
            self._store_error = str(failure) or "no memory"
            return False
        self._store_error = ""
        return True


def _is_behind(ends: "list[int]", cursors: "tuple[int, ...]") -> bool:
    """All before ``ends`` is settled, in each lane."""
    return not [1 for index in range(len(ends)) if cursors[index] < ends[index]]


class _Plain:
    """Has the attributes of another object, and not its class: this would keep all the code of its module."""

    def __init__(self, other: object) -> None:
        for name, value in other.__dict__.items():
            setattr(self, name, value)


def _start(client: PersistClient, client_id: str, more: tuple, named: dict) -> _Plain:
    """A ``Start``, plain, and the code that only it needs is let go of. Another client imports it again."""
    from .start import Start, check  # noqa: PLC0415 - not to be kept

    check(named)
    made = _Plain(Start(client, client_id, *more, **named))
    made.opened = _Plain(made.opened)
    made.opened.options = _Plain(made.opened.options)
    for name in _START:
        package, _, module = name.rpartition(".")
        sys.modules.pop(name, None)
        package = sys.modules[package]
        if hasattr(package, module):
            delattr(package, module)
    return made
