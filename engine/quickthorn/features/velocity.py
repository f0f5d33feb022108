"""Velocity: counts, sums, means, spreads and extremes of an entity's events over a window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.event import Boolean, Field, Money, Number
from quickthorn.features.declare import By, Where, condition_of, entities_of
from quickthorn.features.durations import duration_us
from quickthorn.features.groups import At
from quickthorn.features.kept import Column, FieldColumn, Windowed, WindowPart
from quickthorn.features.tiles import Tiled, tiled


@dataclass(frozen=True)
class Aggregate(Windowed):
    """One windowed aggregate; ``field`` is what is aggregated (None for a count).

    ``kind`` is "count", "sum" or "mean".
    """

    kind: str
    field: Field | None

    @property
    def fields(self) -> tuple[Field, ...]:
        return () if self.field is None else (self.field,)

    @property
    def parts(self) -> tuple[WindowPart, ...]:
        present = Present(self.where, self.field)
        counted = (present,) if present.is_needed else ()
        if self.field is None:
            return counted
        return (Sum(self.where, self.field), *counted)

    def value(self, at: At) -> str:
        current = at.current(self.include_current, self.where)
        if self.field is None:
            return f"float({self._counted(at)} + {current})"
        units, slot = units_of(self.field), f"{at.slot(self.field)}, {current}"
        total = f"state, {at.part(Sum(self.where, self.field))}, current_{self.field.kind}({slot})"
        kind = "number" if isinstance(self.field, Number) else "exact"
        scale = "" if isinstance(self.field, Number) else f", {units!r}"
        if self.kind == "sum":
            return f"{kind}_sum({total}{scale})"
        present = current if self.field.required else f"{presence_of(self.field)}({slot})"
        return f"{kind}_mean({total}, {self._counted(at)} + {present}{scale})"

    def _counted(self, at: At) -> str:
        return counted(at, Present(self.where, self.field))


@dataclass(frozen=True)
class Present(WindowPart):
    """How many of the window's rows count and have the field."""

    field: Field | None

    @property
    def is_needed(self) -> bool:
        """False where every row counts: the cursor knows how many those are."""
        return self.where is not None or (self.field is not None and not self.field.required)

    @property
    def columns(self) -> tuple[Column, ...]:
        return () if self.field is None or self.field.required else (FieldColumn(self.field),)

    def shift(self, at: At) -> str:
        if not self.columns:
            return f"shift_count(state, {at.part(self)}, sign)"
        column = at.column(self.columns[0])
        assert self.field is not None
        return f"shift_count(state, {at.part(self)}, {presence_of(self.field)}(rows, row_at + {column}, sign))"


@dataclass(frozen=True)
class Sum(WindowPart):
    """The sum of a field: an int64 for Money and Boolean, else high part, low part and error bound."""

    field: Field

    @property
    def words(self) -> int:
        return 3 if isinstance(self.field, Number) else 1

    @property
    def columns(self) -> tuple[Column, ...]:
        return (FieldColumn(self.field),)

    def shift(self, at: At) -> str:
        optional = "" if self.field.required else "optional_"
        column = at.column(FieldColumn(self.field))
        return f"shift_{optional}{self.field.kind}(state, {at.part(self)}, rows, row_at + {column}, sign)"

    def settle(self, at: At) -> str | None:
        if not isinstance(self.field, Number):
            return None
        flag_at, flag_mask = at.flag(self.where)
        return (
            f"settle(state, {at.cursor}, {at.part(self)}, {counted(at, Present(self.where, self.field))}, rows, mask, "
            f"{at.group.row_bytes}, {at.column(FieldColumn(self.field))}, {flag_at}, {flag_mask})"
        )


def counted(at: At, present: Present) -> str:
    """The expression for how many values a window's sum is made of."""
    return f"load_int64(state, {at.part(present)})" if present.is_needed else f"rows_inside(state, {at.cursor})"


def presence_of(field: Field) -> str:
    """The kernel that says whether a slot of this field holds a value."""
    return "money_present" if isinstance(field, Money) else "float_present"


def units_of(field: Field) -> float:
    """How many of what is summed make one of what the feature is in."""
    return 10.0**field.scale if isinstance(field, Money) else 1.0


def count(
    *,
    by: By,
    over: str | timedelta,
    include_current: bool = False,
    delay: str | timedelta = "0s",
    where: Where = None,
    tile: str | timedelta | None = None,
) -> Aggregate | Tiled:
    """How many events of this entity fall in the window (t − delay − over, t − delay].

    ``tile``, here and below, is for entities with very many events: the window's beginning hops by that much and memory
    is bounded (:mod:`quickthorn.features.tiles`). It divides ``over``.
    """
    return _aggregate("count", None, by, over, include_current, delay, where, tile=tile)


def sum(
    field: Money | Number | Boolean | None,
    *,
    by: By,
    over: str | timedelta,
    include_current: bool = False,
    delay: str | timedelta = "0s",
    where: Where = None,
    tile: str | timedelta | None = None,
) -> Aggregate | Tiled:
    """The sum of a field over the window; 0 when the window is empty; missing values are left out."""
    return _aggregate("sum", field, by, over, include_current, delay, where, tile=tile)


def mean(
    field: Money | Number | Boolean | None,
    *,
    by: By,
    over: str | timedelta,
    include_current: bool = False,
    delay: str | timedelta = "0s",
    where: Where = None,
    tile: str | timedelta | None = None,
) -> Aggregate | Tiled:
    """The mean of a field over the window; missing when there is nothing to average."""
    return _aggregate("mean", field, by, over, include_current, delay, where, tile=tile)


def _aggregate(kind: str, field: object, *window: Any, tile: object) -> Aggregate | Tiled:
    chosen = None if kind == "count" else numeric_field(field, kind)
    options = window_of(kind, *window)
    if tile is not None:
        return tiled(kind, chosen, options, tile)
    return Aggregate(kind=kind, field=chosen, **options)


def numeric_field(field: object, what: str) -> Field:
    """The field that is aggregated, if it can be."""
    if not isinstance(field, (Money, Number, Boolean)):
        raise FeatureError(f"{what}: expected a Money, Number or Boolean field, found {field!r}")
    return field


def window_of(
    what: str,
    by: object,
    over: str | timedelta,
    include_current: bool,
    delay: str | timedelta,
    where: object,
) -> dict[str, Any]:
    """What every windowed expression is made with, checked."""
    entities = entities_of(by, what)
    over_us = duration_us(over, f"{what}(over=)")
    delay_us = duration_us(delay, f"{what}(delay=)")
    if over_us == 0:
        raise FeatureError(f"{what}(over=): expected a window longer than 0, found {over!r}")
    if include_current and delay_us:
        raise FeatureError(
            f"{what}: include_current with delay={delay!r}: a delayed window never holds the current event"
        )
    return {
        "by": entities,
        "where": condition_of(where, what),
        "include_current": bool(include_current),
        "over_us": over_us,
        "delay_us": delay_us,
    }
