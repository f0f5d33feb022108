"""What cannot be honoured exactly is refused with the reason."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.errors import MissingExtraError, ModelError
from quickthorn.forest.importing import load_model


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"booster": "gblinear", "updater": "coord_descent"}, "the booster is 'gblinear'"),
        ({"booster": "dart", "rate_drop": 0.5}, "the booster is 'dart'"),
        ({"objective": "multi:softprob", "num_class": 3}, "multi-class"),
        ({"objective": "binary:hinge"}, "unknown objective 'binary:hinge'"),
        ({"objective": "rank:pairwise"}, "unknown objective 'rank:pairwise'"),
        ({"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8]}, "one output|one number"),
    ],
    ids=str,
)
def test_xgboost_models_with_more_than_one_plain_output(
    xgboost: Any, training: Any, parameters: dict[str, Any], reason: str
) -> None:
    rows = np.nan_to_num(training[0])
    booster = xgboost.train({"nthread": 1, **parameters}, xgboost.DMatrix(rows, training[1], nthread=1), 2)
    with pytest.raises(ModelError, match=reason):
        load_model(booster)


def test_an_xgboost_model_of_several_targets(xgboost: Any, training: Any) -> None:
    labels = np.stack([training[2], -training[2]], axis=1)
    estimator = xgboost.XGBRegressor(n_estimators=2, n_jobs=1).fit(training[0], labels)
    with pytest.raises(ModelError, match="num_target is 2"):
        load_model(estimator)


def test_an_xgboost_wrapper_with_another_missing_value(xgboost: Any, training: Any) -> None:
    estimator = xgboost.XGBClassifier(n_estimators=2, n_jobs=1, missing=-1.0).fit(training[0], training[1])
    with pytest.raises(ModelError, match=r"missing=-1\.0; expected NaN"):
        load_model(estimator)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"objective": "multiclass", "num_class": 3}, "multi-class"),
        ({"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "averaged"),
        ({"objective": "regression", "linear_tree": True}, "linear models"),
        ({"objective": "regression", "reg_sqrt": True}, "regression sqrt"),
        ({"objective": "cross_entropy_lambda"}, "unknown objective 'cross_entropy_lambda'"),
    ],
    ids=str,
)
def test_lightgbm_models_with_more_than_one_plain_output(
    lightgbm: Any, training: Any, parameters: dict[str, Any], reason: str
) -> None:
    quiet = {"verbosity": -1, "num_threads": 1, "num_leaves": 5}
    dataset = lightgbm.Dataset(training[0], training[1], params={"linear_tree": "linear_tree" in parameters})
    booster = lightgbm.train(quiet | parameters, dataset, 2)
    with pytest.raises(ModelError, match=reason):
        load_model(booster)


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
        (b"binf\x00\x00", "old binary format"),
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
