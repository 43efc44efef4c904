"""Makes the modules small before mpy-cross compiles them: what a board has no use for costs it heap and flash.

- ``NAME = const(...)`` disappears, and where it is said or imported its value stands.
- Annotations, what is imported for them alone, ``if TYPE_CHECKING`` and what is only said to the reader disappear; so
  do methods that only say that somebody else has to write them.
- The modules that every client loads become one for each package (``_join``).
- Names that only our own modules say become short (``_shorten``).
- So do parameters that nobody names in a call, where the function is no part of the application's interface.
- A module of which nothing is left disappears.
"""

import ast

import _join
import _shorten


def fold(modules):
    """{(package, module): source} as short as they get, in the same form."""
    trees = {key: ast.parse(source) for key, source in modules.items()}
    known = {module: _constants(tree) for (_, module), tree in trees.items()}
    folded = {}
    for (package, module), tree in trees.items():
        folded[package, module] = _Folder(known, dict(known[module])).visit(tree)
        _drop_unused_imports(tree)
    kept = _shorten.kept(folded)
    in_calls = set().union(*map(_shorten.named_in_calls, folded.values()))
    ours = {
        node for key, tree in folded.items() for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (_shorten.is_internal(key) or _shorten.is_private(node.name))
    }
    together = _join.parts(folded)
    _join.rename(folded, together)
    joined = _join.join(folded, together)
    _shorten.shorten(joined, kept)
    for tree in joined.values():
        _Parameters(ours, in_calls).visit(tree)
    return {key: ast.unparse(tree) for key, tree in joined.items() if tree.body or key[1] == "__init__"}


def _constants(tree):
    """{NAME: value} of the constants that a module defines. They are computed from each other at most."""
    found = {}
    for node in tree.body:
        if _defined(node):
            found[_defined(node)] = eval(ast.unparse(node.value.args[0]), {"__builtins__": {}}, dict(found))
    return found


def _defined(node):
    """NAME of ``NAME = const(...)``, "" of anything else."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id if ast.unparse(node.value.func) == "const" else ""
    return ""


def _drop_unused_imports(tree):
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
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

    def visit_Try(self, node):  # noqa: N802
        return None if ast.unparse(node.body[0]) == "from micropython import const" else self.generic_visit(node)

    def visit_Expr(self, node):  # noqa: N802
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_FunctionDef(self, node):  # noqa: N802
        if node.name == "const" or ast.unparse(node.body[-1]) == "raise NotImplementedError":
            return None
        node.returns = None
        return self._with_body(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node):  # noqa: N802
        return self._with_body(node)

    def _with_body(self, node):
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


class _Parameters(ast.NodeTransformer):
    """MicroPython keeps the names of parameters, not those of other local variables."""

    def __init__(self, ours, kept):
        self._ours = ours  # functions that no application calls
        self._kept = kept

    def visit_FunctionDef(self, node):  # noqa: N802 - the names that ast asks for
        inner = list(ast.walk(node))[1:]
        if node not in self._ours or [each for each in inner if isinstance(each, (ast.FunctionDef, ast.Lambda))]:
            return self.generic_visit(node)
        arguments = [each for each in node.args.args if each.arg != "self"]
        taken = {each.id for each in inner if isinstance(each, ast.Name)} | {each.arg for each in arguments}
        free = (short for short in _shorten.SHORT if short not in taken)
        short = {each.arg: next(free) for each in arguments if each.arg not in self._kept}
        for each in inner:
            if isinstance(each, ast.Name):
                each.id = short.get(each.id, each.id)
            elif isinstance(each, ast.arg):
                each.arg = short.get(each.arg, each.arg)
        return node
