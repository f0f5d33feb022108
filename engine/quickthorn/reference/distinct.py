"""Distinct values, from everything a key has ever done."""

from __future__ import annotations

import math

from quickthorn.features.distinct import Distinct
from quickthorn.reference.features import Moment, value_of


@value_of.register
def distinct(expression: Distinct, moment: Moment) -> float:
    """How many different values there were, exactly; or whether the engine must know that: there are at most ``cap``.

    Beyond ``cap`` the engine gives an estimate of this number.
    """
    start_us = -math.inf if expression.over_us is None else moment.now_us - expression.over_us
    name = expression.field.name
    found = {
        row[name]
        for row in moment.lifetime(expression)
        if row[name] is not None and (row[moment.time] > start_us or row is moment.current)
    }
    return float(len(found) <= expression.cap) if expression.flag else float(len(found))
