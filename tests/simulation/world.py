"""What a program or a scenario runs in: a disk, a broker, a link, a clock, one process after the other, the laws."""

from persistmq_core.bulk_options import Bulk
from persistmq_core.bundles import COUNT
from persistmq_core.contracts import Listener
from persistmq_core.dead_letters import CONNECTION_DROPPED
from persistmq_core.direct import Direct
from persistmq_core.engine import Engine
from persistmq_core.errors import CacheFull, StoreError
from persistmq_core.lanes import Lanes
from persistmq_core.limits import AHEAD_SEQ, INLINE_BYTES_MAX, READS_BEFORE_DAMAGED, SEND_BYTES, SURVEYED_MAX
from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from persistmq_core.prepared import Prepared
from persistmq_core.record import REFERENCE_BYTES, frame_bytes
from persistmq_core.spill_store import SpillStore
from persistmq_core.spool import IsLarge
from tests.support.link import ModelTransport
from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng

from .disk import Disk
from .identities import Identities
from .laws import AHEAD, LawBroken, Laws
from .prefixed import Prefixed

_UNIX_MS = 1_700_000_000_000
_TELLERS_MAX = 30
_SET_MS = 100_000_000
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


class Message:
    """What was published."""

    def __init__(self, number: int, qos: int, retain: bool, size: int, born_ms: int, expires_s_max: int) -> None:
        self.number = number
        self.goes_ahead = False
        self.topic = "t/%d" % (number % 3)
        self.payload = b"<%d>" % number + b"." * size
        self.qos = qos
        self.retain = retain
        self.born_ms = born_ms
        self.expires_s = 1 + number * 7 % expires_s_max if expires_s_max and number % 3 else 0


class Ear(Listener):
    """What the application hears, for law 2."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def delivered(self, seq: int) -> None:
        self.world.laws.told(seq, "delivered")

    def dropped(self, seq: int, account: str, reason_code: int) -> None:
        self.world.laws.told(seq, account)
        if account == "expired":
            self.world.expires(seq)
        if account == "evicted":
            self.world.evicts(seq)
        if account == "damaged" and self.world.read_faults >= READS_BEFORE_DAMAGED:
            self.world.given_up(seq)

    def connected(self, session_present: bool) -> None:
        if self.world.settings["subscribes"]:
            self.world.transport.session_is_ours = False

    def disconnected(self, reason: str) -> None:
        pass


class World:
    """``settings``: what differs from SETTINGS. Begin with ``start``."""

    def __init__(self, settings: "dict[str, object]") -> None:
        self.settings = dict(SETTINGS)
        self.settings.update(settings)
        self.disk = Disk()
        self.broker = ModelBroker()
        self.broker.deliver_at = self.settings["deliver_at"]
        self.broker.qos2_answer = self.settings["qos2_answer"]
        self.broker.receive_maximum = self.settings["receive_maximum"]
        self.broker.denies_session = self.settings["denies_session"]
        if self.settings["loses_above_max"]:
            self.broker.unreleased_max = self.settings["window_qos2"]
            self.broker.loses_above_max = True
        self.broker.bundles = self.settings["bulk_rewrite"] if self.settings["bulk"] else ""
        self.laws = Laws(self.disk, self.broker)
        self.laws.may_spill = self.settings["spill_bytes"] > 0
        says_who = self.settings["identity"] and self.settings["protocol"] == 5
        if says_who or self.has_bundles_of_ours():
            self.laws.identities = Identities()
        self.messages = []
        self.sure = set()  # numbers of messages whose publish() returned: they must arrive
        self.promised = set()  # of these, with durability "spill": the client said that they are stored
        self.uncounted = set()  # payloads that were given up in RAM, and that with it
        self.staged = []  # numbers of messages that this process staged and has not written
        self.kept = {}  # spool -> a group that the disk refused, and the numbers of its messages
        self.excused = set()  # payloads that the protocol itself may lose
        self.damaged = set()  # payloads whose stored bytes were damaged
        self.expired = set()  # payloads that became too old
        self.planned = [[], []]  # runs of numbers that the last eviction of each lane was about
        self.evicted = set()  # payloads that were given up for newer ones
        self.apart = set()  # payloads of bundles that were taken apart while the broker may have had them
        self.unordered = False  # the broker kept an answer back, or sent a message away for later
        self.refusals = False  # the broker refused something
        self.refused_topics = set()  # what it refused, with a reason code
        self.read_faults = 0  # so many reads were made to fail
        self.marks = []  # bytes that did not read and must be kept somewhere
        self.now_ms = 0
        self.events = 0
        self.starts = 0
        self.loss_unseen = False  # the broker lost the session and the client cannot know yet
        self.transport = None
        self.engine = None

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
        # Power may fail between the checkpoint and the telling.
        for index, lane in enumerate(self.engine.lanes):
            state = lane.delivery.checkpoint
            for begin, end in self.planned[index]:
                for seq in range(max(begin, state.evicted_first), min(end, state.evicted_end)):
                    self.evicts(index * AHEAD_SEQ + seq)
            self.spy_on_evictions(lane.delivery, index)
            self.spy_on_bundles(lane.delivery, index)
        self.planned = [[], []]

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

    def surviving(self) -> "tuple[set, set]":
        """What must arrive should the process die now, and ``uncounted`` then."""
        if not self.settings["spill_bytes"]:
            return set(self.sure), set()
        lost = set(self.uncounted)
        if self.engine is not None and self.engine.spill is not None:
            for payload in list(self.evicted) + list(self.expired):
                if self.engine.spill.holds(self.laws.seq_of(payload)):
                    lost.add(payload)
        return self.sure & self.promised, lost

    # --- publishing ---

    def stage(self, qos: int, retain: bool, size: int) -> None:
        message = self.new_message(qos, retain, size)
        seq = self.accept(message)
        if seq == 0:
            return
        self.messages.append(message)
        self.laws.staged(seq, message.payload)
        self.staged.append(message.number)

    def new_message(self, qos: int, retain: bool, size: int) -> Message:
        message = Message(len(self.messages), qos, retain, size, self.now_ms, self.settings["expires_s_max"])
        message.life = self.starts
        return message

    def accept(self, message: Message, direct: "Direct | None" = None) -> int:
        """Its number, 0 if the cache is full, or a large payload could not be written."""
        stamp_ms = self.unix_ms() or self.now_ms
        spool = self.spool_for(message)
        fields = (message.topic, message.payload, message.qos, message.retain, stamp_ms, message.expires_s)
        for _ in range(2):
            try:
                try:
                    seq = spool.stage(*fields) if direct is None else direct.store(spool, *fields)
                except IsLarge:
                    seq = self.accept_large(spool, fields)
                    if seq and direct is not None:
                        self.write_now(spool)
                return seq and message.goes_ahead * AHEAD_SEQ + seq
            except CacheFull as full:
                if not self.settings["evicts"]:
                    break
                if not self.engine.make_room(self.now_ms, full.count, full.wanted_bytes):
                    break
        return 0

    def accept_large(self, spool: "object", fields: "tuple") -> int:
        prepared = Prepared(spool, [fields[:4]], fields[5])
        prepared.promise()
        try:
            prepared.write()
        except StoreError:
            prepared.give_up()
            return 0
        return prepared.stage(fields[4])

    def write_now(self, spool: "object") -> None:
        group = spool.take()
        group.write()
        spool.finish(group)
        if group.error is not None:
            spool.discard(group)
            raise group.error

    def spool_for(self, message: Message) -> "object":
        lanes = self.engine.lanes
        message.goes_ahead = len(lanes) > 1 and (message.number % 5 == 0 or self.engine.goes_ahead())
        return lanes[message.goes_ahead].spool

    def store_directly(self, qos: int, retain: bool, size: int) -> None:
        """Publish one message as a board does, while nothing is staged."""
        message = self.new_message(qos, retain, size)
        self.messages.append(message)  # before it is written: the power may fail meanwhile
        seq = self.spool_for(message).next_seq
        self.laws.staged(message.goes_ahead * AHEAD_SEQ + seq, message.payload)
        try:
            if self.accept(message, self.direct):
                self.sure.add(message.number)
                self.laws.stored([message.payload])
            else:
                self.messages.pop()
        except StoreError:
            pass  # it may be stored all the same

    def write(self, meanwhile: "tuple | None" = None) -> None:
        """Write one group of each lane, as a port does. ``meanwhile``: a message staged while the first one syncs."""
        for lane in self.engine.lanes:
            self.write_lane(lane.spool, meanwhile)
            meanwhile = None

    def write_lane(self, spool: "object", meanwhile: "tuple | None") -> None:
        group, numbers = self.kept.pop(spool, (None, []))
        if group is None:
            group = spool.take()
            numbers = [number for number in self.staged if self.lane_of(number) is spool]
            self.staged = [number for number in self.staged if number not in numbers]
        if group is None:
            return
        if meanwhile is not None:
            self.stage(*meanwhile)
        group.write()
        spool.finish(group)
        if group.error is None:
            self.sure.update(numbers)
            self.laws.stored([self.messages[number].payload for number in numbers])
        elif not isinstance(group.error, StoreError):
            raise LawBroken("errors: %r" % group.error)
        elif self.settings["keep_failed"]:
            group.error = None
            self.kept[spool] = group, numbers
        else:
            spool.discard(group)

    def lane_of(self, number: int) -> "object":
        """Where a message was staged."""
        return self.engine.lanes[self.messages[number].goes_ahead].spool

    def spy_on_evictions(self, delivery: "object", index: int) -> None:
        """Keep what each is about for the next start."""
        make = delivery._eviction

        def spied() -> "object":
            eviction = make()
            real = eviction.plan

            def plan(*arguments: int) -> "list[tuple[int, int]]":
                self.planned[index] = real(*arguments)
                return self.planned[index]

            eviction.plan = plan
            return eviction

        delivery._eviction = spied

    def spy_on_bundles(self, delivery: "object", index: int) -> None:
        """Know what is taken apart; where connections end over it the broker may have taken it, and said so in vain."""
        refuse = delivery.refuse

        def spied(seq: int, reason_code: int) -> bool:
            entry = getattr(delivery, "_ranges", {}).get(seq, 0)
            held = [self.message_of(index * AHEAD_SEQ + seq + place) for place in range(entry & COUNT)]
            payloads = [message.payload for message in held if message is not None]
            if reason_code == CONNECTION_DROPPED:
                self.apart.update(payloads)
            is_parked = refuse(seq, reason_code)
            if not is_parked and seq not in getattr(delivery, "_ranges", {}):
                self.laws.apart.update(payloads)
            return is_parked

        delivery.refuse = spied

    def unix_ms(self) -> int:
        """The time of day, 0 if nobody has told the device."""
        clock = self.settings["clock"]
        if clock == "none" or (clock == "late" and self.now_ms < 60000):
            return 0
        return _UNIX_MS + self.now_ms + (_SET_MS if clock == "set" and self.now_ms >= 10000 else 0)

    def message_of(self, seq: int) -> "Message | None":
        for message in reversed(self.messages):  # a number that was not stored may be another one's by now
            if self.laws.seq_of(message.payload) == seq:
                return message
        return None

    def expires(self, seq: int) -> None:
        """It was too old when its turn came."""
        message = self.message_of(seq)
        if message is not None and self.settings["clock"] == "set" and message.life != self.starts:
            self.expired.add(message.payload)  # nobody knows that its stamp is of another clock
            return
        if message is None or not message.expires_s or self.now_ms - message.born_ms < message.expires_s * 1000:
            raise LawBroken("2: number %d has expired too early" % seq)
        self.expired.add(message.payload)

    def evicts(self, seq: int) -> None:
        """The oldest message that was never sent made room."""
        message = self.message_of(seq)
        if message is None:
            return
        excused = self.laws.sessions_lost or self.laws.checkpoint_damaged or self.broker.denies_session
        if self.laws.times_sent.get(message.payload) and not excused:
            raise LawBroken("2: %r was evicted after it was sent" % message.payload)
        self.evicted.add(message.payload)

    def given_up(self, seq: int) -> None:
        """Its bytes did not read again and again: it counts as damaged, and the rest is delivered."""
        for number, message in enumerate(self.messages):
            if self.laws.seq_of(message.payload) == seq:
                self.damaged.add(message.payload)
                self.sure.discard(number)

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

    def came_up(self) -> None:
        """A connection came up: now the client knows of a lost session, or never will."""
        if self.settings["trust"]:
            self.excused.update([bytes(message[1]) for message in self.broker.forgotten])
        if self.loss_unseen:
            self.loss_unseen = False
            if self.transport.session_present:
                self.excused.update([bytes(message[1]) for message in self.broker.forgotten])

    def check(self) -> None:
        if self.engine.spill is not None:
            self.check_spill(self.engine.spill)
        ambiguous = len(self.messages) - len(self.sure)
        self.laws.check(self.engine, self.transport, len(self.sure), ambiguous)

    def check_spill(self, spill: "object") -> None:
        """What waits only in RAM is bounded; what is said to be stored may not be lost from then on."""
        held_bytes = 0
        for number in self.sure - self.promised:
            message = self.messages[number]
            seq = self.laws.seq_of(message.payload)
            if not spill.holds(seq):
                self.promised.add(number)
            elif not self.laws.is_told(seq):
                is_large = len(message.payload) > self.settings["inline_bytes_max"]  # and in a file on storage
                payload = bytes(REFERENCE_BYTES) if is_large else message.payload
                held_bytes += frame_bytes(message.topic.encode(), payload, message.expires_s)
        self.laws.check_spill(held_bytes, self.settings["spill_bytes"])

    def check_spilled(self) -> None:
        """After a step: where there is trouble nothing waits only in RAM, unless the disk is in trouble as well."""
        engine = self.engine
        if engine.spill is None or engine.store_error:
            return
        if engine.online() and engine._waits_ms(self.now_ms) < self.settings["spill_after_ms"]:
            return
        for number in self.sure:
            seq = self.laws.seq_of(self.messages[number].payload)
            if engine.spill.holds(seq) and not self.laws.is_told(seq):
                raise LawBroken("spill: message %d is only in RAM, and there is trouble" % seq)

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
