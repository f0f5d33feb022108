"""Users' own records: a few numbers per entity with a function that updates them and one that reads them.

@qt.stateful
class Burst:
    events: int = 0
    last_us: int = 0

    def update(record, at):
        record.events = record.events + 1 if at - record.last_us < 60_000_000 else 1
        record.last_us = at

    def read(record, at):
        return record.events if at - record.last_us < 60_000_000 else 0

features["burst"] = Burst(Payment.at, by=Payment.card)
"""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.event import Boolean, Category, EventTime, Field, Money, Number
from quickthorn.features.declare import By, Kernel, Where, condition_of, entities_of, kernel
from quickthorn.features.groups import At
from quickthorn.features.kept import Column, FieldColumn, Lifetime, Record, UserKernel
from quickthorn.features.velocity import units_of

VARIABLES_MOST = 64


@dataclass(frozen=True, eq=False)
class Stateful:
    """A declared record: its ``variables`` by name, int or float, with what they start from, and its two functions."""

    name: str
    variables: tuple[tuple[str, int | float], ...]
    update: Kernel
    read: Kernel

    def __call__(self, *arguments: Field, by: By, where: Where = None) -> StatefulValue:
        """The record's value per entity; the arguments are fields of the event, as both functions take them."""
        if len(arguments) != self.update.arity - 1:
            raise FeatureError(f"stateful {self.name}: expected {self.update.arity - 1} fields, found {len(arguments)}")
        for argument in arguments:
            listed = isinstance(argument, Category) and argument.values
            if not isinstance(argument, (Money, Number, Boolean, EventTime)) and not listed:
                raise FeatureError(
                    f"stateful {self.name}: expected Money, Number, Boolean or EventTime fields or a Category with "
                    f"values, found {argument!r}"
                )
        return StatefulValue(
            by=entities_of(by, f"stateful {self.name}"),
            where=condition_of(where, f"stateful {self.name}"),
            include_current=False,
            stateful=self,
            arguments=arguments,
        )


@dataclass(frozen=True)
class StatefulValue(Lifetime):
    """What the read function makes of the record and the current event."""

    stateful: Stateful
    arguments: tuple[Field, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.arguments

    @property
    def records(self) -> tuple[Record, ...]:
        return (Variables(self.where, self.stateful, self.arguments),)

    @property
    def user_kernels(self) -> tuple[UserKernel, ...]:
        return (_user_kernel(self.stateful, self.arguments, reads=True),)

    def value(self, at: At) -> str:
        given = "".join(f", {_argument(field, at.slot(field))}" for field in self.arguments)
        return f"{at.user(self.user_kernels[0])}(record, {at.record(self.records[0])}{given})"


@dataclass(frozen=True)
class Variables(Record):
    """Whether the record was ever updated, and its variables."""

    stateful: Stateful
    arguments: tuple[Field, ...]

    @property
    def words(self) -> int:
        return 1 + len(self.stateful.variables)

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(FieldColumn(field) for field in self.arguments if not isinstance(field, EventTime))

    @property
    def user_kernels(self) -> tuple[UserKernel, ...]:
        return (_user_kernel(self.stateful, self.arguments, reads=False),)

    def update(self, at: At) -> str:
        given = "".join(f", {_argument(field, self._place(at, field))}" for field in self.arguments)
        return f"{at.user(self.user_kernels[0])}(record, {at.record(self)}{given})"

    def _place(self, at: At, field: Field) -> str:
        return f"rows, row_at + {0 if isinstance(field, EventTime) else at.column(FieldColumn(field))}"


def _user_kernel(stateful: Stateful, arguments: tuple[Field, ...], *, reads: bool) -> UserKernel:
    ticks = tuple(isinstance(field, EventTime) for field in arguments)
    return UserKernel(stateful.read if reads else stateful.update, stateful.variables, ticks, reads)


def _argument(field: Field, place: str) -> str:
    if isinstance(field, EventTime):
        return f"load_int64({place})"
    if isinstance(field, Money):
        return f"money_in({place}) / {units_of(field)!r}"
    return f"load_float64({place})"


def stateful(declared: type) -> Stateful:
    """Declare a record from a class: annotated int or float variables with values, ``update`` and ``read``.

    ``update(self, ...)`` is called for every event that counts, in order, and changes the record; ``read(self, ...)``
    gets a copy as it stands before the event at hand, and returns a number. Arguments and arithmetic are those of a
    kernel. Variables are int64 or float64.
    """
    if not inspect.isclass(declared):
        raise FeatureError(f"@stateful: expected a class, found {type(declared).__name__}")
    what = f"stateful {declared.__name__}"
    variables = tuple(_variable(what, declared, *item) for item in typing.get_type_hints(declared).items())
    if not 1 <= len(variables) <= VARIABLES_MOST:
        raise FeatureError(f"{what}: expected 1 to {VARIABLES_MOST} variables, found {len(variables)}")
    functions = [_function(what, declared, name) for name in ("update", "read")]
    update, read = functions
    if update.arity != read.arity:
        raise FeatureError(
            f"{what}: expected update and read to take the same arguments, found {update.arity} and {read.arity}"
        )
    return Stateful(declared.__name__, variables, update, read)


def _variable(what: str, declared: type, name: str, kind: Any) -> tuple[str, int | float]:
    if kind not in (int, float):
        raise FeatureError(f"{what}.{name}: expected int or float, found {getattr(kind, '__name__', kind)}")
    value = getattr(declared, name, None)
    allowed = (int,) if kind is int else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool):
        raise FeatureError(f"{what}.{name}: expected an {kind.__name__} to start from, found {value!r}")
    if kind is int and not -(2**63) <= value < 2**63:
        raise FeatureError(f"{what}.{name}: expected an int of 64 bits, found {value!r}")
    return name, kind(value)


def _function(what: str, declared: type, name: str) -> Kernel:
    function = declared.__dict__.get(name)
    if not inspect.isfunction(function):
        raise FeatureError(f"{what}: expected a function {name}(self, ...), found {function!r}")
    made = kernel(function)
    if made.arity < 1:
        raise FeatureError(f"{what}: expected a function {name}(self, ...), found no arguments")
    return Kernel(function, f"{declared.__name__}.{name}", made.arity, made.where)
