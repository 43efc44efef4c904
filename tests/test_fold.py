"""What tools/_fold leaves out of the modules before they are compiled for a board."""

import sys
from pathlib import Path

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
