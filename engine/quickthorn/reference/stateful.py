"""Users' records, updated by everything a key has ever done."""

from __future__ import annotations

from typing import Any

import numpy as np

from quickthorn.event import Field
from quickthorn.features.stateful import StatefulValue
from quickthorn.reference.event import Row, number_of
from quickthorn.reference.features import Moment, value_of
from quickthorn.reference.kernels import run


class Variables:
    """A record whose variables stay the int64 or float64 they are."""

    kinds: dict[str, type[np.int64] | type[np.float64]]

    def __init__(self, starts: tuple[tuple[str, int | float], ...]) -> None:
        self.__dict__["kinds"] = {name: np.int64 if isinstance(start, int) else np.float64 for name, start in starts}
        for name, start in starts:
            setattr(self, name, start)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = self.kinds[name](value)


@value_of.register
def stateful_value(expression: StatefulValue, moment: Moment) -> float:
    """The record's value for the event at hand."""
    record = Variables(expression.stateful.variables)
    for row in moment.lifetime(expression):
        run(expression.stateful.update, record, *(_argument(field, row) for field in expression.arguments))
    given = (_argument(field, moment.row) for field in expression.arguments)
    return float(run(expression.stateful.read, record, *given))


def _argument(field: Field, row: Row) -> Any:
    if field.kind == "event_time":
        return np.int64(row[field.name])
    return np.float64(number_of(field, row[field.name]))
