"""Kernels that come with Quickthorn: how they are declared, what they take, and how their code is found."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, TypeAlias

from quickthorn.errors import FeatureError
from quickthorn.event import Boolean, Category, Entity, EventTime, Field, Money, Number, Text
from quickthorn.features.declare import Application, Constant, Expression, Kernel, Reference
from quickthorn.features.kept import Kept

Takes: TypeAlias = Literal["number", "time", "ordinal", "text"]
_NUMERIC = (Money, Number, Boolean)


@dataclass(frozen=True)
class ConstantTable:
    """What a kernel's code was made from, as the manifest lists it: ``sha256`` is of its contents, in hex."""

    kind: str
    name: str
    entries: int
    sha256: str


@dataclass(frozen=True, eq=False)
class BuiltIn(Kernel):
    """A kernel of Quickthorn's own.

    ``takes``       what each argument is; a constant that only parametrises the kernel is a "number"
    ``parameters``  what the code was made for, such as a time zone; the slow reference reads them
    ``load``        where the code needs Numba to be written down: gives the function, called by the compiler alone
    ``table``       where the code holds a table of constants: what the manifest says of it

    Two declarations of the same kernel with the same parameters must share one BuiltIn, so that the value is computed
    once: modules keep them as constants or behind ``functools.cache``.
    """

    takes: tuple[Takes, ...] = ()
    parameters: tuple[Any, ...] = ()
    load: Callable[[], Callable[..., Any]] | None = None
    table: Callable[[], ConstantTable] | None = None

    def __call__(self, *arguments: object) -> Application:
        """The kernel applied; FeatureError names it where an argument is not what it takes."""
        return self.applied(self.name, *arguments)

    def applied(self, where: str, *arguments: object) -> Application:
        """The kernel applied on behalf of the declaration ``where``, which is what an error names."""
        taken = zip(arguments, self.takes, strict=True)
        return Application(self, tuple(_taken(where, argument, takes) for argument, takes in taken))


def built_in(
    function: Callable[..., Any], takes: tuple[Takes, ...], *, name: str = "", parameters: tuple[Any, ...] = ()
) -> BuiltIn:
    """A built-in kernel whose code is plain Python over ``math``."""
    return BuiltIn(function, name or function.__name__, len(takes), "quickthorn", takes, parameters)


def loaded_built_in(
    name: str,
    takes: tuple[Takes, ...],
    load: Callable[[], Callable[..., Any]],
    parameters: tuple[Any, ...] = (),
    table: Callable[[], ConstantTable] | None = None,
) -> BuiltIn:
    """A built-in kernel whose code is written with Numba, and therefore only found when a bundle is compiled."""
    return BuiltIn(load, name, len(takes), "quickthorn", takes, parameters, load, table)


def takes_text(kernel: Kernel, place: int) -> bool:
    """Whether the kernel takes a field's text as its argument of that place, and not a number."""
    return isinstance(kernel, BuiltIn) and kernel.takes[place] == "text"


def constant_tables(expressions: Iterable[object]) -> tuple[ConstantTable, ...]:
    """The tables of all kernels in these expressions, each once, by kind and name."""
    kernels = (application.kernel for application in _applications(expressions))
    tables = {kernel.table() for kernel in kernels if isinstance(kernel, BuiltIn) and kernel.table is not None}
    return tuple(sorted(tables, key=lambda table: (table.kind, table.name, table.sha256)))


def text_fields(expressions: Iterable[object]) -> frozenset[Field]:
    """The fields whose text a kernel in these expressions takes."""
    return frozenset(
        argument
        for application in _applications(expressions)
        for place, argument in enumerate(application.arguments)
        if isinstance(argument, Field) and takes_text(application.kernel, place)
    )


def _applications(expressions: Iterable[object]) -> Iterator[Application]:
    waiting = list(expressions)
    while waiting:
        part = waiting.pop()
        if isinstance(part, Application):
            yield part
        if isinstance(part, tuple):
            waiting.extend(part)
        elif is_dataclass(part) and not isinstance(part, (Field, Kernel, type)):
            # Whatever kind of expression it is, others are somewhere among its fields: arguments, a condition.
            waiting.extend(getattr(part, each.name) for each in fields(part))


def code_in(module: str, name: str, *made_for: object) -> Callable[[], Callable[..., Any]]:
    """How a kernel's code is loaded: the function of that name, or what it makes for these parameters.

    The module is named and not imported, because it imports Numba, which serving must never do.
    """

    def load() -> Callable[..., Any]:
        code: Callable[..., Any] = getattr(importlib.import_module(f"quickthorn.features.{module}"), name)
        return code(*made_for) if made_for else code

    return load


def code_of(kernel: Kernel) -> tuple[Callable[..., Any], bool]:
    """The function to compile, and whether its indexes are to be checked: a user's are, our own are proven by tests."""
    if not isinstance(kernel, BuiltIn):
        return kernel.function, True
    return (kernel.load() if kernel.load is not None else kernel.function), False


def check_number(where: str, value: object, least: float, most: float) -> float:
    """A parameter as float64; FeatureError where it is no number from ``least`` to ``most``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
        return float(value)
    raise FeatureError(f"{where}: expected a number from {least:g} to {most:g}, found {value!r}")


def check_whole(where: str, value: object, least: int, most: int) -> int:
    """A whole parameter; FeatureError where it is no int from ``least`` to ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise FeatureError(f"{where}: expected a whole number from {least} to {most}, found {value!r}")
    return value


def _taken(name: str, argument: object, takes: Takes) -> Expression:
    if takes == "text":
        if isinstance(argument, (Text, Category, Entity)):
            return argument
        raise FeatureError(f"{name}: expected a Text, Category or Entity field, found {argument!r}")
    if isinstance(argument, (Kept, Reference, Application)):
        return argument
    if isinstance(argument, (int, float)) and not isinstance(argument, bool):
        return Constant(float(argument))
    if takes == "time":
        if isinstance(argument, (EventTime, Number)):
            return argument
        raise FeatureError(
            f"{name}: expected an EventTime field, or a Number field or feature in microseconds, found {argument!r}"
        )
    if takes == "ordinal":
        if isinstance(argument, Category) and argument.values:
            return argument
        raise FeatureError(f"{name}: expected a category with declared values or a feature, found {argument!r}")
    if isinstance(argument, Field) and isinstance(argument, _NUMERIC):
        return argument
    raise FeatureError(
        f"{name}: expected a Money, Number or Boolean field, a feature, an aggregate or a number, found {argument!r}"
    )
