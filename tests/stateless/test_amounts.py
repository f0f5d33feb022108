"""Features of an amount: against Decimal, NumPy and the amounts' own text."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quickthorn as qt
from quickthorn.errors import FeatureError

MANY = settings(max_examples=500, deadline=None, derandomize=True, database=None)


class Reading(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    amount: qt.Money | None = qt.field(signed=True)
    yen: qt.Money | None = qt.field(signed=True, scale=0)
    fine: qt.Money | None = qt.field(signed=True, scale=6)
    x: qt.Number | None


@pytest.fixture(scope="module")
def read(both: Callable[[qt.FeatureSet], Any]) -> Any:
    features = qt.FeatureSet(Reading)
    features["log"] = qt.log(Reading.x)
    features["log1p"] = qt.log1p(Reading.x)
    features["log1p_amount"] = qt.log1p(Reading.amount)
    for name, declare in (("roundness", qt.roundness), ("decimals", qt.decimal_part), ("digit", qt.first_digit)):
        for field in (Reading.amount, Reading.yen, Reading.fine):
            features[f"{name}_{field.name}"] = declare(field)
        features[f"{name}_x"] = declare(Reading.x, decimals=2)
    return both(features)


minor_units = st.one_of(st.integers(-(2**43), 2**43), st.integers(-20_000, 20_000), st.sampled_from([0, 10**12, 99]))


@MANY
@given(amount=minor_units, yen=minor_units, fine=minor_units)
def test_amounts_give_what_their_decimal_text_says(read: Any, amount: int, yen: int, fine: int) -> None:
    amounts = {"amount": (amount, 2), "yen": (yen, 0), "fine": (fine, 6)}
    found = read(**{name: Decimal(minor).scaleb(-scale) for name, (minor, scale) in amounts.items()})
    for name, (minor, scale) in amounts.items():
        value = abs(Decimal(minor).scaleb(-scale))
        assert found[f"decimals_{name}"] == float(value % 1)
        if minor:
            assert found[f"digit_{name}"] == value.normalize().as_tuple().digits[0]
            assert found[f"roundness_{name}"] == value.normalize().as_tuple().exponent
        else:
            assert math.isnan(found[f"digit_{name}"])
            assert math.isnan(found[f"roundness_{name}"])


@MANY
@given(x=st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.floats(-2, 1e6)))
def test_any_number_gives_what_the_specification_gives(read: Any, x: float | None) -> None:
    read(x=x)


@pytest.mark.parametrize(
    ("amount", "roundness", "decimals", "digit"),
    [("100", 2, 0, 1), ("5.00", 0, 0, 5), ("59.90", -1, 0.9, 5), ("59.99", -2, 0.99, 5), ("-0.05", -2, 0.05, 5)],
)
def test_the_examples_of_the_documentation(
    read: Any, amount: str, roundness: float, decimals: float, digit: float
) -> None:
    found = read(amount=amount)
    assert found["roundness_amount"] == roundness
    assert found["decimals_amount"] == decimals
    assert found["digit_amount"] == digit


def test_a_number_is_rounded_half_up_to_its_decimals_first(read: Any) -> None:
    assert read(x=19.999)["roundness_x"] == 1
    assert read(x=9.995001)["digit_x"] == 1
    assert read(x=0.125)["decimals_x"] == 0.13
    assert math.isnan(read(x=0.004)["digit_x"])
    assert math.isnan(read(x=1e300)["digit_x"])


def test_first_digits_of_grown_amounts_follow_benford(read: Any) -> None:
    amounts = np.round(np.exp(np.random.default_rng(1).normal(5, 3, 4_000)) + 1, 2)
    counts = np.bincount([int(read(amount=f"{amount:.2f}")["digit_amount"]) for amount in amounts], minlength=10)[1:]
    np.testing.assert_allclose(counts / len(amounts), np.log10(1 + 1 / np.arange(1, 10)), atol=0.02)


def test_logarithms_equal_those_of_numpy_and_are_missing_outside_their_domain(read: Any) -> None:
    for x in (5e-324, 1e-9, 0.5, 1.0, 2.5, 1e300):
        assert read(x=x)["log"] == pytest.approx(np.log(x), rel=1e-15)
        assert read(x=x)["log1p"] == pytest.approx(np.log1p(x), rel=1e-15)
    assert read(x=0)["log1p"] == 0.0
    assert math.isnan(read(x=0)["log"])
    assert math.isnan(read(x=-1)["log1p"])
    assert math.isnan(read(x=None)["log1p"])
    assert read(amount="99.00")["log1p_amount"] == math.log(100)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: qt.roundness(Reading.x), r"roundness: expected a Money field, or decimals=.*Reading\.x"),
        (lambda: qt.roundness(Reading.amount, decimals=2), r"decimals=\): Reading\.amount has 2 decimals, found 2"),
        (
            lambda: qt.first_digit(Reading.x, decimals=7),
            r"first_digit\(decimals=\): expected a whole number from 0 to 6",
        ),
        (lambda: qt.log(Reading.at), r"log: expected.*found Reading\.at"),
    ],
)
def test_what_is_no_amount_is_refused(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        declare()
