"""Sequence, from everything a key has ever done; what is missing is left out."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

from quickthorn.event import Field, Money
from quickthorn.features.kept import Kept
from quickthorn.features.sequence import Changed, Difference, Last, RunLength
from quickthorn.reference.event import number_of
from quickthorn.reference.features import Moment, holds, value_of
from quickthorn.reference.velocity import rounded_once


def values(expression: Kept, field: Field, moment: Moment) -> list[Any]:
    """The values up to t, oldest first, with the current one where the expression counts it."""
    return [row[field.name] for row in moment.lifetime(expression) if row[field.name] is not None]


def lacks_current(expression: Kept, field: Field, moment: Moment) -> bool:
    """Whether the event at hand should be the end of the sequence and is no part of it."""
    current = moment.current
    return current is not None and (current[field.name] is None or not holds(expression, current))


@value_of.register
def last(expression: Last, moment: Moment) -> float:
    """The k-th last value."""
    found = values(expression, expression.field, moment)
    return number_of(expression.field, found[-expression.k]) if len(found) >= expression.k else math.nan


@value_of.register
def difference(expression: Difference, moment: Moment) -> float:
    """Differences of differences, of the last values."""
    found = values(expression, expression.field, moment)[-expression.order - 1 :]
    if len(found) <= expression.order or lacks_current(expression, expression.field, moment):
        return math.nan
    exact = [Fraction(value) for value in found]
    for _ in range(expression.order):
        exact = [later - earlier for earlier, later in pairwise(exact)]
    scale = 10**expression.field.scale if isinstance(expression.field, Money) else 1
    return rounded_once(exact[0] / scale)


@value_of.register
def run_length(expression: RunLength, moment: Moment) -> float:
    """How many of the last values are the same."""
    found = values(expression, expression.field, moment)
    same = 0
    while same < len(found) and found[-1 - same] == found[-1]:
        same += 1
    return float(same)


@value_of.register
def changed(expression: Changed, moment: Moment) -> float:
    """Whether the last two values differ."""
    found = values(expression, expression.field, moment)
    if len(found) < 2 or lacks_current(expression, expression.field, moment):
        return math.nan
    return 0.0 if found[-1] == found[-2] else 1.0
