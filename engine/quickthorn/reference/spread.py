"""Spread, recomputed exactly from the rows of the window."""

from __future__ import annotations

import math
from fractions import Fraction

from quickthorn.event import Money
from quickthorn.features.spread import Spread
from quickthorn.features.tiled_spread import TiledSpread
from quickthorn.reference.event import Row
from quickthorn.reference.features import Moment, value_of
from quickthorn.reference.velocity import rounded_once, tiled_rows

_ROOT_BITS = 200


@value_of.register
def spread(expression: Spread, moment: Moment) -> float:
    """The variance of what is not missing, or its root, rounded once."""
    return of_rows(expression, moment.window(expression))


@value_of.register
def tiled_spread(expression: TiledSpread, moment: Moment) -> float:
    """The same over every event of a tile that the window reaches into."""
    return of_rows(expression, tiled_rows(expression, moment))


def of_rows(expression: Spread | TiledSpread, rows: list[Row]) -> float:
    """The spread of these rows."""
    name = expression.field.name
    found = [Fraction(row[name]) for row in rows if row[name] is not None]
    if len(found) <= expression.ddof:
        return math.nan
    if isinstance(expression.field, Money):
        found = [value / 10**expression.field.scale for value in found]
    mean = sum(found, Fraction(0)) / len(found)
    variance = sum(((value - mean) ** 2 for value in found), Fraction(0)) / (len(found) - expression.ddof)
    return rounded_once(_root(variance) if expression.root else variance)


def _root(value: Fraction) -> Fraction:
    """The square root to far more digits than a float has."""
    if value == 0:
        return value
    # Scaled by 4**bits so that the integer root has at least _ROOT_BITS.
    bits = max(0, _ROOT_BITS + (value.denominator.bit_length() - value.numerator.bit_length()) // 2)
    return Fraction(math.isqrt((value.numerator << 2 * bits) // value.denominator), 2**bits)
