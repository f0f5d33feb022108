"""What a policy's condition is made of once it is read and its names are known (docs/POLICY.md has the language).

Numbers are float64 with NaN for missing. A comparison with a missing value is false, whatever it is, and so is ``in``;
``not`` only turns what it is given over; arithmetic with a missing value is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Type: TypeAlias = Literal["number", "text", "truth"]
Comparison: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True)
class Text:
    """A constant text."""

    value: str


@dataclass(frozen=True)
class Truth:
    """true or false."""

    value: bool


@dataclass(frozen=True)
class EventField:
    """A field of the event: its slot, kind and, for money, decimal digits."""

    name: str
    index: int
    kind: str
    scale: int = 0


@dataclass(frozen=True)
class Feature:
    """A feature, by its place in the vector."""

    name: str
    index: int


@dataclass(frozen=True)
class Scored:
    """What the model says: "score", "aligned_score", "margin" or "expected_loss"."""

    name: str


@dataclass(frozen=True)
class Arithmetic:
    """Two numbers added, subtracted, multiplied or divided."""

    operator: Literal["+", "-", "*", "/"]
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Negative:
    """A number with its sign turned."""

    operand: Expression


@dataclass(frozen=True)
class Compare:
    """Two numbers, texts or truths compared."""

    operator: Comparison
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Among:
    """Whether a value is one of a list of constants."""

    operand: Expression
    values: tuple[Number | Text, ...]


@dataclass(frozen=True)
class Missing:
    """Whether a field or feature has no value."""

    operand: Expression


@dataclass(frozen=True)
class Not:
    """The opposite."""

    operand: Expression


@dataclass(frozen=True)
class Both:
    """All of the parts; the later are only looked at where the earlier hold."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Either:
    """One of the parts at least; the later are only looked at where the earlier do not hold."""

    parts: tuple[Expression, ...]


Expression: TypeAlias = (
    Number | Text | Truth | EventField | Feature | Scored | Arithmetic | Negative
    | Compare | Among | Missing | Not | Both | Either
)  # fmt: skip


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions that this one is made of directly."""
    if isinstance(expression, (Arithmetic, Compare)):
        return (expression.left, expression.right)
    if isinstance(expression, (Negative, Among, Missing, Not)):
        return (expression.operand,)
    return expression.parts if isinstance(expression, (Both, Either)) else ()


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and all that it is made of."""
    yield expression
    for part in children(expression):
        yield from walk(part)
