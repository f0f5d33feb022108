"""Neighbour fraud rate, from everything a key has ever done and every event that was ever let in."""

from __future__ import annotations

import math

from quickthorn.features.neighbours import NeighbourFraud
from quickthorn.reference.features import Moment, value_of
from quickthorn.reference.labels import known_at


@value_of.register
def neighbour_fraud(expression: NeighbourFraud, moment: Moment) -> float:
    """The share of the neighbours of which any event is known to be fraud by now."""
    name = expression.field.name
    last_seen_us: dict[str, int] = {}
    for row in moment.lifetime(expression):
        neighbour = row[name]
        if neighbour is None:
            continue
        is_full = len(last_seen_us) == expression.cap and neighbour not in last_seen_us
        if is_full and row is not moment.current:
            # The one that was not seen for longest gives way, and the new one takes its place among equals.
            oldest = min(last_seen_us, key=lambda kept: last_seen_us[kept])
            last_seen_us = {neighbour if kept == oldest else kept: at_us for kept, at_us in last_seen_us.items()}
        last_seen_us[neighbour] = row[moment.time]
    start_us = -math.inf if expression.over_us is None else moment.now_us - expression.over_us
    neighbours = [neighbour for neighbour, at_us in last_seen_us.items() if at_us > start_us]
    frauds = {row[name] for row in moment.let_in if known_at(row, moment.now_us)}
    return sum(neighbour in frauds for neighbour in neighbours) / len(neighbours) if neighbours else math.nan
