"""Ratios, z-scores and shares: one value measured by another, and missing where there is nothing to measure by."""

from __future__ import annotations

import math

from quickthorn.features.built_in import built_in, check_number
from quickthorn.features.declare import Application


def ratio(numerator: object, denominator: object, *, zero_division: object = math.nan) -> Application:
    """``numerator / denominator``: the amount to the usual amount, today's count to the month's.

    0/0 is missing. Anything else over 0 is ``zero_division``, by default missing too: most trainers refuse infinities.
    Every argument is a field, a feature, an aggregate or a number.
    """
    return _RATIO(numerator, denominator, zero_division)


def z_score(value: object, mean: object, std: object, *, least_std: float = 0.0) -> Application:
    """How many standard deviations the value lies above its mean: ``(value − mean) / std``.

    ``std`` is taken to be at least ``least_std``, in the value's unit, so that a customer who always pays the same
    does not make every other amount infinitely strange. Missing where the deviation is then still 0 or below.
    """
    return _Z_SCORE(value, mean, std, check_number("z_score(least_std=)", least_std, 0.0, math.inf))


def share(part: object, whole: object) -> Application:
    """What part of a whole this is, the customer's sum at the terminal of the terminal's total: ``part / whole``.

    Missing where the whole is 0 or below. A part larger than its whole gives more than 1: nothing is cut off.
    """
    return _SHARE(part, whole)


def _ratio(numerator: float, denominator: float, zero_division: float) -> float:
    if denominator != 0.0:
        return numerator / denominator
    return zero_division if numerator < 0.0 or numerator > 0.0 else math.nan


def _z_score(value: float, mean: float, std: float, least_std: float) -> float:
    spread = least_std if std < least_std else std
    return (value - mean) / spread if spread > 0.0 else math.nan


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else math.nan


_RATIO = built_in(_ratio, ("number", "number", "number"), name="ratio")
_Z_SCORE = built_in(_z_score, ("number", "number", "number", "number"), name="z_score")
_SHARE = built_in(_share, ("number", "number"), name="share")
