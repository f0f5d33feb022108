"""Extremes of the rows of the window."""

from __future__ import annotations

import math

from quickthorn.features.extremes import Extreme
from quickthorn.reference.event import number_of
from quickthorn.reference.features import Moment, value_of


@value_of.register
def extreme(expression: Extreme, moment: Moment) -> float:
    """The greatest or the least of what is not missing; missing where there is nothing."""
    values = [number_of(expression.field, row[expression.field.name]) for row in moment.window(expression)]
    found = [value for value in values if not math.isnan(value)]
    if not found:
        return math.nan
    return max(found) if expression.sign > 0 else min(found)
