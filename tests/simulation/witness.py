"""Who sees what becomes of the messages, and holds it against what may: see also ``laws.py``."""

from persistmq_core.bundles import COUNT
from persistmq_core.contracts import Listener
from persistmq_core.dead_letters import CONNECTION_DROPPED
from persistmq_core.limits import AHEAD_SEQ, READS_BEFORE_DAMAGED
from persistmq_core.record import REFERENCE_BYTES, frame_bytes
from tests.support.model_broker import ModelBroker

from .disk import Disk
from .laws import LawBroken, Laws
from .publisher import Message, Publisher


class Ear(Listener):
    """What the application hears, for law 2."""

    def __init__(self, world: "Witness") -> None:
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


class Witness(Publisher):
    """``transport`` is of the process, as ``engine`` is."""

    def __init__(self, settings: "dict[str, object]", disk: Disk, broker: ModelBroker) -> None:
        super().__init__(settings, Laws(disk, broker))
        self.disk = disk
        self.broker = broker
        self.transport = None
        self.promised = set()  # of what is sure, with durability "spill": the client said that they are stored
        self.uncounted = set()  # payloads that were given up in RAM, and that with it
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
        self.loss_unseen = False  # the broker lost the session and the client cannot know yet

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

    # --- spies in the process ---

    def spy(self) -> None:
        """When one has started."""
        # Power may fail between the checkpoint and the telling.
        for index, lane in enumerate(self.engine.lanes):
            state = lane.delivery.checkpoint
            for begin, end in self.planned[index]:
                for seq in range(max(begin, state.evicted_first), min(end, state.evicted_end)):
                    self.evicts(index * AHEAD_SEQ + seq)
            self.spy_on_evictions(lane.delivery, index)
            if lane.delivery.makes_bundles:
                self.spy_on_bundles(lane.delivery, index)
        self.planned = [[], []]

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
            entry = delivery._ranges.get(seq, 0)
            held = [self.message_of(index * AHEAD_SEQ + seq + place) for place in range(entry & COUNT)]
            payloads = [message.payload for message in held if message is not None]
            if reason_code == CONNECTION_DROPPED:
                self.apart.update(payloads)
            is_parked = refuse(seq, reason_code)
            if not is_parked and seq not in delivery._ranges:
                self.laws.apart.update(payloads)
            return is_parked

        delivery.refuse = spied

    # --- what the application is told ---

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

    # --- after each step ---

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
