"""A policy's conditions as C++, for the bundle's library (cpp/library/policy_conditions.hpp has what they stand on)."""

from __future__ import annotations

from quickthorn.decision.checking import type_of
from quickthorn.decision.compiled import Conditions
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

_SOURCE = """\
#include "policy_conditions.hpp"

namespace {{
using namespace quickthorn_policy_conditions;
{tables}
}}  // namespace

extern "C" void quickthorn_policy_match(const quickthorn_slot* slots, const double* features,
                                        const quickthorn_scored* scored, quickthorn_matches* matches);

void quickthorn_policy_match([[maybe_unused]] const quickthorn_slot* slots, [[maybe_unused]] const double* features,
                             [[maybe_unused]] const quickthorn_scored* scored, quickthorn_matches* matches) {{
    const double expected_loss = {expected_loss};
    matches->expected_loss = expected_loss;
    matches->rule = {rule_count}u;
    matches->cap = {cap_count}u;
    matches->segment = {segment_count}u;
    matches->explorable = {explorable};
{rules}
{caps}
{segments}
}}
"""


def emit_conditions(conditions: Conditions) -> str:
    """The C++ text of ``quickthorn_policy_match``."""
    emitter = _Emitter()
    loss = "missing"
    if conditions.amount is not None:
        share, fee = _number(conditions.share), _number(conditions.fee)
        loss = f"scored->score * ({emitter.number(conditions.amount)} * {share} + {fee})"
    explorable = "0u" if conditions.explorable is None else f"{emitter.truth(conditions.explorable)} ? 1u : 0u"
    # A rule that holds decides alone, so nothing after it is asked.
    rules = _first("rule", [emitter.truth(rule) for rule in conditions.rules], then="return;")
    caps = _first("cap", [emitter.truth(cap) for cap in conditions.caps])
    segments = _first("segment", [emitter.truth(segment) for segment in conditions.segments])
    return _SOURCE.format(
        tables="\n".join(emitter.tables),
        expected_loss=loss,
        rule_count=len(conditions.rules),
        cap_count=len(conditions.caps),
        segment_count=len(conditions.segments),
        explorable=explorable,
        rules=rules,
        caps=caps,
        segments=segments,
    )


def _first(kind: str, truths: list[str], then: str = "") -> str:
    branches = []
    for place, truth in enumerate(truths):
        opening = "else if" if place and not then else "if"
        after = f" {then}" if then else ""
        branches.append(f"    {opening} ({truth}) {{ matches->{kind} = {place}u;{after} }}")
    return "\n".join(branches)


class _Emitter:
    """Expressions as C++ expressions; constant lists become tables beside them."""

    def __init__(self) -> None:
        self.tables: list[str] = []

    def truth(self, expression: Expression) -> str:
        match expression:
            case Truth():
                return "true" if expression.value else "false"
            case EventField():
                return f"holds(real(slots, {expression.index}u))"
            case Not():
                return f"!({self.truth(expression.operand)})"
            case Both():
                return "(" + " && ".join(self.truth(part) for part in expression.parts) + ")"
            case Either():
                return "(" + " || ".join(self.truth(part) for part in expression.parts) + ")"
            case Missing():
                return self._missing(expression.operand)
            case Among():
                return self._among(expression)
            case Compare():
                return self._compare(expression)
        raise AssertionError(f"no truth: {expression}")

    def number(self, expression: Expression) -> str:
        match expression:
            case Number():
                return _number(expression.value)
            case Feature():
                return f"features[{expression.index}]"
            case Scored(name="expected_loss"):
                return "expected_loss"
            case Scored():
                return f"scored->{expression.name}"
            case EventField(kind="money"):
                return f"money(slots, {expression.index}u, {_number(10.0**expression.scale)})"
            case EventField(kind="event_time"):
                return f"static_cast<double>(slots[{expression.index}])"
            case EventField():
                return f"real(slots, {expression.index}u)"
            case Negative():
                return f"(-{self.number(expression.operand)})"
            case Arithmetic():
                return f"({self.number(expression.left)} {expression.operator} {self.number(expression.right)})"
        # A truth that is compared with another.
        return f"({self.truth(expression)} ? 1.0 : 0.0)"

    def text(self, expression: Expression) -> str:
        if isinstance(expression, Text):
            content = expression.value.encode("utf-8", "surrogatepass")
            return f"Text{{{_bytes(content)}, {len(content)}}}"
        assert isinstance(expression, EventField)
        return f"text(slots, {expression.index}u)"

    def _compare(self, compared: Compare) -> str:
        textual = type_of(compared.left) == "text"
        left, right = (self.text(side) if textual else self.number(side) for side in (compared.left, compared.right))
        if compared.operator == "!=":
            return f"differs({left}, {right})"
        return f"equal({left}, {right})" if textual else f"({left} {compared.operator} {right})"

    def _among(self, among: Among) -> str:
        table = f"values_{len(self.tables)}"
        textual = type_of(among.operand) == "text"
        values = ", ".join(self.text(value) if textual else self.number(value) for value in among.values)
        self.tables.append(f"constexpr {'Text' if textual else 'double'} {table}[] = {{{values}}};")
        operand = self.text(among.operand) if textual else self.number(among.operand)
        return f"among({operand}, {table}, {len(among.values)}u)"

    def _missing(self, operand: Expression) -> str:
        if isinstance(operand, EventField) and operand.kind in ("entity", "text"):
            return f"slots[{operand.index}] == 0"
        if isinstance(operand, EventField) and operand.kind == "category":
            return f"!known(real(slots, {operand.index}u))"
        return f"!known({self.number(operand)})"


def _number(value: float) -> str:
    return f"({value!r})" if value < 0 else repr(float(value))


def _bytes(content: bytes) -> str:
    """A string literal in which every byte that is no plain letter or digit is written in octal."""
    plain = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.")
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in content) + '"'
