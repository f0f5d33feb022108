"""From declared features to the order they are computed in and the memory their windows take.

A plan is plain data. The drivers are generated from it, and the engine sizes its regions by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from quickthorn.errors import FeatureError
from quickthorn.event import Category, Field, Number, Schema
from quickthorn.features.built_in import takes_text
from quickthorn.features.declare import (
    Aggregate,
    Application,
    Constant,
    Expression,
    FeatureSet,
    Kernel,
    Reference,
)

WORD_BYTES = 8
# A window's state opens with the positions of its first row and of the row after its last.
CURSOR_BYTES = 2 * WORD_BYTES


@dataclass(frozen=True)
class Column:
    """A field kept in each ring row, ``row_offset`` bytes into it (the int64 event time is at 0)."""

    field: Field
    row_offset: int


@dataclass(frozen=True)
class WindowSum:
    """A running sum of one column over one window.

    ``offset`` is in bytes from the start of the window's state. Money and Boolean take one int64; Number takes three
    float64 (high part, low part, error bound). An optional field has an int64 count of its present values after that.
    """

    column: int
    offset: int
    valid_offset: int | None


@dataclass(frozen=True)
class Window:
    """The interval (t − delay − over, t − delay]; ``offset`` in bytes from the start of the group's window state."""

    over_us: int
    delay_us: int
    offset: int
    sums: tuple[WindowSum, ...]

    def sum_of(self, column: int) -> WindowSum:
        """The window's running sum of that column."""
        return next(total for total in self.sums if total.column == column)


@dataclass(frozen=True)
class Value:
    """One aggregate's result: ``window`` and ``column`` are indexes into the group's; a count has no column."""

    kind: str
    window: int
    column: int | None
    include_current: bool


@dataclass(frozen=True)
class Group:
    """Everything kept by one entity field; its values are values[value_first : value_first + len(values)]."""

    entity: Field
    columns: tuple[Column, ...]
    windows: tuple[Window, ...]
    values: tuple[Value, ...]
    value_first: int
    window_bytes: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one ring row: the event time and a word per column."""
        return WORD_BYTES * (1 + len(self.columns))

    @property
    def horizon_us(self) -> int:
        """The longest delay + window: a row this old or older has left every window."""
        return max(window.delay_us + window.over_us for window in self.windows)


@dataclass(frozen=True)
class FieldOperand:
    """A raw field. ``as_ticks``: the event time as int64 microseconds, not as a float64."""

    field: Field
    as_ticks: bool = False


@dataclass(frozen=True)
class TextOperand:
    """A field's text, as the event row holds it for kernels that take it."""

    field: Field


@dataclass(frozen=True)
class ValueOperand:
    """A group's value, by its index among all groups' values."""

    index: int


@dataclass(frozen=True)
class ConstantOperand:
    """A float64 constant."""

    value: float


@dataclass(frozen=True)
class StepOperand:
    """The result of an earlier step."""

    index: int


Operand: TypeAlias = FieldOperand | TextOperand | ValueOperand | ConstantOperand | StepOperand


@dataclass(frozen=True)
class Step:
    """One kernel applied to operands that are all known by then."""

    kernel: Kernel
    operands: tuple[Operand, ...]


@dataclass(frozen=True)
class Plan:
    """``outputs[i]`` is where the feature ``names[i]`` comes from once every step has run, in order."""

    schema: Schema
    names: tuple[str, ...]
    groups: tuple[Group, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Operand, ...]

    @property
    def value_count(self) -> int:
        """How many values all groups write together."""
        return sum(len(group.values) for group in self.groups)


def plan(features: FeatureSet) -> Plan:
    """Orders a feature set's computation and lays out its windows.

    Equal sub-expressions are computed once. FeatureError names the feature where a reference leads nowhere or back to
    itself, a field belongs to another event class or cannot be computed with, or nothing is declared.
    """
    if not len(features):
        raise FeatureError(f"FeatureSet({features.event.__name__}): expected at least one feature, found none")
    for name in features:
        for expression in _parts(features.expression(name)):
            _check(features, name, expression)
    order = _dependency_order(features)
    groups, value_of = _groups(features)
    resolution = _Resolution(value_of)
    for name in order:
        resolution.named[name] = resolution.operand(features.expression(name))
    return Plan(
        schema=features.schema,
        names=features.names,
        groups=groups,
        steps=tuple(resolution.steps),
        outputs=tuple(resolution.named[name] for name in features.names),
    )


def _parts(expression: Expression) -> Iterator[Expression]:
    """The expression and everything in it, outermost first, arguments from left to right."""
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, Application):
            waiting.extend(reversed(part.arguments))


def _check(features: FeatureSet, name: str, expression: Expression) -> None:
    where = f"features[{name!r}]"
    if isinstance(expression, Reference) and expression.name not in features.names:
        raise FeatureError(f"{where}: expected a declared feature, found {expression.name!r}, which is not declared")
    if isinstance(expression, Aggregate):
        for field in (expression.by, expression.field):
            if field is not None:
                _check_belongs(features, where, field)
    if isinstance(expression, Field):
        _check_belongs(features, where, expression)
    if isinstance(expression, Application):
        for place, argument in enumerate(expression.arguments):
            if isinstance(argument, Field) and not takes_text(expression.kernel, place):
                _check_numeric(f"{where}: kernel {expression.kernel.name}", argument)


def _check_belongs(features: FeatureSet, where: str, field: Field) -> None:
    # By identity: a base class's field of the same name may sit in another slot.
    if not any(field is own for own in features.schema.fields):
        raise FeatureError(f"{where}: expected a field of {features.event.__name__}, found {field!r}")


def _check_numeric(where: str, field: Field) -> None:
    if field.kind in ("id", "entity", "text"):
        raise FeatureError(f"{where}: expected a numeric field, found the {field.kind} {field!r}")
    if isinstance(field, Category) and not field.values:
        raise FeatureError(f"{where}: {field!r} needs field(values=(...)) before a kernel can take it")


def _dependency_order(features: FeatureSet) -> list[str]:
    """Every feature after those it refers to; a loop rather than recursion, as chains may be long."""
    needs = {
        name: [part.name for part in _parts(features.expression(name)) if isinstance(part, Reference)]
        for name in features
    }
    order: dict[str, None] = {}
    for start in features:
        path: dict[str, Iterator[str]] = {}
        name: str | None = None if start in order else start
        while name is not None or path:
            if name is not None:
                path[name] = iter(needs[name])
            current = next(reversed(path))
            name = next((need for need in path[current] if need not in order), None)
            if name is None:
                order[current] = None
                del path[current]
            elif name in path:
                names = list(path)
                cycle = " → ".join([*names[names.index(name) :], name])
                raise FeatureError(f"features: expected no feature to need itself, found the cycle {cycle}")
    return list(order)


def _groups(features: FeatureSet) -> tuple[tuple[Group, ...], dict[Aggregate, int]]:
    """One group for each entity that has an aggregate, in the order they are first used, and each aggregate's value."""
    by_entity: dict[Field, dict[Aggregate, None]] = {}
    for name in features:
        for part in _parts(features.expression(name)):
            if isinstance(part, Aggregate):
                by_entity.setdefault(part.by, {})[part] = None
    groups: list[Group] = []
    value_of: dict[Aggregate, int] = {}
    for entity, aggregates in by_entity.items():
        groups.append(_group(entity, list(aggregates), value_first=len(value_of)))
        value_of.update({aggregate: len(value_of) + index for index, aggregate in enumerate(aggregates)})
    return tuple(groups), value_of


def _group(entity: Field, aggregates: list[Aggregate], value_first: int) -> Group:
    fields = list(dict.fromkeys(aggregate.field for aggregate in aggregates if aggregate.field is not None))
    columns = tuple(Column(field, WORD_BYTES * (1 + index)) for index, field in enumerate(fields))
    summed: dict[tuple[int, int], dict[int, None]] = {}
    for aggregate in aggregates:
        wanted = summed.setdefault((aggregate.over_us, aggregate.delay_us), {})
        if aggregate.field is not None:
            wanted[fields.index(aggregate.field)] = None
    windows: list[Window] = []
    offset = 0
    for (over_us, delay_us), wanted in summed.items():
        sums, window_bytes = _sums(columns, sorted(wanted))
        windows.append(Window(over_us, delay_us, offset, sums))
        offset += window_bytes
    keys = list(summed)
    values = tuple(
        Value(
            kind=aggregate.kind,
            window=keys.index((aggregate.over_us, aggregate.delay_us)),
            column=None if aggregate.field is None else fields.index(aggregate.field),
            include_current=aggregate.include_current,
        )
        for aggregate in aggregates
    )
    return Group(entity, columns, tuple(windows), values, value_first, offset)


def _sums(columns: tuple[Column, ...], wanted: list[int]) -> tuple[tuple[WindowSum, ...], int]:
    """The window's sums after its cursor, and the bytes of both."""
    offset = CURSOR_BYTES
    sums: list[WindowSum] = []
    for index in wanted:
        field = columns[index].field
        words = 3 if isinstance(field, Number) else 1
        valid_offset = None if field.required else offset + words * WORD_BYTES
        sums.append(WindowSum(index, offset, valid_offset))
        offset += (words + (valid_offset is not None)) * WORD_BYTES
    return tuple(sums), offset


class _Resolution:
    """Turns expressions into operands; equal kernel applications become one step."""

    def __init__(self, value_of: dict[Aggregate, int]) -> None:
        self.value_of = value_of
        self.named: dict[str, Operand] = {}
        self.steps: list[Step] = []
        self._known: dict[tuple[object, ...], StepOperand] = {}

    def operand(self, expression: Expression, *, for_kernel: bool = False) -> Operand:
        """Where the expression's value is found; ``for_kernel``: it is an argument, not a feature."""
        if isinstance(expression, Field):
            return FieldOperand(expression, as_ticks=for_kernel and expression.kind == "event_time")
        if isinstance(expression, Aggregate):
            return ValueOperand(self.value_of[expression])
        if isinstance(expression, Constant):
            return ConstantOperand(expression.value)
        if isinstance(expression, Reference):
            return self.named[expression.name]
        operands = tuple(
            TextOperand(argument)
            if isinstance(argument, Field) and takes_text(expression.kernel, place)
            else self.operand(argument, for_kernel=True)
            for place, argument in enumerate(expression.arguments)
        )
        key = (expression.kernel, *(_identity(operand) for operand in operands))
        if key not in self._known:
            self._known[key] = StepOperand(len(self.steps))
            self.steps.append(Step(expression.kernel, operands))
        return self._known[key]


def _identity(operand: Operand) -> object:
    # 0.0 == −0.0 and NaN != NaN, but as constants the first two differ and the last is one.
    return float(operand.value).hex() if isinstance(operand, ConstantOperand) else operand
