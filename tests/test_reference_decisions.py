"""The executable specification's forest, calibration and decision against examples worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import quickthorn as qt
from quickthorn.calibration.link import Link
from quickthorn.decision.policy import Policy
from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import Ensemble, Missing
from quickthorn.forest.importing import load_model
from quickthorn.reference import ReferenceEngine
from quickthorn.reference.calibration import linked
from quickthorn.reference.forest import margin_of

APPROVED = 1.0 / (1.0 + math.exp(0.5))
DECLINED = 1.0 / (1.0 + math.exp(-2.5))


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money | None
    risk: qt.Number | None


def pay(number: int, second: int, **fields: Any) -> dict[str, Any]:
    return {"event_id": number, "at": second * 1_000_000, "customer": "c", **fields}


def stump(threshold: float = 100.0, **changes: Any) -> Ensemble:
    """One tree over one feature: below the threshold −1, else 2; the base margin is 0.5."""
    precision = changes.get("precision", "float32")
    arrays: dict[str, Any] = {
        "roots": np.array([0], np.int32),
        "feature": np.array([0], np.int32),
        "threshold": np.array([threshold], precision),
        "left": np.array([~0], np.int32),
        "right": np.array([~1], np.int32),
        "default_left": np.array([True]),
        "missing": np.array([Missing.NAN], np.uint8),
        "categorical": np.array([False]),
        "category_offsets": np.array([0, 0], np.int64),
        "categories": np.array([], np.int32),
        "leaf_value": np.array([-1.0, 2.0], precision),
        "leaf_id": np.array([1, 2], np.int32),
    }
    plain: dict[str, Any] = {
        "source": "xgboost",
        "source_version": None,
        "objective": "binary:logistic",
        "feature_count": 1,
        "feature_names": None,
        "precision": "float32",
        "operator": "<",
        "zero_threshold": 0.0,
        "negative_fractions_truncate": True,
        "sum_precision": precision,
        "output_count": 1,
        "tree_output": np.zeros(1, np.int32),
        "base_margin": np.array([0.5], precision),
        "link": Link.SIGMOID,
        "link_scale": 1.0,
    }
    return Ensemble(**{**plain, **arrays, **changes})


def deciding_engine() -> ReferenceEngine:
    declared = qt.FeatureSet(Payment)
    declared["total"] = qt.sum(Payment.amount, by=Payment.customer, over="1d", include_current=True)
    return ReferenceEngine(declared, stump(), Policy.with_thresholds(review=0.5, decline=0.9, invalid="review"))


def test_a_decision_reads_scores_and_then_updates() -> None:
    engine = deciding_engine()
    first = engine.decide(pay(1, 0, amount=60))
    assert (first.features, first.margin, first.score) == ({"total": 60.0}, -0.5, APPROVED)
    assert (first.outcome, first.status, first.error) == ("approve", "ok", None)
    second = engine.decide(pay(2, 1, amount=60))
    assert (second.features, second.margin, second.score) == ({"total": 120.0}, 2.5, DECLINED)
    assert second.outcome == "decline"


def test_a_score_reads_only_and_an_observation_updates_only() -> None:
    engine = deciding_engine()
    assert engine.score(pay(1, 0, amount=60)).features == {"total": 60.0}
    assert engine.score(pay(1, 0, amount=60)).status == "ok"
    assert engine.observe(pay(1, 0, amount=60)) == "ok"
    assert engine.score(pay(1, 0, amount=60)).status == "duplicate"
    assert engine.score(pay(2, 0, amount=60)).features == {"total": 120.0}


def test_a_wrong_event_gets_the_fallback_and_changes_nothing() -> None:
    engine = deciding_engine()
    wrong = pay(1, 0, amount="abc")
    decision = engine.decide(wrong)
    assert (decision.outcome, decision.status, decision.features) == ("review", "invalid", {})
    assert math.isnan(decision.score)
    assert math.isnan(decision.margin)
    assert decision.error is not None
    assert decision.error.startswith("amount: expected ")
    assert engine.observe(wrong) == "invalid"
    assert engine.decide(pay(1, 0, amount=60)).status == "ok"


def test_features_alone_do_not_decide() -> None:
    declared = qt.FeatureSet(Payment)
    declared["amount"] = Payment.amount
    with pytest.raises(ModelError, match="found only features"):
        ReferenceEngine(declared).decide(pay(1, 0))


def test_a_walk_compares_in_the_precision_of_the_model() -> None:
    just_below = math.nextafter(0.1, 0.0)
    # As float32, the value just below 0.1 is the float32 nearest to 0.1, which is not below itself.
    assert margin_of(stump(0.1), [just_below]) == 2.5
    assert margin_of(stump(0.1, precision="float64"), [just_below]) == -0.5
    assert margin_of(stump(0.1, precision="float64"), [0.1]) == 2.5
    assert margin_of(stump(0.1, precision="float64", operator="<="), [0.1]) == -0.5
    assert margin_of(stump(math.inf), [1e300]) == 2.5


def test_missing_values_go_where_the_split_says() -> None:
    modes: dict[Missing, dict[str, Any]] = {mode: {"missing": np.array([mode], np.uint8)} for mode in Missing}
    right: dict[str, Any] = {"default_left": np.array([False])}
    assert margin_of(stump(), [math.nan]) == -0.5
    assert margin_of(stump(**right), [math.nan]) == 2.5
    assert margin_of(stump(**right, **modes[Missing.NONE]), [math.nan]) == -0.5
    assert margin_of(stump(**right, **modes[Missing.ZERO]), [-0.0]) == 2.5
    assert margin_of(stump(**right, **modes[Missing.ZERO]), [1.0]) == -0.5
    # 1e-36 is a zero to a model that says so.
    assert margin_of(stump(1e-37, precision="float64", zero_threshold=1e-35), [1e-36]) == -0.5


def test_categories_go_left_when_they_are_in_the_set() -> None:
    subset: dict[str, Any] = {
        "categorical": np.array([True]),
        "default_left": np.array([False]),
        "category_offsets": np.array([0, 2], np.int64),
        "categories": np.array([0, 3], np.int32),
    }
    left = [value for value in (3.0, 3.9, 0.0, -0.0, -0.5) if margin_of(stump(**subset), [value]) == -0.5]
    assert left == [3.0, 3.9, 0.0, -0.0, -0.5]
    for value in (1.0, -1.0, 2.0**31, math.inf, -math.inf, math.nan):
        assert margin_of(stump(**subset), [value]) == 2.5
    assert margin_of(stump(**subset, negative_fractions_truncate=False), [-0.5]) == 2.5
    assert margin_of(stump(**subset, negative_fractions_truncate=False), [-0.0]) == -0.5


def test_trees_are_added_one_by_one_in_the_precision_of_the_model() -> None:
    tiny = 2.0**-25  # half a unit in the last place of 0.5 as float32: lost each time it is added by itself
    trees: dict[str, Any] = {
        "roots": np.array([~0, ~0, ~0, ~0], np.int32),
        "tree_output": np.zeros(4, np.int32),
        "leaf_value": np.array([tiny, 0.0], np.float32),
    }
    assert margin_of(stump(**trees), [0.0]) == 0.5
    wide = {**trees, "leaf_value": np.array([tiny, 0.0], np.float64)}
    assert margin_of(stump(**wide, precision="float64"), [0.0]) == 0.5 + 4 * tiny


def test_scores_of_margins() -> None:
    assert linked("sigmoid", 1.0, 0.0) == 0.5
    assert linked("sigmoid", 2.0, 0.5) == 1.0 / (1.0 + math.exp(-1.0))
    assert linked("sigmoid", 1.0, -1000.0) == 0.0
    assert linked("exp", 1.0, 1.0) == math.e
    assert linked("exp", 1.0, 1000.0) == math.inf
    assert linked("identity", 1.0, -3.5) == -3.5


def test_a_threshold_belongs_to_the_severer_side() -> None:
    policy = Policy.with_thresholds(review=0.25, decline=0.5, invalid="review")
    declared = qt.FeatureSet(Payment)
    declared["amount"] = Payment.amount
    engine = ReferenceEngine(declared, stump(base_margin=np.ones(1, np.float32)), policy)
    # −1 + 1 is a margin of 0, a score of exactly one half: the decline threshold itself.
    assert engine.score(pay(1, 0, amount=1)).outcome == "decline"


def test_a_model_reads_features_by_name() -> None:
    declared = qt.FeatureSet(Payment)
    declared["risk"] = Payment.risk
    declared["amount"] = Payment.amount
    by_name = stump(feature_names=("amount",))
    engine = ReferenceEngine(declared, by_name, Policy.with_thresholds(review=0.5, decline=0.9, invalid="review"))
    assert engine.score(pay(1, 0, amount=1, risk=1000)).margin == -0.5
    assert engine.score(pay(1, 0, amount=1000, risk=1)).margin == 2.5


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_walk_ends_where_the_source_library_s_does(library: str) -> None:
    source = pytest.importorskip(library, reason="the model is trained with the library itself")
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(400, 4))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    labels = np.nan_to_num(rows[:, 0]) + np.nan_to_num(rows[:, 1]) > 0.3
    kind = source.XGBClassifier if library == "xgboost" else source.LGBMClassifier
    options = {} if library == "xgboost" else {"verbose": -1}
    model = load_model(kind(n_estimators=12, max_depth=4, n_jobs=1, **options).fit(rows, labels))
    margins = [margin_of(model.ensemble, row) for row in rows.tolist()]
    assert margins == model.source_margins(rows).tolist()
    scores = [linked(model.ensemble.link.value, model.ensemble.link_scale, margin) for margin in margins]
    assert scores == pytest.approx(model.source_scores(rows).tolist(), rel=1e-6)
