"""Decay, as weighted sums over everything a key has ever done."""

from __future__ import annotations

import math
from fractions import Fraction

from quickthorn.event import Money
from quickthorn.features.decay import LARGEST_DECAYED, Decayed
from quickthorn.reference.event import Row
from quickthorn.reference.features import Moment, value_of
from quickthorn.reference.velocity import rounded_once

# Half-lives after which nothing that a float can hold is left.
NOTHING_LEFT = 3_000


@value_of.register
def decayed(expression: Decayed, moment: Moment) -> float:
    """The weights' sum, or the weighted sum, mean or variance of what is not missing."""
    weighed = weighed_values(expression, moment)
    if not weighed:
        return math.nan if expression.kind in ("mean", "variance") else 0.0
    total = sum((weight * value for weight, value in weighed), Fraction(0))
    if expression.kind in ("count", "sum"):
        return rounded_once(total)
    weights = sum((weight for weight, _ in weighed), Fraction(0))
    mean = total / weights
    if expression.kind == "mean":
        return rounded_once(mean)
    return rounded_once(sum((weight * (value - mean) ** 2 for weight, value in weighed), Fraction(0)) / weights)


def weighed_values(expression: Decayed, moment: Moment) -> list[tuple[Fraction, Fraction]]:
    """Weight and value of every event that counts; the value of a count is 1.

    Of a mean or a variance only how weights compare matters: the newest weighs 1.
    """
    field = expression.field
    scale = Fraction(10**field.scale if isinstance(field, Money) else 1)
    limit = Fraction(LARGEST_DECAYED)

    def value(row: Row) -> Fraction:
        found = Fraction(1 if field is None else row[field.name])
        return Fraction(max(-limit, min(limit, found))) / scale

    rows = [row for row in moment.lifetime(expression) if field is None or row[field.name] is not None]
    absolute = expression.kind in ("count", "sum") or not rows
    now_us = moment.now_us if absolute else rows[-1][moment.time]
    ages = [Fraction(now_us - row[moment.time], expression.half_life_us) for row in rows]
    return [(power_of_half(age), value(row)) for age, row in zip(ages, rows, strict=True) if age < NOTHING_LEFT]


def power_of_half(exponent: Fraction) -> Fraction:
    """2^−exponent, to a float's precision however small it is."""
    whole = math.floor(exponent)
    power: Fraction = Fraction(2.0 ** -float(exponent - whole)) / 2**whole
    return power
