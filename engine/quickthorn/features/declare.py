"""Feature declarations: raw fields, what entities keep, kernels over them, and the set that names them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from quickthorn.errors import FeatureError
from quickthorn.event import Boolean, Category, Entity, Event, Field, Schema
from quickthorn.features.components import ComponentValue
from quickthorn.features.durations import duration_us
from quickthorn.features.kept import Condition, Kept
from quickthorn.features.signals import SignalValue

ROW_LIMIT_MOST = 2**20
REMEMBERED_IDS_MOST = 2**26
KEY_ENTITIES_MOST = 4


@dataclass(frozen=True, eq=False)
class Constant:
    """A number given to a kernel as it stands.

    Two are equal where they are the same number to a kernel: 0.0 is not −0.0, and NaN is NaN.
    """

    value: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self.value.hex() == other.value.hex()

    def __hash__(self) -> int:
        return hash(self.value.hex())


@dataclass(frozen=True)
class Reference:
    """A feature of the set, by name; it may be declared later."""

    name: str


@dataclass(frozen=True)
class Application:
    """A kernel applied to fields, features and constants."""

    kernel: Kernel
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A Python function of scalars that is compiled ahead of time into the bundle's library.

    Arguments arrive as float64 (Money in major units, Boolean as 1.0 or 0.0, Category as its ordinal, NaN where
    missing), except EventTime, which is int64 microseconds. The result is taken as float64. Arithmetic is the
    processor's: 1 / 0 is infinite and 0 / 0 missing; turning a NaN or an infinity into an int is undefined, so a kernel
    tests for them before ``int``, ``round``, ``math.floor`` or ``math.ceil``.
    """

    function: Callable[..., Any]
    name: str
    arity: int
    where: str

    def __call__(self, *arguments: object) -> Application:
        if len(arguments) != self.arity:
            raise FeatureError(f"kernel {self.name}: expected {self.arity} arguments, found {len(arguments)}")
        return Application(self, tuple(_expression(argument, f"kernel {self.name}") for argument in arguments))


Expression: TypeAlias = Field | Kept | ComponentValue | SignalValue | Constant | Reference | Application
By: TypeAlias = Entity | tuple[Entity | None, ...] | None
Where: TypeAlias = Boolean | Application | None


def kernel(function: Callable[..., Any]) -> Kernel:
    """Declare a feature kernel: a plain function of scalars. It is compiled only when a bundle is."""
    if not inspect.isfunction(function):
        raise FeatureError(f"@kernel: expected a Python function, found {type(function).__name__}")
    where = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
    for parameter in inspect.signature(function).parameters.values():
        plain = (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if parameter.kind not in plain or parameter.default is not parameter.empty:
            raise FeatureError(f"kernel {function.__name__} ({where}): expected plain arguments, found {parameter}")
    return Kernel(function, function.__name__, len(inspect.signature(function).parameters), where)


def entities_of(by: object, what: str) -> tuple[Entity, ...]:
    """The entities of ``by=``, one or several that are a key together, in the order of the event's fields."""
    given = by if isinstance(by, tuple) else (by,)
    for entity in given:
        if not isinstance(entity, Entity):
            raise FeatureError(f"{what}(by=): expected an Entity field of the event class, found {entity!r}")
    if not 1 <= len(given) <= KEY_ENTITIES_MOST or len(set(given)) != len(given):
        raise FeatureError(f"{what}(by=): expected 1 to {KEY_ENTITIES_MOST} different entities, found {by!r}")
    return tuple(sorted(given, key=lambda entity: entity.index))


def condition_of(where: object, what: str) -> Condition | None:
    """The condition of ``where=``: a Boolean field, or a kernel of the event's own fields and of numbers."""
    if where is None:
        return None
    if isinstance(where, Kernel):
        raise FeatureError(f"{what}(where=): expected {where.name}(...) with the event's fields, found the bare kernel")
    if not isinstance(where, (Boolean, Application)):
        raise FeatureError(
            f"{what}(where=): expected a Boolean field or a kernel of the event's fields, found {where!r}"
        )
    for part in parts_of(where):
        if not isinstance(part, (Field, Constant, Application)):
            found = f"the feature {part.name!r}" if isinstance(part, Reference) else f"{part!r}"
            raise FeatureError(f"{what}(where=): expected a condition over the event's own fields, found {found} in it")
    return Condition(where)


def parts_of(expression: Expression) -> Iterator[Expression]:
    """The expression and everything in it, outermost first, arguments from left to right, conditions included."""
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, Application):
            waiting.extend(reversed(part.arguments))
        if isinstance(part, Kept) and part.where is not None:
            waiting.append(part.where.expression)


def _expression(value: object, where: str) -> Expression:
    expected = (Field, Kept, ComponentValue, SignalValue, Reference, Application, int, float)
    if isinstance(value, bool) or not isinstance(value, expected):
        raise FeatureError(f"{where}: expected a field, a feature, an aggregate or a number, found {value!r}")
    return Constant(float(value)) if isinstance(value, (int, float)) else value


class FeatureSet:
    """Named features over one event class, in the order they are declared: the model's feature vector.

    ``lateness``        how much older than an entity's newest event an event may be and still be put in its place
    ``expire_after``    how long after its newest event an entity is forgotten and its memory used again; never if None.
                        No window may be longer. An event that comes later than ``lateness`` behind the whole stream
                        finds what has expired by then forgotten.
    ``row_limit``       most events kept per entity (≤ 1,048,576); beyond it the oldest leave early, counted and visible
    ``remembered_ids``  how many accepted event ids are remembered for recognising retries (≤ 67,108,864)
    """

    def __init__(
        self,
        event: type[Event],
        *,
        lateness: str | timedelta = "0s",
        expire_after: str | timedelta | None = None,
        row_limit: int = 65_536,
        remembered_ids: int = 1_048_576,
    ) -> None:
        if not (isinstance(event, type) and issubclass(event, Event)) or event is Event:
            raise FeatureError(f"FeatureSet: expected an event class, found {event!r}")
        for name, value, most in (
            ("row_limit", row_limit, ROW_LIMIT_MOST),
            ("remembered_ids", remembered_ids, REMEMBERED_IDS_MOST),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise FeatureError(f"FeatureSet({name}=): expected 1 to {most}, found {value!r}")
        self.event = event
        self.lateness_us = duration_us(lateness, "FeatureSet(lateness=)")
        self.expire_after_us = 0
        if expire_after is not None:
            self.expire_after_us = duration_us(expire_after, "FeatureSet(expire_after=)")
            if self.expire_after_us == 0:
                raise FeatureError(f"FeatureSet(expire_after=): expected more than 0, found {expire_after!r}")
        self.row_limit = row_limit
        self.remembered_ids = remembered_ids
        self._features: dict[str, Expression] = {}

    @property
    def schema(self) -> Schema:
        """The schema of the event class."""
        return self.event.schema

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in vector order."""
        return tuple(self._features)

    def __setitem__(self, name: str, value: object) -> None:
        if not isinstance(name, str) or not name:
            raise FeatureError(f"features[{name!r}]: expected a non-empty name")
        if name in self._features:
            raise FeatureError(f"features[{name!r}]: declared twice")
        expression = _expression(value, f"features[{name!r}]")
        if isinstance(expression, Field):
            self._check_raw(name, expression)
        self._features[name] = expression

    def __getitem__(self, name: str) -> Reference:
        """A reference to a feature, for use in a kernel; the feature may be declared later."""
        return Reference(name)

    def __len__(self) -> int:
        return len(self._features)

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def expression(self, name: str) -> Expression:
        """What was declared under ``name``; FeatureError where nothing was."""
        if name not in self._features:
            raise FeatureError(f"features[{name!r}]: expected a declared feature, found none of that name")
        return self._features[name]

    def _check_raw(self, name: str, field: Field) -> None:
        if isinstance(field, Category) and not field.values:
            raise FeatureError(f"features[{name!r}]: {field!r} needs field(values=(...)) before it can be a feature")
        if field.kind in ("id", "entity", "text"):
            raise FeatureError(f"features[{name!r}]: expected a numeric field, found the {field.kind} {field!r}")
