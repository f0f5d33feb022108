"""LightGBM models trained here: what the compiled forest says is what LightGBM says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.calibration.link import Link
from quickthorn.forest.ensemble import Missing
from quickthorn.forest.importing import load_model
from quickthorn.reference.forest import margin_of

SMALL = {"num_leaves": 15, "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 5, "min_data_per_group": 5}


def train(lightgbm: Any, training: Any, rounds: int = 11, **parameters: Any) -> Any:
    rows, labels, targets = training
    objective = parameters.setdefault("objective", "binary")
    label = targets
    if objective in ("binary", "cross_entropy", "cross_entropy_lambda", "lambdarank", "rank_xendcg"):
        label = labels
    elif objective in ("poisson", "gamma", "tweedie") or "reg_sqrt" in parameters:
        label = np.exp(targets)
    elif objective.startswith("multiclass"):
        label = rows[:, 4] % 3
    options = {
        "categorical_feature": parameters.pop("categorical_feature", "auto"),
        "group": [30] * 20 if "rank" in objective else None,
        "params": {"linear_tree": parameters.get("linear_tree", False)},
    }
    return lightgbm.train(SMALL | parameters, lightgbm.Dataset(rows, label, **options), rounds)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"sigmoid": 0.7},
        {"objective": "regression"},
        {"objective": "quantile", "alpha": 0.3},
        {"objective": "poisson"},
        {"objective": "cross_entropy"},
        {"zero_as_missing": True},
        {"use_missing": False},
        {"categorical_feature": [4]},
        {"categorical_feature": [4], "zero_as_missing": True, "objective": "regression"},
        {"boosting": "dart", "drop_rate": 0.5},
        {"num_leaves": 60, "min_data_in_leaf": 1, "max_bin": 1000},
        # Nothing can be split, so every tree is one leaf.
        {"min_data_in_leaf": 10_000},
        {"objective": "regression_l1"},
        {"objective": "huber"},
        {"objective": "fair"},
        {"objective": "mape"},
        {"objective": "gamma"},
        {"objective": "tweedie"},
        {"objective": "regression", "reg_sqrt": True},
        {"objective": "fair", "reg_sqrt": True},
        {"objective": "huber", "reg_sqrt": True},
        {"objective": "quantile", "reg_sqrt": True},
        {"objective": "cross_entropy_lambda"},
        {"objective": "lambdarank"},
        {"objective": "rank_xendcg"},
        {"objective": "multiclass", "num_class": 3},
        {"objective": "multiclass", "num_class": 3, "categorical_feature": [4], "zero_as_missing": True},
        {"objective": "multiclassova", "num_class": 3, "sigmoid": 1.5},
        {"objective": "multiclass", "num_class": 3, "boosting": "dart", "drop_rate": 0.5},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "objective": "regression"},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "objective": "multiclass", "num_class": 3},
        {"linear_tree": True, "objective": "regression"},
        {"linear_tree": True, "objective": "binary", "linear_lambda": 0.1},
        {"linear_tree": True, "objective": "multiclass", "num_class": 3, "boosting": "dart", "drop_rate": 0.5},
        {"linear_tree": True, "objective": "regression", "categorical_feature": [4]},
        {"linear_tree": True, "objective": "regression", "min_data_in_leaf": 10_000},
    ],
    ids=str,
)
def test_a_booster_compiles_to_its_own_leaves_and_margins(
    lightgbm: Any, training: Any, assert_equal_to_source: Callable[..., None], parameters: dict[str, Any]
) -> None:
    model = load_model(train(lightgbm, training, **parameters))
    ensemble = model.ensemble
    assert ensemble.precision == "float64"
    assert ensemble.categorical.any() == ("categorical_feature" in parameters)
    numeric = ensemble.missing[~ensemble.categorical]
    assert (numeric == Missing.ZERO).any() == ("zero_as_missing" in parameters)
    assert_equal_to_source(model, training[0])
    margins = model.source_margins(training[0]).reshape(600, -1)
    scores = [ensemble.link.scores(row, ensemble.link_scale) for row in margins.tolist()]
    np.testing.assert_allclose(scores, model.source_scores(training[0]).reshape(600, -1), rtol=1e-12)


@pytest.mark.parametrize(
    "parameters",
    [
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"objective": "multiclass", "num_class": 3},
        {"objective": "regression", "linear_tree": True},
        {"objective": "multiclassova", "num_class": 3, "linear_tree": True},
    ],
    ids=str,
)
def test_a_text_and_its_booster_agree(
    lightgbm: Any,
    training: Any,
    tmp_path: Path,
    parameters: dict[str, Any],
    assert_equal_to_source: Callable[..., None],
) -> None:
    booster = train(lightgbm, training, **parameters)
    path = tmp_path / "model.txt"
    booster.save_model(path)
    read, held = load_model(path), load_model(booster)
    assert_equal_to_source(read, training[0])
    loaded = lightgbm.Booster(model_file=path)
    divisor = 11 if "boosting" in parameters else 1
    assert np.array_equal(read.source_margins(training[0]), loaded.predict(training[0], raw_score=True) / divisor)
    assert np.array_equal(held.source_margins(training[0]), booster.predict(training[0], raw_score=True) / divisor)
    assert np.array_equal(held.source_scores(training[0]), booster.predict(training[0]))


def test_linear_leaves_follow_their_features(lightgbm: Any, training: Any, compile_forest: Callable[..., Any]) -> None:
    model = load_model(train(lightgbm, training, objective="regression", linear_tree=True))
    linear = model.ensemble.linear
    assert linear is not None
    assert (np.diff(linear.offsets) > 1).any()
    assert np.isnan(training[0]).any()
    nameless = dataclasses.replace(model.ensemble, feature_names=tuple("abcde"))
    moved = nameless.with_features(["e", "x", "d", "c", "b", "a"])
    rows = np.full((600, 6), 1e9)
    rows[:, [5, 4, 3, 2, 0]] = training[0]
    assert np.array_equal(compile_forest(moved).margins(rows), model.source_margins(training[0]))
    assert [margin_of(moved, row) for row in rows[:50]] == model.source_margins(training[0][:50]).tolist()


def test_a_text_file_gives_the_same_ensemble_as_the_booster(lightgbm: Any, training: Any, tmp_path: Path) -> None:
    booster = train(lightgbm, training, categorical_feature=[4], zero_as_missing=True)
    path = tmp_path / "model.bin"
    booster.save_model(path)
    model, expected = load_model(path), load_model(booster)
    for name, value in vars(expected.ensemble).items():
        assert np.array_equal(getattr(model.ensemble, name), value), name
    # LightGBM is given a text of checked fields alone; its margins must be those of the booster itself.
    direct = booster.predict(training[0], raw_score=True)
    assert np.array_equal(model.source_margins(training[0]), direct)
    assert np.array_equal(model.source_scores(training[0]), booster.predict(training[0]))


def test_a_booster_stops_at_its_best_iteration(
    lightgbm: Any, training: Any, assert_equal_to_source: Callable[..., None]
) -> None:
    rows, labels, _ = training
    known = lightgbm.Dataset(rows[:400], labels[:400])
    unseen = lightgbm.Dataset(rows[400:], labels[400:], reference=known)
    booster = lightgbm.train(
        SMALL | {"objective": "binary", "learning_rate": 0.5},
        known,
        100,
        valid_sets=[unseen],
        callbacks=[lightgbm.early_stopping(4, verbose=False)],
        keep_training_booster=True,
    )
    assert 1 < booster.best_iteration < booster.num_trees()
    model = load_model(booster)
    assert model.ensemble.tree_count == booster.best_iteration
    assert np.array_equal(model.source_margins(rows), booster.predict(rows, raw_score=True))
    assert_equal_to_source(model, rows)


@pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
def test_a_wrapper_stops_at_its_best_iteration(lightgbm: Any, training: Any) -> None:
    rows, labels, _ = training
    estimator = lightgbm.LGBMClassifier(n_estimators=100, learning_rate=0.5, n_jobs=1, verbosity=-1)
    stop = lightgbm.early_stopping(4, verbose=False)
    estimator.fit(rows[:400], labels[:400], eval_set=[(rows[400:], labels[400:])], callbacks=[stop])
    model = load_model(estimator)
    assert 1 < model.ensemble.tree_count == estimator.best_iteration_ < 100
    assert np.array_equal(model.source_margins(rows), estimator.predict(rows, raw_score=True))


def test_a_regressor_and_its_column_names_are_read(lightgbm: Any, training: Any) -> None:
    pandas = pytest.importorskip("pandas")
    names = ["amount", "age", "count", "ratio", "hour"]
    frame = pandas.DataFrame(training[0], columns=names)
    estimator = lightgbm.LGBMRegressor(n_estimators=3, n_jobs=1, verbosity=-1).fit(frame, training[2])
    ensemble = load_model(estimator).ensemble
    assert ensemble.feature_names == tuple(names)
    assert ensemble.link is Link.IDENTITY
    assert load_model(train(lightgbm, training)).ensemble.feature_names is None


def test_scores_are_lightgbms_own(lightgbm: Any, training: Any) -> None:
    model = load_model(train(lightgbm, training, sigmoid=0.7))
    assert model.ensemble.link is Link.SIGMOID
    margins, scores = model.source_margins(training[0]), model.source_scores(training[0])
    own = [model.ensemble.link.score(float(margin), model.ensemble.link_scale) for margin in margins]
    np.testing.assert_allclose(own, scores, rtol=1e-15)


def test_a_frames_text_categories_have_a_dictionary(lightgbm: Any, training: Any) -> None:
    pandas = pytest.importorskip("pandas")
    rows, labels, _ = training
    frame = pandas.DataFrame({"x": rows[:, 0], "c": pandas.Categorical([f"shop {code:.0f}" for code in rows[:, 4]])})
    estimator = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1).fit(frame, labels)
    ensemble = load_model(estimator).ensemble
    assert ensemble.category_dictionary == (None, tuple(frame["c"].cat.categories))
    assert ensemble.category_dictionary[1][0] == "shop 0"
    assert load_model(estimator, category_codes=True).ensemble.category_dictionary is None
