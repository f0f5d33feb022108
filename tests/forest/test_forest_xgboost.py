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
from quickthorn.forest.xgboost_document import read_document

SMALL = {"max_depth": 4, "nthread": 1, "seed": 1}


def train(xgboost: Any, training: Any, rounds: int = 11, categorical: bool = False, **parameters: Any) -> Any:
    rows, labels, targets = training
    objective = parameters.setdefault("objective", "binary:logistic")
    label = targets
    if objective.startswith(("binary:", "rank:", "reg:logistic")):
        label = labels
    elif objective in ("count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror", "survival:cox"):
        label = np.exp(targets)
    elif objective.startswith("multi:"):
        label = rows[:, 4] % 3
    elif "targets" in parameters:
        label = np.stack([targets, -targets, targets**2], axis=1)[:, : parameters.pop("targets")]
    types = ["float"] * 4 + ["c" if categorical else "float"]
    matrix = xgboost.DMatrix(rows, label, feature_types=types, enable_categorical=categorical, nthread=1)
    if objective.startswith("rank:"):
        matrix.set_group([30] * 20)
    if objective == "survival:aft":
        matrix.set_float_info("label_lower_bound", np.exp(targets))
        matrix.set_float_info("label_upper_bound", np.where(labels > 0, np.inf, np.exp(targets)))
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
        {"objective": "binary:hinge"},
        {"objective": "reg:logistic"},
        {"objective": "reg:squaredlogerror"},
        {"objective": "reg:pseudohubererror"},
        {"objective": "reg:quantileerror", "quantile_alpha": 0.3},
        {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.5, 0.9]},
        {"objective": "reg:gamma"},
        {"objective": "reg:tweedie", "tweedie_variance_power": 1.3},
        {"objective": "rank:pairwise"},
        {"objective": "rank:ndcg"},
        {"objective": "rank:map"},
        {"objective": "survival:cox"},
        {"objective": "survival:aft", "aft_loss_distribution": "logistic"},
        {"objective": "multi:softprob", "num_class": 3},
        {"objective": "multi:softmax", "num_class": 3, "num_parallel_tree": 2, "subsample": 0.7},
        {"objective": "multi:softprob", "num_class": 3, "categorical": True, "max_cat_to_onehot": 2},
        {"booster": "dart", "rate_drop": 0.5, "base_score": 0.123},
        {"booster": "dart", "rate_drop": 0.4, "objective": "multi:softmax", "num_class": 3, "base_score": 0.3},
        {"objective": "reg:squarederror", "targets": 2},
        {"objective": "reg:squarederror", "targets": 3, "base_score": 1.75, "num_parallel_tree": 2, "subsample": 0.7},
        {"objective": "reg:squarederror", "targets": 2, "multi_strategy": "multi_output_tree"},
        {"objective": "reg:squarederror", "targets": 3, "multi_strategy": "multi_output_tree", "base_score": -4.5},
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
    margins = model.source_margins(training[0]).reshape(600, -1)
    scores = [model.ensemble.link.scores(row, model.ensemble.link_scale) for row in margins.tolist()]
    np.testing.assert_allclose(scores, model.source_scores(training[0]).reshape(600, -1), rtol=1e-6, atol=1e-30)


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


@pytest.mark.parametrize("parameters", [{}, {"objective": "multi:softmax", "num_class": 3}], ids=str)
@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_margins_are_those_of_the_booster_itself(
    xgboost: Any, training: Any, parameters: dict[str, Any], booster: str
) -> None:
    trained = train(xgboost, training, booster=booster, **parameters)
    matrix = xgboost.DMatrix(training[0])
    model = load_model(trained)
    assert np.array_equal(model.source_margins(training[0]), trained.predict(matrix, output_margin=True))
    scores = model.source_scores(training[0])
    if parameters:
        scores = scores.argmax(axis=1)
    assert np.array_equal(scores, trained.predict(matrix))


def test_both_forms_of_dropout_are_the_same_forest(
    xgboost: Any, training: Any, tmp_path: Path, assert_equal_to_source: Callable[..., None]
) -> None:
    booster = train(xgboost, training, booster="dart", rate_drop=0.5, base_score=0.2)
    document = json.loads(bytes(booster.save_raw("json")))
    old = document["learner"]["gradient_booster"]
    assert min(old["weight_drop"]) < 0.9
    document["learner"]["gradient_booster"] = old["gbtree"]
    document["learner"]["gradient_booster"]["model"]["weight_drop"] = old["weight_drop"]
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    model, expected = load_model(path), load_model(booster)
    assert np.array_equal(model.ensemble.leaf_value, expected.ensemble.leaf_value)
    assert np.array_equal(model.source_margins(training[0]), expected.source_margins(training[0]))
    assert_equal_to_source(model)


@pytest.mark.parametrize("spelling", ["2E0", "[2E0]", "[2E0,-1E0,5E-1]"])
def test_every_spelling_of_base_score_for_several_outputs(
    xgboost: Any, training: Any, tmp_path: Path, spelling: str
) -> None:
    document = json.loads(bytes(train(xgboost, training, objective="multi:softprob", num_class=3).save_raw("json")))
    document["learner"]["learner_model_param"]["base_score"] = spelling
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    expected = [2.0, -1.0, 0.5] if "," in spelling else [2.0, 2.0, 2.0]
    assert load_model(path).ensemble.base_margin.tolist() == expected


@pytest.mark.parametrize("options", [{}, {"booster": "dart", "rate_drop": 0.3}], ids=str)
def test_a_multi_class_wrapper_stops_at_its_best_iteration(
    xgboost: Any, training: Any, assert_equal_to_source: Callable[..., None], options: dict[str, Any]
) -> None:
    rows, classes = training[0], training[0][:, 4] % 3
    estimator = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, n_jobs=1, max_depth=4, **options)
    noise = np.random.default_rng(0).integers(0, 3, 100)
    estimator.fit(rows[:500], classes[:500], eval_set=[(rows[500:], noise)], verbose=False)
    model = load_model(estimator)
    assert model.ensemble.tree_count == 3 * (estimator.best_iteration + 1) < 180
    assert np.array_equal(model.source_margins(rows), estimator.predict(rows, output_margin=True))
    assert_equal_to_source(model, rows)


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


def test_a_frames_categories_are_codes_and_their_dictionary_says_whose(
    xgboost: Any, training: Any, assert_equal_to_source: Callable[..., None]
) -> None:
    pandas = pytest.importorskip("pandas")
    rows, labels, _ = training
    codes = pandas.DataFrame({"x": rows[:, 0], "c": pandas.Categorical(rows[:, 4].astype(int), categories=range(40))})
    estimator = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, max_depth=3, enable_categorical=True)
    model = load_model(estimator.fit(codes, labels))
    assert model.ensemble.categorical.any()
    assert model.ensemble.category_dictionary is None, "they are their own codes"
    assert_equal_to_source(model, codes.to_numpy(dtype=np.float64))
    texts = codes.assign(c=codes["c"].cat.rename_categories([f"shop {code}" for code in range(40)]))
    estimator = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, max_depth=3, enable_categorical=True)
    estimator.fit(texts, labels)
    by_value = load_model(estimator).ensemble
    assert np.array_equal(by_value.threshold, model.ensemble.threshold)
    assert by_value.category_dictionary == (None, tuple(f"shop {code}" for code in range(40)))
    moved = by_value.with_features(["c", "other", "x"])
    assert moved.category_dictionary == (by_value.category_dictionary[1], None, None)
    assert load_model(estimator, category_codes=True).ensemble.category_dictionary is None


def test_infinite_rows_are_scored_although_a_matrix_refuses_them(
    xgboost: Any, training: Any, compile_forest: Callable[..., Any]
) -> None:
    model = load_model(train(xgboost, training))
    rows = np.array([[np.inf] * 5, [-np.inf] * 5, [1e300] * 5, [-1e300] * 5])
    native = compile_forest(model.ensemble)
    assert np.array_equal(native.leaves(rows), model.source_leaves(rows))
    assert np.array_equal(native.margins(rows), model.source_margins(rows))


def test_nodes_that_pruning_cut_off_stay_in_the_file(
    xgboost: Any, training: Any, tmp_path: Path, assert_equal_to_source: Callable[..., None]
) -> None:
    booster = train(xgboost, training, tree_method="exact", gamma=4.0, max_depth=6)
    path = tmp_path / "model.json"
    booster.save_model(path)
    trees = json.loads(path.read_text())["learner"]["gradient_booster"]["model"]["trees"]
    assert sum(int(tree["tree_param"]["num_deleted"]) for tree in trees) > 10
    model = load_model(path)
    assert np.array_equal(model.source_margins(training[0]), load_model(booster).source_margins(training[0]))
    assert_equal_to_source(model, optimise="-O1")


def test_a_ranking_model_may_have_been_trained_against_position_bias(xgboost: Any, training: Any) -> None:
    matrix = xgboost.DMatrix(training[0], training[1], qid=np.repeat(np.arange(20), 30), nthread=1)
    booster = xgboost.train({"objective": "rank:ndcg", "lambdarank_unbiased": True, "nthread": 1}, matrix, 2)
    model = load_model(booster)
    rows = training[0][:40]
    assert np.array_equal(model.source_margins(rows), booster.predict(xgboost.DMatrix(rows), output_margin=True))
    assert model.ensemble.link is Link.IDENTITY


@pytest.mark.parametrize("version", [[], [3], [3, 2, 0, 1], ["3", "2", "0"]], ids=["none", "one", "four", "text"])
def test_a_version_is_three_numbers(xgboost: Any, training: Any, version: list[Any]) -> None:
    document = json.loads(bytes(train(xgboost, training).save_raw("json")))
    document["version"] = version
    with pytest.raises(ModelError, match="version: expected"):
        read_document(json.dumps(document).encode(), "model")
