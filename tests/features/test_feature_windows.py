"""Windowed aggregates, native against plain recomputation over the stored rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quickthorn as qt
from quickthorn.features.velocity import Aggregate

RELATIVE = 1e-9


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    terminal: qt.Entity
    amount: qt.Money
    refund: qt.Money | None = qt.field(scale=3, signed=True)
    risk: qt.Number
    score: qt.Number | None = None
    night: qt.Boolean
    foreign: qt.Boolean | None = None


SUMMED = (Payment.amount, Payment.refund, Payment.risk, Payment.score, Payment.night, Payment.foreign)


def aggregates() -> list[Aggregate]:
    declared: list[Aggregate] = []
    for over, delay, include_current in (("10us", "0s", True), ("40us", "0s", False), ("20us", "15us", False)):
        options: dict[str, Any] = {"over": over, "delay": delay, "include_current": include_current}
        declared.append(qt.count(by=Payment.customer, **options))
        for summed in SUMMED:
            declared.append(qt.sum(summed, by=Payment.customer, **options))
            declared.append(qt.mean(summed, by=Payment.customer, **options))
    # The same window with and without the current event.
    declared.append(qt.mean(Payment.score, by=Payment.customer, over="10us"))
    return declared


AGGREGATES = aggregates()


@pytest.fixture(scope="module")
def native(compile_features: Any) -> Any:
    features = qt.FeatureSet(Payment)
    # Another group comes first, so that offsets of values are not all zero.
    features["terminal"] = qt.count(by=Payment.terminal, over="1d")
    for index, aggregate in enumerate(AGGREGATES):
        features[f"f{index}"] = aggregate
    return compile_features(features)


@dataclass
class Row:
    at: int
    values: dict[str, Any] = field(default_factory=dict)


def recomputed(aggregate: Aggregate, rows: list[Row], now: int, current: Row | None) -> tuple[float, float]:
    """The aggregate's value from its definition, and how far off a float may be."""
    end = now - aggregate.delay_us
    window = [row for row in rows if end - aggregate.over_us < row.at <= end]
    if aggregate.include_current and current is not None:
        window.append(current)
    if aggregate.field is None:
        return float(len(window)), 0.0
    values = [row.values[aggregate.field.name] for row in window if row.values[aggregate.field.name] is not None]
    if aggregate.kind == "mean" and not values:
        return math.nan, 0.0
    exact = sum(map(Fraction, values), Fraction(0))
    if aggregate.field.kind == "number":
        tolerance = RELATIVE * max(map(abs, values), default=0.0)
        divisor = len(values) if aggregate.kind == "mean" else 1
        return float(exact) / divisor, tolerance / divisor
    units = 10.0 ** getattr(aggregate.field, "scale", 0) if aggregate.field.kind == "money" else 1.0
    return float(exact) / (len(values) * units if aggregate.kind == "mean" else units), 0.0


def assert_agrees(found: list[float], rows: list[Row], now: int, current: Row | None) -> None:
    assert len(found) == len(AGGREGATES)
    for aggregate, value in zip(AGGREGATES, found, strict=True):
        expected, tolerance = recomputed(aggregate, rows, now, current)
        if tolerance:
            assert value == pytest.approx(expected, rel=RELATIVE, abs=tolerance), aggregate
        else:
            assert value == expected or (math.isnan(value) and math.isnan(expected)), (aggregate, value, expected)


money = st.one_of(st.integers(0, 10_000), st.sampled_from([2**43, 1, 0]))
number = st.one_of(
    st.sampled_from([0.0, 0.1, 1e16, -1e16, 1e-3, 1e300, -1e300, 3.5, -3.5, 5e-324, 1e284]),
    st.floats(-1e6, 1e6),
    st.floats(-1e300, 1e300),
)
payments = st.fixed_dictionaries(
    {
        "amount": money,
        "refund": st.one_of(st.none(), st.integers(-(2**43), 2**43)),
        "risk": number,
        "score": st.one_of(st.none(), number),
        "night": st.booleans(),
        "foreign": st.one_of(st.none(), st.booleans()),
    }
)
# Steps of time: ties, small steps, the exact widths of windows, gaps that empty them, and steps back.
steps = st.one_of(st.integers(0, 3), st.sampled_from([10, 15, 35, 40, 200]), st.integers(-45, -1), st.integers(-9, -1))
operations = st.lists(
    st.tuples(st.sampled_from(["decide", "score", "observe", "observe", "release"]), steps, payments),
    min_size=5,
    max_size=60,
)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(operations=operations, capacity=st.sampled_from([4, 16, 64]))
def test_any_sequence_of_reads_inserts_and_releases_equals_recomputation(
    native: Any, operations: list[tuple[str, int, dict[str, Any]]], capacity: int
) -> None:
    history, newest = native.history(1, capacity), 1_000
    rows: list[Row] = []
    for operation, step, values in operations:
        now = newest + step
        row = Row(now, values)
        if operation == "release":
            if rows:
                history.release()
                del rows[0]
            continue
        if operation != "observe":
            decided = operation == "decide"
            found = history.read(now, with_current=decided, **values)
            assert_agrees(found, rows, now, row if decided else None)
        if operation != "score":
            history.insert(now, **values)
            if len(rows) == capacity:
                del rows[0]
            rows.insert(sum(kept.at <= now for kept in rows), row)
            newest = max(newest, now)
    assert_agrees(history.read(newest + 1, amount=0, risk=0.0, night=False), rows, newest + 1, None)


def values_of(**given: Any) -> dict[str, Any]:
    return {"amount": 0, "refund": None, "risk": 0.0, "score": None, "night": False, "foreign": None, **given}


def risk_sum(native: Any, history: Any, now: int) -> float:
    index = AGGREGATES.index(qt.sum(Payment.risk, by=Payment.customer, over="40us"))
    return float(history.read(now, **values_of())[index])


def test_a_row_exactly_as_old_as_the_window_is_out_and_a_tie_is_in(native: Any) -> None:
    history = native.history(1)
    history.insert(100, **values_of())
    count = AGGREGATES.index(qt.count(by=Payment.customer, over="40us"))
    assert [history.read(now, **values_of())[count] for now in (100, 139, 140, 99)] == [1.0, 1.0, 0.0, 0.0]


def test_a_late_row_joins_the_window_it_belongs_to_and_no_other(native: Any) -> None:
    history = native.history(1, 64)
    for at, value in ((10, 1.0), (60, 2.0), (70, 4.0)):
        history.insert(at, **values_of(risk=value))
    assert risk_sum(native, history, 70) == 6.0
    # Into the window, before its first row, and below its first row.
    for at, value, expected in ((65, 8.0, 14.0), (55, 16.0, 30.0), (20, 32.0, 30.0)):
        history.insert(at, **values_of(risk=value))
        assert risk_sum(native, history, 70) == expected


@pytest.mark.parametrize(
    "passing",
    [
        pytest.param([1e16, 0.0], id="beyond 53 bits"),
        pytest.param([1e300, 1e284, 1e268], id="beyond 106 bits"),
        pytest.param([1.7e308, 1.7e308], id="overflow"),
    ],
)
def test_a_huge_value_leaves_nothing_behind_when_it_leaves_the_window(native: Any, passing: list[float]) -> None:
    history = native.history(1, 64)
    for index, value in enumerate(passing):
        history.insert(index, **values_of(risk=value))
    history.insert(30, **values_of(risk=1e-3))
    risk_sum(native, history, 30)
    history.insert(31, **values_of(risk=2e-3))
    assert risk_sum(native, history, 31) == pytest.approx(
        math.fsum([*passing, 3e-3]) if passing[0] < 1e308 else math.inf
    )
    assert risk_sum(native, history, 45) == pytest.approx(3e-3, rel=RELATIVE)


def test_a_sum_in_range_is_found_although_its_parts_overflow(native: Any) -> None:
    history = native.history(1, 64)
    for at, value in enumerate([1.7e308, 1.7e308, -1.7e308, 0.5e308, -1.7e308]):
        history.insert(at, **values_of(risk=value))
    assert risk_sum(native, history, 10) == pytest.approx(0.5e308, rel=RELATIVE)
    # And again, with the sum as it was kept.
    history.insert(11, **values_of(risk=0.25e308))
    assert risk_sum(native, history, 11) == pytest.approx(0.75e308, rel=RELATIVE)


def test_an_emptied_window_sums_to_exactly_zero(native: Any) -> None:
    history = native.history(1, 64)
    for at, value in enumerate([0.1, 0.7, 1e16, 0.3]):
        history.insert(at, **values_of(risk=value))
        risk_sum(native, history, at)
    assert risk_sum(native, history, 1_000) == 0.0


def test_a_long_stream_does_not_drift(native: Any) -> None:
    # 0.1-like values never cancel exactly in a plain running sum; here the error must not grow with the stream.
    history = native.history(1, 64)
    kept: list[float] = []
    for at in range(20_000):
        value = (at * 2_654_435_761 % 1_000_003) / 7.0 * (1e12 if at % 997 == 0 else 1e-6)
        kept = [*kept[-39:], value]
        history.insert(at, **values_of(risk=value))
        if at % 7 == 0:
            assert risk_sum(native, history, at) == pytest.approx(math.fsum(kept), rel=RELATIVE)
