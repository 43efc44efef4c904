"""A random program: publish, wait, crash, break the link and the broker, heal, and look at what arrived.

Everything comes from one seed, on both interpreters alike. ``run(seed)`` raises LawBroken with the story so far.
"""

from tests.support.rng import Rng
from tests.support.write_list_store import PowerCut

from .actions import IN_SETTINGS, draw_action, draw_settings
from .damage import damage
from .judge import judge
from .laws import LawBroken
from .world import SimulatedWorld


class Program(SimulatedWorld):
    """One run of ``actions`` (see ``actions.py``)."""

    def __init__(self, settings: "dict[str, object]", actions: "list[tuple]") -> None:
        super().__init__(settings)
        self.actions = actions
        self.trace = []
        self.fate_rng = Rng(1)  # of the next power cut
        self.store = self.disk

    def note(self, words: str) -> None:
        self.trace.append("%d ms: %s" % (self.now_ms, words))

    # --- life and death ---

    def restart(self, power_lost: bool, rng: Rng, cut_again: int = 0) -> None:
        """The process or the whole device dies, and starts again until it comes up."""
        self.note("restart, power lost" if power_lost else "restart")
        self.die()
        while True:
            self.disk.power_up(rng, power_lost=power_lost)
            if cut_again:
                self.disk.crash_at = self.disk.steps + cut_again
                cut_again = 0
            try:
                self.start(rng)
            except PowerCut:
                power_lost = True
                continue
            return

    def act(self, action: "tuple") -> None:
        """Run an action; if the power fails in it, the device starts again (and a drain begins again)."""
        while True:
            try:
                getattr(self, "do_" + action[0])(*action[1:])
                self.check()
                return
            except PowerCut:
                self.note("power failed in call %d" % self.disk.steps)
                self.restart(True, self.fate_rng)
                if action[0] != "drain":
                    return

    # --- actions ---

    def do_publish(self, how: str, shapes: "tuple") -> None:
        """``how``: all in one group, or only staged (for the next one), or the last one while the group is synced."""
        self.note("publish %d (%s)" % (len(shapes), how))
        is_alone = how == "write" and len(shapes) == 1 and not self.staged and not self.kept
        if is_alone and self.settings["direct"] and not self.settings["keep_failed"]:
            self.store_directly(*shapes[0])
            return
        meanwhile = shapes[-1] if how == "meanwhile" else None
        for shape in shapes[:-1] if meanwhile else shapes:
            self.stage(*shape)
        if how != "stage":
            self.write(meanwhile)

    def do_time(self, waits_ms: "tuple") -> None:
        if self.kept:
            self.write()  # as the port does every while
        for wait_ms in waits_ms:
            self.step(wait_ms)

    def do_power(self, calls: int, seed: int) -> None:
        self.note("power will fail")
        self.fate_rng = Rng(seed)
        self.disk.crash_at = self.disk.steps + calls

    def do_restart(self, power_lost: bool, seed: int, cut_again: int) -> None:
        self.restart(power_lost, Rng(seed), cut_again)

    def do_disk(self, call: str, errno: int, short: int, times: int) -> None:
        self.note("%s will fail" % call)
        self.read_faults += times if call == "read" else 0
        self.disk.fail_next(call, errno, short=short, times=times)

    def do_link(self, what: str) -> None:
        self.note("link: " + what)
        if what == "cut":
            self.transport.cut()
        elif what == "reset":
            self.transport.cut(dropped=True)
        elif what == "freeze":
            self.transport.freeze()
        else:
            self.transport.thaw()

    def do_broker(self, what: str) -> None:
        self.note("broker: " + what)
        if what == "restart":
            self.broker.restart(True)
        elif what == "forget":
            self.forget_session()
        elif what in ("away", "back"):
            self.broker.listening = what == "back"
        else:
            self.broker.connect_code = 0 if what == "accept" else 5

    def do_silent(self, kind: int) -> None:
        self.note("one 0x%02x will not come" % kind)
        self.unordered = True
        self.broker.stay_silent(kind, times=1)

    def do_refuse(self, topic: int, code: int, times: int) -> None:
        self.note("t/%d is refused: 0x%02x" % (topic, code))
        self.unordered = self.refusals = True
        self.refused_topics.add("t/%d" % topic)
        self.broker.refuse("t/%d" % topic, code, times=times)

    def do_poison(self, topic: int) -> None:
        """The broker falls over each message of this topic, until all is well again."""
        self.note("t/%d is poison" % topic)
        self.unordered = True
        self.broker.drop_at("t/%d" % topic)

    def do_damage(self, kind: str, seed: int) -> None:
        rng = Rng(seed)
        self.die()
        self.disk.power_up(rng, power_lost=False)
        self.note("damage: " + damage(self, kind, rng))
        self.start(rng)

    def do_starved(self, call: str, skip: int, errno: int) -> None:
        """A start that gets no descriptor, or no memory for one, says so or does without; the next one finds it all."""
        self.note("start, %s fails once: errno %d" % (call, errno))
        self.die()
        self.disk.power_up(Rng(1), power_lost=False)
        self.disk.fail_next(call, errno, skip=skip)
        try:
            self.start(Rng(skip), errno)
        except OSError:
            self.disk.heal()
            self.start(Rng(skip))
        self.disk.heal()

    def do_drain(self) -> None:
        self.drain()
        for _ in range(20):  # and nothing comes after the end
            self.step(5000)

    # --- the run ---

    def run(self) -> "Program":
        try:
            self.restart(False, Rng(1))
            for action in self.actions:
                self.act(action)
            self.note("all is well from now on")
            self.heal()
            self.act(("drain",))
            judge(self)
        except LawBroken as broken:
            raise LawBroken("%s\nafter:\n%s" % (broken, "\n".join(self.trace[-40:])))  # noqa: B904 - portable
        return self


def draw(seed: int, steps: int, faults: str) -> "tuple[dict[str, object], list[tuple]]":
    """(settings, actions) of a seed."""
    rng = Rng(seed)
    kinds = [kind for kind in faults.split(" ") if kind]
    settings = draw_settings(rng, kinds)
    troubles = [kind for kind in kinds if kind not in IN_SETTINGS]
    return settings, [draw_action(rng, troubles, "spill" in kinds) for _ in range(steps)]


def run(seed: int, steps: int = 120, faults: str = "crash disk link broker") -> Program:
    """Run one program; raises LawBroken, whose message replays it."""
    settings, actions = draw(seed, steps, faults)
    try:
        return Program(settings, actions).run()
    except LawBroken as broken:
        raise LawBroken("%s\nseed %d, steps %d, faults %r" % (broken, seed, steps, faults))  # noqa: B904 - portable
