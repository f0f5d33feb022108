"""A policy's conditions, looked at one by one."""

from __future__ import annotations

import math
import operator
from typing import Any

from quickthorn.decision.expression import (
    Among,
    Arithmetic,
    Both,
    Compare,
    Either,
    EventField,
    Expression,
    Feature,
    Missing,
    Negative,
    Not,
    Number,
    Scored,
    Text,
    Truth,
)
from quickthorn.reference.event import Row

_COMPARISONS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def holds(expression: Expression, row: Row, features: list[float], scored: dict[str, float]) -> bool:
    """Whether a condition holds; one that is a missing truth does not."""
    return value_of(expression, row, features, scored) is True


def value_of(expression: Expression, row: Row, features: list[float], scored: dict[str, float]) -> Any:
    """A number, text or truth; None where it is missing."""

    def of(part: Expression) -> Any:
        return value_of(part, row, features, scored)

    match expression:
        case Number() | Text() | Truth():
            return expression.value
        case EventField():
            value = row[expression.name]
            if value is None or expression.kind not in ("money", "number", "event_time"):
                return value
            return float(value) / float(10**expression.scale) if expression.kind == "money" else float(value)
        case Feature():
            return _present(features[expression.index])
        case Scored():
            return _present(scored[expression.name])
        case Negative():
            operand = of(expression.operand)
            return None if operand is None else -operand
        case Arithmetic():
            left, right = of(expression.left), of(expression.right)
            return None if left is None or right is None else _present(_ARITHMETIC[expression.operator](left, right))
        case Compare():
            left, right = of(expression.left), of(expression.right)
            return left is not None and right is not None and bool(_COMPARISONS[expression.operator](left, right))
        case Among():
            return of(expression.operand) in [value.value for value in expression.values]
        case Missing():
            return of(expression.operand) is None
        case Not():
            return of(expression.operand) is not True
        case Both():
            return all(of(part) is True for part in expression.parts)
        case Either():
            return any(of(part) is True for part in expression.parts)


def _present(value: float) -> float | None:
    return None if math.isnan(value) else value
