"""The second stage: what is known about an event at the moment it happens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

from quickthorn.event import Entity, Field, Money
from quickthorn.features.declare import Aggregate, Application, Expression, FeatureSet
from quickthorn.reference.event import Row


class Group:
    """All windowed aggregates kept by one entity field, over everything stored for each of its keys."""

    def __init__(self, entity: Field, aggregates: tuple[Aggregate, ...], features: FeatureSet) -> None:
        self.entity = entity
        self.time = features.schema.event_time.name
        self.aggregates = aggregates
        self.lateness_us = features.lateness_us
        self.row_limit = features.row_limit
        self.horizon_us = max(aggregate.delay_us + aggregate.over_us for aggregate in aggregates)
        self.rows: dict[str, list[Row]] = {}  # per key, ordered by (event time, arrival)

    def behind_us(self, row: Row) -> int:
        """How much older the event is than the newest one stored for its key; 0 when it is not older."""
        stored = self.rows.get(row[self.entity.name])
        return max(0, stored[-1][self.time] - row[self.time]) if stored else 0

    def leaves_out(self, row: Row) -> bool:
        """Whether the event has no key here, or is too late: its values are missing, and it is not stored."""
        return row[self.entity.name] is None or self.behind_us(row) > self.lateness_us

    def read(self, row: Row, with_current: bool) -> dict[Aggregate, float]:
        """Every aggregate's value at the event's time."""
        if self.leaves_out(row):
            return dict.fromkeys(self.aggregates, math.nan)
        return {
            aggregate: aggregated(aggregate, self.window(aggregate, row, with_current)) for aggregate in self.aggregates
        }

    def window(self, aggregate: Aggregate, row: Row, with_current: bool) -> list[Row]:
        """What one aggregate is over: the rows of (t − delay − over, t − delay], and the event itself if asked for."""
        end_us = row[self.time] - aggregate.delay_us
        start_us = end_us - aggregate.over_us
        stored = self.rows.get(row[self.entity.name], [])
        current = [row] if aggregate.include_current and with_current else []
        return [kept for kept in stored if start_us < kept[self.time] <= end_us] + current

    def store(self, row: Row) -> bool:
        """Put the event in its place; True when the row limit made one leave early, or kept this one out."""
        if self.leaves_out(row):
            return False
        stored = self.rows.setdefault(row[self.entity.name], [])
        # Rows that no window can reach any more do not count towards the row limit.
        newest_us = row[self.time] + self.behind_us(row)
        unreachable_us = newest_us - self.horizon_us - self.lateness_us
        stored[:] = [kept for kept in stored if kept[self.time] > unreachable_us]
        capped = len(stored) == self.row_limit
        if capped and row[self.time] < stored[0][self.time]:
            return True
        if capped:
            del stored[0]
        position = sum(kept[self.time] <= row[self.time] for kept in stored)
        stored.insert(position, row)
        return capped


def aggregated(aggregate: Aggregate, window: list[Row]) -> float:
    """A count, or the sum or mean of what is not missing: 0 for an empty sum, missing for an empty mean."""
    if aggregate.field is None:
        return float(len(window))
    found = [row[aggregate.field.name] for row in window if row[aggregate.field.name] is not None]
    if aggregate.kind == "mean" and not found:
        return math.nan
    total = _rounded_once(sum(map(Fraction, found), Fraction(0)))
    units = float(10**aggregate.field.scale) if isinstance(aggregate.field, Money) else 1.0
    return total / (float(len(found)) * units) if aggregate.kind == "mean" else total / units


def _rounded_once(total: Fraction) -> float:
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def groups_of(features: FeatureSet) -> list[Group]:
    """One group per entity field that an aggregate is kept by."""
    aggregates = list(dict.fromkeys(_aggregates(features.expression(name) for name in features.names)))
    entities = [field for field in features.schema.fields if isinstance(field, Entity)]
    kept = [(entity, tuple(a for a in aggregates if a.by.name == entity.name)) for entity in entities]
    return [Group(entity, chosen, features) for entity, chosen in kept if chosen]


def _aggregates(expressions: Iterable[Expression]) -> Iterator[Aggregate]:
    for expression in expressions:
        if isinstance(expression, Aggregate):
            yield expression
        elif isinstance(expression, Application):
            yield from _aggregates(expression.arguments)
