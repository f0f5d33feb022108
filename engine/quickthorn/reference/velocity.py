"""Velocity, recomputed from the rows of the window."""

from __future__ import annotations

import math
from fractions import Fraction

from quickthorn.event import Money
from quickthorn.features.tiled_spread import TiledField
from quickthorn.features.tiles import Tiled
from quickthorn.features.velocity import Aggregate
from quickthorn.reference.event import Row
from quickthorn.reference.features import Moment, value_of


@value_of.register
def aggregated(expression: Aggregate, moment: Moment) -> float:
    """A count, or the sum or mean of what is not missing: 0 for an empty sum, missing for an empty mean."""
    return over_rows(expression, moment.window(expression))


@value_of.register
def tiled(expression: Tiled, moment: Moment) -> float:
    """The same over every event of a tile that the window reaches into."""
    return over_rows(expression, tiled_rows(expression, moment))


def tiled_rows(expression: Tiled | TiledField, moment: Moment) -> list[Row]:
    """The events of every tile that (t − over, t] reaches into."""
    oldest = (moment.now_us - expression.over_us + 1) // expression.tile_us
    return [row for row in moment.lifetime(expression) if row[moment.time] // expression.tile_us >= oldest]


def over_rows(expression: Aggregate | Tiled, window: list[Row]) -> float:
    """The aggregate of these rows."""
    field = expression.field
    if field is None:
        return float(len(window))
    found = [row[field.name] for row in window if row[field.name] is not None]
    if expression.kind == "mean" and not found:
        return math.nan
    total = rounded_once(sum(map(Fraction, found), Fraction(0)))
    units = float(10**field.scale) if isinstance(field, Money) else 1.0
    return total / (float(len(found)) * units) if expression.kind == "mean" else total / units


def rounded_once(total: Fraction) -> float:
    """The float nearest to an exact number; infinite beyond the largest."""
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf
