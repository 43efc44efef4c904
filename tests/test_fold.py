"""What tools/_fold leaves out of the modules before they are compiled for a board."""

import re
import sys
import types
import unittest.mock
from pathlib import Path
from typing import Any

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
        self.amount = _hidden
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
def third(thing): return thing.amount
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
    (name,) = re.findall(r"^(_\w) = \(8, 5\)$", folded()["persistmq_core", "limits"])
    text = folded()["persistmq_core", "user"]
    assert text.startswith("from .limits import %s\n\nclass _" % name)
    assert re.search(r"return self._\w \+ 8 \+ 9 \+ 7 \+ %s\[0\]" % name, text)
    assert "Store" not in text and "Room" not in text


def test_a_module_of_which_nothing_is_left_disappears() -> None:
    modules = {("persistmq_core", "limits"): LIMITS.replace("D = (A, 5)", ""), ("persistmq_core", "__init__"): '"What"'}
    modules["persistmq_core", "user"] = "from . import limits\nfrom .limits import A\ndef add(): return A + limits.C"
    assert set(_fold.fold(modules)) == {("persistmq_core", "__init__"), ("persistmq_core", "user")}


def test_a_name_of_ours_is_short_and_the_same_in_all_modules() -> None:
    found = folded()
    port, child = found["persistmq", "port"], found["persistmq", "child"]
    (base,) = re.findall(r"class (_\w):", port)
    assert child.startswith("from .port import %s\n" % base)
    assert re.search(r"class _\w\(%s\):" % base, child)
    (one,) = re.findall(r"def (_\w)\(self, _\w\):", port)
    assert "self.%s(count)" % one in child
    _, value = re.findall(r"self\.(_\w) = ", found["persistmq_core", "user"])
    assert found["persistmq_core", "calls"].endswith("return _a.%s" % value)  # whatever object it is


def test_names_of_one_object_stay_different_and_those_of_two_may_be_the_same() -> None:
    own = set(re.findall(r"(?:def |self\.)(_\w)\(", folded()["persistmq", "child"]))
    assert len(own) == 2  # one of them is of the class that it inherits from
    text = "class Thing_%s:\n    def do_%s(self):\n        pass"
    modules = {("persistmq_core", letter): text % (letter, letter) for letter in "xyz"}
    assert len(set(_fold.fold(modules).values())) == 1


KEPT = '''
class Inner:
    def write(self, view): return self.number
    def ask(self): return self.account
    def ilistdir(self): return self.seq
    def named(self): return self.said, dict(called=1, **{'keyed': 2})
    def called(self): return self.keyed()
    def keyed(self): return self._kept
    @property
    def said(self): return 1
    @said.setter
    def said(self, other): self._kept = other
'''


def test_names_that_an_application_or_a_foreign_object_has_are_kept() -> None:
    info = "class Info:\n\n    def __init__(self, seq):\n        self.number = seq\n\n    def ask(self):\n        pass"
    errors = "class Wrong(Exception):\n    account = 0"
    modules = {("persistmq", "info"): info, ("persistmq_core", "errors"): errors}
    found = _fold.fold(modules | {("persistmq_core", "inner"): KEPT})
    assert (found["persistmq", "info"], found["persistmq_core", "errors"]) == (info, errors)
    inner = found["persistmq_core", "inner"]
    for name in ("write", "ask", "ilistdir", "called", "keyed"):
        assert "def %s(self" % name in inner
    for name in ("number", "account", "seq", "keyed()"):
        assert "return self.%s\n" % name in inner
    for name in ("Inner", "named", "said", "_kept"):
        assert name not in inner


def test_what_is_short_means_the_same() -> None:
    names: dict[str, Any] = {}
    exec(_fold.fold({("persistmq_core", "inner"): KEPT})["persistmq_core", "inner"], names)
    ((short, inner),) = [(name, value) for name, value in names.items() if isinstance(value, type)]
    (said,) = [name for name, value in vars(inner).items() if isinstance(value, property)]
    one = inner()
    setattr(one, said, "other")
    assert (getattr(one, said), one.keyed()) == (1, "other")
    assert {len(short), len(said)} == {2}


def test_a_variable_may_have_the_name_of_an_attribute_or_of_a_function() -> None:
    text = (
        "class Lane:\n    def __init__(self, spool): self.spool = spool\n"
        "def plan(lane, view):\n    spool = view\n    return spool, lane.spool\n"
        "def run(spool, lane=3):\n    plan = Lane(spool)\n    return plan.spool, other(plan, lane)\n"
        "other = plan\n"
    )
    names: dict[str, Any] = {}
    exec(_fold.fold({("persistmq_core", "lane"): text})["persistmq_core", "lane"], names)
    assert names["run"](1, 2) == (1, (2, 1))  # asyncio has this name: it is kept


def test_a_parameter_is_short_unless_a_call_may_name_it() -> None:
    text = folded()["persistmq_core", "calls"]
    (name,) = re.findall(r"def (_\w)\(_\w, _\w=1, size=2, here=3\):", text)
    assert re.search(r"\(_(\w), _(\w)=1, size=2, here=3\):\n    a = \[_\1 for _\1 in _\2\]", text)
    assert re.search(r"return a \+ %s\(_\w, size=_\w\) \+ {'here': here}" % name, text)
    assert "(outer):\n    return lambda: outer" in text  # what is inside would have to be looked at
    assert "def run(self, count):" in folded()["persistmq", "child"]  # the application may write it


def test_methods_that_a_port_has_to_write_are_gone() -> None:
    text = folded()["persistmq_core", "contracts"]
    assert "read" not in text and "below" not in text
    assert re.search(r"def _\w\(self\):\n        return 0", text) and re.search(r"class _\w:\n    pass", text)


def test_what_every_client_loads_becomes_one_module_for_each_package() -> None:
    core = {
        "errors": "class Broken(Exception): pass\ndef _check(a): return a",
        "packets": "from .errors import Broken\n_TYPE = const(3)\ndef publish(out): return _check(out, _TYPE)\n"
        "def _check(out, kind):\n    raise Broken(kind)",
        "engine": "from . import packets\nfrom .errors import Broken as Fault, _check\nclass Engine:\n"
        "    def write(self, publish):\n        return packets.publish(_check(publish))\n"
        "    def read(self):\n        from .seldom import rare\n        return rare(Fault)",
        "seldom": "from . import packets\nfrom .errors import Broken\nfrom .rarer import rarest\n"
        "def rare(fault): return packets.publish, Broken, rarest",
        "rarer": "from .engine import Engine\ndef rarest(): return Engine",
        "__init__": "",
    }
    port = {
        "client": "import persistmq_core.rarer\nfrom persistmq_core.engine import Engine\nfrom .clock import Clock\n"
        "class PersistClient: parts = Engine, Clock",
        "clock": "from persistmq_core import packets\nclass Clock:\n    step = packets.publish",
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
            engine().write([])
        assert engine().read()[:2] == (clock.step, together.Broken)
        assert engine().read()[2]() is engine


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
        "'persistmq_core.recovery', 'persistmq_core.seldom')\nclass PersistClient:\n    def __init__(self):\n"
        "        from .start import begin\n        from .transport import Transport\n"
        "        from persistmq_core.engine import Engine\n",
        ("persistmq", "__init__"): "from .client import PersistClient",
    }
    found = _fold.fold(sources)
    modules = {"persistmq_core": ["__init__", "engine", "opening"]}
    modules["persistmq"] = ["__init__", "client", "start", "transport"]
    assert sorted(found) == sorted((package, name) for package, names in modules.items() for name in names)
    assert "('persistmq.start', 'persistmq_core.opening', 'persistmq_core.seldom')" in found["persistmq", "client"]
    assert "def read" in found["persistmq_core", "__init__"]
    assert "return read" in found["persistmq_core", "opening"]
    assert len(re.findall("class ", found["persistmq_core", "engine"])) == 3
    assert "class " in found["persistmq", "transport"] and "socket" not in found["persistmq", "transport"]


def test_two_public_names_that_would_meet_are_an_error() -> None:
    sources = {"client": "from .a import x\nfrom .b import y\nboth = x, y", "a": "x = z = 1", "b": "y = z = 2"}
    with pytest.raises(ValueError, match="both define z"):
        _fold.fold({("persistmq", name): text for name, text in sources.items()})
