"""Gives the names that only our own modules say short ones, the same in all modules: a board keeps every name in RAM.

A name is shortened if one of our modules defines it: a function, a class, a method, an attribute that is set on
``self`` or in a class. Everywhere it is the same short one, whatever object it is said of. It is kept if it may mean
something else as well (``kept``): a name of the application's interface, of a foreign object, in a string, of an
argument in a call.

Two names have the same short one unless one object may have both: so a board has a hundred short names in all.
Objects are the modules, and the classes with those that they inherit from and that inherit from them.

It would break with a name that is put together at run time, with an attribute that is only ever set from outside of its
class, with a class that looks for an attribute to tell one object from another (``hasattr``, ``AttributeError``) unless
that is a foreign name, and with a foreign object whose names are missing below.
"""

import ast
import asyncio
import binascii
import builtins
import gc
import io
import os
import random
import select
import socket
import ssl
import string
import struct
import sys
import time
from itertools import product

_LETTERS = string.ascii_letters + string.digits
SHORT = ["_" + "".join(letters) for count in (1, 2) for letters in product(_LETTERS, repeat=count)]
# Modules whose names an application may say.
_APPLICATION = {("persistmq", name) for name in ("__init__", "client", "info", "many", "outcomes", "tls", "wlan")}
_APPLICATION |= {("persistmq_core", "errors"), ("persistmq_core", "parked")}
# What Connection says of itself, umqtt.simple does as well.
_APPLICATION.add(("persistmq", "connection"))
# Modules of the port that an application does not call: their parameters are nobody's business.
_INTERNAL = ("clock", "directory", "incoming", "store", "transport")
# What persistmq_core.parked takes and gives.
_PARKED = "FileStore accepted_ms expires_s is_apart topic payload qos retain seq"
_MODULES = (asyncio, binascii, builtins, gc, io, os, random, select, socket, ssl, string, struct, sys, time)
_TYPES = (bool, bytearray, bytes, dict, float, int, list, memoryview, set, str, tuple, range, type, property, OSError)
_CLASSES = (io.BytesIO, io.FileIO, io.TextIOWrapper, socket.socket, ssl.SSLContext, ssl.SSLSocket, type(_ for _ in ()))
# What CPython's have not, or not on each system: of modules, of poll, of network.WLAN, of umqtt.simple's client.
_MICROPYTHON = """
    const ilistdir mem_alloc mem_free sleep_ms sleep_us statvfs threshold ticks_add ticks_diff ticks_ms ticks_us
    ipoll modify poll register unregister
    active config connect disconnect ifconfig ipconfig isconnected scan status
    cb check_msg client_id keepalive lw_msg lw_qos lw_retain lw_topic pid ping port pswd publish server set_callback
    set_last_will sock ssl ssl_params subscribe user wait_msg
"""


def is_internal(key):
    """Nobody but us calls the functions of this module: their parameters may have any name."""
    return key[0] == "persistmq_core" or key[1] in _INTERNAL


def kept(trees):
    """The names that have to stay what they are. ``trees``: {(package, module): tree}, before they are joined."""
    found = set((_MICROPYTHON + _PARKED).split())
    found.update(name for each in (*_MODULES, *_TYPES, *_CLASSES) for name in dir(each) if not is_private(name))
    for key, tree in trees.items():
        found.update(named_in_calls(tree))
        if key in _APPLICATION:
            found.update(name for name in _defined(tree) if not is_private(name))
        if not is_internal(key):
            found.update(node.arg for node in ast.walk(tree) if isinstance(node, ast.arg))
    return found


def named_in_calls(tree):
    """Names of arguments, and whatever may be one: a key in a dict that is passed on with **."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword):
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def shorten(trees, kept_names):
    """Rename, in ``trees`` themselves."""
    names = set().union(*map(_defined, trees.values())) - kept_names
    imported = set().union(*map(_bound, trees.values()))
    names -= imported & {module for _, module in trees}  # the name of a file
    near = {name: set() for name in names}
    for group in [*map(_bound, trees.values()), *_classes(trees)]:
        for name in group & names:
            near[name] |= group & names
    said = [{getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(tree)} for tree in trees.values()]
    modules = {name: sum(name in each for each in said) for name in names}
    short = {}
    for name in sorted(names, key=lambda name: (-modules[name], -len(near[name]), name)):  # often said ones first
        taken = {short.get(other) for other in near[name]}
        short[name] = next(each for each in SHORT if each not in taken)
    for tree in trees.values():
        _Renamer(short, _bound(tree)).visit(tree)


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _defined(tree):
    """All that this module adds to itself and to its classes."""
    found = set(_in_body(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found.update(_in_body(node))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            found.add(node.attr)
    return {name for name in found if not name.startswith("__") and name != "_"}


def _in_body(node):
    """Names that the body of a module or a class gives."""
    for each in node.body:
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield each.name
        elif isinstance(each, ast.Assign):
            yield from [name.id for target in each.targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def _bound(tree):
    """Names of a module: those that it gives, and those that it imports from ours, if only in a function."""
    found = set(_in_body(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_ours(node):
            found.update(each.asname or each.name for each in node.names)
    return found


def _is_ours(node):
    return node.level or node.module.partition(".")[0] in ("persistmq", "persistmq_core")


def _classes(trees):
    """For each class all names that an object of it, or of its kin, may have, and those that its body says."""
    kin = {}
    for node in [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]:
        related = [node.name, *map(ast.unparse, node.bases)]
        before = [kin[name] for name in related if name in kin]
        together = set(_in_body(node)).union(*before)
        for each in ast.walk(node):
            if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "self":
                together.add(each.attr)
            elif isinstance(each, ast.Name):
                together.add(each.id)
        kin = {name: together if any(names is each for each in before) else names for name, names in kin.items()}
        kin.update(dict.fromkeys(related, together))
    return kin.values()


class _Renamer(ast.NodeTransformer):
    def __init__(self, short, bound):
        self._short = short
        self._bound = bound
        self._here = bound  # names that are not those of variables in a function

    def _named(self, name):
        return self._short.get(name, name) if name in self._here else name

    def visit_ImportFrom(self, node):  # noqa: N802 - the names that ast asks for
        for each in node.names if _is_ours(node) else ():
            each.name = self._short.get(each.name, each.name)
            each.asname = each.asname and self._named(each.asname)
        return node

    def visit_Attribute(self, node):  # noqa: N802
        node.attr = self._short.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_Name(self, node):  # noqa: N802
        node.id = self._named(node.id)
        return node

    def visit_arg(self, node):
        node.arg = self._named(node.arg)
        return node

    def visit_ExceptHandler(self, node):  # noqa: N802
        node.name = node.name and self._named(node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node):  # noqa: N802
        node.name = self._named(node.name)
        node.bases = [self.visit(each) for each in node.bases]
        outer, self._here = self._here, self._bound | set(_in_body(node))
        node.body = [self.visit(each) for each in node.body]
        self._here = outer
        return node

    def visit_FunctionDef(self, node):  # noqa: N802
        node.name = self._named(node.name)
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        node.args.defaults = [self.visit(each) for each in node.args.defaults]
        node.args.kw_defaults = [each and self.visit(each) for each in node.args.kw_defaults]
        outer, self._here = self._here, self._bound
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        for each in arguments:
            if each is not None:
                self.visit(each)
        node.body = [self.visit(each) for each in node.body]
        self._here = outer
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815
