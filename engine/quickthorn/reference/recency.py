"""Recency and age, from everything a key has ever done."""

from __future__ import annotations

import math

from quickthorn.features.recency import Age, Since
from quickthorn.reference.features import Moment, value_of


@value_of.register
def since(expression: Since, moment: Moment) -> float:
    """Seconds since the k-th last event; missing where there were fewer."""
    events = moment.lifetime(expression)
    if len(events) < expression.k:
        return math.nan
    return float(moment.now_us - events[-expression.k][moment.time]) / 1e6


@value_of.register
def age(expression: Age, moment: Moment) -> float:
    """Seconds since the first event, or whether there was none."""
    events = moment.lifetime(expression)
    if expression.flag:
        return 0.0 if events else 1.0
    return float(moment.now_us - events[0][moment.time]) / 1e6 if events else math.nan
