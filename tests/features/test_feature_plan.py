"""Plans: order of computation, what is shared, how windows are laid out, and what is refused."""

from __future__ import annotations

import math

import pytest

import quickthorn as qt
from quickthorn.errors import FeatureError
from quickthorn.features.groups import At
from quickthorn.features.plan import ConstantOperand, FieldOperand, StepOperand, ValueOperand, plan


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    terminal: qt.Entity
    amount: qt.Money
    score: qt.Number | None = None
    foreign: qt.Boolean | None = None
    channel: qt.Category | None = None
    note: qt.Text | None = None


class Refund(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    amount: qt.Money


class ChildPayment(Payment):
    extra: qt.Number


@qt.kernel
def add(a: float, b: float) -> float:
    return a + b


@qt.kernel
def double(a: float) -> float:
    return 2.0 * a


def test_a_kernel_runs_after_the_features_it_takes_also_when_they_are_declared_later() -> None:
    features = qt.FeatureSet(Payment)
    features["last"] = double(features["middle"])
    features["middle"] = add(features["first"], 1)
    features["first"] = double(Payment.amount)
    planned = plan(features)
    assert [step.kernel.name for step in planned.steps] == ["double", "add", "double"]
    assert planned.steps[1].operands == (StepOperand(0), ConstantOperand(1.0))
    assert planned.outputs == (StepOperand(2), StepOperand(1), StepOperand(0))
    assert planned.names == ("last", "middle", "first")


def test_equal_expressions_are_computed_once() -> None:
    features = qt.FeatureSet(Payment)
    features["a"] = add(double(Payment.amount), 1)
    features["b"] = add(double(Payment.amount), 1)
    features["c"] = features["a"]
    planned = plan(features)
    assert len(planned.steps) == 2
    assert planned.outputs == (StepOperand(1),) * 3


def test_constants_that_compare_equal_but_differ_are_kept_apart() -> None:
    features = qt.FeatureSet(Payment)
    features["plus"] = double(0.0)
    features["minus"] = double(-0.0)
    features["nan"] = double(math.nan)
    features["again"] = double(math.nan)
    assert [output.index for output in plan(features).outputs if isinstance(output, StepOperand)] == [0, 1, 2, 2]


def test_an_event_time_is_ticks_for_a_kernel_and_a_number_as_a_feature() -> None:
    features = qt.FeatureSet(Payment)
    features["at"] = Payment.at
    features["direct"] = double(Payment.at)
    features["through"] = double(features["at"])
    planned = plan(features)
    assert planned.outputs[0] == FieldOperand(Payment.at)
    assert planned.steps[0].operands == (FieldOperand(Payment.at, as_ticks=True),)
    assert planned.steps[1].operands == (FieldOperand(Payment.at),)


def test_an_entity_without_aggregates_has_no_group() -> None:
    features = qt.FeatureSet(Payment)
    features["count"] = qt.count(by=Payment.terminal, over="1d")
    assert [group.by for group in plan(features).groups] == [(Payment.terminal,)]


def test_aggregates_share_windows_and_columns_and_lie_side_by_side_per_group() -> None:
    features = qt.FeatureSet(Payment)
    features["c1"] = qt.count(by=Payment.customer, over="1d")
    features["t1"] = qt.sum(Payment.score, by=Payment.terminal, over="1d")
    features["c2"] = qt.sum(Payment.amount, by=Payment.customer, over="1d", include_current=True)
    features["c3"] = qt.mean(Payment.amount, by=Payment.customer, over="24h")
    features["c4"] = qt.mean(Payment.foreign, by=Payment.customer, over="1d", delay="1d")
    features["again"] = qt.count(by=Payment.customer, over="1d")
    features["inner"] = double(qt.count(by=Payment.customer, over="7d"))
    customer, terminal = plan(features).groups
    assert [column.field for column in customer.columns] == [Payment.amount, Payment.foreign]
    assert [At(customer).column(column) for column in customer.columns] == [8, 16]
    assert (customer.row_bytes, terminal.row_bytes) == (24, 16)
    assert [(window.over_us, window.delay_us) for window in customer.windows] == [
        (86_400_000_000, 0),
        (86_400_000_000, 86_400_000_000),
        (7 * 86_400_000_000, 0),
    ]
    # A cursor is 16 bytes; a required money sum 8, an optional flag's sum and its count 16.
    assert [window.offset for window in customer.windows] == [0, 24, 56]
    assert customer.state_bytes == 72
    # An optional number: high, low, bound and count.
    assert terminal.state_bytes == 16 + 32
    assert (customer.value_first, len(customer.values), terminal.value_first) == (0, 5, 5)
    assert customer.horizon_us == 7 * 86_400_000_000
    assert plan(features).outputs == (*map(ValueOperand, (0, 5, 1, 2, 3, 0)), StepOperand(0))


def test_a_cycle_is_refused_by_its_path() -> None:
    features = qt.FeatureSet(Payment)
    features["start"] = double(features["a"])
    features["a"] = add(Payment.amount, double(features["b"]))
    features["b"] = features["c"]
    features["c"] = double(features["a"])
    with pytest.raises(FeatureError, match=r"cycle a → b → c → a$"):
        plan(features)


def test_a_feature_of_itself_is_refused() -> None:
    features = qt.FeatureSet(Payment)
    features["a"] = features["a"]
    with pytest.raises(FeatureError, match=r"cycle a → a$"):
        plan(features)


def test_a_long_chain_is_no_cycle_and_needs_no_deep_stack() -> None:
    features = qt.FeatureSet(Payment)
    for index in range(3000):
        features[f"f{index}"] = add(features[f"f{index + 1}"], 1)
    features["f3000"] = Payment.amount
    assert len(plan(features).steps) == 3000


def test_what_cannot_be_planned_is_refused_with_its_name() -> None:
    def refused(message: str, name: str, expression: object) -> None:
        features = qt.FeatureSet(Payment)
        features[name] = expression
        with pytest.raises(FeatureError, match=message):
            plan(features)

    undeclared = qt.FeatureSet(Payment)["nowhere"]
    refused(r"features\['x'\].*'nowhere', which is not declared", "x", undeclared)
    refused(r"features\['x'\].*'nowhere', which is not declared", "x", double(undeclared))
    refused(r"features\['x'\]: expected a field of Payment, found Refund.amount", "x", Refund.amount)
    refused(r"field of Payment, found Refund.amount", "x", double(double(Refund.amount)))
    refused(r"field of Payment, found Refund.amount", "x", qt.sum(Refund.amount, by=Payment.customer, over="1d"))
    refused(r"field of Payment, found ChildPayment.customer", "x", qt.count(by=ChildPayment.customer, over="1d"))
    refused(r"kernel double: expected a numeric field, found the text Payment.note", "x", double(Payment.note))
    refused(r"kernel double: expected a numeric field, found the id Payment.event_id", "x", double(Payment.event_id))
    refused(r"kernel double: expected a numeric field, found the entity", "x", double(Payment.customer))
    refused(r"kernel double: Payment.channel needs field\(values=", "x", double(Payment.channel))


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(FeatureError, match="expected at least one feature, found none"):
        plan(qt.FeatureSet(Payment))
