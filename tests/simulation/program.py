"""A random program: publish, wait, crash, break the link and the broker, heal, and look at what arrived.

Everything comes from one seed, on both interpreters alike. ``run(seed)`` raises LawBroken with the story so far.
"""

from persistmq_core.engine import Engine
from persistmq_core.errors import StoreError
from tests.support.link import ModelTransport
from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng
from tests.support.write_list_store import EIO, ENOSPC, PowerCut, WriteListStore

from .laws import LawBroken, Laws

_DRAIN_MS_MAX = 4 * 3600 * 1000


class Message:
    """What the program published. ``sure``: publish() returned, so it must arrive."""

    def __init__(self, number: int, qos: int, retain: bool, size: int) -> None:
        self.topic = "t/%d" % (number % 3)
        self.payload = b"<%d>" % number + b"." * size
        self.qos = qos
        self.retain = retain
        self.sure = False


class Program:
    """One run. ``faults``: the kinds of trouble that it may make (see ``_ACTIONS``)."""

    def __init__(self, seed: int, steps: int = 120, faults: str = "crash disk link broker") -> None:
        self.seed = seed
        self.steps = steps
        self.rng = Rng(seed)
        self.faults = faults.split(" ")
        self.trace = []
        self.now_ms = 0
        self.events = 0
        self.messages = []
        self.staged = []  # messages of the group that is being stored
        self.starts = 0
        rng = self.rng
        self.store = WriteListStore()
        self.broker = ModelBroker()
        self.broker.deliver_at = rng.pick(("pubrel", "pubrel", "publish"))
        self.protocol = rng.pick((4, 5))
        self.broker.receive_maximum = rng.pick((65535, 65535, 1, 3))
        self.window = rng.pick((1, 2, 4, 8, 16))
        self.window_qos2 = rng.pick((1, 2, 4, 8))
        self.segment_bytes_max = rng.pick((1024, 1024, 4096))
        self.checkpoint_delay_ms = rng.pick((0, 50, 1000))
        self.loss_unseen = False  # the broker lost the session and the client cannot know yet
        self.excused = set()  # payloads that the protocol itself may lose (see broker_trouble)
        self.laws = Laws(self.store, self.broker)
        self.transport = None
        self.engine = None

    # --- the world ---

    def start(self) -> None:
        """A process starts on what the disk holds."""
        self.starts += 1
        rng = self.rng
        transport = ModelTransport(
            self.broker, rng.fork(), protocol=self.protocol, latency_ms_min=0, latency_ms_max=rng.pick((0, 5, 200))
        )
        transport.busy_percent = rng.pick((0, 0, 20))
        transport.short_percent = rng.pick((0, 0, 30))
        transport.bytes_per_tick = rng.pick((None, None, 7))
        transport.on_wire = lambda packet: self.laws.on_wire(packet, self.protocol == 5, self.engine)
        transport.tick(self.now_ms)
        self.transport = transport
        self.engine = Engine(
            self.store,
            transport,
            rng.fork(),
            window=self.window,
            window_qos2=self.window_qos2,
            ack_timeout_ms=2000,
            connect_timeout_ms=1000,
            reconnect_delay_ms_min=100,
            reconnect_delay_ms_max=3000,
            checkpoint_delay_ms=self.checkpoint_delay_ms,
            segment_bytes_max=self.segment_bytes_max,
            read_bytes=rng.pick((64, 300, 4096)),
            session_marker=7,
        )

    def restart(self, power_lost: bool) -> None:
        """The process or the whole device dies, and starts again until it comes up."""
        self.note("restart, power lost" if power_lost else "restart")
        if self.transport is not None:
            self.transport.abandon()
        self.engine = None
        self.staged = []
        while True:
            self.store.power_up(self.rng, power_lost=power_lost)
            self.laws.forget_segments()
            if "crash" in self.faults and self.rng.one_in(8):
                self.store.crash_at = self.store.steps + self.rng.between(1, 12)
            try:
                self.start()
            except PowerCut:
                power_lost = True
                continue
            return

    def note(self, words: str) -> None:
        self.events += 1
        self.trace.append("%d ms: %s" % (self.now_ms, words))

    # --- actions ---

    def publish(self) -> None:
        rng = self.rng
        count = rng.pick((1, 1, 1, 2, 5))
        group = []
        for _ in range(count):
            size = rng.pick((0, 0, 10, 40, 300))
            message = Message(len(self.messages), rng.pick((0, 1, 1, 2, 2, 2, 2)), rng.one_in(10), size)
            self.messages.append(message)
            seq = self.engine.spool.stage(message.topic, message.payload, message.qos, message.retain, self.now_ms)
            self.laws.staged(seq, message.payload)
            group.append(message)
        self.note("publish %d" % count)
        written = self.engine.spool.take()
        written.write()
        self.engine.spool.finish(written)
        if written.error is None:
            for message in group:
                message.sure = True
        elif not isinstance(written.error, StoreError):
            raise LawBroken("errors: %r" % written.error)

    def pass_time(self) -> None:
        for _ in range(self.rng.between(1, 6)):
            self.step(self.rng.pick((0, 1, 10, 100, 1000)))

    def step(self, longest_ms: int) -> None:
        """Let time go on to the next thing that is due, at most ``longest_ms``."""
        self.transport.tick(self.now_ms)
        connections = self.engine.connections
        wait_ms = self.engine.step(self.now_ms)
        if self.engine.connections != connections and self.loss_unseen:
            self.loss_unseen = False
            if self.transport.session_present:
                self.excused = {bytes(message[1]) for message in self.broker.forgotten}
        self.events += 1
        due_ms = self.transport.next_due_ms()
        if due_ms is not None:
            wait_ms = min(wait_ms, max(0, due_ms - self.now_ms))
        self.now_ms += max(0 if self.engine.wants_to_write() else 1, min(wait_ms, longest_ms))
        self.check()

    def check(self) -> None:
        sure = len([message for message in self.messages if message.sure])
        self.laws.check(self.engine, self.transport, sure, len(self.messages) - sure)

    def trouble(self) -> None:
        kind = self.rng.pick(self.faults)
        rng = self.rng
        if kind == "crash":
            if rng.one_in(2):
                self.store.crash_at = self.store.steps + rng.between(1, 10)
                self.note("power will fail")
            else:
                self.restart(rng.one_in(2))
        elif kind == "disk":
            call, errno, short = rng.pick(
                (("append", ENOSPC, 0), ("append", ENOSPC, 17), ("sync", EIO, 0), ("replace", ENOSPC, 0),
                 ("replace", EIO, 9), ("remove", EIO, 0), ("read", EIO, 0))
            )  # fmt: skip
            self.store.fail_next(call, errno, short=short, times=rng.pick((1, 1, 2)))
            self.note("%s will fail" % call)
        elif kind == "link":
            self.link_trouble()
        else:
            self.broker_trouble()

    def link_trouble(self) -> None:
        action = self.rng.pick(("cut", "reset", "freeze", "thaw"))
        self.note("link: " + action)
        if action == "cut":
            self.transport.cut()
        elif action == "reset":
            self.transport.cut(dropped=True)
        elif action == "freeze":
            self.transport.freeze()
        else:
            self.transport.thaw()

    def broker_trouble(self) -> None:
        rng = self.rng
        action = rng.pick(("restart", "forget", "away", "back", "refuse", "accept"))
        self.note("broker: " + action)
        if action in ("restart", "forget"):
            # A CONNACK with session present 0 that never arrives hides the loss: the next one says 1, of an empty
            # session. MQTT has no remedy for that; what had its PUBREC and no PUBCOMP is then lost.
            self.laws.sessions_lost = self.laws.sessions_lost or action == "forget"
            self.loss_unseen = self.loss_unseen or action == "forget"
            self.broker.restart(action == "restart")
        elif action in ("away", "back"):
            self.broker.listening = action == "back"
        else:
            self.broker.connect_code = 0 if action == "accept" else 5

    # --- the run ---

    def run(self) -> "Program":
        try:
            self.restart(False)
            for _ in range(self.steps):
                self.act(self.one_action)
            self.heal()
            self.act(self.drain)
            self.judge()
        except LawBroken as broken:
            raise LawBroken("%s\nseed %d, after:\n%s" % (broken, self.seed, "\n".join(self.trace[-40:]))) from broken
        return self

    def act(self, action: "object") -> None:
        """Run an action; if the power fails in it, the device starts again (and a drain begins again)."""
        while True:
            try:
                action()
                return
            except PowerCut:
                self.note("power failed in call %d" % self.store.steps)
                self.restart(True)
                if action != self.drain:
                    return

    def one_action(self) -> None:
        chance = self.rng.below(100)
        if chance < 40:
            self.publish()
        elif chance < 85:
            self.pass_time()
        elif self.faults != [""]:
            self.trouble()
        self.check()

    def heal(self) -> None:
        self.note("all is well from now on")
        self.store.heal()
        self.broker.heal()
        self.transport.thaw()

    def drain(self) -> None:
        end_ms = self.now_ms + _DRAIN_MS_MAX
        while self.engine.accounts()["waiting"]:
            self.step(60000)
            if self.now_ms > end_ms:
                raise LawBroken("drain: not delivered in time: %r" % self.engine.accounts())
        # And nothing comes after the end.
        for _ in range(20):
            self.step(5000)

    def judge(self) -> None:
        """What the broker's subscribers saw, against what was published."""
        counts = {}
        last = [-1, -1, -1]
        numbers = {message.payload: index for index, message in enumerate(self.messages)}
        for topic, payload, qos, _ in self.broker.deliveries:
            number = numbers.get(payload, -1)
            if number < 0 or self.messages[number].topic != topic or self.messages[number].qos != qos:
                raise LawBroken("6: delivered and never published: %r" % ((topic, payload, qos),))
            if payload not in counts and number < last[qos] and not self.laws.sessions_lost:
                raise LawBroken("order: %d after %d at QoS %d" % (number, last[qos], qos))
            counts[payload] = counts.get(payload, 0) + 1
            last[qos] = max(last[qos], number)
        for message in self.messages:
            count = counts.get(message.payload, 0)
            if message.qos and message.sure and count == 0 and message.payload not in self.excused:
                raise LawBroken("lost: %r at QoS %d" % (message.payload, message.qos))
            if message.qos == 2 and count > 1 and not self.laws.sessions_lost:
                raise LawBroken("twice: %r was delivered %d times" % (message.payload, count))


def run(seed: int, steps: int = 120, faults: str = "crash disk link broker") -> Program:
    """Run one program; raises LawBroken, whose message replays it."""
    return Program(seed, steps, faults).run()
