"""Makes one module of those that every client loads: each .mpy has tables of its own, which cost a board heap.

What is imported with the client becomes ``persistmq_core`` and ``persistmq.client``; what the client lets go of after
the start, ``persistmq_core.opening`` and ``persistmq.start``; what it loads when it is made, ``persistmq_core.engine``
and ``persistmq.transport``. What else is imported inside a function, and what only that needs, stays as it is.
"""

import ast
import builtins

_ENTRY = ("persistmq", "client")
_START = ("persistmq", "start")
_WITH_THE_CLIENT = {"persistmq_core": ("persistmq_core", "__init__"), "persistmq": _ENTRY}
_FOR_THE_START = {"persistmq_core": ("persistmq_core", "opening"), "persistmq": _START}
_WHEN_IT_IS_MADE = {"persistmq_core": ("persistmq_core", "engine"), "persistmq": ("persistmq", "transport")}


def parts(trees):
    """{(package, module): the module that it becomes a part of}, each behind those that it needs."""
    targets = {}
    if _ENTRY not in trees:
        return targets

    def closure(nodes, key, found):
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                for needed in _imported(node, key, trees):
                    if needed not in found:
                        closure(trees[needed].body, needed, found)
                        found.append(needed)
        return found

    let_go = [_key(name) for name in _let_go_of(trees[_ENTRY]).elts]
    first = closure(trees[_ENTRY].body, _ENTRY, [])
    if _START in trees:
        closure(trees[_START].body, _START, first)
    for key in first:
        targets[key] = (_FOR_THE_START if key in let_go else _WITH_THE_CLIENT)[key[0]]
    targets[_ENTRY] = _ENTRY
    if _START in trees:
        targets[_START] = _START
    made = [each for node in ast.walk(trees[_ENTRY]) if getattr(node, "name", "") == "__init__" for each in node.body]
    for key in closure(made, _ENTRY, []):
        targets.setdefault(key, _WHEN_IT_IS_MADE[key[0]])
    return targets


def _let_go_of(tree):
    """The tuple of the names."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_START":
            return node.value
    return ast.Tuple([], ast.Load())


def _key(name):
    return name.value.partition(".")[::2]


def rename(trees, targets):
    """Give the modules of ``targets`` names that do not meet, and let all import them from where they will be."""
    if targets:  # what becomes a part of another module goes with that
        let_go = _let_go_of(trees[_ENTRY])
        let_go.elts = [name for name in let_go.elts if targets.get(_key(name), _key(name)) == _key(name)]
    names = {}  # (key, name) of what is private, or said with its module's name before it: what it is called then
    owners = {}
    for key in targets:
        for name in _defined(trees[key]):
            if name.startswith("_"):
                names[key, name] = "_%d" % len(names)
            elif owners.setdefault((targets[key], name), key) != key:
                raise ValueError("%s and %s of a board both define %s" % (owners[targets[key], name], key, name))
    for key, tree in trees.items():
        for said in _said(key, tree, trees, targets).values():
            names.setdefault(said, "_%d" % len(names))
    for key, tree in trees.items():
        _Renamer(key, tree, trees, targets, names).run()


def join(trees, targets):
    """The same trees, and one for all those that become one module."""
    joined = {key: tree for key, tree in trees.items() if key not in targets}
    for key, target in targets.items():
        tree = joined.setdefault(target, ast.Module([], []))
        there = {ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))}
        tree.body += [node for node in trees[key].body if ast.unparse(node) not in there]
    for tree in joined.values():
        _one_line_for_each_module(tree)
    for key in set(targets.values()) - set(_FOR_THE_START.values()):
        _define_builtins(joined[key])
    return joined


def _one_line_for_each_module(tree):
    lines = {}
    for node in [node for node in tree.body if isinstance(node, ast.ImportFrom)]:
        first = lines.setdefault((node.module, node.level), node)
        if first is not node:
            there = {each.name for each in first.names}
            first.names += [each for each in node.names if each.name not in there]
            tree.body.remove(node)


def _define_builtins(tree):
    """``len = len`` and so on: else each use looks through all names of a large module first, a fifth of the time."""
    said = {
        node.id for function in ast.walk(tree) if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function) if isinstance(node, ast.Name)
    }
    known = {name for name in said if hasattr(builtins, name) and name not in _defined(tree)}
    for name in sorted(known):
        # The compiler must see ``super``; exceptions are only looked for where something failed.
        if name != "super" and not _is_exception(getattr(builtins, name)):
            tree.body.insert(0, ast.parse(f"{name} = {name}").body[0])


def _is_exception(kind):
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _imported(node, key, trees):
    """Keys of the modules that this line of module ``key`` imports, or imports from."""
    package, _, module = (node.module or "").partition(".")
    if node.level:
        package, module = key[0], node.module or ""
    names = [module] if module else [each.name for each in node.names]
    return [(package, name) for name in names if (package, name) in trees]


def _defined(tree):
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from [target.id for target in node.targets if isinstance(target, ast.Name)]


def _said(key, tree, trees, targets):
    """{"module.name": (key of the module, name)} of what is said like that in ``tree``."""
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_package(node):
            there = {module: (package, module) for package, module in _imported(node, key, trees)}
            modules.update({each.asname or each.name: there.get(each.name) for each in node.names})
    return {
        ast.unparse(node): (modules[node.value.id], node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in modules
        and modules[node.value.id] in targets
    }


def _is_package(node):
    """Whole modules are imported, not names from one."""
    return not node.module or (not node.level and "." not in node.module)


class _Renamer(ast.NodeTransformer):
    def __init__(self, key, tree, trees, targets, names):
        self._key = key
        self._tree = tree
        self._trees = trees
        self._targets = targets
        self._all = names
        self._names = {name: called for (owner, name), called in names.items() if owner == key}
        self._said = _said(key, tree, trees, targets)

    def run(self):
        self.visit(self._tree)
        for owner in sorted({owner for owner, _ in self._said.values() if not self._is_with(owner)}):
            names = sorted({self._all[said] for said in self._said.values() if said[0] == owner})
            self._tree.body.insert(0, self._line(owner, [ast.alias(name) for name in names]))

    def _is_with(self, key):
        """Both become one module."""
        return self._targets.get(self._key) == self._targets[key]

    def _line(self, key, aliases):
        """Imports from where the module ``key`` will be."""
        package, module = self._targets[key]
        module = "" if module == "__init__" else module
        if package == self._key[0]:
            return ast.ImportFrom(module or None, aliases, 1)
        return ast.ImportFrom(package + ("." + module if module else ""), aliases, 0)

    def visit_ImportFrom(self, node):  # noqa: N802 - the names that ast asks for
        keys = [key for key in _imported(node, self._key, self._trees) if key in self._targets]
        if not keys:
            return node
        if _is_package(node):
            node.names = [each for each in node.names if each.name not in [key[1] for key in keys]]
            return node if node.names else None
        for each in node.names:
            name = self._all.get((keys[0], each.name), each.name)
            self._names[each.asname or each.name] = name
            each.name, each.asname = name, None
        return None if self._is_with(keys[0]) else self._line(keys[0], node.names)

    def visit_Attribute(self, node):  # noqa: N802
        if ast.unparse(node) in self._said:
            return ast.Name(self._all[self._said[ast.unparse(node)]], node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node):  # noqa: N802
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_FunctionDef(self, node):  # noqa: N802
        node.name = self._names.get(node.name, node.name)
        return self.generic_visit(node)

    visit_ClassDef = visit_FunctionDef  # noqa: N815
