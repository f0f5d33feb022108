"""What cannot be honoured exactly is refused with the reason."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.errors import MissingExtraError, ModelError
from quickthorn.forest.importing import load_model
from quickthorn.forest.xgboost_document import read_document


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"booster": "gblinear", "updater": "coord_descent"}, "the booster is 'gblinear'"),
    ],
    ids=str,
)
def test_xgboost_models_that_are_no_trees(xgboost: Any, training: Any, parameters: dict[str, Any], reason: str) -> None:
    rows = np.nan_to_num(training[0])
    booster = xgboost.train({"nthread": 1, **parameters}, xgboost.DMatrix(rows, training[1], nthread=1), 2)
    with pytest.raises(ModelError, match=reason):
        load_model(booster)


def test_a_custom_xgboost_objective_is_not_in_the_model(xgboost: Any, training: Any) -> None:
    matrix = xgboost.DMatrix(training[0], training[2], nthread=1)
    document = json.loads(bytes(xgboost.train({"nthread": 1}, matrix, 1).save_raw("json")))
    document["learner"]["objective"]["name"] = "mine"
    with pytest.raises(ModelError, match="unknown objective 'mine'; expected one of binary:hinge"):
        read_document(json.dumps(document).encode(), "model")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("learner_model_param", "num_class"), "4", "3 classes, but the model 4"),
        (("learner_model_param", "num_class"), "0", "0 classes and 1 targets do not go with"),
        (("learner_model_param", "num_target"), "2", "3 classes and 2 targets"),
        (("learner_model_param", "num_class"), "4000000000", "outputs; expected at most"),
        (("learner_model_param", "base_score"), "[1E0,2E0]", "base_score: expected one number or 3"),
        (("objective", "softmax_multiclass_param", "num_class"), "300", "300 classes, but the model 3"),
        (("gradient_booster", "gbtree", "model", "tree_info"), [0, 1, 3], "tree_info: expected 0 to 2"),
        (("gradient_booster", "gbtree", "model", "tree_info"), [0, 1], "assigned to an output"),
        (("gradient_booster", "weight_drop"), [1.0, 1.0], "weight_drop: expected 3 numbers"),
        (("gradient_booster", "weight_drop"), [1.0, 1.0, float("inf")], "weight_drop: expected 3 numbers"),
        (("gradient_booster", "gbtree", "model", "trees", 1, "id"), 0, "id: expected 1, got 0"),
        (("gradient_booster", "gbtree", "model", "trees", 1, "tree_param", "size_leaf_vector"), "2", "hold 2 values"),
        (("gradient_booster", "gbtree", "model", "trees", 1, "tree_param", "size_leaf_vector"), "3", "3.1 and later"),
    ],
    ids=str,
)
def test_outputs_that_do_not_agree(xgboost: Any, training: Any, path: tuple[Any, ...], value: Any, reason: str) -> None:
    matrix = xgboost.DMatrix(training[0], training[0][:, 4] % 3, nthread=1)
    parameters = {"objective": "multi:softprob", "num_class": 3, "booster": "dart", "nthread": 1, "max_depth": 2}
    document = json.loads(bytes(xgboost.train(parameters, matrix, 1).save_raw("json")))
    read_document(json.dumps(document).encode(), "model")
    holder = document["learner"]
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    with pytest.raises(ModelError, match=reason):
        read_document(json.dumps(document).encode(), "model")


def test_an_xgboost_wrapper_with_another_missing_value(xgboost: Any, training: Any) -> None:
    estimator = xgboost.XGBClassifier(n_estimators=2, n_jobs=1, missing=-1.0).fit(training[0], training[1])
    with pytest.raises(ModelError, match=r"missing=-1\.0; expected NaN"):
        load_model(estimator)


@pytest.mark.parametrize(
    ("line", "replacement", "reason"),
    [
        ("num_class=", "num_class=4", "num_class is 4 and num_tree_per_iteration 3; expected 4 for both"),
        ("num_tree_per_iteration=", "num_tree_per_iteration=1", "expected 3 for both"),
        ("num_class=", "num_class=0", "num_class is 0; expected 1 to"),
        ("objective=", "objective=multiclass num_class:300", "num_class:300, but num_class=3"),
        ("objective=", "objective=multiclass", "num_class:None, but num_class=3"),
        ("objective=", "objective=binary sigmoid:1", "expected 1 for both with the objective 'binary'"),
        ("objective=", "objective=multiclassova num_class:3 sigmoid:-1", "sigmoid: expected a positive number"),
        ("objective=", "objective=multiclassova num_class:3 sigmoid:1.1.1", "sigmoid: expected a positive number"),
        ("objective=", "objective=multiclass num_class:3 sqrt", "does not go with 'sqrt'"),
        ("is_linear=", "is_linear=2", "is_linear: expected 0 or 1"),
        ("is_linear=", "is_linear=1", "num_features is missing"),
        ("is_linear=", "is_linear=1\nnum_features=1 1\nleaf_features=0  9  ", "leaf_features: expected 0 to 4"),
        ("is_linear=", "is_linear=1\nnum_features=-1 2\nleaf_features=0 ", "num_features: expected no negative"),
        ("is_linear=", "is_linear=1\nnum_features=1 1\nleaf_features=0", "leaf_features: expected 2 values, got 1"),
        (
            "is_linear=",
            "is_linear=1\nleaf_const=0 0\nnum_features=1 1\nleaf_features=0  1  \nleaf_coeff=0 0 0",
            "leaf_coeff: expected 2 values, got 3",
        ),
        (
            "is_linear=",
            "is_linear=1\nleaf_const=0 inf\nnum_features=1 1\nleaf_features=0  1  \nleaf_coeff=0 0",
            "constant or coefficient is not finite",
        ),
    ],
    ids=range(16),
)
def test_a_lightgbm_text_whose_parts_do_not_agree(
    lightgbm: Any, training: Any, tmp_path: Path, line: str, replacement: str, reason: str
) -> None:
    quiet = {"verbosity": -1, "num_threads": 1, "num_leaves": 2, "objective": "multiclass", "num_class": 3}
    booster = lightgbm.train(quiet, lightgbm.Dataset(training[0], training[0][:, 4] % 3), 1)
    lines = booster.model_to_string().split("\n")
    lines[next(number for number, text in enumerate(lines) if text.startswith(line))] = replacement
    path = tmp_path / "model.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(ModelError, match=reason):
        load_model(path)


def test_a_custom_objective_is_not_in_the_text(lightgbm: Any, training: Any) -> None:
    def squared(predicted: Any, data: Any) -> tuple[Any, Any]:
        return predicted - data.get_label(), np.ones_like(predicted)

    dataset = lightgbm.Dataset(training[0], training[1])
    booster = lightgbm.train({"objective": squared, "verbosity": -1, "num_threads": 1}, dataset, 2)
    with pytest.raises(ModelError, match=r"objective.*expected one of binary"):
        load_model(booster)


@pytest.mark.parametrize("name", ["XGBClassifier", "XGBRegressor"])
def test_an_unfitted_xgboost_wrapper(xgboost: Any, name: str) -> None:
    with pytest.raises(ModelError, match=f"{name}: the estimator is not fitted"):
        load_model(getattr(xgboost, name)())


@pytest.mark.parametrize("name", ["LGBMClassifier", "LGBMRegressor"])
def test_an_unfitted_lightgbm_wrapper(lightgbm: Any, name: str) -> None:
    with pytest.raises(ModelError, match=f"{name}: the estimator is not fitted"):
        load_model(getattr(lightgbm, name)())


def test_an_untrained_xgboost_booster(xgboost: Any) -> None:
    with pytest.raises(ModelError):
        load_model(xgboost.Booster())


@pytest.mark.parametrize("source", [None, 3, {"learner": {}}, math])
def test_things_that_are_no_model(source: object) -> None:
    with pytest.raises(ModelError, match="expected a path, or a Booster or fitted estimator"):
        load_model(source)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello", "not a model: the file begins with b'hello'"),
        (b"CBM1\x00\x00", "CatBoost"),
        (b"\x80\x04\x95", "pickle"),
        (b"binf\x00\x00", "XGBoost binary is truncated or altered"),
        (b"{}", "no member 'learner'"),
        (b'{"name": "tree", "version": "v4"}', "no member 'learner'"),
        (b"{" + b'"a":[' * 5000, "not sound JSON"),
        (b'{"learner":' + b"[" * 100_000, "not sound JSON"),
        (b"{L" + (7).to_bytes(8, "big") + b"learner" + b"[" * 100_000, "nested deeper"),
        (b"{L\x7f\xff\xff\xff\xff\xff\xff\xff", "does not fit"),
        (b"tree\n", "truncated"),
        (b"tree\nversion=v4\nend of trees\n", "num_class is missing"),
    ],
    ids=range(13),
)
def test_files_that_are_no_model(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        load_model(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the model: No such file"):
        load_model(tmp_path / "absent.ubj")
    with pytest.raises(ModelError, match="cannot read the model"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("package", "extra", "ending"),
    [("treelite", "compile", "ubj"), ("xgboost", "train", "ubj"), ("lightgbm", "train", "txt")],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    xgboost: Any, lightgbm: Any, training: Any, tmp_path: Path, monkeypatch: Any, package: str, extra: str, ending: str
) -> None:
    path = tmp_path / "model"
    if ending == "ubj":
        matrix = xgboost.DMatrix(training[0], training[2], nthread=1)
        path.write_bytes(bytes(xgboost.train({"nthread": 1}, matrix, 1).save_raw("ubj")))
    else:
        dataset = lightgbm.Dataset(training[0], training[2])
        lightgbm.train({"verbosity": -1, "num_threads": 1}, dataset, 1).save_model(path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"quickthorn\[{extra}\]"):
        load_model(path)
