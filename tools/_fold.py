"""Makes the modules small before mpy-cross compiles them: what a board has no use for costs it heap and flash.

- A public ``NAME = const(...)`` disappears, and where it is imported its value stands. (mpy-cross does this within one
  file, for names with an underscore.)
- Annotations, what is imported for them alone, and ``if TYPE_CHECKING`` disappear; so do methods that only say that
  somebody else has to write them.
- The modules that every client loads become one for each package (``_join``).
- Parameters that nobody names in a call get one letter, where the function is no part of the application's interface.
- Names with one underscore become short. The same ones serve in each module: an object never has private names of two
  of them, unless a class inherits from one of another module. Then these two share theirs without meeting.
"""

import ast
from itertools import product

import _join

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHORT = ["_" + "".join(letters) for count in (1, 2) for letters in product(_LETTERS, repeat=count)]
_INTERNAL = ("incoming", "store", "transport")  # modules of the port that an application does not call


def fold(modules):
    """{(package, module): source} as short as they get, in the same form."""
    trees = {key: ast.parse(source) for key, source in modules.items()}
    known = {module: _constants(tree) for (_, module), tree in trees.items()}
    folded = {}
    for (package, module), tree in trees.items():
        folded[package, module] = _Folder(known, dict(known[module])).visit(tree)
        _drop_unused_imports(tree)
    kept = set().union(*[_named_in_calls(tree) for tree in folded.values()])
    names = _families(folded)
    together = _join.parts(folded)
    _join.rename(folded, together)
    for key, tree in folded.items():
        _Parameters(key[0] == "persistmq_core" or key[1] in _INTERNAL, kept).visit(tree)
        _Shortener(names[key]).visit(tree)
    return {key: ast.unparse(tree) for key, tree in _join.join(folded, together).items()}


def _families(trees):
    """{key: {private name: short one}}, still empty; one dict for modules whose classes inherit from each other."""
    found = {key: {} for key in trees}
    for key, tree in trees.items():
        bases = {ast.unparse(base) for node in tree.body if isinstance(node, ast.ClassDef) for base in node.bases}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.level and bases & {each.name for each in node.names}:
                mine, theirs = found[key], found[key[0], node.module]
                found = {each: theirs if names is mine else names for each, names in found.items()}
    return found


def _constants(tree):
    """{NAME: value} of the public constants that a module defines. They are computed from each other at most."""
    found = {}
    for node in tree.body:
        if _defined(node):
            found[_defined(node)] = eval(ast.unparse(node.value.args[0]), {"__builtins__": {}}, dict(found))
    return {name: value for name, value in found.items() if not name.startswith("_")}


def _defined(node):
    """NAME of ``NAME = const(...)``, "" of anything else."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id if ast.unparse(node.value.func) == "const" else ""
    return ""


def _drop_unused_imports(tree):
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {"const"}  # mpy-cross knows it
    if any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in tree.body):
        return  # what it imports it passes on
    for node in list(tree.body):
        if isinstance(node, ast.ImportFrom):
            node.names = [each for each in node.names if (each.asname or each.name) in used]
            if not node.names:
                tree.body.remove(node)


class _Folder(ast.NodeTransformer):
    def __init__(self, known, values):
        self._known = known
        self._values = values  # by the names that they have here
        self._modules = {}  # constants of modules, by the names that these have here

    def visit_ImportFrom(self, node):  # noqa: N802 - the names that ast asks for
        module = (node.module or "").rpartition(".")[2]
        if not node.level and not (node.module or "").startswith("persistmq_core."):
            return node
        if not module:
            self._modules.update({each.asname or each.name: self._known[each.name] for each in node.names})
            return node
        values = self._known[module]
        self._values.update({each.name: values[each.name] for each in node.names if each.name in values})
        node.names = [each for each in node.names if each.name not in values]
        return node if node.names else None

    def visit_Assign(self, node):  # noqa: N802
        if ast.unparse(node.targets[0]) == "TYPE_CHECKING" or _defined(node) in self._values:
            return None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):  # noqa: N802
        node = ast.Assign([node.target], node.value, lineno=node.lineno)
        return self.generic_visit(node)

    def visit_If(self, node):  # noqa: N802
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    def visit_FunctionDef(self, node):  # noqa: N802
        if ast.unparse(node.body[-1]) == "raise NotImplementedError":
            return None
        node.returns = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node):  # noqa: N802
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_Name(self, node):  # noqa: N802
        if node.id in self._values and isinstance(node.ctx, ast.Load):
            return ast.Constant(self._values[node.id])
        return node

    def visit_Attribute(self, node):  # noqa: N802
        if isinstance(node.value, ast.Name) and node.attr in self._modules.get(node.value.id, {}):
            return ast.Constant(self._modules[node.value.id][node.attr])
        return self.generic_visit(node)


def _named_in_calls(tree):
    """Names of arguments, and whatever may be one: a key in a dict that is passed on with **."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword):
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


class _Parameters(ast.NodeTransformer):
    """MicroPython keeps the names of parameters, not those of other local variables."""

    def __init__(self, is_ours, kept):
        self._is_ours = is_ours
        self._kept = kept

    def visit_FunctionDef(self, node):  # noqa: N802 - the names that ast asks for
        inner = list(ast.walk(node))[1:]
        is_ours = self._is_ours or (node.name.startswith("_") and not node.name.startswith("__"))
        if not is_ours or [each for each in inner if isinstance(each, (ast.FunctionDef, ast.Lambda))]:
            return self.generic_visit(node)
        arguments = [each for each in node.args.args if each.arg != "self"]
        taken = {each.id for each in inner if isinstance(each, ast.Name)} | {each.arg for each in arguments}
        free = (letter for letter in _LETTERS if letter not in taken)
        short = {each.arg: next(free) for each in arguments if each.arg not in self._kept and each.arg[0] != "_"}
        for each in inner:
            if isinstance(each, ast.Name):
                each.id = short.get(each.id, each.id)
            elif isinstance(each, ast.arg):
                each.arg = short.get(each.arg, each.arg)
        return node


class _Shortener(ast.NodeTransformer):
    def __init__(self, names):
        self._names = names  # {private name: short one}, which grows
        self._free = iter(_SHORT)

    def _short(self, name):
        if not name.startswith("_") or name.startswith("__") or name == "_":
            return name
        if name[1:].isdigit():  # of a module, see _join: it may be called like an attribute
            return _SHORT[int(name[1:])]
        while name not in self._names:
            short = next(self._free)
            if short not in self._names.values():
                self._names[name] = short
        return self._names[name]

    def visit_alias(self, node):
        if node.name[1:].isdigit():
            node.name = self._short(node.name)
        return node

    def visit_Name(self, node):  # noqa: N802
        node.id = self._short(node.id)
        return node

    def visit_Attribute(self, node):  # noqa: N802
        node.attr = self._short(node.attr)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):  # noqa: N802
        node.name = self._short(node.name)
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    visit_ClassDef = visit_FunctionDef  # noqa: N815

    def visit_arg(self, node):
        node.arg = self._short(node.arg)
        return node
