"""Ratios, z-scores and shares: against pandas and SciPy, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import zscore

import quickthorn as qt
from quickthorn.errors import FeatureError

MANY = settings(max_examples=300, deadline=None, derandomize=True, database=None)


class Reading(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity | None
    x: qt.Number | None
    y: qt.Number | None
    z: qt.Number | None
    amount: qt.Money | None = qt.field(signed=True)
    channel: qt.Category | None = qt.field(values=("web", "app"))


def ratios() -> qt.FeatureSet:
    features = qt.FeatureSet(Reading)
    features["ratio"] = qt.ratio(Reading.x, Reading.y)
    features["ratio_or_99"] = qt.ratio(Reading.x, Reading.y, zero_division=99)
    features["ratio_or_inf"] = qt.ratio(Reading.x, Reading.y, zero_division=math.inf)
    features["z_score"] = qt.z_score(Reading.x, Reading.y, Reading.z)
    features["z_score_floor"] = qt.z_score(Reading.x, Reading.y, Reading.z, least_std=0.5)
    features["share"] = qt.share(Reading.x, Reading.y)
    features["amount_to_mean"] = qt.ratio(
        Reading.amount, qt.mean(Reading.amount, by=Reading.customer, over="1d", include_current=True)
    )
    features["nested"] = qt.share(qt.ratio(features["share"], 2), features["ratio"])
    return features


@pytest.fixture(scope="module")
def read(both: Callable[[qt.FeatureSet], Any]) -> Any:
    return both(ratios())


numbers = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 5e-324, 1.7e308, -1.7e308]),
)


@MANY
@given(x=numbers, y=numbers, z=numbers)
def test_any_numbers_give_what_the_specification_gives(
    read: Any, x: float | None, y: float | None, z: float | None
) -> None:
    read(x=x, y=y, z=z)


def test_ratios_equal_those_of_pandas_except_over_zero(read: Any) -> None:
    random = np.random.default_rng(5)
    frame = pd.DataFrame(random.integers(-3, 4, (200, 2)) * 0.7, columns=["x", "y"])
    expected = frame["x"] / frame["y"]
    for row, value in zip(frame.itertuples(), expected, strict=True):
        found = read(x=row.x, y=row.y)
        assert found["ratio"] == pytest.approx(math.nan if math.isinf(value) else value, rel=1e-15, nan_ok=True)
        if math.isinf(value):
            assert (found["ratio_or_99"], found["ratio_or_inf"]) == (99.0, math.inf)
        else:
            np.testing.assert_equal(found["ratio_or_99"], found["ratio"])


def test_zero_over_zero_is_missing_whatever_stands_for_a_division_by_zero(read: Any) -> None:
    for zero in (0.0, -0.0):
        found = read(x=0, y=zero, z=zero)
        names = ("ratio", "ratio_or_99", "ratio_or_inf", "z_score", "share")
        assert all(math.isnan(found[name]) for name in names)
        # 0/0 with a floor under the deviation is no 0/0.
        assert found["z_score_floor"] == 0.0


def test_z_scores_equal_those_of_scipy(read: Any) -> None:
    values = np.random.default_rng(6).lognormal(3, 1, 50)
    mean, std = float(values.mean()), float(values.std())
    found = [read(x=float(value), y=mean, z=std)["z_score"] for value in values]
    np.testing.assert_allclose(found, zscore(values), rtol=1e-12)


def test_the_deviation_has_a_floor(read: Any) -> None:
    assert read(x=3, y=1, z=0.25)["z_score"] == 8.0
    assert read(x=3, y=1, z=0.25)["z_score_floor"] == 4.0
    assert math.isnan(read(x=3, y=1, z=0)["z_score"])
    assert read(x=3, y=1, z=0)["z_score_floor"] == 4.0
    assert math.isnan(read(x=3, y=1, z=None)["z_score_floor"])
    assert math.isnan(read(x=3, y=1, z=-1)["z_score"])


def test_a_share_needs_a_positive_whole(read: Any) -> None:
    assert read(x=3, y=12)["share"] == 0.25
    assert read(x=12, y=3)["share"] == 4.0
    assert math.isnan(read(x=3, y=-12)["share"])
    assert math.isnan(read(x=None, y=12)["share"])


def test_aggregates_and_money_are_measured_in_major_units(read: Any) -> None:
    assert read(customer="c", amount="12.50")["amount_to_mean"] == 1.0
    assert math.isnan(read(amount="12.50")["amount_to_mean"])


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: qt.ratio(Reading.channel, 2), r"ratio: expected a Money, Number or Boolean field.*Reading\.channel"),
        (lambda: qt.ratio(Reading.at, 2), r"ratio: expected.*found Reading\.at"),
        (lambda: qt.ratio("x", 2), "ratio: expected.*found 'x'"),
        (lambda: qt.ratio(1, 2, zero_division="0"), "ratio: expected.*found '0'"),
        (lambda: qt.z_score(Reading.x, Reading.y, None), "z_score: expected.*found None"),
        (
            lambda: qt.z_score(1, 2, 3, least_std=-1),
            r"z_score\(least_std=\): expected a number from 0 to inf, found -1",
        ),
        (lambda: qt.share(True, 2), "share: expected.*found True"),
    ],
)
def test_what_cannot_be_measured_is_refused(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        declare()


def test_equal_declarations_are_computed_once() -> None:
    from quickthorn.features.plan import plan

    features = qt.FeatureSet(Reading)
    features["a"] = qt.ratio(Reading.x, Reading.y)
    features["b"] = qt.ratio(Reading.x, Reading.y)
    assert len(plan(features).steps) == 1
