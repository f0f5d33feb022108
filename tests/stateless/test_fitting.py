"""Fitted encodings: each training row's code from its own past, the served codes from all of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import TargetEncoder

import quickthorn as qt
from quickthorn.errors import FeatureError
from quickthorn.reference import categories
from quickthorn.replay import replay

MANY = settings(max_examples=200, deadline=None, derandomize=True, database=None)
DAY_US = 86_400_000_000


class Reading(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    merchant: qt.Entity | None


rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from([0.0, 1.0, None]),
        st.integers(0, 6),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=25,
)


@MANY
@given(rows=rows, smoothing=st.sampled_from([0.0, 0.5, 20.0]))
def test_each_rows_code_is_what_its_past_alone_says(rows: list[tuple[Any, ...]], smoothing: float) -> None:
    values, fraud, at, waits = (list(column) for column in zip(*rows, strict=True))
    available = [time + wait for time, wait in zip(at, waits, strict=True)]
    np.testing.assert_array_equal(qt.fit_frequency(values, at)[1], categories.frequencies_as_of(values, at))
    for least in (1, 2):
        found = qt.fit_ordinal(values, at, least_rows=least)[1]
        np.testing.assert_array_equal(found, categories.ordinals_as_of(values, at, least))
    if any(label is not None for label in fraud):
        means = categories.target_means_as_of(values, fraud, at, available, smoothing)
        found = qt.fit_target_mean(values, fraud, at, available_at=available, smoothing=smoothing)[1]
        np.testing.assert_allclose(found, means, rtol=1e-12)
    if 0.0 in fraud and 1.0 in fraud and smoothing:
        weights = categories.evidence_as_of(values, fraud, at, available, smoothing)
        found = qt.fit_weight_of_evidence(values, fraud, at, available_at=available, smoothing=smoothing)[1]
        np.testing.assert_allclose(found, weights, rtol=1e-9, atol=1e-12)


@MANY
@given(rows=rows, cut=st.integers(0, 6))
def test_nothing_after_a_row_changes_its_code(rows: list[tuple[Any, ...]], cut: int) -> None:
    values, fraud, at, waits = (list(column) for column in zip(*rows, strict=True))
    # What comes later is replaced by something else, labels that are not known by then too.
    other_values = ["b" if time > cut else value for value, time in zip(values, at, strict=True)]
    other_fraud = [1.0 if time + wait > cut else label for label, time, wait in zip(fraud, at, waits, strict=True)]
    available = [time + wait for time, wait in zip(at, waits, strict=True)]
    if all(label is None for label in fraud):
        return
    past = [row for row, time in enumerate(at) if time <= cut]
    for first, second in (
        (qt.fit_frequency(values, at)[1], qt.fit_frequency(other_values, at)[1]),
        (qt.fit_ordinal(values, at)[1], qt.fit_ordinal(other_values, at)[1]),
        (
            qt.fit_target_mean(values, fraud, at, available_at=available)[1],
            qt.fit_target_mean(other_values, other_fraud, at, available_at=available)[1],
        ),
    ):
        np.testing.assert_array_equal(first[past], second[past])


def history(rows: int = 2_000) -> tuple[list[str | None], list[float], list[int]]:
    random = np.random.default_rng(9)
    values = [None if draw > 30 else f"merchant-{int(draw)}" for draw in random.exponential(8, rows)]
    fraud = (random.random(rows) < 0.15).astype(float).tolist()
    return values, fraud, np.sort(random.integers(0, 60 * DAY_US, rows)).tolist()


def test_the_served_target_mean_is_scikit_learns() -> None:
    values, fraud, at = history()
    encoding, _ = qt.fit_target_mean(values, fraud, at, smoothing=12.0)
    theirs = TargetEncoder(smooth=12.0, target_type="binary").fit(
        np.array([value or "none" for value in values], dtype=object).reshape(-1, 1), np.array(fraud)
    )
    expected = dict(zip(theirs.categories_[0], theirs.encodings_[0], strict=True))
    assert encoding.missing == pytest.approx(expected.pop("none"), rel=1e-12)
    assert encoding.codes == pytest.approx(expected, rel=1e-12)
    assert encoding.unknown == pytest.approx(theirs.target_mean_, rel=1e-12)


def test_rows_codes_equal_expanding_means_of_pandas() -> None:
    values, fraud, at = history()
    frame = pd.DataFrame({"value": [value or "none" for value in values], "fraud": fraud})
    own = frame.groupby("value")["fraud"]
    rows_before, frauds_before = own.cumcount(), own.cumsum() - frame["fraud"]
    share = frame["fraud"].expanding().mean().shift()
    expected = (frauds_before + 20 * share) / (rows_before + 20)
    as_of = qt.fit_target_mean(values, fraud, at)[1]
    np.testing.assert_allclose(as_of, expected, rtol=1e-12)
    shares = qt.fit_frequency(values, at)[1]
    np.testing.assert_allclose(shares[1:], (rows_before / np.arange(len(frame)))[1:], rtol=1e-12)


def test_a_row_sees_what_would_have_been_fitted_at_its_time() -> None:
    values, fraud, at = history(400)
    delay = 7 * DAY_US
    for name, fit in (("mean", qt.fit_target_mean), ("evidence", qt.fit_weight_of_evidence)):
        _, as_of = fit(values, fraud, at, label_delay="7d")
        for row in range(150, 400, 50):
            encoding, _ = fit(values, fraud, at, label_delay="7d", until=at[row])
            known = [place for place in range(row) if at[place] + delay <= at[row]]
            again, _ = fit(*([column[place] for place in known] for column in (values, fraud, at)))
            assert encoding.codes == again.codes, name
            value = values[row]
            expected = encoding.missing if value is None else encoding.codes.get(value, encoding.unknown)
            assert as_of[row] == pytest.approx(expected, rel=1e-12), name


def test_evidence_is_the_log_odds_over_those_of_all_rows() -> None:
    values, fraud, at = history()
    means, _ = qt.fit_target_mean(values, fraud, at)
    weights, _ = qt.fit_weight_of_evidence(values, fraud, at)
    log_odds = {value: math.log(mean / (1 - mean)) for value, mean in means.codes.items()}
    base = math.log(means.unknown / (1 - means.unknown))
    assert weights.codes == pytest.approx({value: odds - base for value, odds in log_odds.items()}, rel=1e-9)
    assert weights.unknown == 0.0


def test_ordinals_are_given_in_the_order_values_are_first_seen() -> None:
    encoding, as_of = qt.fit_ordinal(["b", "a", None, "b", "c", "a"], [5, 1, 2, 3, 9, 9])
    assert encoding.codes == {"a": 0.0, "b": 1.0, "c": 2.0}
    np.testing.assert_array_equal(as_of, [1, -1, math.nan, -1, -1, 0])
    rare, _ = qt.fit_ordinal(["b", "a", None, "b", "c", "a"], [5, 1, 2, 3, 9, 9], least_rows=2)
    assert rare.codes == {"b": 0.0, "a": 1.0}
    assert rare.unknown == -1.0
    assert math.isnan(rare.missing)


def test_columns_of_every_library_are_the_same_rows() -> None:
    values, fraud, at = history(50)
    expected = qt.fit_target_mean(values, fraud, at)
    times = pd.to_datetime(pd.Series(at), unit="us", utc=True)
    columns = [
        (np.array(values, dtype=object), np.array(fraud, dtype=bool), np.array(at)),
        (pa.array(values), pa.array(fraud), pa.array(at)),
        (
            pa.chunked_array([values[:20], values[20:]]),
            pa.array(np.array(fraud, bool)),
            pa.array(at, pa.timestamp("us")),
        ),
        (pd.Series(values), pd.Series(fraud), times),
        (pd.Series(values, dtype="string"), fraud, times.dt.tz_localize(None)),
        (pa.array(values).dictionary_encode(), fraud, pa.array(at, pa.timestamp("us", "UTC"))),
    ]
    for each in columns:
        encoding, as_of = qt.fit_target_mean(*each)
        assert encoding.sha256 == expected[0].sha256
        np.testing.assert_array_equal(as_of, expected[1])
    assert qt.fit_ordinal([7, "7", 8], [1, 2, 3])[0].codes == {"7": 0.0, "8": 1.0}


def test_a_fitted_encoding_is_served(both: Callable[[qt.FeatureSet], Any]) -> None:
    values, fraud, at = history()
    features = qt.FeatureSet(Reading)
    fitted = {
        "ordinal": qt.fit_ordinal(values, at)[0],
        "frequency": qt.fit_frequency(values, at)[0],
        "target": qt.fit_target_mean(values, fraud, at)[0],
        "evidence": qt.fit_weight_of_evidence(values, fraud, at)[0],
    }
    for name, encoding in fitted.items():
        features[name] = qt.encoded(Reading.merchant, encoding)
    read = both(features)
    for value in [*dict.fromkeys(values), "never seen"]:
        found = read(merchant=value)
        for name, encoding in fitted.items():
            expected = encoding.missing if value is None else encoding.codes.get(value, encoding.unknown)
            np.testing.assert_equal(found[name], expected)


def test_a_training_table_is_given_the_codes_of_its_rows_own_time() -> None:
    values, fraud, at = history(500)
    events = pa.table({"event_id": range(500), "at": at, "merchant": values, "fraud": fraud})
    risk, risk_then = qt.fit_target_mean(events["merchant"], events["fraud"], events["at"], label_delay="7d")
    features = qt.FeatureSet(Reading)
    features["hour"] = qt.hour(Reading.at, zone="UTC")
    features["merchant_risk"] = qt.encoded(Reading.merchant, risk)
    table = replay(features, events)
    trained_on = table.set_column(table.column_names.index("merchant_risk"), "merchant_risk", [risk_then])
    assert trained_on.column_names == table.column_names
    np.testing.assert_array_equal(trained_on["merchant_risk"].to_numpy(), risk_then)
    served = [risk.missing if value is None else risk.codes.get(value, risk.unknown) for value in values]
    np.testing.assert_array_equal(table["merchant_risk"].to_numpy(), served)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: qt.fit_frequency([], []), r"fit_frequency\(values=\): expected at least one row"),
        (lambda: qt.fit_frequency(["a"], [1, 2]), r"fit_frequency\(at=\): expected 1 rows as in values, found 2"),
        (
            lambda: qt.fit_frequency(["a", 1.5], [1, 2]),
            r"values=\): row 1: expected a str, an int or nothing, found 1.5",
        ),
        (lambda: qt.fit_frequency(["a"], [1.5]), r"at=\): expected int microseconds UTC or datetime64, found float64"),
        (lambda: qt.fit_frequency(["a"], [np.datetime64("NaT")]), r"at=\): expected int microseconds"),
        (lambda: qt.fit_target_mean(["a"], [2], [1]), r"fraud=\): expected 1, 0 or nothing in each row, found 2"),
        (lambda: qt.fit_target_mean(["a"], ["no"], [1]), r"fraud=\): expected 1, 0 or nothing in each row"),
        (lambda: qt.fit_target_mean(["a"], [None], [1]), r"fit_target_mean: expected labels of fraud and of none"),
        (
            lambda: qt.fit_target_mean(["a"], [1], [5], available_at=[4]),
            r"available_at=\): expected no label known before its event, found one in row 0",
        ),
        (lambda: qt.fit_target_mean(["a"], [1], [5], label_delay="7"), r"fit_target_mean\(label_delay=\): expected"),
        (lambda: qt.fit_weight_of_evidence(["a"], [1], [5]), "expected labels of fraud and of none"),
        (
            lambda: qt.fit_weight_of_evidence(["a"], [1], [5], smoothing=0),
            r"smoothing=\): expected a number from 1e-09",
        ),
        (lambda: qt.fit_ordinal(["a"], [5], least_rows=0), r"least_rows=\): expected a whole number from 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(fit: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        fit()
