"""Sequence: an entity's last values of a field, how often the last one was repeated, and how values change.

Values that are missing are left out throughout: the last value is the last that there was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.event import Boolean, Category, Entity, Field, Money, Number, Text
from quickthorn.features.declare import By, Where, condition_of, entities_of
from quickthorn.features.groups import At
from quickthorn.features.kept import Column, FieldColumn, HashColumn, Lifetime, Record
from quickthorn.features.recency import depth_of
from quickthorn.features.velocity import units_of

ORDER_MOST = 8


@dataclass(frozen=True)
class Last(Lifetime):
    """The ``k``-th last value."""

    field: Field
    k: int

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def records(self) -> tuple[Record, ...]:
        return (Values(self.where, self.field, self.k),)

    def value(self, at: At) -> str:
        ring = ring_at(at, Values(self.where, self.field, self.k))
        return f"last_{form_of(self.field)}(record, {ring}, {self.k}) / {units_of(self.field)!r}"


@dataclass(frozen=True)
class Difference(Lifetime):
    """The ``order``-th difference of the values up to the current one."""

    field: Field
    order: int

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def records(self) -> tuple[Record, ...]:
        return (Values(self.where, self.field, self.order + 1),)

    def value(self, at: At) -> str:
        ring = ring_at(at, Values(self.where, self.field, self.order + 1))
        current = f"with_current, {at.current(True, self.where)}, {current_of(at, self.field)}"
        return f"difference_{form_of(self.field)}(record, {ring}, {self.order}, {current}) / {units_of(self.field)!r}"


@dataclass(frozen=True)
class RunLength(Lifetime):
    """How many values in a row were the same up to the last, or the current one."""

    field: Field

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def records(self) -> tuple[Record, ...]:
        return (Run(self.where, self.field),)

    def value(self, at: At) -> str:
        run, current = at.record(Run(self.where, self.field)), at.current(self.include_current, self.where)
        return f"run_{form_of(self.field)}(record, {run}, {current}, {current_of(at, self.field)})"


@dataclass(frozen=True)
class Changed(Lifetime):
    """Whether the current value is another than the last."""

    field: Field

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def records(self) -> tuple[Record, ...]:
        return (Values(self.where, self.field, 2),)

    def value(self, at: At) -> str:
        ring = ring_at(at, Values(self.where, self.field, 2))
        current = f"with_current, {at.current(True, self.where)}, {current_of(at, self.field)}"
        return f"changed_{form_of(self.field)}(record, {ring}, {current})"


@dataclass(frozen=True)
class Values(Record):
    """How many values there were, and the last ``depth`` of them."""

    field: Field
    depth: int

    @property
    def words(self) -> int:
        return 1 + self.depth

    @property
    def columns(self) -> tuple[Column, ...]:
        return (column_of(self.field),)

    @property
    def key(self) -> object:
        return (Values, self.where, self.field)

    def joined(self, other: Record) -> Record:
        assert isinstance(other, Values)
        return self if self.depth >= other.depth else other

    def update(self, at: At) -> str:
        value = stored_value(at, self.field)
        return f"keep_{form_of(self.field)}(record, {at.record(self)}, {self.depth}, {value})"


@dataclass(frozen=True)
class Run(Record):
    """How often the last value has come in a row, and that value."""

    field: Field

    @property
    def words(self) -> int:
        return 2

    @property
    def columns(self) -> tuple[Column, ...]:
        return (column_of(self.field),)

    def update(self, at: At) -> str:
        return f"extend_{form_of(self.field)}(record, {at.record(self)}, {stored_value(at, self.field)})"


def form_of(field: Field) -> str:
    """How a field's values are compared: "money", "hash", or "float" for what is one."""
    if isinstance(field, Money):
        return "money"
    return "hash" if isinstance(field, (Entity, Category, Text)) else "float"


def column_of(field: Field) -> Column:
    """What is kept of a field in each row to compare its values."""
    return HashColumn(field) if form_of(field) == "hash" else FieldColumn(field)


def stored_value(at: At, field: Field) -> str:
    """The expression for a row's value, as it is compared."""
    load = "load_float64" if form_of(field) == "float" else "load_int64"
    return f"{load}(rows, row_at + {at.column(column_of(field))})"


def current_of(at: At, field: Field) -> str:
    """The expression for the current event's value, as it is compared."""
    if form_of(field) == "hash":
        return at.hash(field)
    return f"load_{'int64' if form_of(field) == 'money' else 'float64'}({at.slot(field)})"


def ring_at(at: At, values: Values) -> str:
    """Where the values are kept, and how many of them."""
    kept = at.kept_record(values)
    assert isinstance(kept, Values)
    return f"{at.record(values)}, {kept.depth}"


def last(field: Money | Number | Boolean | None, *, by: By, k: int = 1, where: Where = None) -> Last:
    """The entity's last value of a field, or its ``k``-th last (1 to 64); missing where there were fewer."""
    return Last(field=_numeric(field, "last"), k=depth_of(k, "last(k=)"), **_lifetime("last", by, where))


def difference(field: Money | Number | Boolean | None, *, by: By, order: int = 1, where: Where = None) -> Difference:
    """The current value less the last (``order`` 1), that difference less the one before (2), and so on to 8.

    Missing where there were fewer values than it takes, or where the event at hand has none.
    """
    if not isinstance(order, int) or isinstance(order, bool) or not 1 <= order <= ORDER_MOST:
        raise FeatureError(f"difference(order=): expected 1 to {ORDER_MOST}, found {order!r}")
    return Difference(field=_numeric(field, "difference"), order=order, **_lifetime("difference", by, where, True))


def run_length(field: Field | None, *, by: By, include_current: bool = False, where: Where = None) -> RunLength:
    """How many of the entity's values in a row, up to its last, were the same as that one; 0 where there was none.

    With ``include_current`` the run up to the current value.
    """
    lifetime = _lifetime("run_length", by, where, bool(include_current))
    return RunLength(field=_comparable(field, "run_length"), **lifetime)


def changed(field: Field | None, *, by: By, where: Where = None) -> Changed:
    """1 where the current value is another than the entity's last, else 0; missing where either is missing."""
    return Changed(field=_comparable(field, "changed"), **_lifetime("changed", by, where, True))


def _lifetime(what: str, by: object, where: object, include_current: bool = False) -> dict[str, Any]:
    return {"by": entities_of(by, what), "where": condition_of(where, what), "include_current": include_current}


def _numeric(field: object, what: str) -> Field:
    if not isinstance(field, (Money, Number, Boolean)):
        raise FeatureError(f"{what}: expected a Money, Number or Boolean field, found {field!r}")
    return field


def _comparable(field: object, what: str) -> Field:
    if not isinstance(field, (Money, Number, Boolean, Entity, Category, Text)):
        raise FeatureError(
            f"{what}: expected an Entity, Category, Text, Money, Number or Boolean field, found {field!r}"
        )
    return field
