"""XGBoost models trained here: what the compiled forest says is what XGBoost says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.forest.importing import load_model

SMALL = {"max_depth": 4, "nthread": 1, "seed": 1}


def train(xgboost: Any, training: Any, rounds: int = 11, categorical: bool = False, **parameters: Any) -> Any:
    rows, labels, targets = training
    objective = parameters.setdefault("objective", "binary:logistic")
    label = labels if "logi" in objective else np.exp(targets) if objective.startswith("count") else targets
    types = ["float"] * 4 + ["c" if categorical else "float"]
    matrix = xgboost.DMatrix(rows, label, feature_types=types, enable_categorical=categorical, nthread=1)
    return xgboost.train(SMALL | parameters, matrix, rounds)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"base_score": 0.03},
        {"objective": "reg:squarederror", "base_score": -7.25},
        {"objective": "reg:absoluteerror"},
        {"objective": "count:poisson"},
        {"objective": "binary:logitraw"},
        {"num_parallel_tree": 3, "subsample": 0.7},
        # Pruning leaves gaps in the node numbers, which are XGBoost's leaf ids.
        {"tree_method": "exact", "gamma": 3.0, "max_depth": 6},
        {"grow_policy": "lossguide", "max_leaves": 20, "max_depth": 0},
        {"categorical": True, "max_cat_to_onehot": 2},
        {"categorical": True, "max_cat_to_onehot": 100, "objective": "reg:squarederror"},
    ],
    ids=str,
)
def test_a_booster_compiles_to_its_own_leaves_and_margins(
    xgboost: Any, training: Any, assert_equal_to_source: Callable[..., None], parameters: dict[str, Any]
) -> None:
    model = load_model(train(xgboost, training, **parameters))
    assert model.ensemble.precision == "float32"
    assert model.ensemble.categorical.any() == parameters.get("categorical", False)
    assert_equal_to_source(model, training[0])


@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_a_file_gives_the_same_ensemble_as_the_booster(
    xgboost: Any, training: Any, tmp_path: Path, ending: str
) -> None:
    booster = train(xgboost, training, categorical=True, max_cat_to_onehot=2)
    # The name ends in neither format: the content tells them apart.
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(booster.save_raw(ending)))
    model, expected = load_model(path), load_model(booster)
    for name, value in vars(expected.ensemble).items():
        assert np.array_equal(getattr(model.ensemble, name), value), name
    # The file's margins come from a document written anew; they must be those of the booster itself.
    direct = booster.inplace_predict(training[0], predict_type="margin").astype(np.float64)
    assert np.array_equal(model.source_margins(training[0]), direct)


def test_a_number_beside_the_middle_of_two_float32_is_rounded_once(xgboost: Any, training: Any, tmp_path: Path) -> None:
    document = json.loads(bytes(train(xgboost, training, rounds=1).save_raw("json")))
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["split_conditions"][0] = "HERE"
    # 1 + 2**-24 lies between two float32; this text is a little above it, and is exactly it in float64.
    text = json.dumps(document).replace('"HERE"', "1.00000005960464477540000001")
    path = tmp_path / "model.json"
    path.write_text(text)
    assert load_model(path).ensemble.threshold[0] == np.nextafter(np.float32(1), np.float32(2))


@pytest.mark.parametrize("spelling", ["5E-1", "[5E-1]", "0.5"])
def test_every_spelling_of_base_score_is_a_base_margin_of_zero(
    xgboost: Any, training: Any, tmp_path: Path, spelling: str
) -> None:
    document = json.loads(bytes(train(xgboost, training).save_raw("json")))
    document["learner"]["learner_model_param"]["base_score"] = spelling
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    assert load_model(path).ensemble.base_margin == 0.0


def test_a_wrapper_stops_at_its_best_iteration_and_a_booster_does_not(
    xgboost: Any, training: Any, assert_equal_to_source: Callable[..., None]
) -> None:
    rows, labels, _ = training
    estimator = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, n_jobs=1, max_depth=4)
    noise = np.random.default_rng(0).integers(0, 2, 100)
    estimator.fit(rows[:500], labels[:500], eval_set=[(rows[500:], noise)], verbose=False)
    model, booster = load_model(estimator), load_model(estimator.get_booster())
    assert model.ensemble.tree_count == estimator.best_iteration + 1 < booster.ensemble.tree_count
    expected = estimator.predict(rows, output_margin=True).astype(np.float64)
    assert np.array_equal(model.source_margins(rows), expected)
    assert_equal_to_source(model, rows)


def test_a_regressor_and_its_column_names_are_read(xgboost: Any, training: Any) -> None:
    pandas = pytest.importorskip("pandas")
    names = ["amount", "age", "count", "ratio", "hour"]
    frame = pandas.DataFrame(training[0], columns=names)
    estimator = xgboost.XGBRegressor(n_estimators=3, n_jobs=1, max_depth=2).fit(frame, training[2])
    ensemble = load_model(estimator).ensemble
    assert ensemble.feature_names == tuple(names)
    assert ensemble.link is Link.IDENTITY
    assert ensemble.objective == "reg:squarederror"


def test_a_frames_categories_are_read_when_they_are_codes_and_refused_when_text(
    xgboost: Any, training: Any, assert_equal_to_source: Callable[..., None]
) -> None:
    pandas = pytest.importorskip("pandas")
    rows, labels, _ = training
    codes = pandas.DataFrame({"x": rows[:, 0], "c": pandas.Categorical(rows[:, 4].astype(int), categories=range(40))})
    estimator = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, max_depth=3, enable_categorical=True)
    model = load_model(estimator.fit(codes, labels))
    assert model.ensemble.categorical.any()
    assert_equal_to_source(model, codes.to_numpy(dtype=np.float64))
    texts = codes.assign(c=codes["c"].cat.rename_categories([f"shop {code}" for code in range(40)]))
    estimator = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, max_depth=3, enable_categorical=True)
    estimator.fit(texts, labels)
    with pytest.raises(ModelError, match="'c' was trained on categories such as 'shop 0'"):
        load_model(estimator)
    assert np.array_equal(load_model(estimator, category_codes=True).ensemble.threshold, model.ensemble.threshold)


def test_infinite_rows_are_scored_although_a_matrix_refuses_them(
    xgboost: Any, training: Any, compile_forest: Callable[..., Any]
) -> None:
    model = load_model(train(xgboost, training))
    rows = np.array([[np.inf] * 5, [-np.inf] * 5, [1e300] * 5, [-1e300] * 5])
    native = compile_forest(model.ensemble)
    assert np.array_equal(native.leaves(rows), model.source_leaves(rows))
    assert np.array_equal(native.margins(rows), model.source_margins(rows))
