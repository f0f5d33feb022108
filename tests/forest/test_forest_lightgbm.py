"""LightGBM models trained here: what the compiled forest says is what LightGBM says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import Missing
from quickthorn.forest.importing import load_model

SMALL = {"num_leaves": 15, "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 5, "min_data_per_group": 5}


def train(lightgbm: Any, training: Any, rounds: int = 11, **parameters: Any) -> Any:
    rows, labels, targets = training
    objective = parameters.setdefault("objective", "binary")
    exponential = objective in ("poisson", "gamma", "tweedie")
    label = labels if objective in ("binary", "cross_entropy") else np.exp(targets) if exponential else targets
    categorical = parameters.pop("categorical_feature", "auto")
    return lightgbm.train(SMALL | parameters, lightgbm.Dataset(rows, label, categorical_feature=categorical), rounds)


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


def test_a_frames_text_categories_are_refused(lightgbm: Any, training: Any) -> None:
    pandas = pytest.importorskip("pandas")
    rows, labels, _ = training
    frame = pandas.DataFrame({"x": rows[:, 0], "c": pandas.Categorical([f"shop {code:.0f}" for code in rows[:, 4]])})
    estimator = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1).fit(frame, labels)
    with pytest.raises(ModelError, match="trained on categories such as 'shop 0'"):
        load_model(estimator)
    assert load_model(estimator, category_codes=True).ensemble.tree_count == 5
