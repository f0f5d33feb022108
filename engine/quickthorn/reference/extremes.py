"""Extremes of the rows of the window."""

from __future__ import annotations

import math

from quickthorn.features.extremes import Extreme
from quickthorn.features.tiled_spread import TiledExtreme
from quickthorn.reference.event import Row, number_of
from quickthorn.reference.features import Moment, value_of
from quickthorn.reference.velocity import tiled_rows


@value_of.register
def extreme(expression: Extreme, moment: Moment) -> float:
    """The greatest or the least of what is not missing; missing where there is nothing."""
    return of_rows(expression, moment.window(expression))


@value_of.register
def tiled_extreme(expression: TiledExtreme, moment: Moment) -> float:
    """The same over every event of a tile that the window reaches into."""
    return of_rows(expression, tiled_rows(expression, moment))


def of_rows(expression: Extreme | TiledExtreme, rows: list[Row]) -> float:
    """The extreme of these rows."""
    values = [number_of(expression.field, row[expression.field.name]) for row in rows]
    found = [value for value in values if not math.isnan(value)]
    if not found:
        return math.nan
    return max(found) if expression.sign > 0 else min(found)
