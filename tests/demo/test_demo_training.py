"""What the demo trains on: whole stretches whose labels were known at the time."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from quickthorn.demo.measures import Thresholds
from quickthorn.demo.payments import DAY_US, START_US
from quickthorn.demo.stream import LABEL_MATURITY_DAYS
from quickthorn.demo.training import (
    calibrated_scores,
    feature_matrix,
    fit_calibration,
    fit_model,
    known_labels,
    model_margins,
    plan_timeline,
    rows_between,
    stretch_between,
    write_policy,
)
from quickthorn.errors import SimulationError


@pytest.mark.parametrize("days", [60, 61, 75, 120, 400])
def test_stretches_follow_each_other_and_labels_are_in_by_the_time_of_training(days: int) -> None:
    plan = plan_timeline(days)
    assert 0 < plan.fit_day < plan.validation_day < plan.unlabelled_day < plan.live_day < plan.end_day == days
    assert plan.live_day - plan.unlabelled_day == LABEL_MATURITY_DAYS


def test_a_stream_too_short_for_its_labels_is_refused() -> None:
    with pytest.raises(SimulationError, match=r"^days: expected at least 60 \(labels take 30 to arrive\), got 59"):
        plan_timeline(59)


def test_a_stretch_is_what_happened_on_its_days(stream: pa.Table) -> None:
    stretch = stretch_between(stream, 10, 12)
    at_us = stream["at"].cast(pa.int64()).to_numpy()
    on_those_days = (at_us >= START_US + 10 * DAY_US) & (at_us < START_US + 12 * DAY_US)
    assert stretch.equals(stream.filter(pa.array(on_those_days)))


def test_labels_of_the_training_days_are_all_known(stream: pa.Table) -> None:
    plan = plan_timeline(60)
    rows = rows_between(stream, plan.fit_day, plan.unlabelled_day)
    fraud = known_labels(stream, rows, START_US + plan.live_day * DAY_US)
    assert fraud.tolist() == [value == 1 for value in stream["fraud"][rows].to_pylist()]


def test_a_label_from_the_future_is_refused(stream: pa.Table) -> None:
    # One day more than the plan allows: its genuine payments are not known to be genuine yet.
    plan = plan_timeline(60)
    rows = rows_between(stream, plan.fit_day, plan.unlabelled_day + 1)
    with pytest.raises(SimulationError, match="known at the time of training"):
        known_labels(stream, rows, START_US + plan.live_day * DAY_US)


def test_the_feature_matrix_keeps_the_order_of_the_names() -> None:
    replayed = pa.table({"b": [1.0, 2.0, 3.0], "a": [4.0, 5.0, float("nan")]})
    matrix = feature_matrix(replayed, ("a", "b"), slice(1, 3))
    np.testing.assert_array_equal(matrix, [[5.0, 2.0], [np.nan, 3.0]])


def test_training_is_seeded_and_tells_of_every_tree() -> None:
    pytest.importorskip("xgboost")
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(2_000, 3))
    fraud = matrix[:, 0] + 0.3 * rng.normal(size=2_000) > 1.5
    told: list[int] = []
    names = ("x", "y", "z")
    models = [fit_model(matrix, fraud, names, trees=5, seed=1, advance=told.append) for _ in range(2)]
    assert sum(told) == 10
    assert models[0].save_raw() == models[1].save_raw()
    margins = model_margins(models[0], matrix, names)
    assert margins[fraud].mean() > margins[~fraud].mean() + 1.0


def test_a_calibration_promises_as_many_frauds_as_it_learnt_from() -> None:
    rng = np.random.default_rng(4)
    margins = rng.normal(size=4_000)
    fraud = rng.random(4_000) < 1 / (1 + np.exp(3 - 2 * margins))
    scores = calibrated_scores(fit_calibration(margins, fraud), margins)
    assert scores.sum() == pytest.approx(fraud.sum(), rel=0.01)
    with pytest.raises(SimulationError, match="expected enough payments to calibrate on"):
        fit_calibration(margins, np.zeros(4_000, dtype=bool))


def test_the_policy_file_holds_the_thresholds_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    write_policy(Thresholds(review=0.1 + 0.2, decline=1.0), path)
    assert tomllib.loads(path.read_text(encoding="utf-8")) == {
        "thresholds": {"review": 0.1 + 0.2, "decline": 1.0},
        "fallback": {"invalid": "review"},
    }
