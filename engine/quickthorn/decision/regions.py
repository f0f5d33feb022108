"""Where a condition can hold: boxes of what single fields, features and scores may be.

A condition becomes a list of boxes, one of which holds wherever the condition does. What is not a comparison of one of
these with a constant (arithmetic, two fields compared) bounds nothing; a box that something was left out of is not
``exact``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from quickthorn.decision.checking import MIRRORED, constant_of
from quickthorn.decision.expression import (
    Among,
    Both,
    Compare,
    Either,
    EventField,
    Expression,
    Feature,
    Missing,
    Not,
    Number,
    Scored,
    Text,
    Truth,
)

_MOST_BOXES = 256


@dataclass(frozen=True)
class Interval:
    """Numbers from ``low`` to ``high``; an open end is out."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Whether no number is in it."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def within(self, other: Interval) -> Interval:
        """What is in both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, high_closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Interval(low, high, low_open, not high_closed)

    def __str__(self) -> str:
        opening, closing = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"{opening}{self.low:g}, {self.high:g}{closing}"


@dataclass(frozen=True)
class Values:
    """What one field, feature or score may be: missing, a number in an interval, or a text of a set (or not of it)."""

    missing: bool
    present: bool = True
    interval: Interval = field(default_factory=Interval)
    texts: frozenset[str] = frozenset()
    texts_left_out: bool = True

    @property
    def empty(self) -> bool:
        """Whether it can be nothing at all."""
        nothing = self.interval.empty or (not self.texts_left_out and not self.texts)
        return not self.missing and (not self.present or nothing)

    def within(self, other: Values) -> Values:
        """What is in both."""
        if self.texts_left_out and other.texts_left_out:
            texts, left_out = self.texts | other.texts, True
        elif self.texts_left_out or other.texts_left_out:
            kept, dropped = (other, self) if self.texts_left_out else (self, other)
            texts, left_out = kept.texts - dropped.texts, False
        else:
            texts, left_out = self.texts & other.texts, False
        return Values(
            self.missing and other.missing,
            self.present and other.present,
            self.interval.within(other.interval),
            texts,
            left_out,
        )


@dataclass(frozen=True)
class Box:
    """A conjunction: every term it bounds has such values. ``exact`` where the condition asks for nothing else."""

    bounds: tuple[tuple[Expression, Values], ...] = ()
    exact: bool = True

    @property
    def empty(self) -> bool:
        """Whether no event is in it."""
        return any(values.empty for _, values in self.bounds)

    def within(self, other: Box) -> Box:
        """What is in both."""
        bounds = dict(self.bounds)
        for term, values in other.bounds:
            bounds[term] = bounds[term].within(values) if term in bounds else values
        return Box(tuple(bounds.items()), self.exact and other.exact)

    def covers(self, other: Box) -> bool:
        """Whether every event of the other box is in this one, for certain."""
        theirs = dict(other.bounds)
        return self.exact and all(
            term in theirs and theirs[term].within(values) == theirs[term] for term, values in self.bounds
        )


def boxes_of(expression: Expression, known: Box = Box()) -> list[Box]:  # immutable
    """Boxes that hold every event for which the condition holds, within what is ``known`` of all events."""
    return [box for box in (one.within(known) for one in _boxes(expression, True)) if not box.empty]


def _boxes(expression: Expression, holds: bool) -> list[Box]:
    match expression:
        case Truth():
            return [Box()] if expression.value is holds else []
        case Not():
            return _boxes(expression.operand, not holds)
        case Both() | Either():
            parts = [_boxes(part, holds) for part in expression.parts]
            if isinstance(expression, Both) is not holds:
                return list(itertools.chain.from_iterable(parts))
            if math.prod(map(len, parts)) > _MOST_BOXES:
                return [Box(exact=False)]
            products = (_all_of(boxes) for boxes in itertools.product(*parts))
            return [box for box in products if not box.empty]
        case Missing():
            return [_box(expression.operand, Values(missing=holds, present=not holds))]
        case EventField():
            truth = Interval(1.0, 1.0) if holds else Interval(0.0, 0.0)
            return _either_missing(expression, [Values(False, interval=truth)], holds)
        case Among():
            return _among(expression, holds)
        case Compare():
            return _compared(expression, holds)
    return [Box(exact=False)]


def _all_of(boxes: Iterable[Box]) -> Box:
    result = Box()
    for box in boxes:
        result = result.within(box)
    return result


def _box(term: Expression, values: Values) -> Box:
    return Box(((term, values),))


def _either_missing(term: Expression, values: list[Values], holds: bool) -> list[Box]:
    """A comparison that holds has no missing value in it; one that does not may be false for want of one."""
    boxes = [_box(term, each) for each in values]
    return boxes if holds else [*boxes, _box(term, Values(missing=True, present=False))]


def _among(expression: Among, holds: bool) -> list[Box]:
    term = expression.operand
    if not isinstance(term, (EventField, Feature, Scored)):
        return [Box(exact=False)]
    if isinstance(expression.values[0], Text):
        texts = frozenset(value.value for value in expression.values if isinstance(value, Text))
        return _either_missing(term, [Values(False, texts=texts, texts_left_out=not holds)], holds)
    points = sorted({value.value for value in expression.values if isinstance(value, Number)})
    intervals = [Interval(point, point) for point in points] if holds else _between(points)
    return _either_missing(term, [Values(False, interval=interval) for interval in intervals], holds)


def _between(points: list[float]) -> list[Interval]:
    ends = [-math.inf, *points, math.inf]
    return [Interval(low, high, low_open=True, high_open=True) for low, high in itertools.pairwise(ends)]


def _compared(expression: Compare, holds: bool) -> list[Box]:
    term, operator, other = expression.left, str(expression.operator), expression.right
    if not isinstance(term, (EventField, Feature, Scored)):
        term, operator, other = other, MIRRORED[operator], term
    if not isinstance(term, (EventField, Feature, Scored)):
        return [Box(exact=False)]
    if isinstance(other, Text):
        texts_left_out = (operator == "==") is not holds
        return _either_missing(
            term, [Values(False, texts=frozenset({other.value}), texts_left_out=texts_left_out)], holds
        )
    bound = float(other.value) if isinstance(other, Truth) else constant_of(other)
    if bound is None:
        return [Box(exact=False)]
    return _either_missing(term, [Values(False, interval=each) for each in _intervals(operator, bound, holds)], holds)


def _intervals(operator: str, bound: float, holds: bool) -> list[Interval]:
    if operator in ("==", "!="):
        return [Interval(bound, bound)] if (operator == "==") is holds else _between([bound])
    below = operator in ("<", "<=")
    closed = operator in ("<=", ">=")
    if below is holds:
        return [Interval(high=bound, high_open=closed is not holds)]
    return [Interval(low=bound, low_open=closed is not holds)]
