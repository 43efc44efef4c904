"""What tools/_fold leaves out of the modules before they are compiled for a board."""

import sys
import types
import unittest.mock
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import _fold  # noqa: E402

LIMITS = '''
def const(value: int) -> int:
    return value
A = const(1 << 3)
_B = const(2)
C = const(A + 1)
D = (A, 5)
'''
USER = '''
from . import limits as numbers
from .limits import A, C, D, const
from .contracts import Store
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .room import Room
_E = const(7)
class Thing:
    def __init__(self, store: "Store", _hidden: int = A) -> None:
        self._store: Store = store
        self.value = _hidden
    def _sum(self) -> int:
        return self._store + A + numbers.C + _E + D[0]
'''
CONTRACTS = '''
class Store:
    """Methods that a port writes."""
    def read(self, name: str) -> int:
        """Said here."""
        raise NotImplementedError
    def unix_ms(self): return 0
class Empty:
    def below(self, bound):
        raise NotImplementedError
'''
CALLS = '''
def first(text, count=1, size=2, here=3):
    a = [text for text in count]
    return a + first(text, size=count) + {"here": here}
def second(outer):
    return lambda: outer
'''
PORT = "from persistmq_core.limits import C\nE = C\nclass Below:\n    def _one(self, count): return count\n"
PORT_CHILD = '''
from .port import Below
class Child(Below):
    def _two(self): return 2
    def run(self, count): self._one(count)
'''


def folded() -> "dict[tuple[str, str], str]":
    modules = {("persistmq_core", "limits"): LIMITS, ("persistmq_core", "user"): USER, ("persistmq_core", "room"): ""}
    modules["persistmq_core", "contracts"] = CONTRACTS
    modules["persistmq_core", "calls"] = CALLS
    modules |= {("persistmq", "port"): PORT, ("persistmq", "child"): PORT_CHILD}
    found: dict[tuple[str, str], str] = _fold.fold(modules)
    return found


def test_public_constants_and_annotations_are_gone() -> None:
    assert folded()["persistmq_core", "limits"] == "def const(a):\n    return a\n_a = const(2)\nD = (8, 5)"
    text = folded()["persistmq_core", "user"]
    assert text.startswith("from .limits import D\n_a = const(7)\n\nclass Thing:")
    assert "return self._c + 8 + 9 + _a + D[0]" in text
    assert "Store" not in text and "Room" not in text


def test_a_private_name_is_short_and_still_one_name() -> None:
    text = folded()["persistmq_core", "user"]
    assert "def __init__(self, a, _b=8):" in text and "self._c = a" in text
    assert "self.value = _b" in text
    child = folded()["persistmq", "child"]
    assert "class Below:\n\n    def _a(self, a):\n        return a" in folded()["persistmq", "port"]
    assert "def _b(self):" in child and "self._a(count)" in child


def test_a_parameter_is_one_letter_unless_a_call_may_name_it() -> None:
    text = folded()["persistmq_core", "calls"]
    assert "def first(b, c=1, size=2, here=3):\n    a = [b for b in c]" in text
    assert "return a + first(b, size=c) + {'here': here}" in text
    assert "def second(outer):\n    return lambda: outer" in text  # what is inside would have to be looked at
    assert "def run(self, count):" in folded()["persistmq", "child"]  # the application may write it


def test_methods_that_a_port_has_to_write_are_gone() -> None:
    text = folded()["persistmq_core", "contracts"]
    assert "read" not in text and "below" not in text
    assert "def unix_ms(self):\n        return 0" in text and "class Empty:\n    pass" in text


def test_what_every_client_loads_becomes_one_module_for_each_package() -> None:
    core = {
        "errors": "class Broken(Exception): pass\ndef _check(a): return a",
        "packets": "from .errors import Broken\n_TYPE = const(3)\ndef publish(out): return _check(out, _TYPE)\n"
        "def _check(out, kind):\n    raise Broken(kind)",
        "engine": "from . import packets\nfrom .errors import Broken as Fault, _check\nclass Engine:\n"
        "    def fill(self, publish):\n        return packets.publish(_check(publish))\n"
        "    def later(self):\n        from .seldom import rare\n        return rare(Fault)",
        "seldom": "from . import packets\nfrom .errors import Broken\nfrom .rarer import rarest\n"
        "def rare(fault): return packets.publish, Broken, rarest",
        "rarer": "from .engine import Engine\ndef rarest(): return Engine",
        "__init__": "",
    }
    port = {
        "client": "import persistmq_core.rarer\nfrom persistmq_core.engine import Engine\nfrom .clock import Clock\n"
        "class PersistClient: parts = Engine, Clock",
        "clock": "from persistmq_core import packets\nclass Clock:\n    tick = packets.publish",
        "__init__": "from .client import PersistClient",
    }
    modules = {("persistmq_core", name): text for name, text in core.items()}
    modules |= {("persistmq", name): text for name, text in port.items()}
    found = _fold.fold(modules)
    names = {"persistmq_core": {"__init__", "seldom", "rarer"}, "persistmq": {"__init__", "client"}}
    assert {package: {key[1] for key in found if key[0] == package} for package in names} == names

    loaded: dict[str, types.ModuleType] = {}
    for package in names:
        loaded[package] = types.ModuleType(package)
        loaded[package].__path__ = []
    with unittest.mock.patch.dict(sys.modules, loaded):

        def load(package: str, name: str) -> types.ModuleType:
            whole = package if name == "__init__" else package + "." + name
            module = sys.modules[whole] = loaded.get(whole) or types.ModuleType(whole)
            module.__dict__.update(__package__=package, const=lambda value: value)
            exec(found[package, name], module.__dict__)
            return module

        together = load("persistmq_core", "__init__")
        load("persistmq_core", "rarer")
        load("persistmq_core", "seldom")
        client = load("persistmq", "client").PersistClient
        engine, clock = client.parts
        with pytest.raises(together.Broken, match="3"):
            engine().fill([])
        assert engine().later()[:2] == (clock.tick, together.Broken)
        assert engine().later()[2]() is engine


def test_what_the_start_needs_and_what_is_loaded_after_it_become_modules_of_their_own() -> None:
    sources = {
        ("persistmq_core", "errors"): "class Broken(Exception): pass",
        ("persistmq_core", "store"): "from .errors import Broken\n_SHARED = 'shared'\ndef read(): return _SHARED",
        ("persistmq_core", "recovery"): "from .store import read\ndef recover(): return read",
        ("persistmq_core", "opening"): "from .recovery import recover\ndef open_cache(): return recover",
        ("persistmq_core", "backoff"): "from .errors import Broken\nclass Backoff: fault = Broken",
        ("persistmq_core", "engine"): "from .backoff import Backoff\nfrom .store import read\n"
        "class Engine: parts = Backoff, read",
        ("persistmq_core", "__init__"): "",
        ("persistmq", "start"): "from persistmq_core.opening import open_cache\ndef begin(): return open_cache",
        ("persistmq", "socket"): "class Socket: pass",
        ("persistmq", "transport"): "from .socket import Socket\nclass Transport: kind = Socket",
        ("persistmq", "client"): "import persistmq.start\n_START = ('persistmq.start', 'persistmq_core.opening', "
        "'persistmq_core.recovery')\nclass PersistClient:\n    def __init__(self):\n        from .start import begin\n"
        "        from .transport import Transport\n        from persistmq_core.engine import Engine\n",
        ("persistmq", "__init__"): "from .client import PersistClient",
    }
    found = _fold.fold(sources)
    modules = {"persistmq_core": ["__init__", "engine", "opening"]}
    modules["persistmq"] = ["__init__", "client", "start", "transport"]
    assert sorted(found) == sorted((package, name) for package, names in modules.items() for name in names)
    assert "def read" in found["persistmq_core", "__init__"]
    assert "def recover" in found["persistmq_core", "opening"]
    assert "class Backoff" in found["persistmq_core", "engine"]
    assert "class Socket" in found["persistmq", "transport"]


def test_two_public_names_that_would_meet_are_an_error() -> None:
    sources = {"client": "from .a import x\nfrom .b import y\nboth = x, y", "a": "x = z = 1", "b": "y = z = 2"}
    with pytest.raises(ValueError, match="both define z"):
        _fold.fold({("persistmq", name): text for name, text in sources.items()})
