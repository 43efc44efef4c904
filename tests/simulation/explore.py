"""Run all cuts of a scenario. What two cuts have in common is run once: see ``fork``."""

from . import fork
from .cuts import Cut, Scene, died_at_store, died_at_wire, store_cuts, wire_cuts
from .laws import LawBroken


def break_link(scene: Scene, ahead: "list[Cut]") -> None:
    """Break the link if the first cut of ``ahead`` is due here."""
    if ahead and ahead[0].index == scene.places:
        cut = ahead.pop(0)
        scene.transport.cut(cut.arriving, dropped=cut.kind == "r")


class _Breaker:
    """Breaks the link where it is told to, and looks on while the life runs to its end."""

    def __init__(self, links: "list[Cut]") -> None:
        self.ahead = list(links)

    def at_store(self, scene: Scene, call: str, name: str, argument: "object") -> None:
        pass

    def at_wire(self, scene: Scene) -> None:
        break_link(scene, self.ahead)


class Surveyor:
    """Walks through a life and collects the worlds that its cuts leave."""

    def __init__(self, links: "list[Cut]") -> None:
        self.ahead = list(links)  # cuts of the link that this life has to go through first
        self.points = 0
        self.links = []  # (name, how many cuts are no different)
        self.found = {}  # key -> [name, world, how many cuts lead there]

    def at_store(self, scene: Scene, call: str, name: str, argument: "object") -> None:
        if self.ahead:
            return  # all that is before it belongs to the life without it
        for cut_name, alike in store_cuts(scene, call):
            self._found(cut_name, died_at_store(scene, Cut(cut_name), call, name, argument), alike)

    def at_wire(self, scene: Scene) -> None:
        if self.ahead:
            break_link(scene, self.ahead)
            return
        for arriving, alike in wire_cuts(scene):
            name = "%d:%d" % (scene.places, arriving)
            self._found("p" + name, died_at_wire(scene, Cut("p" + name)), alike)
            for kind in "wr":
                self.points += alike
                self.links.append((kind + name, alike))

    def _found(self, name: str, world: Scene, alike: int) -> None:
        self.points += alike
        key = fork.key(world)
        if key in self.found:
            self.found[key][2] += alike
        else:
            self.found[key] = [name, world, alike]


class Explorer:
    """All cuts of one scenario, ``depth`` of them after one another. Raises LawBroken with the name of the cut."""

    def __init__(self, scenario: str, depth: int) -> None:
        self.scenario = scenario
        self.lives = 0  # that were run: so many different ways to go on
        self._known = {}  # (key, depth) -> points
        self.points = self._below(Scene(scenario), [], depth)  # cuts, each of which has a name

    def _below(self, world: Scene, path: "list[str]", depth: int) -> int:
        """How many cuts there are from this world on."""
        known = (fork.key(world), depth)
        if known not in self._known:
            self._known[known] = self._life(world, path, [], depth)
        return self._known[known]

    def _life(self, world: Scene, path: "list[str]", links: "list[Cut]", depth: int) -> int:
        self.lives += 1
        observer = Surveyor(links) if depth else _Breaker(links)
        scene = fork.dead_copy(world, 0) if depth else world
        try:
            scene.live(observer)
        except LawBroken as broken:
            raise LawBroken("%s\ncut %s:%s" % (broken, self.scenario, "+".join(path)))  # noqa: B904 - portable
        if not depth:
            return 0
        total = observer.points
        while observer.found:  # one by one, so that what was run is let go
            name, found, alike = observer.found.popitem()[1]
            total += alike * self._below(found, path + [name], depth - 1)
        for name, alike in observer.links:
            again = fork.dead_copy(world, 0)
            total += alike * self._life(again, path + [name], links + [Cut(name)], depth - 1)
        return total
