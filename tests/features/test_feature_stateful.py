"""Users' records: what is declared wrongly, and what cannot be compiled, is refused by name, place and reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import quickthorn as qt
from quickthorn.errors import FeatureError
from quickthorn.features.lowering import lower
from quickthorn.features.plan import plan


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    note: qt.Text | None


def refusal(declare: Callable[[], object]) -> str:
    with pytest.raises(FeatureError) as caught:
        declare()
    return str(caught.value)


def update(self: Any, amount: float) -> None:
    self.total += amount


def read(self: Any, amount: float) -> float:
    return float(self.total)


def declared(**members: Any) -> Any:
    given = {"__annotations__": {"total": float}, "total": 0.0, "update": update, "read": read, **members}
    return qt.stateful(type("Total", (), {name: member for name, member in given.items() if member is not None}))


def test_a_record_is_a_class_of_numbers_with_two_functions_of_the_same_arguments() -> None:
    assert refusal(lambda: qt.stateful(update)) == "@stateful: expected a class, found function"  # type: ignore[arg-type]
    assert refusal(lambda: declared(__annotations__={})) == "stateful Total: expected 1 to 64 variables, found 0"
    assert refusal(lambda: declared(__annotations__={"total": str})) == (
        "stateful Total.total: expected int or float, found str"
    )
    assert refusal(lambda: declared(total="0")) == "stateful Total.total: expected an float to start from, found '0'"
    assert refusal(lambda: declared(__annotations__={"total": int}, total=2**63)).startswith(
        "stateful Total.total: expected an int of 64 bits"
    )
    assert refusal(lambda: declared(read=None)) == ("stateful Total: expected a function read(self, ...), found None")
    assert refusal(lambda: declared(read=lambda self: 0.0)) == (
        "stateful Total: expected update and read to take the same arguments, found 2 and 1"
    )


def test_a_record_is_kept_by_an_entity_and_over_numeric_fields() -> None:
    total = declared()
    assert refusal(lambda: total(by=Payment.customer)) == "stateful Total: expected 1 fields, found 0"
    assert refusal(lambda: total(Payment.note, by=Payment.customer)).endswith("found Payment.note")
    assert refusal(lambda: total(5, by=Payment.customer)).endswith("found 5")
    assert refusal(lambda: total(Payment.amount, by=Payment.amount)).startswith(
        "stateful Total(by=): expected an Entity"
    )


def raises(self: Any, amount: float) -> None:
    if amount > 5:
        raise ValueError("too much")
    self.total += amount


def allocates(self: Any, amount: float) -> None:
    self.total = float(len([amount] * int(amount)))


def returns(self: Any, amount: float) -> float:
    self.total += amount
    return amount


def forgets(self: Any, amount: float) -> None:
    self.total += self.average


def invents(self: Any, amount: float) -> None:
    self.average = amount


def says(self: Any, amount: float) -> str:
    return "much"


@pytest.mark.parametrize(
    ("role", "function", "reason"),
    [
        ("update", raises, "expected a kernel that cannot raise"),
        ("update", allocates, "memory|Python objects"),
        ("update", returns, "expected a function that changes its record and returns nothing"),
        ("update", forgets, "average"),
        ("update", invents, "expected only variables that its record has to be set, found 'average'"),
        ("read", says, "found a string"),
        ("read", update, "expected a number on every path, found a path that returns None"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name_and_line(role: str, function: Any, reason: str) -> None:
    features = qt.FeatureSet(Payment)
    features["total"] = declared(**{role: function})(Payment.amount, by=Payment.customer)
    line = function.__code__.co_firstlineno
    with pytest.raises(
        FeatureError, match=rf"kernel Total\.{role} \(.*test_feature_stateful\.py:{line}\): .*({reason})"
    ):
        lower(plan(features), "x86-64-v2")
