"""Gives a condition's names their meaning and holds its types; refuses what could divide by zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

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
    Type,
    children,
)
from quickthorn.decision.grammar import parse
from quickthorn.errors import ConditionError
from quickthorn.event import Field
from quickthorn.event.fields import Category

Facts: TypeAlias = frozenset[Expression]

SCORED: Final = ("score", "aligned_score", "margin", "expected_loss")
_FIELD_TYPES: Final[dict[str, Type]] = {
    "money": "number",
    "number": "number",
    "event_time": "number",
    "boolean": "truth",
    "category": "text",
    "text": "text",
    "entity": "text",
}
MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATED: Final = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


@dataclass(frozen=True)
class Names:
    """What a condition may name: fields of the event, features by their places, and what the model says."""

    fields: Mapping[str, Field]
    features: Mapping[str, int]
    scored: tuple[str, ...] = SCORED

    @classmethod
    def of(cls, fields: Iterable[Field], features: Iterable[str], scored: tuple[str, ...] = SCORED) -> Names:
        """The names of a schema's fields and of features in vector order."""
        return cls({field.name: field for field in fields}, {name: at for at, name in enumerate(features)}, scored)


def condition(text: str, names: Names) -> Expression:
    """A condition, true or false of every event; ConditionError where it is none."""
    return _Checker(names).of_type(parse(text), "truth")


def amount(text: str, names: Names) -> Expression:
    """An expression that is a number; ConditionError where it is none."""
    return _Checker(names).of_type(parse(text), "number")


def type_of(expression: Expression) -> Type:
    """What an expression's value is."""
    if isinstance(expression, (Number, Feature, Scored, Arithmetic, Negative)):
        return "number"
    if isinstance(expression, EventField):
        return _FIELD_TYPES[expression.kind]
    return "text" if isinstance(expression, Text) else "truth"


def known_nonzero(expression: Expression, holds: bool) -> Facts:
    """The numbers that cannot be 0 where a condition is known to hold, or not to hold.

    Of a comparison that does not hold, nothing is known of missing values, which divide without harm.
    """
    if isinstance(expression, Not):
        return known_nonzero(expression.operand, not holds)
    if isinstance(expression, Both if holds else Either):
        return frozenset().union(*(known_nonzero(part, holds) for part in children(expression)))
    if isinstance(expression, Compare):
        operator = expression.operator if holds else _NEGATED[expression.operator]
        return _nonzero_side(expression.left, operator, expression.right) | _nonzero_side(
            expression.right, MIRRORED[operator], expression.left
        )
    return frozenset()


def constant_of(expression: Expression) -> float | None:
    """The value of an expression of constants alone."""
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Negative):
        value = constant_of(expression.operand)
        return None if value is None else -value
    return None


def _nonzero_side(side: Expression, operator: str, other: Expression) -> Facts:
    bound = constant_of(other)
    if bound is None:
        return frozenset()
    excludes_zero = {
        "==": bound != 0.0,
        "!=": bound == 0.0,
        "<": bound <= 0.0,
        "<=": bound < 0.0,
        ">": bound >= 0.0,
        ">=": bound > 0.0,
    }[operator]
    return frozenset({side}) if excludes_zero else frozenset()


class _Checker:
    def __init__(self, names: Names) -> None:
        self.names = names

    def of_type(self, tree: Any, wanted: Type) -> Expression:
        expression = self.read(tree, frozenset())
        self.require(expression, wanted, tree)
        return expression

    def read(self, tree: Any, nonzero: Facts) -> Expression:
        handler: Callable[[Any, Facts], Expression] = getattr(self, f"read_{tree.data}")
        return handler(tree, nonzero)

    def require(self, expression: Expression, wanted: Type, tree: Any) -> None:
        found = type_of(expression)
        if found != wanted:
            described = {"number": "a number", "text": "a text", "truth": "a condition"}
            raise ConditionError(f"expected {described[wanted]}, found {described[found]}", _column(tree))

    def read_both(self, tree: Any, nonzero: Facts) -> Expression:
        return self._parts(tree, nonzero, Both, holds=True)

    def read_either(self, tree: Any, nonzero: Facts) -> Expression:
        return self._parts(tree, nonzero, Either, holds=False)

    def _parts(self, tree: Any, nonzero: Facts, kind: type[Both] | type[Either], *, holds: bool) -> Expression:
        parts: list[Expression] = []
        for part in tree.children:
            parts.append(self.read(part, nonzero))
            self.require(parts[-1], "truth", part)
            nonzero |= known_nonzero(parts[-1], holds)
        return kind(tuple(parts))

    def read_negation(self, tree: Any, nonzero: Facts) -> Expression:
        operand = self.read(tree.children[0], nonzero)
        self.require(operand, "truth", tree.children[0])
        return Not(operand)

    def read_compare(self, tree: Any, nonzero: Facts) -> Expression:
        left, operator, right = tree.children
        one, other = self.read(left, nonzero), self.read(right, nonzero)
        self.require(other, type_of(one), right)
        if type_of(one) != "number" and str(operator) not in ("==", "!="):
            raise ConditionError(
                f"expected == or != between values that are no numbers, found {operator}", _column(tree)
            )
        self._check_texts(one, (other,), tree)
        self._check_texts(other, (one,), tree)
        return Compare(str(operator), one, other)  # type: ignore[arg-type]  # the grammar has no others

    def read_among(self, tree: Any, nonzero: Facts) -> Expression:
        operand = self.read(tree.children[0], nonzero)
        listed = tree.children[1].children
        values = tuple(self.read(value, nonzero) for value in listed)
        for value, written in zip(values, listed, strict=True):
            self.require(value, type_of(operand), written)
        self._check_texts(operand, values, tree)
        return Among(operand, values)  # type: ignore[arg-type]  # the grammar has constants only

    def read_not_among(self, tree: Any, nonzero: Facts) -> Expression:
        return Not(self.read_among(tree, nonzero))

    def read_missing(self, tree: Any, nonzero: Facts) -> Expression:
        operand = self.read(tree.children[0], nonzero)
        if not isinstance(operand, (EventField, Feature, Scored)):
            raise ConditionError(
                "expected a field or a feature that may be missing, found something else", _column(tree)
            )
        return Missing(operand)

    def read_not_missing(self, tree: Any, nonzero: Facts) -> Expression:
        return Not(self.read_missing(tree, nonzero))

    def read_sum(self, tree: Any, nonzero: Facts) -> Expression:
        return self._arithmetic(tree, nonzero)

    def read_product(self, tree: Any, nonzero: Facts) -> Expression:
        return self._arithmetic(tree, nonzero)

    def _arithmetic(self, tree: Any, nonzero: Facts) -> Expression:
        result = self.read(tree.children[0], nonzero)
        self.require(result, "number", tree.children[0])
        for operator, operand in zip(tree.children[1::2], tree.children[2::2], strict=True):
            right = self.read(operand, nonzero)
            self.require(right, "number", operand)
            if operator == "/" and not (constant_of(right) or right in nonzero):
                raise ConditionError(
                    "expected a divisor that cannot be 0: a constant, or one that was compared before, as in "
                    "`x > 0 and y / x > 2`",
                    _column(operand),
                )
            result = Arithmetic(str(operator), result, right)  # type: ignore[arg-type]
        return result

    def read_negative(self, tree: Any, nonzero: Facts) -> Expression:
        operand = self.read(tree.children[0], nonzero)
        self.require(operand, "number", tree.children[0])
        return Negative(operand)

    def read_number(self, tree: Any, nonzero: Facts) -> Expression:
        value = float(str(tree.children[0]).replace("_", ""))
        if not math.isfinite(value):
            raise ConditionError(f"expected a finite number, found {tree.children[0]}", _column(tree))
        return Number(value)

    def read_negative_number(self, tree: Any, nonzero: Facts) -> Expression:
        value = self.read_number(tree, nonzero)
        assert isinstance(value, Number)
        return Number(-value.value)

    def read_text(self, tree: Any, nonzero: Facts) -> Expression:
        value = str(tree.children[0])[1:-1]
        if len(value.encode("utf-8", "surrogatepass")) > 256:
            raise ConditionError("expected a text of at most 256 bytes, found a longer one", _column(tree))
        return Text(value)

    def read_true(self, tree: Any, nonzero: Facts) -> Expression:
        return Truth(True)

    def read_false(self, tree: Any, nonzero: Facts) -> Expression:
        return Truth(False)

    def read_name(self, tree: Any, nonzero: Facts) -> Expression:
        name = str(tree.children[0])
        if name in SCORED:
            if name in self.names.scored:
                return Scored(name)
            raise ConditionError(f"expected a name that has a value here, found {name!r}", _column(tree))
        if name in self.names.fields:
            return self._field(name, tree)
        if name in self.names.features:
            return Feature(name, self.names.features[name])
        raise ConditionError(f"expected a field of the event or a feature, found {name!r}", _column(tree))

    def read_event_name(self, tree: Any, nonzero: Facts) -> Expression:
        return self._field(_plain(tree), tree)

    def read_feature_name(self, tree: Any, nonzero: Facts) -> Expression:
        name = _plain(tree)
        if name not in self.names.features:
            raise ConditionError(f"expected a feature, found {name!r}", _column(tree))
        return Feature(name, self.names.features[name])

    def _field(self, name: str, tree: Any) -> Expression:
        field = self.names.fields.get(name)
        if field is None:
            raise ConditionError(f"expected a field of the event, found {name!r}", _column(tree))
        if field.kind not in _FIELD_TYPES:
            raise ConditionError("expected a field to decide by, found the event's own id", _column(tree))
        return EventField(name, field.index, field.kind, field.scale if field.kind == "money" else 0)

    def _check_texts(self, operand: Expression, values: tuple[Expression, ...], tree: Any) -> None:
        """A closed category never has any but its own values: a condition on another is a slip of the pen."""
        field = self.names.fields.get(operand.name) if isinstance(operand, EventField) else None
        if isinstance(field, Category) and field.closed:
            for value in values:
                if isinstance(value, Text) and value.value not in field.values:
                    known = ", ".join(map(repr, field.values))
                    raise ConditionError(f"expected one of {known}, found {value.value!r}", _column(tree))


def _column(tree: Any) -> int:
    """Where it begins, as a character counted from 1."""
    return int(getattr(tree.meta, "start_pos", 0)) + 1


def _plain(tree: Any) -> str:
    written = str(tree.children[0])
    return written[1:-1] if written[0] in "\"'" else written
