"""The second stage: what is known about an event at the moment it happens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

from quickthorn.event import Field
from quickthorn.features.built_in import takes_text
from quickthorn.features.declare import Application, Constant, Expression, FeatureSet, parts_of
from quickthorn.features.kept import Kept, Lifetime, Windowed
from quickthorn.reference.event import Row, number_of
from quickthorn.reference.kernels import apply

Key = tuple[str, ...]


@dataclass
class Past:
    """What one key is known to have done, each list ordered by (event time, arrival).

    ``rows``   what windows are over: the newest, up to the row limit
    ``ever``   every event that was ever stored
    ``since``  the newest event that the row limit has put behind us before its lateness was over
    """

    rows: list[Row] = field(default_factory=list)
    ever: list[Row] = field(default_factory=list)
    since: Row | None = None


@dataclass(frozen=True)
class Moment:
    """One event meeting the past of its key, at its own event time.

    ``current``  the event's row where it is to be counted in expressions that ask for it, else None
    ``let_in``   every event of any key that was ever let in
    """

    time: str
    past: Past
    row: Row
    current: Row | None
    let_in: list[Row] = field(default_factory=list)

    @property
    def now_us(self) -> int:
        """The time of the event."""
        now: int = self.row[self.time]
        return now

    def window(self, expression: Windowed) -> list[Row]:
        """The rows of (t − delay − over, t − delay] that count, and the event itself if asked for."""
        end_us = self.now_us - expression.delay_us
        start_us = end_us - expression.over_us
        found = [kept for kept in self.past.rows if start_us < kept[self.time] <= end_us]
        return self._counted(expression, found)

    def lifetime(self, expression: Kept) -> list[Row]:
        """Every event up to t that counts, and the event itself if asked for."""
        return self._counted(expression, [kept for kept in self.past.ever if kept[self.time] <= self.now_us])

    def _counted(self, expression: Kept, rows: list[Row]) -> list[Row]:
        current = [self.current] if expression.include_current and self.current is not None else []
        return [row for row in rows + current if holds(expression, row)]


@singledispatch
def value_of(expression: Kept, moment: Moment) -> float:
    """The expression's value; every family registers its own slow version of it."""
    raise NotImplementedError(type(expression).__name__)


def holds(expression: Kept, row: Row) -> bool:
    """Whether the row satisfies ``where=``: its value is neither 0 nor missing."""
    if expression.where is None:
        return True
    judged = judge(expression.where.expression, row)
    return judged != 0.0 and not math.isnan(judged)


def judge(expression: Expression, row: Row) -> float:
    """An expression of the event's own fields."""
    if isinstance(expression, Field):
        return number_of(expression, row[expression.name])
    if isinstance(expression, Constant):
        return expression.value
    assert isinstance(expression, Application)
    places = range(len(expression.arguments))
    return apply(expression.kernel, *(argument_of(expression, place, row, judge) for place in places))


def argument_of(application: Application, place: int, row: Row, value: Callable[[Expression, Row], float]) -> Any:
    """What a kernel is given: an event time as ticks, a text as it came, else the expression's value."""
    argument = application.arguments[place]
    if isinstance(argument, Field) and (argument.kind == "event_time" or takes_text(application.kernel, place)):
        return row[argument.name]
    return value(argument, row)


class Group:
    """Everything kept by one entity field, or several that are a key together."""

    def __init__(self, by: tuple[Field, ...], kept: tuple[Kept, ...], features: FeatureSet) -> None:
        self.by = by
        self.time = features.schema.event_time.name
        self.kept = kept
        self.lateness_us = features.lateness_us
        self.row_limit = features.row_limit
        self.expire_after_us = features.expire_after_us
        self.clock_us: int | None = None  # the largest time of an event that was let in
        windows = [expression for expression in kept if isinstance(expression, Windowed)]
        self.horizon_us = max((window.delay_us + window.over_us for window in windows), default=0)
        self.pasts: dict[Key, Past] = {}
        self.let_in: list[Row] = []

    def key(self, row: Row) -> Key | None:
        """The event's key; None where an entity is missing."""
        key = tuple(row[entity.name] for entity in self.by)
        return None if None in key else key

    def past(self, row: Row) -> Past:
        """What is known of the event's key."""
        key = self.key(row)
        past = Past() if key is None else self.pasts.get(key, Past())
        return Past() if self.is_expired(past, row[self.time]) else past

    def is_expired(self, past: Past, at_us: int) -> bool:
        """Whether the key was idle for so long that it is forgotten, as of then or of how far the stream has come."""
        if not self.expire_after_us or not past.ever:
            return False
        judged_us = at_us if self.clock_us is None else max(at_us, self.clock_us - self.lateness_us)
        newest_us: int = past.ever[-1][self.time]
        return judged_us - newest_us >= self.expire_after_us

    def pass_time(self, at_us: int) -> None:
        """The stream has come at least this far."""
        self.clock_us = at_us if self.clock_us is None else max(self.clock_us, at_us)

    def behind_us(self, row: Row) -> int:
        """How much older the event is than the newest one stored for its key; 0 when it is not older."""
        ever = self.past(row).ever
        return max(0, ever[-1][self.time] - row[self.time]) if ever else 0

    def leaves_out(self, row: Row) -> bool:
        """Whether the event has no key here, or is too late: its values are missing, and it is not stored."""
        return self.key(row) is None or self.behind_us(row) > self.lateness_us

    def moment(self, row: Row, with_current: bool) -> Moment:
        """The event meeting what is known of its key."""
        return Moment(self.time, self.past(row), row, row if with_current else None, self.let_in)

    def read(self, row: Row, with_current: bool) -> dict[Kept, float]:
        """Every expression's value at the event's time."""
        if self.leaves_out(row):
            return dict.fromkeys(self.kept, math.nan)
        moment = self.moment(row, with_current)
        since = moment.past.since
        # What has been put behind us cannot be taken back for an event that was before it.
        is_behind = since is not None and moment.now_us < since[self.time]
        return {
            expression: math.nan if is_behind and isinstance(expression, Lifetime) else value_of(expression, moment)
            for expression in self.kept
        }

    def store(self, row: Row) -> bool:
        """Put the event in its place; True when the row limit made one leave early, or kept this one out."""
        key = self.key(row)
        if key is None or self.leaves_out(row):
            return False
        past = self.pasts[key] = self.past(row)
        # Rows that no window can reach any more do not count towards the row limit.
        newest_us = row[self.time] + self.behind_us(row)
        unreachable_us = newest_us - self.horizon_us - self.lateness_us
        past.rows = [kept for kept in past.rows if kept[self.time] > unreachable_us]
        capped = len(past.rows) == self.row_limit
        if capped and row[self.time] < past.rows[0][self.time]:
            return True
        if capped:
            past.since = past.rows.pop(0)
        for stored in (past.rows, past.ever):
            stored.insert(sum(kept[self.time] <= row[self.time] for kept in stored), row)
        return capped


def groups_of(features: FeatureSet) -> list[Group]:
    """One group per key that something is kept by."""
    parts = (part for name in features.names for part in parts_of(features.expression(name)))
    kept = dict.fromkeys(part for part in parts if isinstance(part, Kept))
    keys = dict.fromkeys(expression.by for expression in kept)
    return [Group(by, tuple(expression for expression in kept if expression.by == by), features) for by in keys]
