"""Distinct: how many different values of a field an entity has had, over a window or ever.

Of every entity the last ``cap`` different values are kept with the time each was last seen; a window that none of those
left out reaches into is counted exactly. Beyond that the same is kept of every second, fourth, … value, chosen by its
hash, and the first of these levels that covers the window is counted and multiplied (Gibbons and Tirthapura,
"Distributed streams algorithms for sliding windows", 2002). All windows of a field share this memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.event import Category, Entity, Field, Text
from quickthorn.features.declare import By, Where, condition_of, entities_of
from quickthorn.features.durations import duration_us
from quickthorn.features.groups import At
from quickthorn.features.kept import Column, HashColumn, Lifetime, Record

CAP_MOST = 1024
LEVELS_MOST = 24
# The beginning of a window without one: before any event time.
BEFORE_ALL_US = -(2**62)


@dataclass(frozen=True)
class Distinct(Lifetime):
    """How many different values there were in (t − over, t], or with ``flag`` whether that is exact.

    ``over_us`` is None where everything counts that ever was.
    """

    field: Field
    over_us: int | None
    cap: int
    levels: int
    flag: bool

    @property
    def reach_us(self) -> int:
        return self.over_us or 0

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def records(self) -> tuple[Record, ...]:
        return (Recent(self.where, self.field, self.cap, self.levels),)

    def value(self, at: At) -> str:
        table = f"record, {at.record(self.records[0])}, {self.cap}"
        low_us = BEFORE_ALL_US if self.over_us is None else f"now_us - {self.over_us}"
        if self.flag:
            return f"is_whole(record, {at.record(self.records[0])}, {low_us})"
        current = f"{at.current(self.include_current, self.where)}, {at.hash(self.field)}"
        return f"distinct_values({table}, {self.levels}, {low_us}, {current})"


@dataclass(frozen=True)
class Recent(Record):
    """For every level the ``cap`` last different values and when each was seen, and the last that was left out."""

    field: Field
    cap: int
    levels: int

    @property
    def words(self) -> int:
        return (1 + self.levels) * (2 + 2 * self.cap)

    @property
    def key(self) -> object:
        return (Recent, self.where, self.field, self.cap)

    def joined(self, other: Record) -> Record:
        assert isinstance(other, Recent)
        return self if self.levels >= other.levels else other

    @property
    def columns(self) -> tuple[Column, ...]:
        return (HashColumn(self.field),)

    def update(self, at: At) -> str:
        row = f"load_int64(rows, row_at + {at.column(HashColumn(self.field))}), load_int64(rows, row_at)"
        return f"see_value(record, {at.record(self)}, {self.cap}, {self.levels}, {row})"


def distinct(
    field: Entity | Category | Text | None,
    *,
    by: By,
    over: str | timedelta | None,
    cap: int = 32,
    up_to: int = 2_048,
    include_current: bool = False,
    where: Where = None,
) -> Distinct:
    """How many different values of a field the entity has had over the window (t − over, t]; ever, where that is None.

    Exact up to ``cap`` values (1 to 1024), beyond it an estimate whose relative standard error is at most √(2 / cap) up
    to ``up_to`` values, and which grows no further; ``distinct_is_exact`` says which. An entity takes
    16 · cap · (1 + log2(up_to / cap)) bytes. Values that are missing are left out.
    """
    options = distinct_options("distinct", field, by, over, cap, up_to, include_current, where)
    return Distinct(flag=False, **options)


def distinct_is_exact(
    field: Entity | Category | Text | None,
    *,
    by: By,
    over: str | timedelta | None,
    cap: int = 32,
    up_to: int = 2_048,
    where: Where = None,
) -> Distinct:
    """1 where ``distinct`` of the same options is exact, 0 where it is an estimate."""
    return Distinct(flag=True, **distinct_options("distinct_is_exact", field, by, over, cap, up_to, False, where))


def distinct_options(
    what: str,
    field: object,
    by: object,
    over: str | timedelta | None,
    cap: object,
    up_to: object,
    include_current: bool,
    where: object,
) -> dict[str, Any]:
    """The parts of a Distinct but its flag, if they are what they should be; ``over`` is None for a lifetime."""
    if not isinstance(field, (Entity, Category, Text)):
        raise FeatureError(f"{what}: expected an Entity, Category or Text field, found {field!r}")
    over_us = None if over is None else duration_us(over, f"{what}(over=)")
    if over_us == 0:
        raise FeatureError(f"{what}(over=): expected a window longer than 0, found {over!r}")
    if not isinstance(cap, int) or isinstance(cap, bool) or not 1 <= cap <= CAP_MOST:
        raise FeatureError(f"{what}(cap=): expected 1 to {CAP_MOST}, found {cap!r}")
    most = cap << LEVELS_MOST
    if not isinstance(up_to, int) or isinstance(up_to, bool) or not cap <= up_to <= most:
        raise FeatureError(f"{what}(up_to=): expected {cap} to {most}, found {up_to!r}")
    return {
        "by": entities_of(by, what),
        "where": condition_of(where, what),
        "include_current": bool(include_current),
        "field": field,
        "over_us": over_us,
        "cap": cap,
        "levels": (-(-up_to // cap) - 1).bit_length(),
    }
