"""Derived features: raw fields, kernels and their order, native against the same Python functions."""

from __future__ import annotations

import math
from typing import Any

import pytest

import quickthorn as qt


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    fee: qt.Money | None = qt.field(scale=3, signed=True)
    device_score: qt.Number | None = None
    foreign: qt.Boolean | None = None
    channel: qt.Category | None = qt.field(values=("web", "app"))


@qt.kernel
def ratio(amount: float, usual: float) -> float:
    return amount / usual if usual > 0 else math.nan


@qt.kernel
def unguarded(amount: float, usual: float) -> float:
    return amount / usual


@qt.kernel
def mathematics(a: float, b: float) -> float:
    return math.log(a) + math.sin(b) * math.sqrt(a) + math.floor(b) + float(a**0.3) + math.atan2(a, b) + a % b


@qt.kernel
def hour(at: int) -> int:
    return at // 3_600_000_000 % 24


@qt.kernel
def is_large(amount: float) -> bool:
    return amount > 100.0


@qt.kernel
def series(x: float) -> float:
    total = 0.0
    for power in range(1, 20):
        total += x**power / power
    return total


TABLE = (0.5, 0.25, 0.125)


@qt.kernel
def looked_up(x: float) -> float:
    index = int(x) if 0.0 <= x < 3.0 else 0
    if index < 0 or index > 2:
        index = 0
    return TABLE[index]


@pytest.fixture(scope="module")
def native(compile_features: Any) -> Any:
    features = qt.FeatureSet(Payment)
    features["twice"] = ratio(features["mean"], 0.5)
    for name in ("amount", "fee", "device_score", "foreign", "channel", "at"):
        features[name] = getattr(Payment, name)
    features["mean"] = qt.mean(Payment.amount, by=Payment.customer, over="1d")
    features["ratio"] = ratio(Payment.amount, features["mean"])
    features["unguarded"] = unguarded(Payment.amount, Payment.device_score)
    features["mathematics"] = mathematics(Payment.amount, features["mean"])
    features["hour"] = hour(Payment.at)
    features["is_large"] = is_large(Payment.amount)
    features["series"] = series(Payment.device_score)
    features["looked_up"] = looked_up(Payment.device_score)
    features["constant"] = 7
    features["nan"] = ratio(math.nan, 1)
    return compile_features(features)


def test_raw_fields_are_in_their_units_and_missing_ones_are_nan(native: Any) -> None:
    given = native.derive([1.0], at=2**53 - 1, amount=5990, fee=-12_345, device_score=0.25, foreign=True, channel=1)
    assert [given[name] for name in ("amount", "fee", "device_score", "foreign", "channel", "at")] == [
        5990 / 100.0,
        -12_345 / 1000.0,
        0.25,
        1.0,
        1.0,
        2.0**53 - 1,
    ]
    missing = native.derive([1.0], at=1, amount=0)
    assert all(math.isnan(missing[name]) for name in ("fee", "device_score", "foreign", "channel"))


def test_money_is_divided_once(native: Any) -> None:
    for minor in (1, 7, 29, 333_333, 2**43):
        assert native.derive([1.0], at=1, amount=minor)["amount"] == minor / 100.0


def test_kernels_take_fields_aggregates_features_and_constants(native: Any) -> None:
    derived = native.derive([4.0], at=1, amount=600)
    assert derived["mean"] == 4.0
    assert derived["ratio"] == 1.5
    assert derived["twice"] == 8.0
    assert derived["constant"] == 7.0


def test_missing_values_pass_through_kernels(native: Any) -> None:
    derived = native.derive([math.nan], at=1, amount=600)
    # The comparison with NaN is false, as in Python.
    assert math.isnan(derived["ratio"])
    assert math.isnan(derived["nan"])
    assert math.isnan(derived["unguarded"])


def test_division_by_zero_is_what_the_processor_says_and_no_exception(native: Any) -> None:
    assert native.derive([1.0], at=1, amount=5, device_score=0.0)["unguarded"] == math.inf
    assert math.isnan(native.derive([1.0], at=1, amount=0, device_score=0.0)["unguarded"])


@pytest.mark.parametrize(("minor", "mean"), [(1, 0.5), (5990, -3.7), (2**43, 1e10), (10_001, 12.25)])
def test_mathematical_functions_are_those_of_libm(native: Any, minor: int, mean: float) -> None:
    expected = mathematics.function(minor / 100.0, mean)
    assert native.derive([mean], at=1, amount=minor)["mathematics"] == pytest.approx(expected, rel=1e-14)


def test_event_time_is_an_integer_to_a_kernel(native: Any) -> None:
    at = 1_785_000_000_123_457
    assert native.derive([1.0], at=at, amount=0)["hour"] == float(at // 3_600_000_000 % 24)


def test_boolean_results_are_one_and_zero(native: Any) -> None:
    assert [native.derive([1.0], at=1, amount=minor)["is_large"] for minor in (10_000, 10_001)] == [0.0, 1.0]


def test_loops_and_constant_tables_are_allowed(native: Any) -> None:
    derived = native.derive([1.0], at=1, amount=0, device_score=0.5)
    assert derived["series"] == pytest.approx(series.function(0.5), rel=1e-14)
    assert [
        native.derive([1.0], at=1, amount=0, device_score=x)["looked_up"] for x in (0.0, 1.5, 2.0, 9.0, -1.0, None)
    ] == [0.5, 0.25, 0.125, 0.5, 0.5, 0.5]
