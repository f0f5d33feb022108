"""Decay: counts, sums, means and variances in which an event's weight halves with every half-life of its age.

The state is of one size whatever has happened: S(t) = S(t0) · 2^(−(t − t0) / half-life) + x. Values beyond ±1e140 count
as that, since an infinity would never leave the state again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from quickthorn.errors import FeatureError
from quickthorn.event import Boolean, Field, Money, Number
from quickthorn.features.declare import By, Where, condition_of, entities_of
from quickthorn.features.durations import duration_us
from quickthorn.features.groups import At
from quickthorn.features.kept import Column, FieldColumn, Lifetime, Record
from quickthorn.features.velocity import numeric_field, units_of

LARGEST_DECAYED = 1e140


@dataclass(frozen=True)
class Decayed(Lifetime):
    """``kind`` is "count", "sum", "mean" or "variance"; ``field`` is None for a count."""

    kind: str
    field: Field | None
    half_life_us: int

    @property
    def fields(self) -> tuple[Field, ...]:
        return () if self.field is None else (self.field,)

    @property
    def records(self) -> tuple[Record, ...]:
        return (Fading(self.where, self.field, self.half_life_us),)

    def value(self, at: At) -> str:
        fading = at.record(Fading(self.where, self.field, self.half_life_us))
        now = f"record, {fading}, {self.half_life_us}.0, now_us, {at.current(self.include_current, self.where)}"
        if self.field is None:
            return f"faded_count({now})"
        units = units_of(self.field)
        current = f"{'money_in' if isinstance(self.field, Money) else 'load_float64'}({at.slot(self.field)})"
        scale = units * units if self.kind == "variance" else units
        return f"faded_{self.kind}({now}, {current}) / {scale!r}"


@dataclass(frozen=True)
class Fading(Record):
    """The time of the last event that counts, and as of then the weight of all; of a field also sum, mean and M2."""

    field: Field | None
    half_life_us: int

    @property
    def words(self) -> int:
        return 2 if self.field is None else 5

    @property
    def columns(self) -> tuple[Column, ...]:
        return () if self.field is None else (FieldColumn(self.field),)

    def update(self, at: At) -> str:
        fading = f"record, {at.record(self)}, {self.half_life_us}.0, load_int64(rows, row_at)"
        if self.field is None:
            return f"fade_count({fading})"
        load = "money_in" if isinstance(self.field, Money) else "load_float64"
        return f"fade_value({fading}, {load}(rows, row_at + {at.column(FieldColumn(self.field))}))"


def decayed_count(*, by: By, half_life: str | timedelta, include_current: bool = False, where: Where = None) -> Decayed:
    """How many events the entity has had, each weighing 2^(−age / half-life); 0 where it was never seen."""
    return _decayed("decayed_count", None, by, half_life, include_current, where)


def decayed_sum(
    field: Money | Number | Boolean | None,
    *,
    by: By,
    half_life: str | timedelta,
    include_current: bool = False,
    where: Where = None,
) -> Decayed:
    """The sum of a field, each value weighing 2^(−age / half-life); 0 where there was none."""
    return _decayed("decayed_sum", numeric_field(field, "decayed_sum"), by, half_life, include_current, where)


def decayed_mean(
    field: Money | Number | Boolean | None,
    *,
    by: By,
    half_life: str | timedelta,
    include_current: bool = False,
    where: Where = None,
) -> Decayed:
    """The weighted mean of a field; missing where there was no value."""
    return _decayed("decayed_mean", numeric_field(field, "decayed_mean"), by, half_life, include_current, where)


def decayed_variance(
    field: Money | Number | Boolean | None,
    *,
    by: By,
    half_life: str | timedelta,
    include_current: bool = False,
    where: Where = None,
) -> Decayed:
    """The weighted mean of squared distances from the weighted mean; missing where there was no value."""
    return _decayed("decayed_variance", numeric_field(field, "decayed_variance"), by, half_life, include_current, where)


def _decayed(
    what: str, field: Field | None, by: object, half_life: str | timedelta, include_current: bool, where: object
) -> Decayed:
    half_life_us = duration_us(half_life, f"{what}(half_life=)")
    if half_life_us == 0:
        raise FeatureError(f"{what}(half_life=): expected a half-life longer than 0, found {half_life!r}")
    return Decayed(
        by=entities_of(by, what),
        where=condition_of(where, what),
        include_current=bool(include_current),
        kind=what.removeprefix("decayed_"),
        field=field,
        half_life_us=half_life_us,
    )
