"""Every crash point of the scenarios. A cut has a name, such as ``qos2:s17:torn:garbage+w3:12``, that runs it alone.

    s17:torn:garbage:4  power fails in the store's 17th call of this life; how far the call came; what becomes of the
                        bytes that waited for a sync; bytes on the way that still reach the broker
    p3:12               the process dies at the third place on the wire, and 12 bytes on the way still arrive
    w3:12               the link breaks there, in silence
    r3:12               the link breaks there, and the other side is seen to hang up

``+`` stands between a life and the next one (or the rest of this one, after w and r). A fate that draws a length has
variants: ``garbage.2``.
"""

from tests.support.power_loss import FATES
from tests.support.rng import Rng
from tests.support.write_list_store import PowerCut

from . import fork
from .damage import spoil, wreck
from .judge import judge
from .laws import LawBroken
from .program import Program
from .scenarios import SCENARIOS

_HOW_FAR = ("before", "after", "torn")
_WRITES = ("append", "replace", "sync", "remove", "move")
VARIANTS = 4  # of the fates that draw a length, where something is there to be torn


class Killed(BaseException):
    """The process is dead, the system lives."""


class Scene(Program):
    """A scenario being run, life after life. ``observer`` is shown each place to cut."""

    def __init__(self, scenario: str) -> None:
        settings, actions = SCENARIOS[scenario]
        super().__init__(settings, actions)
        self.scenario = scenario
        self.at = 0  # the next action
        self.observer = None
        self.calls = 0  # of the store, in this life
        self.places = 0  # on the wire, in this life

    def blank(self) -> "Scene":
        return Scene(self.scenario)

    def live(self, observer: "object") -> None:
        """One life: go on where the story was cut, to its end. Raises LawBroken, or what the observer raises."""
        self.observer = observer
        self.now_ms = self.calls = self.places = 0
        self.disk.watch = self.at_store
        self.start(Rng(1))
        while self.at < len(self.actions):
            action = self.actions[self.at]
            getattr(self, "do_" + action[0])(*action[1:])
            self.check()
            self.at += 1
        self.disk.capacity_bytes = 1 << 30
        self.heal()
        self.drain()
        for _ in range(3):  # and nothing comes after the end
            self.step(5000)
        self.disk.watch = None
        judge(self)

    def at_store(self, call: str, name: str, argument: "object") -> None:
        self.calls += 1
        self.observer.at_store(self, call, name, argument)

    def at_wire(self) -> None:
        self.places += 1
        self.observer.at_wire(self)

    # --- actions that only scenarios have ---

    def do_room(self, room: int) -> None:
        """So many bytes are free from now on."""
        files = self.disk.snapshot()
        self.disk.capacity_bytes = room + sum([len(files[name]) for name in files])

    def do_close(self) -> None:
        """The client is stopped in good order, and started again."""
        self.engine.close()
        self.die()
        self.start(Rng(2))

    def do_spoil(self, number: int) -> None:
        """A byte of a stored message changes while no process runs."""
        self.die()
        self.disk.power_up(Rng(1), power_lost=False)
        spoil(self, number)
        self.start(Rng(2))

    def do_wreck(self) -> None:
        """The header of the last segment and the frame behind it change while no process runs."""
        self.die()
        self.disk.power_up(Rng(1), power_lost=False)
        wreck(self)
        self.start(Rng(2))


class Cut:
    """One name between two ``+``."""

    def __init__(self, name: str) -> None:
        self.name = name
        parts = name.split(":")
        self.kind = parts[0][0]
        self.index = int(parts[0][1:])
        self.fate, self.variant = None, 1
        if self.kind == "s":
            self.how_far = parts[1]
            self.fate, _, variant = parts[2].partition(".")
            self.variant = int(variant or 0)
        self.arriving = int(parts[-1])


def died_at_store(scene: Scene, cut: Cut, call: str, name: str, argument: "object") -> Scene:
    """The world after power failed inside a call of the store."""
    other = fork.dead_copy(scene, cut.arriving)
    other.disk.interrupt(call, name, argument, cut.how_far)
    other.disk.power_up(Rng(cut.variant), cut.fate)
    return other


def died_at_wire(scene: Scene, cut: Cut) -> Scene:
    """The world after the process was killed between two calls."""
    other = fork.dead_copy(scene, cut.arriving)
    other.disk.power_up(Rng(1), power_lost=False)
    return other


def store_cuts(scene: Scene, call: str) -> "list[tuple[str, int]]":
    """All cuts in this call of the store: (name, how many names there are for no other world)."""
    found = []
    arriving = [0]
    if scene.transport is not None and scene.transport.on_the_way():
        arriving += scene.transport.boundaries()
    quiet = scene.disk.is_quiet()
    for count in arriving:
        if quiet and call not in _WRITES:
            # Nothing is there to be lost.
            found.append(("s%d:before:keep:%d" % (scene.calls, count), len(_HOW_FAR) * len(FATES)))
            continue
        for how_far in _HOW_FAR:
            if quiet and how_far == "before":
                found.append(("s%d:before:keep:%d" % (scene.calls, count), len(FATES)))
                continue
            for fate in FATES:
                draws = how_far == "torn" or fate not in ("keep", "lose", "nuls")
                for variant in range(VARIANTS if draws else 1):
                    shown = "%s.%d" % (fate, variant) if variant else fate
                    found.append(("s%d:%s:%s:%d" % (scene.calls, how_far, shown, count), 1))
    return found


def wire_cuts(scene: Scene) -> "list[tuple[int, int]]":
    """(bytes that still arrive, how many counts there are that bring no more whole packets)."""
    on_the_way = scene.transport.on_the_way()
    ends = ([0] + scene.transport.boundaries()) if on_the_way else [0]
    found = []
    for index, end in enumerate(ends):
        found.append((end, (ends[index + 1] if index + 1 < len(ends) else on_the_way + 1) - end))
    return found


class _Follower:
    """Cuts a life where it is told to, and without a second world: the power really fails, the process really ends."""

    def __init__(self, cuts: "list[Cut]") -> None:
        self.cuts = cuts

    def at_store(self, scene: Scene, call: str, name: str, argument: "object") -> None:
        if self.cuts and self.cuts[0].kind == "s" and self.cuts[0].index == scene.calls:
            scene.disk.crash_at = scene.disk.steps + 1
            scene.disk.crash_fate = self.cuts[0].how_far

    def at_wire(self, scene: Scene) -> None:
        if not self.cuts or self.cuts[0].kind == "s" or self.cuts[0].index != scene.places:
            return
        if self.cuts[0].kind == "p":
            raise Killed
        cut = self.cuts.pop(0)
        scene.note("the link breaks (%s)" % cut.name)
        scene.transport.cut(cut.arriving, dropped=cut.kind == "r")


def run_cut(identifier: str) -> Scene:
    """Run one cut, or several after one another, by name. Raises LawBroken; the scene at the end has the trace."""
    scenario, _, names = identifier.partition(":")
    if scenario not in SCENARIOS:
        raise ValueError("no scenario %r: there are %s" % (scenario, ", ".join(sorted(SCENARIOS))))
    scene = Scene(scenario)
    follower = _Follower([Cut(name) for name in names.split("+")] if names else [])
    while True:
        try:
            scene.live(follower)
        except (PowerCut, Killed):
            cut = follower.cuts.pop(0)
            scene.note("the end of this life (%s)" % cut.name)
            scene.die(cut.arriving)
            scene.disk.power_up(Rng(cut.variant), cut.fate, power_lost=cut.kind == "s")
            continue
        except LawBroken as broken:
            raise LawBroken("%s\nafter:\n%s\ncut %s" % (broken, "\n".join(scene.trace), identifier))  # noqa: B904
        if follower.cuts:
            raise ValueError("%s: there is no such place" % follower.cuts[0].name)
        return scene
