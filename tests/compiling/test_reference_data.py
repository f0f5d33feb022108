"""Reference distributions: counted as by hand, of events and of rows of features, and what is no reference data."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import xgboost
from tests.serving.conftest import payment_features, payments

import quickthorn as qt
from quickthorn.bundle import read_bundle, write_bundle
from quickthorn.bundle.distributions import Distribution, distribution_of, read_reference
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Policy
from quickthorn.errors import BundleError, FeatureError
from quickthorn.replay import replay

POLICY = Policy.with_thresholds(review=0.3, decline=0.8, invalid="decline")


@pytest.fixture(scope="module")
def model() -> xgboost.Booster:
    random = np.random.default_rng(5)
    vectors = random.exponential(50, (500, 3))
    data = xgboost.DMatrix(vectors, label=vectors[:, 0] > 60, feature_names=["amount", "count", "mean"])
    return xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, data, num_boost_round=6)


def compiled(path: Path, model: Any, reference: Any) -> Any:
    compile_bundle(
        features=payment_features(), model=model, policy=POLICY, output=path, target="x86-64-v2", reference=reference
    )
    return read_reference(read_bundle(path))


def test_the_distributions_of_events_are_those_of_what_is_decided(tmp_path: Path, model: xgboost.Booster) -> None:
    events = [*payments(400, seed=1), {"event_id": "bad", "at": 1, "customer": "c", "amount": "many"}]
    table = pa.Table.from_pylist(events)
    pyarrow.parquet.write_table(table, tmp_path / "events.parquet")
    found = compiled(tmp_path / "fraud.qt", model, tmp_path / "events.parquet")
    assert (found.of, found.rows) == ("events", 400)
    assert read_bundle(tmp_path / "fraud.qt").manifest.reference.rows == 400
    fresh = [qt.Engine.load(tmp_path / "fraud.qt", allow_unsigned=True) for _ in range(2)]
    columns = replay(fresh[0], table.slice(0, 400))
    for name, distribution in found.features.items():
        values = columns[name].to_numpy()
        assert distribution.missing == np.isnan(values).sum()
        bounds = [-math.inf, *distribution.edges, math.inf]
        by_hand = [sum(low <= v < high for v in values) for low, high in pairwise(bounds)]
        assert list(distribution.counts) == by_hand
    decided = fresh[1].decide_batch(table.slice(0, 400))
    assert found.outcomes == {name: (decided.outcomes == name).sum() for name in decided.outcome_names}
    assert found.score == distribution_of(decided.scores)
    assert found.margin == distribution_of(decided.margins)
    assert len(found.features["amount"].counts) == 10
    assert max(found.features["amount"].counts) <= 41


def test_rows_of_features_are_taken_as_they_are(tmp_path: Path, model: xgboost.Booster) -> None:
    rows = np.random.default_rng(3).exponential(50, (300, 3))
    rows[:30, 2] = np.nan
    found = compiled(tmp_path / "array.qt", model, rows)
    assert (found.of, found.rows, found.outcomes) == ("features", 300, None)
    assert found.features["mean"].missing_share == 0.1
    theirs = model.predict(xgboost.DMatrix(rows, feature_names=["amount", "count", "mean"]), output_margin=True)
    assert found.margin == distribution_of(theirs.astype(np.float64))
    table = pa.table({name: rows[:, place] for place, name in enumerate(["amount", "count", "mean"])})
    assert compiled(tmp_path / "table.qt", model, table) == found
    assert (tmp_path / "table.qt").read_bytes() == (tmp_path / "array.qt").read_bytes()


def test_a_bundle_has_none_unless_data_are_given(tmp_path: Path, model: xgboost.Booster) -> None:
    assert compiled(tmp_path / "fraud.qt", model, None) is None
    assert read_bundle(tmp_path / "fraud.qt").manifest.reference is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((5, 2)), r"reference: expected an array of rows of 3 features, found \[5, 2\]"),
        (np.zeros((0, 3)), r"found \[0, 3\]"),
        (17, "reference: expected an array, .* found int"),
        (Path("nowhere.parquet"), r"reference: nowhere\.parquet: expected a Parquet file, found: "),
        (pa.table({name: ["x"] for name in ("amount", "count", "mean")}), "column 'amount': expected numbers"),
        (
            pa.table({"event_id": ["a"], "at": [1], "customer": ["c"], "amount": ["many"]}),
            "expected events that fit the schema, found none among 1",
        ),
    ],
)
def test_data_that_are_none_are_refused(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        compile_bundle(
            features=payment_features(), output=tmp_path / "a.qt", target="x86-64-v2", reference=data, cache=tmp_path
        )
    assert not (tmp_path / "a.qt").exists()


def test_a_member_that_is_no_distribution_is_refused(tmp_path: Path, model: xgboost.Booster) -> None:
    compiled(tmp_path / "fraud.qt", model, np.ones((4, 3)))
    honest = read_bundle(tmp_path / "fraud.qt")
    for content, message in (
        (b"{}", "missing required field"),
        (b'{"of":"events","rows":1,"features":{}}', "expected a distribution of each feature in order"),
    ):
        write_bundle(tmp_path / "b.qt", honest.manifest, {**honest.members, "reference/distributions.json": content})
        with pytest.raises(BundleError, match=f"reference/distributions.json: .*{message}"):
            read_reference(read_bundle(tmp_path / "b.qt"))


def test_stability_is_of_shares_and_missing_values_are_left_out() -> None:
    # Two bins, half and half; then a quarter and three quarters: 0.25 ln 2 + 0.25 ln 1.5, by the formula by hand.
    reference = Distribution(edges=(1.0,), counts=(50, 50), missing=7)
    assert reference.stability(np.array([0.0, 1.0, 2.0, 3.0, math.nan])) == pytest.approx(
        -0.25 * math.log(0.5) + 0.25 * math.log(1.5)
    )
    assert reference.stability(np.array([0.0, 1.0])) == 0.0
    assert math.isnan(reference.stability(np.array([math.nan])))
    assert distribution_of(np.array([math.nan, math.nan])) == Distribution(edges=(), counts=(0,), missing=2)
    assert distribution_of(np.array([math.inf, -math.inf, 1.0])).counts == (1, 2)
    with pytest.raises(ValueError, match="expected 2 for the edges, found 1"):
        Distribution(edges=(1.0,), counts=(1,), missing=0)
    with pytest.raises(ValueError, match="expected each above the one before"):
        Distribution(edges=(1.0, 1.0), counts=(1, 1, 1), missing=0)
