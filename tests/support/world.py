"""One engine with all that is around it: a disk, a broker, a link, a clock, and a listener that keeps a diary."""

from persistmq_core.contracts import UP, Listener
from persistmq_core.engine import Engine
from persistmq_core.errors import StoreError
from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from persistmq_core.prepared import Prepared
from persistmq_core.spill_store import SpillStore
from persistmq_core.spool import IsLarge

from .link import ModelTransport
from .model_broker import ModelBroker
from .rng import Rng
from .write_list_store import WriteListStore


class Diary(Listener):
    """What the application is told, in order."""

    def __init__(self) -> None:
        self.delivered_seqs = []
        self.drops = []  # (seq, account, reason code)
        self.connections = []  # session present or not
        self.disconnections = []  # reasons

    def delivered(self, seq: int) -> None:
        self.delivered_seqs.append(seq)

    def dropped(self, seq: int, account: str, reason_code: int) -> None:
        self.drops.append((seq, account, reason_code))

    def connected(self, session_present: bool) -> None:
        self.connections.append(session_present)

    def disconnected(self, reason: str) -> None:
        self.disconnections.append(reason)


class World:
    """``options`` are the engine's; its times are short here unless they say otherwise.

    ``spill_bytes``: durability "spill"; ``spill`` is then what stands in front of ``store``.
    """

    seed = 2  # of the engine's chance

    def __init__(
        self,
        protocol: int = 4,
        store: "object" = None,
        broker: "object" = None,
        spill_bytes: int = 0,
        spill_numbers: int = 30000,
        **options: object,
    ) -> None:
        self.protocol = protocol
        self.spill = None
        self.spill_bytes = spill_bytes
        self.spill_numbers = spill_numbers
        self.options = {
            "ack_timeout_ms": 2000,
            "connect_timeout_ms": 1000,
            "reconnect_delay_ms_min": 100,
            "reconnect_delay_ms_max": 3000,
            "checkpoint_delay_ms": 0,
            "window": 8,
            "window_qos2": 4,
            "segment_bytes_max": 1024,
            "read_bytes": 256,
            "session_marker": 7,
        }
        self.options.update(options)
        self.store = store or WriteListStore()
        self.broker = broker or ModelBroker()
        self.now_ms = 0
        self.wire = []  # the core's packets, as they went out
        self.start()

    # --- life and death ---

    def start(self, **options: object) -> "World":
        """A process starts on what the disk and the broker hold."""
        self.options.update(options)
        self.diary = Diary()
        self.link = ModelTransport(self.broker, Rng(1), protocol=self.protocol)
        self.link.on_wire = self.wire.append
        self.link.tick(self.now_ms)
        store = self.store
        if self.spill_bytes:
            store = self.spill = SpillStore(store, self.spill_bytes, numbers=self.spill_numbers)
            self.options.setdefault("spill_after_ms", 1000)
        self.engine = Engine(open_cache(store, Rng(self.seed), Options(**self.options), self.diary), self.link)
        return self

    def die(self, power_lost: bool = True, arriving: "int | None" = 0) -> "World":
        """The device loses its power: what was not synced is gone, of the bytes on the way ``arriving`` arrive."""
        self.link.abandon(arriving if arriving is None else min(arriving, self.link.on_the_way()))
        self.store.power_up(Rng(3), "lose" if power_lost else None, power_lost)
        return self

    def restart(self, power_lost: bool = True, **options: object) -> "World":
        return self.die(power_lost).start(**options)

    # --- the application ---

    def publish(self, payload: "bytes | str" = b"p", qos: int = 1, topic: str = "t", retain: bool = False) -> int:
        """Publish one message; its number. Raises what ``publish()`` would."""
        try:
            seq = self.engine.spool.stage(topic, payload, qos, retain, 0)
        except IsLarge:
            prepared = Prepared(self.engine.spool, [(topic, payload, qos, retain)])
            prepared.promise()
            try:
                prepared.write()
            except StoreError:
                prepared.give_up()
                raise
            seq = prepared.stage(0)
        self.store_staged()
        return seq

    def publish_many(self, count: int, qos: int = 1) -> "list[int]":
        """One group of messages with the payloads ``b"0"``, ``b"1"`` ..."""
        seqs = [self.engine.spool.stage("t", b"%d" % index, qos, False, 0) for index in range(count)]
        self.store_staged()
        return seqs

    def store_staged(self) -> None:
        group = self.engine.spool.take()
        group.write()
        self.engine.spool.finish(group)
        if group.error is not None:
            self.engine.spool.discard(group)
            raise group.error

    # --- time ---

    def deliver_bytes(self) -> None:
        """Let the world move, and the engine not."""
        self.link.tick(self.now_ms)

    def hang_up(self, code: int) -> None:
        """The broker ends the connection, in MQTT 5 with this reason."""
        connection = self.link._connection
        if connection is not None:
            connection.end(code)
            self.link._down.put(self.now_ms, connection.feed(b""))

    def step(self, after_ms: int = 0) -> int:
        """Let the world move, then the engine."""
        self.now_ms += after_ms
        self.link.tick(self.now_ms)
        return self.engine.step(self.now_ms)

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def run(self, duration_ms: int) -> None:
        """Let time pass as a port would: from one thing that is due to the next."""
        end_ms = self.now_ms + duration_ms
        while True:
            wait_ms = self.step()
            due_ms = self.link.next_due_ms()
            if due_ms is not None:
                wait_ms = min(wait_ms, max(0, due_ms - self.now_ms))
            if self.engine.wants_to_write() or self.link.acks_per_receive is not None:
                wait_ms = 1  # a port wakes when the socket can be written, or has something to read
            if self.now_ms >= end_ms:
                return
            self.now_ms = min(end_ms, self.now_ms + max(1, wait_ms))

    def online(self) -> "World":
        """Connect now."""
        for _ in range(20):
            if self.engine.online():
                return self
            self.step(0 if self.link.state() == UP else 1)
        raise RuntimeError("not online: " + self.engine.down_reason)

    # --- what came of it ---

    def arrived(self) -> "list[bytes]":
        """The payloads that the broker's subscribers saw, in order."""
        return [bytes(message[1]) for message in self.broker.deliveries]

    def sent(self, kind: int) -> "list[bytes]":
        """The packets of one kind that went out, in order."""
        return [packet for packet in self.wire if packet[0] & 0xF0 == kind & 0xF0]

    def account(self, name: str) -> int:
        return self.engine.accounts()[name]

    def accounts(self) -> "list[int]":
        """accepted, delivered, refused, damaged, waiting."""
        found = self.engine.accounts()
        return [found[name] for name in ("accepted", "delivered", "refused", "damaged", "waiting")]

    def violations(self) -> "list[str]":
        return self.broker.violations + self.link.violations + self.store.violations
