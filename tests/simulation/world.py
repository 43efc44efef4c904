"""What a program or a scenario runs in: a disk, a broker, a link, a clock, one process after the other."""

from persistmq_core.bulk_options import Bulk
from persistmq_core.direct import Direct
from persistmq_core.engine import Engine
from persistmq_core.lanes import Lanes
from persistmq_core.limits import INLINE_BYTES_MAX, SEND_BYTES, SURVEYED_MAX
from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from persistmq_core.spill_store import SpillStore
from tests.support.link import ModelTransport
from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng

from .disk import Disk
from .identities import Identities
from .laws import AHEAD, LawBroken
from .prefixed import Prefixed
from .witness import Ear, Witness

_TELLERS_MAX = 30
_DRAIN_MS_MAX = 4 * 3600 * 1000

# What a world may be told to be; a program draws some of these.
SETTINGS = {
    "protocol": 4,
    "window": 8,
    "window_qos2": 4,
    "segment_bytes_max": 1024,
    "checkpoint_delay_ms": 0,
    "gather_ms": 0,
    "surveyed_max": SURVEYED_MAX,
    "read_bytes": 4096,
    "send_bytes": SEND_BYTES,
    "inline_bytes_max": INLINE_BYTES_MAX,
    "latency_ms_max": 0,
    "busy_percent": 0,
    "short_percent": 0,
    "bytes_per_tick": None,
    "trust": False,
    "session_is_ours": False,  # there are no subscriptions in it
    "subscribes": False,  # when the first connection of a start comes up: from then on there are
    "keep_failed": False,  # durability "async": what the disk refuses is kept in RAM and tried again
    "direct": False,  # a message that is published alone is stored as a board does it, without a group
    "deliver_at": "pubrel",
    "qos2_answer": "pubrec",
    "receive_maximum": 65535,
    "denies_session": False,
    "loses_above_max": False,
    "expires_s_max": 0,  # of two in three messages; 0: they never expire
    "clock": "valid",  # or "none", "late": not before a minute has passed, "set": forward after 10 s
    "cache_messages_max": 0,
    "cache_bytes_max": 0,
    "drain": "",  # with a second lane: how a backlog is sent
    "identity": False,  # messages carry it, and a receiver says what it misses
    "evicts": False,  # the oldest messages when the cache is full, instead of refusing new ones
    "spill_bytes": 0,  # durability "spill"
    "spill_after_ms": 500,
    "spill_numbers": 30000,
    "bulk": 0,  # so many messages that wait become one; 0: never
    "bulk_form": "simple",
    "bulk_rewrite": "bulk",
    "bulk_bytes_max": 4096,
    "bulk_changes": False,  # each start has other settings
}


class SimulatedWorld(Witness):
    """``settings``: what differs from SETTINGS. Begin with ``start``."""

    def __init__(self, settings: "dict[str, object]") -> None:
        super().__init__(dict(SETTINGS, **settings), Disk(), ModelBroker())
        self.broker.deliver_at = self.settings["deliver_at"]
        self.broker.qos2_answer = self.settings["qos2_answer"]
        self.broker.receive_maximum = self.settings["receive_maximum"]
        self.broker.denies_session = self.settings["denies_session"]
        if self.settings["loses_above_max"]:
            self.broker.unreleased_max = self.settings["window_qos2"]
            self.broker.loses_above_max = True
        self.broker.bundles = self.settings["bulk_rewrite"] if self.settings["bulk"] else ""
        self.laws.may_spill = self.settings["spill_bytes"] > 0
        says_who = self.settings["identity"] and self.settings["protocol"] == 5
        if says_who or self.has_bundles_of_ours():
            self.laws.identities = Identities()
        self.events = 0

    # --- processes ---

    def start(self, rng: Rng, starved_of: int = 0) -> None:
        """A process starts on what the disk holds. PowerCut passes through, and OSError if its errno may come."""
        self.starts += 1
        chosen = self.settings
        transport = ModelTransport(
            self.broker,
            rng.fork(),
            protocol=chosen["protocol"],
            latency_ms_min=0,
            latency_ms_max=chosen["latency_ms_max"],
        )
        transport.session_is_ours = chosen["session_is_ours"]
        transport.busy_percent = chosen["busy_percent"]
        transport.short_percent = chosen["short_percent"]
        transport.bytes_per_tick = chosen["bytes_per_tick"]
        transport.on_wire = lambda packet: self.laws.on_wire(packet, chosen["protocol"] == 5, self.engine)
        transport.on_begin = lambda part: self.laws.on_begin(self.engine)
        transport.tick(self.now_ms)
        self.transport = transport
        self.laws.restarted()
        in_doubt = self.read_faults > 0 or self.laws.slot_is_torn()
        reads = {}
        self.disk.reads = reads
        spill_bytes = chosen["spill_bytes"]
        try:
            options = Options(
                window=chosen["window"],
                window_qos2=chosen["window_qos2"],
                ack_timeout_ms=2000,
                connect_timeout_ms=1000,
                reconnect_delay_ms_min=100,
                reconnect_delay_ms_max=3000,
                checkpoint_delay_ms=chosen["checkpoint_delay_ms"],
                gather_ms=chosen["gather_ms"],
                surveyed_max=chosen["surveyed_max"],
                segment_bytes_max=chosen["segment_bytes_max"],
                read_bytes=chosen["read_bytes"],
                send_bytes=chosen["send_bytes"],
                inline_bytes_max=chosen["inline_bytes_max"],
                session_marker=7,
                trust_lost_session=chosen["trust"],
                cache_messages_max=chosen["cache_messages_max"],
                cache_bytes_max=chosen["cache_bytes_max"],
                clock=self,
                lanes=Lanes(Prefixed(self.disk, AHEAD), chosen["drain"]) if chosen["drain"] else None,
                spill_after_ms=chosen["spill_after_ms"] if spill_bytes else 0,
                identity="me" if chosen["identity"] else "",
                bulk=self.bulk(),
            )
            store = SpillStore(self.disk, spill_bytes, numbers=chosen["spill_numbers"]) if spill_bytes else self.disk
            self.engine = Engine(open_cache(store, rng.fork(), options, Ear(self)), transport)
        except (OSError, ValueError, TypeError, LookupError, ArithmeticError) as error:
            if starved_of and error.args[:1] == (starved_of,):
                raise
            raise LawBroken("6: it does not start: %r" % error)  # noqa: B904 - MicroPython chains no exceptions
        finally:
            self.disk.reads = None
        self.direct = Direct()
        self.laws.started(reads)
        if in_doubt and self.laws.identities is not None:
            for lane in self.engine.lanes:
                self.laws.identities.started_in_doubt(lane.delivery.identity.epoch, lane.delivery.checkpoint.cursor)
        self.spy()

    def has_bundles_of_ours(self) -> bool:
        """Bundles, and always in the form "persistmq"."""
        return self.settings["bulk"] and self.settings["bulk_form"] == "persistmq" and not self.settings["bulk_changes"]

    def bulk(self) -> "Bulk | None":
        """What this process was told of bundles."""
        chosen = self.settings
        turn = self.starts % 3 if chosen["bulk_changes"] else 1
        if not chosen["bulk"] or turn == 0:
            return None
        form = chosen["bulk_form"]
        if turn == 2:
            form = "simple" if form == "persistmq" else "persistmq"
        return Bulk(chosen["bulk"], chosen["bulk_rewrite"], form, chosen["bulk_bytes_max"], "me")

    def die(self, arriving: "int | None" = None) -> None:
        """The process is gone, with all that it had in RAM; so many bytes on the way still reach the broker."""
        if self.transport is not None:
            self.transport.abandon(arriving)
        self.sure, self.uncounted = self.surviving()
        self.laws.survived([self.messages[number].payload for number in self.sure])
        self.engine = None
        self.staged = []
        self.kept = {}

    # --- time ---

    def step(self, longest_ms: int) -> None:
        """Let time go on to the next thing that is due, at most ``longest_ms``."""
        self.transport.tick(self.now_ms)
        self.at_wire()
        connections = self.engine.connections
        wait_ms = self.engine.step(self.now_ms)
        self.at_wire()
        self.check_spilled()
        self.events += 1
        if self.engine.connections != connections:
            self.came_up()
        due_ms = self.transport.next_due_ms()
        if due_ms is not None:
            wait_ms = min(wait_ms, max(0, due_ms - self.now_ms))
        self.now_ms += max(0 if self.engine.wants_to_write() else 1, min(wait_ms, longest_ms))
        self.check()

    def at_wire(self) -> None:
        """Bytes may be on the way: a place to cut, for those who look for one."""

    # --- the end ---

    def heal(self) -> None:
        self.disk.heal()
        self.broker.heal()
        self.transport.thaw()

    def drain(self, tellers: int = 0) -> None:
        """Until all is delivered."""
        end_ms = self.now_ms + _DRAIN_MS_MAX
        while self.kept or self.staged:
            self.write()
        engine = self.engine
        while engine.accounts()["waiting"] > 0 or [
            lane for lane in engine.lanes if lane.delivery.cursor() < lane.journal.end_seq
        ]:
            self.step(60000)
            if self.now_ms > end_ms:
                raise LawBroken("drain: not delivered in time: %r" % self.engine.accounts())
        if self.laws.identities is not None and tellers < _TELLERS_MAX and self.owes():
            count = max(1, self.settings["bulk"]) if self.settings["protocol"] == 4 else 1
            for _ in range(count):
                self.stage(1, False, 0)  # one more message, or a bundle, which tells what was given up before
            self.drain(tellers + 1)

    def owes(self) -> bool:
        """Receivers are not told of all that was given up."""
        return any(lane.delivery.identity.owes() for lane in self.engine.lanes)

    def forget_session(self) -> None:
        """The broker loses what it knows of the client.

        A CONNACK with session present 0 that never arrives hides the loss: the next one says 1, of an empty session.
        MQTT has no remedy for that; what had its PUBREC and no PUBCOMP is then lost.
        """
        self.laws.sessions_lost = True
        self.loss_unseen = True
        self.broker.restart(False)
