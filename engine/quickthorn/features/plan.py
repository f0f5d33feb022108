"""From declared features to the order they are computed in and the memory their windows take.

A plan is plain data. The drivers are generated from it, and the engine sizes its regions by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from quickthorn.errors import FeatureError
from quickthorn.event import Category, Field, Schema
from quickthorn.features.built_in import takes_text
from quickthorn.features.components import ComponentPlan, ComponentValue, component_plans
from quickthorn.features.declare import (
    Application,
    Constant,
    Expression,
    FeatureSet,
    Kernel,
    Reference,
    parts_of,
)
from quickthorn.features.groups import Group, groups_of
from quickthorn.features.kept import Condition, Kept
from quickthorn.features.signals import SignalPlan, SignalValue, signal_plans


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
    """A group's, a component's or a signal's value, by its index among all values."""

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
class ConditionPlan:
    """How a condition is judged: it holds where ``output`` is neither 0 nor missing once every step has run."""

    condition: Condition
    steps: tuple[Step, ...]
    output: Operand


@dataclass(frozen=True)
class Plan:
    """``outputs[i]`` is where the feature ``names[i]`` comes from once every step has run, in order."""

    schema: Schema
    names: tuple[str, ...]
    groups: tuple[Group, ...]
    components: tuple[ComponentPlan, ...]
    signals: tuple[SignalPlan, ...]
    conditions: tuple[ConditionPlan, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Operand, ...]

    @property
    def looked_up(self) -> tuple[Field, ...]:
        """Fields whose entities are looked up for being known to be fraudulent, in order."""
        found = {field for group in self.groups for value in group.values for field in value.looked_up}
        return tuple(sorted(found, key=lambda field: field.index))

    @property
    def value_count(self) -> int:
        """How many values all groups, components and signals write together."""
        keepers: list[Group | ComponentPlan | SignalPlan] = [*self.groups, *self.components, *self.signals]
        return sum(len(keeper.values) for keeper in keepers)


def plan(features: FeatureSet) -> Plan:
    """Orders a feature set's computation and lays out its windows.

    Equal sub-expressions are computed once. FeatureError names the feature where a reference leads nowhere or back to
    itself, a field belongs to another event class or cannot be computed with, or nothing is declared.
    """
    if not len(features):
        raise FeatureError(f"FeatureSet({features.event.__name__}): expected at least one feature, found none")
    for name in features:
        for expression in parts_of(features.expression(name)):
            _check(features, name, expression)
    order = _dependency_order(features)
    parts = [part for name in features for part in parts_of(features.expression(name))]
    groups, value_of = groups_of(part for part in parts if isinstance(part, Kept))
    components = component_plans((part for part in parts if isinstance(part, ComponentValue)), len(value_of))
    value_count = len(value_of) + sum(len(component.values) for component in components)
    signals = signal_plans((part for part in parts if isinstance(part, SignalValue)), value_count)
    plans: list[ComponentPlan | SignalPlan] = [*components, *signals]
    for each in plans:
        value_of.update({value: each.value_first + index for index, value in enumerate(each.values)})
    resolution = _Resolution(value_of)
    for name in order:
        resolution.named[name] = resolution.operand(features.expression(name))
    return Plan(
        schema=features.schema,
        names=features.names,
        groups=groups,
        components=components,
        signals=signals,
        conditions=tuple(
            _condition_plan(condition)
            for condition in dict.fromkeys(condition for group in groups for condition in group.conditions)
        ),
        steps=tuple(resolution.steps),
        outputs=tuple(resolution.named[name] for name in features.names),
    )


def _check(features: FeatureSet, name: str, expression: Expression) -> None:
    where = f"features[{name!r}]"
    if isinstance(expression, Reference) and expression.name not in features.names:
        raise FeatureError(f"{where}: expected a declared feature, found {expression.name!r}, which is not declared")
    if isinstance(expression, Kept):
        for field in (*expression.by, *expression.fields):
            _check_belongs(features, where, field)
        if 0 < features.expire_after_us < expression.reach_us:
            raise FeatureError(
                f"{where}: expected a window within expire_after, {features.expire_after_us} µs, found one that "
                f"reaches {expression.reach_us} µs back"
            )
    if isinstance(expression, ComponentValue):
        for entity in expression.component.entities:
            _check_belongs(features, where, entity)
    if isinstance(expression, SignalValue):
        _check_belongs(features, where, expression.by)
        if 0 < features.expire_after_us < expression.ttl_us:
            raise FeatureError(
                f"{where}: expected a ttl within expire_after, {features.expire_after_us} µs, "
                f"found {expression.ttl_us} µs"
            )
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
        name: [part.name for part in parts_of(features.expression(name)) if isinstance(part, Reference)]
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


def _condition_plan(condition: Condition) -> ConditionPlan:
    resolution = _Resolution({})
    output = resolution.operand(condition.expression)
    return ConditionPlan(condition, tuple(resolution.steps), output)


class _Resolution:
    """Turns expressions into operands; equal kernel applications become one step."""

    def __init__(self, value_of: Mapping[object, int]) -> None:
        self.value_of = value_of
        self.named: dict[str, Operand] = {}
        self.steps: list[Step] = []
        self._known: dict[tuple[object, ...], StepOperand] = {}

    def operand(self, expression: Expression, *, for_kernel: bool = False) -> Operand:
        """Where the expression's value is found; ``for_kernel``: it is an argument, not a feature."""
        if isinstance(expression, Field):
            return FieldOperand(expression, as_ticks=for_kernel and expression.kind == "event_time")
        if isinstance(expression, (Kept, ComponentValue, SignalValue)):
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
