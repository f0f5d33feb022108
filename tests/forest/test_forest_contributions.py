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
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.forest.conftest import ROOT, wanted
from tests.forest.test_forest_random import few, shapes

from quickthorn.calibration.link import Link
from quickthorn.compiling.toolchain import (
    COMPILE_FLAGS,
    CONTRIBUTION_FLAGS,
    check_targets,
    target_flags,
    target_vectors,
)
from quickthorn.errors import ModelError
from quickthorn.forest import explanation_blocks, explanation_emission, quadrature
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
        source = emit_contributions(ensemble, target_vectors(level))
        (folder / "contributions.cpp").write_text(source.cpp)
        (folder / "contributions.bin").write_bytes(source.tables)
        (folder / "contributions.S").write_text(source.assembly("contributions.bin"))
        flags = [*COMPILE_FLAGS, *CONTRIBUTION_FLAGS, *target_flags(level), optimise]
        command = ["g++", *flags, f"-I{ROOT / 'cpp' / 'library'}", "-shared"]
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


def assert_near(found: npt.NDArray[np.float64], expected: Any, ensemble: Ensemble, factor: float = 1e-6) -> None:
    """Equal to a part of what the leaves of each tree differ by, together: trees in blocks are explained in float32."""
    tree = explain(ensemble).tree
    differ = 0.0
    for number in np.unique(tree):
        sides = np.concatenate([side[tree == number] for side in (ensemble.left, ensemble.right)])
        differ += np.ptp(ensemble.leaf_value[~sides[sides < 0]], axis=0).max()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 + factor * differ * abs(ensemble.scale))


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
    "catboost lossguide": lambda data: catboost_model(data, grow_policy="Lossguide"),
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


def test_contributions_of_catboost_that_do_not_add_up_are_no_truth(training: Any) -> None:
    model = MODELS["catboost lossguide"](training)
    assert model.source_contributions(training[0][:3]) is None
    assert MODELS["catboost"](training).source_contributions(training[0][:3]) is not None


@pytest.mark.parametrize("name", ["xgboost", "lightgbm categories", "catboost", "xgboost vectors"])
def test_levels_agree(name: str, training: Any, build: Build) -> None:
    ensemble = MODELS[name](training).ensemble
    rows = probe_rows(ensemble, 60, seed=4)
    first, *others = (build(ensemble, level, "-O3")(rows) for level in LEVELS)
    for other in others:
        assert_near(other, first, ensemble)


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


@st.composite
def small_forests(draw: st.DrawFn, features: int = 3) -> Ensemble:
    """One to three trees of up to ten splits on few features: repeated on paths, stumps, chains and lone leaves."""
    roots, left, right, leaf_count, splits = [], [], [], 0, 0
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(shapes())
        for children, side in ((left, 0), (right, 1)):
            children += [
                child + splits if child >= 0 else child - leaf_count for child in (pair[side] for pair in shape)
            ]
        roots.append(splits if shape else ~leaf_count)
        leaf_count, splits = leaf_count + len(shape) + 1, splits + len(shape)
    numbers = st.integers(0, 4)
    leaf_cover = np.array(draw(st.lists(numbers, min_size=leaf_count, max_size=leaf_count)), np.float64)
    cover = np.zeros(splits)
    for split in reversed(range(splits)):
        cover[split] = sum(cover[child] if child >= 0 else leaf_cover[~child] for child in (left[split], right[split]))

    def column(values: st.SearchStrategy[Any], dtype: Any) -> npt.NDArray[Any]:
        return np.array(draw(st.lists(values, min_size=splits, max_size=splits)), dtype)

    return Ensemble(
        source="lightgbm",
        source_version=None,
        objective="regression",
        feature_count=features,
        feature_names=None,
        precision="float64",
        sum_precision="float64",
        operator="<=",
        zero_threshold=0.0,
        negative_fractions_truncate=False,
        roots=np.array(roots, np.int32),
        feature=column(st.integers(0, features - 1), np.int32),
        threshold=column(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), np.float64),
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        default_left=column(st.booleans(), np.bool_),
        missing=column(st.integers(0, 2), np.uint8),
        categorical=np.zeros(splits, np.bool_),
        category_offsets=np.zeros(splits + 1, np.int64),
        categories=np.empty(0, np.int32),
        output_count=1,
        tree_output=np.zeros(len(roots), np.int32),
        leaf_value=np.array(draw(st.lists(st.floats(-9, 9), min_size=leaf_count, max_size=leaf_count))),
        leaf_id=np.zeros(leaf_count, np.int32),
        split_cover=cover,
        leaf_cover=leaf_cover,
        base_margin=np.array([draw(st.floats(-2, 2))]),
        base_last=draw(st.booleans()),
        scale=draw(st.sampled_from([1.0, 0.5])),
        average=draw(st.booleans()),
        link=Link.IDENTITY,
        link_scale=1.0,
    )


@settings(few, max_examples=8)
@given(ensemble=small_forests())
def test_random_forests_are_explained_as_the_reference_explains_them(ensemble: Ensemble, build: Build) -> None:
    rows = probe_rows(ensemble, 30, seed=2)
    expected = np.array([contributions_of(ensemble, row) for row in rows.tolist()])
    with pytest.MonkeyPatch.context() as patch:
        for most_splits, tolerance in ((explanation_blocks.MOST_SPLITS, 1e-6), (-1, 0.0)):
            # In blocks, and walked as trees are that are too large for them.
            patch.setattr(explanation_emission, "MOST_SPLITS", most_splits)
            assert_near(build(ensemble)(rows), expected, ensemble, tolerance)


def chain(ensemble: Ensemble, depth: int, features: int) -> Ensemble:
    """One tree whose right side goes on and on, on as many features in turn."""
    random = np.random.default_rng(3)
    splits = np.arange(depth)
    leaf_cover = random.integers(1, 50, depth + 1).astype(np.float64)
    return replace(
        ensemble,
        feature_count=features,
        feature_names=None,
        roots=np.zeros(1, np.int32),
        feature=(splits % features).astype(np.int32),
        threshold=random.normal(size=depth).astype(ensemble.threshold.dtype),
        left=(~splits).astype(np.int32),
        right=np.append(splits[1:], ~depth).astype(np.int32),
        default_left=random.random(depth) < 0.5,
        missing=np.full(depth, 2, np.uint8),
        categorical=np.zeros(depth, np.bool_),
        category_offsets=np.zeros(depth + 1, np.int64),
        categories=np.empty(0, np.int32),
        tree_output=np.zeros(1, np.int32),
        leaf_value=random.normal(size=depth + 1).astype(ensemble.leaf_value.dtype),
        leaf_id=np.arange(depth + 1, dtype=np.int32),
        split_cover=leaf_cover[::-1].cumsum()[:0:-1].copy(),
        leaf_cover=leaf_cover,
    )


def test_deep_trees(training: Any, build: Build) -> None:
    ensemble = chain(lightgbm_model(training, 1).ensemble, 50, 18)
    rows = probe_rows(ensemble, 30, seed=6)
    found = build(ensemble)(rows)
    expected = np.array([contributions_of(ensemble, row) for row in rows[-2:].tolist()])
    assert_near(found[-2:], expected, ensemble)
    deeper = chain(ensemble, 300, 250)
    rows = probe_rows(deeper, 30, seed=6)
    margins = [margins_of(deeper, row) for row in rows.tolist()]
    assert_near(build(deeper)(rows).sum(axis=2), margins, deeper)


@pytest.mark.parametrize("part", [1e-2, 1e-4])
def test_fewer_points_are_as_right_as_is_proven(
    training: Any, build: Build, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    ensemble = chain(lightgbm_model(training, 1).ensemble, 24, 24)
    # Of each split, half goes to either side.
    cover = 0.5 ** np.arange(25.0)
    ensemble = replace(ensemble, split_cover=cover[:-1], leaf_cover=np.append(cover[1:], cover[-1]))
    rows = probe_rows(ensemble, 200, seed=7)
    (exact,) = -(-explain(ensemble).features_on_path // 2)
    with monkeypatch.context() as patch:
        patch.setattr(explanation_emission, "MOST_SPLITS", -1)
        expected = build(ensemble)(rows)
    monkeypatch.setattr(quadrature, "_INTEGRATED_TO", part)
    assert explain(ensemble).points < exact
    assert_near(build(ensemble)(rows), expected, ensemble, part / 2)


def test_more_features_than_ranks_and_categories_than_codes(training: Any, build: Build) -> None:
    xgboost = pytest.importorskip("xgboost")
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 300))
    data = xgboost.DMatrix(rows, rows[:, :150].sum(axis=1))
    model = load_model(xgboost.train({"max_depth": 5, "nthread": 1, "colsample_bynode": 0.05}, data, 30))
    assert_explains(model, build(model.ensemble), rows[:20])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanation_emission, "recode", lambda ensemble: None)
        model = MODELS["lightgbm categories"](training)
        source = emit_contributions(model.ensemble, "portable")
        assert "WalkedTests" in source.cpp
        assert_explains(model, build(model.ensemble), probe_rows(model.ensemble, 60, seed=3))


def test_a_forest_that_is_one_leaf(training: Any, build: Build) -> None:
    ensemble = lightgbm_model(training, 2, min_data_in_leaf=10_000).ensemble
    assert not len(ensemble.feature)
    (found,) = build(ensemble)(np.zeros((1, 5)))
    np.testing.assert_array_equal(found, [[0, 0, 0, 0, 0, ensemble.leaf_value.sum()]])


def test_paths_that_are_too_long_are_refused(training: Any) -> None:
    ensemble = lightgbm_model(training, 1).ensemble
    with pytest.raises(ModelError, match="at most 256 different features on a path, found 300 in tree 0"):
        explain(chain(ensemble, 300, 300))
    with pytest.raises(ModelError, match="trees of at most 4096 levels, found 5000 in tree 0"):
        explain(chain(ensemble, 5000, 10))


def test_models_that_cannot_be_explained_are_refused(training: Any) -> None:
    ensemble = lightgbm_model(training, 2).ensemble
    with pytest.raises(ModelError, match=r"a model of lightgbm without usable covers"):
        emit_contributions(replace(ensemble, split_cover=None, leaf_cover=None), "portable")
    assert ensemble.split_cover is not None
    with pytest.raises(
        ModelError, match=r"tree 0: expected a split's cover to be that of its two sides together, found"
    ):
        explain(replace(ensemble, split_cover=ensemble.split_cover * 2))
    linear = lightgbm_model(training, 2, "targets", linear_tree=True).ensemble
    with pytest.raises(ModelError, match="found linear models in them, for which lightgbm has no contributions either"):
        explain(linear)
