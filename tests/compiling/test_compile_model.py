"""Compiling a model: whatever library trained it, whatever its link, the forest predicts what the model predicts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
import xgboost

import quickthorn as qt
from quickthorn.compiling import golden
from quickthorn.compiling.toolchain import check_targets
from quickthorn.errors import BundleError, ModelError, ToolchainError
from quickthorn.native import _native

Predict = Callable[[npt.NDArray[np.float64]], Any]
LEVEL = check_targets(None)[0]


def data() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    random = np.random.default_rng(12)
    rows = random.normal(size=(400, 4)).astype(np.float32).astype(np.float64)
    return rows, rows[:, 0] * rows[:, 1] + rows[:, 2] + 0.1 * random.normal(size=400)


def xgb(objective: str, **parameters: Any) -> tuple[Any, Predict]:
    rows, target = data()
    label = np.digitize(target, [-0.5, 0.5]) if "num_class" in parameters else (target > 0).astype(float)
    matrix = xgboost.DMatrix(rows, label=label)
    booster = xgboost.train({"objective": objective, "max_depth": 3, "nthread": 1, **parameters}, matrix, 4)
    return booster, booster.inplace_predict


def lgb(objective: str, **parameters: Any) -> tuple[Any, Predict]:
    rows, target = data()
    label = np.digitize(target, [-0.5, 0.5]) if "num_class" in parameters else (target > 0).astype(float)
    quiet = {"verbose": -1, "num_threads": 1, "num_leaves": 7, "min_data_in_leaf": 5}
    booster = lightgbm.train({"objective": objective, **quiet, **parameters}, lightgbm.Dataset(rows, label=label), 4)
    return booster, booster.predict


def sklearn(name: str) -> tuple[Any, Predict]:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rows, target = data()
    if name == "IsolationForest":
        estimator = ensemble.IsolationForest(n_estimators=5, random_state=0).fit(rows)
        return estimator, estimator.score_samples
    if name.endswith("Regressor"):
        estimator = getattr(ensemble, name)(n_estimators=5, random_state=0).fit(rows, target)
        return estimator, estimator.predict
    estimator = getattr(ensemble, name)(n_estimators=5, random_state=0).fit(rows, np.digitize(target, [-0.5, 0.5]))
    return estimator, estimator.predict_proba


def catboost() -> tuple[Any, Predict]:
    library = pytest.importorskip("catboost")
    rows, target = data()
    options = {"iterations": 5, "depth": 3, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    model = library.CatBoostClassifier(**options).fit(rows, target > 0)
    return model, lambda rows: model.predict_proba(rows)[:, 1]


CASES: dict[str, Callable[[], tuple[Any, Predict]]] = {
    "xgboost identity": lambda: xgb("reg:squarederror"),
    "xgboost exp": lambda: xgb("count:poisson"),
    "xgboost step": lambda: xgb("binary:hinge"),
    "xgboost softmax": lambda: xgb("multi:softprob", num_class=3),
    "lightgbm sigmoid": lambda: lgb("binary", sigmoid=0.7),
    "lightgbm one versus all": lambda: lgb("multiclassova", num_class=3),
    "lightgbm signed square": lambda: lgb("regression", reg_sqrt=True),
    "lightgbm log1p exp": lambda: lgb("cross_entropy_lambda"),
    "sklearn average": lambda: sklearn("RandomForestRegressor"),
    "sklearn vectors": lambda: sklearn("RandomForestClassifier"),
    "sklearn softmax": lambda: sklearn("GradientBoostingClassifier"),
    "catboost sigmoid": catboost,
}


@cache
def compiled(case: str) -> tuple[qt.Forest, Predict]:
    model, predict = CASES[case]()
    return qt.compile_model(model, target=LEVEL), predict


@pytest.mark.parametrize("case", CASES)
def test_a_compiled_model_predicts_what_the_model_predicts(case: str) -> None:
    forest, predict = compiled(case)
    rows, _ = data()
    wanted = np.asarray(predict(rows), np.float64)
    np.testing.assert_allclose(forest.score_batch(rows), wanted, rtol=4e-6, atol=1e-12)
    singles = [forest.scores(row) for row in rows[:20]]
    assert np.array_equal(np.reshape(singles, wanted[:20].shape), forest.score_batch(rows[:20]))
    if forest.output_count == 1:
        assert [forest.score(row) for row in rows[:20]] == forest.score_batch(rows[:20]).tolist()


@pytest.mark.parametrize("case", CASES)
def test_native_links_are_those_of_the_specification(case: str) -> None:
    forest, _ = compiled(case)
    rows, _ = data()
    summary = forest.manifest.forest
    margins = forest.margin_batch(rows).reshape(len(rows), -1)
    expected = [summary.link.scores(row, summary.link_scale) for row in margins.tolist()]
    assert forest.score_batch(rows).reshape(len(rows), -1).tolist() == expected


def test_every_level_that_runs_here_gives_the_same_bits(tmp_path: Path) -> None:
    model, _ = xgb("binary:logistic")
    forest = qt.compile_model(model)
    forest.save(tmp_path / "a.qtf")
    assert forest.manifest.targets == check_targets(None)
    rows, _ = data()
    wanted = forest.margin_batch(rows).tobytes()
    runs_here = [level for level in forest.manifest.targets if _native.processor_supports(level)]
    assert runs_here
    for level in runs_here:
        assert qt.Forest.load(tmp_path / "a.qtf", target=level).margin_batch(rows).tobytes() == wanted


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model, _ = xgb("binary:logistic")
    ids = {qt.compile_model(model, target=LEVEL).save(tmp_path / name) for name in "ab"}
    assert len(ids) == 1
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    for wrong in (None, 3, object()):
        with pytest.raises(ModelError, match="model: expected a path, or a Booster or fitted estimator"):
            qt.compile_model(wrong)
    with pytest.raises(ModelError, match="cannot read the model"):
        qt.compile_model(tmp_path / "none.ubj")
    with pytest.raises(ToolchainError, match="target: expected one of"):
        qt.compile_model(xgb("binary:logistic")[0], target="x86-64-v9")


@pytest.mark.parametrize(
    ("what", "message"),
    [("leaves", "expected leaf"), ("margins", "output 1: expected margin"), ("scores", "output 1: expected score")],
)
def test_a_forest_that_disagrees_with_its_source_is_not_handed_out(
    what: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = lgb("multiclass", num_class=3)
    wrong = golden.LoadedModel.__dict__[f"source_{what}"]

    def altered(self: Any, rows: Any) -> Any:
        values = wrong(self, rows).copy()
        values[-1, 1] += 1
        return values

    monkeypatch.setattr(golden.LoadedModel, f"source_{what}", altered)
    with pytest.raises(BundleError, match=f"compiled forest: golden row 511.*{message}"):
        qt.compile_model(model, target=LEVEL)
