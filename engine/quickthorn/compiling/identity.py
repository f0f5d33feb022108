"""The identity of what is compiled: a digest of everything that the machine code depends on, or none at all.

A feature set's code is made from its plan, from users' functions and all that those can reach (closures, globals,
other functions), from Quickthorn's own sources, and by Numba and LLVM as they are installed and configured. Where one
of these is of a kind that is not understood here, there is no digest, and nothing is taken from a cache. What is not
seen is code that replaces Numba's own for a function of Python or numpy, by ``numba.extending.overload``.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import struct
import sys
import types
from dataclasses import fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from quickthorn.event import Field
from quickthorn.features.built_in import BuiltIn
from quickthorn.features.declare import Kernel
from quickthorn.features.groups import Group
from quickthorn.features.plan import Plan

_ROOT = Path(__file__).parents[1]
# The packages whose sources decide what a plan is lowered to.
_OWN_SOURCES = ("event", "features", "compiling")
# Modules whose members are what their name and the versions below say.
_KNOWN_MODULES = frozenset({"builtins", "math", "cmath", "operator", "numpy", "numba"})
_PACKAGES = ("quickthorn", "numba", "llvmlite", "numpy")


class _Unidentified(Exception):  # an answer, not an error: it never leaves this module
    """Something that compiled code depends on is of a kind that has no identity here."""


def plan_identity(plan: Plan, target: str) -> str | None:
    """A digest, in hex, of what ``lower(plan, target)`` depends on; None where some of it cannot be told."""
    walk = _Walk()
    try:
        walk.add(_toolchain(), target, plan)
    except (_Unidentified, RecursionError):
        return None
    return walk.hexdigest()


def _toolchain() -> tuple[Any, ...]:
    configured = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_")))
    settings = Path(".numba_config.yaml")
    return (
        tuple((name, metadata.version(name)) for name in _PACKAGES),
        (*sys.version_info[:3], platform.python_implementation(), platform.machine()),
        configured,
        settings.read_bytes() if settings.is_file() else None,
        _own_sources(),
    )


@functools.cache
def _own_sources() -> str:
    """A digest of the sources that generate code, so that a change to them is a change of every identity."""
    digest = hashlib.sha256()
    for package in _OWN_SOURCES:
        for path in sorted((_ROOT / package).glob("*.py")):
            text = path.read_bytes()
            digest.update(f"{package}/{path.name}\0{len(text)}\0".encode())
            digest.update(text)
    return digest.hexdigest()


class _Walk:
    """Feeds values into a digest, each with its type and length, so that no two different ones feed the same bytes."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        # What was met already is named by its number: functions may call each other. The object is held too, so that
        # no other can take its address meanwhile.
        self._met: dict[int, tuple[int, object]] = {}

    def hexdigest(self) -> str:
        """The digest of all that was added."""
        return self._digest.hexdigest()

    def add(self, *values: object) -> None:
        """Feeds each value; _Unidentified for one of a kind that is not known here."""
        for value in values:
            self._add(value)

    def _feed(self, kind: str, content: bytes = b"") -> None:
        self._digest.update(f"{kind}\0{len(content)}\0".encode())
        self._digest.update(content)

    def _add(self, value: Any) -> None:
        if value is None or value is Ellipsis or isinstance(value, (bool, int, str, bytes, float, complex)):
            self._add_plain(value)
        elif type(value) in (tuple, list):
            self._feed(f"{type(value).__qualname__} of {len(value)}")
            self.add(*value)
        elif type(value) in (set, frozenset):
            self._feed("set", b"".join(sorted(_digest_of(member) for member in value)))
        elif type(value) is dict:
            self._feed(f"mapping of {len(value)}")
            for key, held in value.items():
                self.add(key, held)
        elif (known := self._met.get(id(value))) is not None:
            self._feed("met", str(known[0]).encode())
        else:
            self._met[id(value)] = (len(self._met), value)
            self._add_object(value)

    def _add_plain(self, value: object) -> None:
        # Exactly these types: a subclass may behave otherwise. A float by its bits, as 0.0 is not −0.0.
        if type(value) is float:
            self._feed("float", struct.pack("<d", value))
        elif type(value) is complex:
            self._feed("complex", struct.pack("<dd", value.real, value.imag))
        elif type(value) is bytes:
            self._feed("bytes", value)
        elif type(value) is str:
            self._feed("str", value.encode("utf-8", "surrogatepass"))
        elif value is None or value is Ellipsis or type(value) in (bool, int):
            self._feed(type(value).__name__, repr(value).encode())
        else:
            raise _Unidentified(type(value))

    def _add_object(self, value: object) -> None:
        if isinstance(value, BuiltIn):
            # Its code is among our own sources; what that was made for is in its table, or else in its parameters.
            self.add("built in", value.name, value.takes, value.table() if value.table else value.parameters)
        elif isinstance(value, Kernel):
            self.add("kernel", value.name)
            self._add_function(value.function)
        elif isinstance(value, types.CodeType):
            self._add_code(value)
        elif isinstance(value, types.ModuleType):
            self._feed("module", value.__name__.encode())
        elif is_dataclass(value) and not isinstance(value, type) and type(value).__module__.startswith("quickthorn."):
            self._feed("dataclass", f"{type(value).__module__}.{type(value).__qualname__}".encode())
            self.add(*((each.name, getattr(value, each.name)) for each in fields(value)))
        else:
            self._add_foreign(value)

    def _add_foreign(self, value: Any) -> None:
        kind = type(value)
        package = kind.__module__.partition(".")[0]
        # A Python function that is not Numba's is code only by name: what is compiled for it is registered elsewhere.
        named = isinstance(value, (types.BuiltinFunctionType, types.FunctionType, type))
        if named and _is_known(value.__module__):
            self._feed("named", f"{value.__module__}.{value.__qualname__}".encode())
        elif package == "numpy" and kind.__name__ == "ufunc":
            self._feed("ufunc", value.__name__.encode())
        elif package == "numpy" and kind.__name__ == "ndarray" and value.dtype.kind in "biufc":
            self.add("array", value.dtype.str, value.shape, value.tobytes(), value.flags.f_contiguous)
        elif package == "numpy" and hasattr(value, "dtype") and value.dtype.kind in "biufc" and value.shape == ():
            self.add("scalar", value.dtype.str, value.tobytes())
        elif package == "numba" and isinstance(getattr(value, "py_func", None), types.FunctionType):
            self.add("compiled by Numba", kind.__qualname__, value.targetoptions)
            self._add_function(value.py_func)
        else:
            raise _Unidentified(kind)

    def _add_function(self, function: Any) -> None:
        self._feed("function")
        self.add(function.__code__, function.__defaults__, function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self._add(cell.cell_contents)
            except ValueError:
                self._feed("empty cell")
        names = _names_in(function.__code__)
        for name in names:
            if name in function.__globals__:
                self._feed("global", name.encode())
                self._add_global(function.__globals__[name], names)

    def _add_global(self, value: object, names: tuple[str, ...]) -> None:
        self._add(value)
        if not isinstance(value, types.ModuleType) or _is_known(value.__name__):
            return
        # Which of a module's members the function takes is not clear from the names alone, so all that it could be.
        for name in names:
            if name in vars(value):
                self._feed("member", name.encode())
                self._add_global(vars(value)[name], tuple(other for other in names if other != name))

    def _add_code(self, code: types.CodeType) -> None:
        # Not where it stands: a moved kernel is the same kernel.
        self._feed("code", code.co_code)
        self.add(code.co_name, code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        self.add(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_consts)
        self._feed("exceptions", code.co_exceptiontable)


def _digest_of(value: object) -> bytes:
    walk = _Walk()
    walk.add(value)
    return walk.hexdigest().encode()


def _is_known(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in _KNOWN_MODULES


def _names_in(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals and attributes in the code and in functions within it."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= dict.fromkeys(_names_in(constant))
    return tuple(names)


def group_identity(group: Group) -> str | None:
    """A digest, in hex, of what a group's memory means: two of one digest can go on from each other's state.

    It is of what is kept and of the users' code that decides what goes in, and not of what is read from it, nor of
    where in the event the fields lie. None where some of it cannot be told. That Quickthorn's own kernels keep the same
    is what the ABI version says.
    """
    walk = _KeptWalk()
    try:
        walk.add(group.by, group.columns, group.conditions, group.records, group.windows)
    except (_Unidentified, RecursionError):
        return None
    return walk.hexdigest()


class _KeptWalk(_Walk):
    """Sees of a field what its values mean, and not its place in the event."""

    def _add_object(self, value: object) -> None:
        if isinstance(value, Field):
            self.add("field", value.kind, value.name, value.scale, value.values)
        else:
            super()._add_object(value)


def content_identity(*parts: object) -> str:
    """A digest, in hex, of plain values: text, bytes, numbers, and tuples and mappings of them."""
    walk = _Walk()
    walk.add(*parts)
    return walk.hexdigest()
