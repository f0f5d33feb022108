"""Contributions: those of the source libraries, of the reference, and of the definition of a Shapley value."""

from __future__ import annotations

import ctypes
import itertools
import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.forest.conftest import ROOT, wanted

from quickthorn.compiling.toolchain import COMPILE_FLAGS, check_targets, target_flags
from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.explanation import explain
from quickthorn.forest.explanation_emission import emit_contributions
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.native import _native
from quickthorn.reference.contributions import contributions_of
from quickthorn.reference.forest import goes_left, margins_of, prepared_row

LEVELS = tuple(filter(_native.processor_supports, check_targets(None)))
Explain = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
Build = Callable[..., Explain]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Compile an Ensemble's contributions; the result gives float64 [n, outputs, features + 1]."""
    count = 0

    def built(ensemble: Ensemble, level: str = LEVELS[-1], optimise: str = "-O1") -> Explain:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        source = emit_contributions(ensemble)
        (folder / "contributions.cpp").write_text(source.cpp)
        (folder / "contributions.bin").write_bytes(source.tables)
        (folder / "contributions.S").write_text(source.assembly("contributions.bin"))
        command = ["g++", *COMPILE_FLAGS, optimise, *target_flags(level), f"-I{ROOT / 'cpp' / 'library'}", "-shared"]
        command += ["-Wl,-z,defs", "-o", "library.so", "contributions.cpp", "contributions.S", "-lm"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        function = ctypes.CDLL(str(folder / "library.so")).quickthorn_forest_contributions
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p], None

        def explained(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            rows = np.ascontiguousarray(rows)
            values = np.full((len(rows), ensemble.output_count, ensemble.feature_count + 1), np.nan)
            for row, out in zip(rows, values, strict=True):
                function(row.ctypes.data, out.ctypes.data)
            return values

        return explained

    return built


def assert_explains(model: LoadedModel, explained: Explain, rows: npt.NDArray[np.float64]) -> None:
    """Equal to the source library's contributions, or the reference's, to 1e-5 of the margins' span, as are sums."""
    margins = model.source_margins(rows).reshape(len(rows), -1)
    tolerance = 1e-5 * np.ptp(margins, axis=0)
    found = explained(rows)
    assert (abs(found.sum(axis=2) - margins) <= tolerance).all()
    source = model.source_contributions(rows)
    if source is None:
        rows = rows[:4]
        source = np.array([contributions_of(model.ensemble, row) for row in rows.tolist()])
    assert (abs(found[: len(rows)] - source) <= tolerance[:, np.newaxis]).all()


def xgboost_model(training: Any, rounds: int = 12, label: str = "labels", **parameters: Any) -> LoadedModel:
    xgboost = pytest.importorskip("xgboost")
    categorical = parameters.pop("categorical", False)
    types = ["q"] * 4 + ["c" if categorical else "q"]
    data = xgboost.DMatrix(training[0], wanted(label, training), feature_types=types, enable_categorical=categorical)
    return load_model(xgboost.train({"max_depth": 5, "nthread": 1, **parameters}, data, rounds))


def lightgbm_model(training: Any, rounds: int = 12, label: str = "labels", **parameters: Any) -> LoadedModel:
    lightgbm = pytest.importorskip("lightgbm")
    categorical = parameters.pop("categorical", [])
    data = lightgbm.Dataset(training[0], wanted(label, training), categorical_feature=categorical)
    return load_model(lightgbm.train({"verbosity": -1, "num_threads": 1, **parameters}, data, rounds))


def catboost_model(training: Any, label: str = "labels", **parameters: Any) -> LoadedModel:
    catboost = pytest.importorskip("catboost")
    rows = training[0]
    if "cat_features" in parameters:
        rows = rows.astype(object)
        rows[:, 4] = rows[:, 4].astype(int)
    quiet = {"iterations": 12, "depth": 4, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    return load_model(catboost.CatBoost(quiet | parameters).fit(rows, wanted(label, training)))


def sklearn_model(training: Any, name: str, label: str = "labels", **parameters: Any) -> LoadedModel:
    estimator = getattr(pytest.importorskip("sklearn.ensemble"), name)
    return load_model(estimator(random_state=0, **parameters).fit(training[0], wanted(label, training)))


FEW = {"n_estimators": 6, "max_depth": 6}
MODELS: dict[str, Callable[[Any], LoadedModel]] = {
    "xgboost": lambda data: xgboost_model(data, objective="binary:logistic"),
    "xgboost classes": lambda data: xgboost_model(data, 4, "classes", objective="multi:softprob", num_class=3),
    "xgboost dart": lambda data: xgboost_model(data, booster="dart", rate_drop=0.4),
    "xgboost random forest": lambda data: xgboost_model(data, 2, num_parallel_tree=5, subsample=0.6),
    "xgboost categories": lambda data: xgboost_model(data, categorical=True, max_cat_to_onehot=3),
    "xgboost one-hot": lambda data: xgboost_model(data, categorical=True, max_cat_to_onehot=50),
    "xgboost vectors": lambda data: xgboost_model(data, 4, "both", multi_strategy="multi_output_tree"),
    "xgboost outputs": lambda data: xgboost_model(data, 4, "both"),
    "lightgbm": lambda data: lightgbm_model(data, objective="binary"),
    "lightgbm classes": lambda data: lightgbm_model(data, 5, "classes", objective="multiclass", num_class=3),
    "lightgbm average": lambda data: lightgbm_model(data, boosting="rf", bagging_freq=1, bagging_fraction=0.5),
    "lightgbm categories": lambda data: lightgbm_model(data, categorical=[4], zero_as_missing=True),
    "catboost": lambda data: catboost_model(data),
    "catboost classes": lambda data: catboost_model(data, "classes", loss_function="MultiClass"),
    "catboost one-hot": lambda data: catboost_model(data, cat_features=[4], one_hot_max_size=50),
    "scikit-learn forest": lambda data: sklearn_model(data, "RandomForestClassifier", **FEW),
    "scikit-learn classes": lambda data: sklearn_model(data, "ExtraTreesClassifier", "classes", **FEW),
    "scikit-learn outputs": lambda data: sklearn_model(data, "RandomForestRegressor", "both", **FEW),
    "scikit-learn histogram": lambda data: sklearn_model(data, "HistGradientBoostingClassifier", max_iter=8),
    "scikit-learn categories": lambda data: sklearn_model(
        data, "HistGradientBoostingRegressor", "targets", max_iter=6, categorical_features=[4], max_leaf_nodes=12
    ),
    "scikit-learn isolation": lambda data: sklearn_model(data, "IsolationForest", n_estimators=6, max_features=3),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", MODELS)
def test_contributions_are_those_of_the_source_library(name: str, training: Any, build: Build) -> None:
    model = MODELS[name](training)
    rows = np.concatenate([probe_rows(model.ensemble, 60, seed=3), training[0][:20]])
    assert_explains(model, build(model.ensemble), rows)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm categories", "catboost", "xgboost vectors"])
def test_levels_agree(name: str, training: Any, build: Build) -> None:
    ensemble = MODELS[name](training).ensemble
    rows = probe_rows(ensemble, 60, seed=4)
    first, *others = (build(ensemble, level, "-O3")(rows) for level in LEVELS)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-9, atol=1e-12)


def by_definition(ensemble: Ensemble, row: list[float]) -> list[float]:
    """The contributions of one output's margin, by all coalitions of all features; the expected margin last."""
    prepared = prepared_row(ensemble, row)
    features = range(ensemble.feature_count)

    def value(node: int, known: frozenset[int]) -> float:
        if node < 0:
            return float(ensemble.leaf_value[~node])
        sides = int(ensemble.left[node]), int(ensemble.right[node])
        feature = int(ensemble.feature[node])
        if feature in known:
            return value(sides[0 if goes_left(ensemble, node, prepared[feature]) else 1], known)
        assert ensemble.split_cover is not None
        assert ensemble.leaf_cover is not None
        covers = [ensemble.split_cover[child] if child >= 0 else ensemble.leaf_cover[~child] for child in sides]
        return float(sum(value(child, known) * cover for child, cover in zip(sides, covers, strict=True)) / sum(covers))

    def margin(known: frozenset[int]) -> float:
        return float(ensemble.base_margin[0]) + sum(value(int(root), known) for root in ensemble.roots)

    contributions = []
    for feature in features:
        others = [other for other in features if other != feature]
        total = 0.0
        for size in range(len(others) + 1):
            orders = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(others) + 1)
            for chosen in map(frozenset, itertools.combinations(others, size)):
                total += orders * (margin(chosen | {feature}) - margin(chosen))
        contributions.append(total)
    return [*contributions, margin(frozenset())]


def test_the_reference_is_the_definition(training: Any) -> None:
    ensemble = xgboost_model(training, 3).ensemble
    for row in probe_rows(ensemble, 24, seed=1).tolist():
        (found,) = contributions_of(ensemble, row)
        np.testing.assert_allclose(found, by_definition(ensemble, row), rtol=1e-9, atol=1e-12)
        assert sum(found) == pytest.approx(margins_of(ensemble, row)[0], abs=1e-5)


def test_models_that_cannot_be_explained_are_refused(training: Any) -> None:
    ensemble = lightgbm_model(training, 2).ensemble
    with pytest.raises(ModelError, match=r"a model of lightgbm without usable covers"):
        emit_contributions(replace(ensemble, split_cover=None, leaf_cover=None))
    assert ensemble.split_cover is not None
    with pytest.raises(
        ModelError, match=r"tree 0: expected a split's cover to be that of its two sides together, found"
    ):
        explain(replace(ensemble, split_cover=ensemble.split_cover * 2))
    linear = lightgbm_model(training, 2, "targets", linear_tree=True).ensemble
    with pytest.raises(ModelError, match="found linear models in them, for which lightgbm has no contributions either"):
        explain(linear)
