"""A forest cut into treelets gives the walk's leaves and margins, bit for bit, at every level this processor runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthorn.calibration.link import Link
from quickthorn.forest.emission import ForestSource, Vectors
from quickthorn.forest.ensemble import Ensemble, Missing
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.forest.ranking import MOST_ENTRIES
from quickthorn.forest.treelet_emission import emit_fastest, emit_treelets
from quickthorn.forest.treelets import cut
from quickthorn.native import _native

LEVELS = [level for level in ("x86-64-v2", "x86-64-v3", "x86-64-v4") if _native.processor_supports(level)]


def treelets_of(ensemble: Ensemble, vectors: Vectors) -> ForestSource:
    """Treelets where there is AVX-512, elsewhere whatever serves the forest best."""
    if vectors != "avx512":
        return emit_fastest(ensemble, vectors)
    treelets = cut(ensemble)
    assert treelets is not None
    return emit_treelets(ensemble, treelets)


@pytest.fixture
def holds(compile_forest: Any) -> Callable[..., None]:
    """Hold treelets, at every level, to the library that trained the model."""

    def check(model: LoadedModel, rows: npt.NDArray[np.float64]) -> None:
        margins, leaves = model.source_margins(rows), model.source_leaves(rows)
        for level in LEVELS:
            compiled = compile_forest(model.ensemble, emit=treelets_of, level=level)
            np.testing.assert_array_equal(compiled.leaves(rows), leaves)
            np.testing.assert_array_equal(compiled.margins(rows), margins)

    return check


def training_rows(rows: int, features: int, seed: int = 0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, features)).round(3)
    label = np.sin(3 * matrix[:, 0]) + matrix[:, 1] + 0.3 * random.normal(size=rows) > 0
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    return matrix, label


@pytest.mark.parametrize("depth", [1, 3, 4, 6, 8])
def test_depth_wise_trees_of_every_depth(xgboost: Any, holds: Callable[..., None], depth: int) -> None:
    matrix, label = training_rows(1_500, 9)
    parameters = {"max_depth": depth, "objective": "binary:logistic", "nthread": 1, "min_child_weight": 0}
    model = load_model(xgboost.train(parameters, xgboost.DMatrix(matrix, label), 75))
    holds(model, np.vstack([matrix[:60], probe_rows(model.ensemble, 120, seed=depth)]))


@pytest.mark.parametrize("leaves", [2, 40])
def test_leaf_wise_trees(lightgbm: Any, holds: Callable[..., None], leaves: int) -> None:
    matrix, label = training_rows(1_500, 9)
    matrix[:, 3] = np.nan_to_num(matrix[:, 3])  # a feature without missing values takes NaN for zero
    parameters = {"num_leaves": leaves, "min_data_in_leaf": 3, "objective": "binary", "verbosity": -1, "num_threads": 1}
    model = load_model(lightgbm.train(parameters, lightgbm.Dataset(matrix, label), 70))
    holds(model, np.vstack([matrix[:60], probe_rows(model.ensemble, 120, seed=leaves)]))


def test_zeros_that_count_as_missing(lightgbm: Any, holds: Callable[..., None]) -> None:
    matrix, label = training_rows(1_500, 4)
    matrix[np.random.default_rng(1).random(matrix.shape) < 0.2] = 0.0
    parameters = {"zero_as_missing": True, "objective": "binary", "verbosity": -1, "num_threads": 1}
    model = load_model(lightgbm.train(parameters, lightgbm.Dataset(matrix, label), 20))
    assert (model.ensemble.missing == Missing.ZERO).any()
    holds(model, np.vstack([matrix[:60], probe_rows(model.ensemble, 120, seed=3)]))


@pytest.mark.parametrize("thresholds", [1, 16, 240, 256, 700])
def test_features_of_few_and_of_many_thresholds(xgboost: Any, holds: Callable[..., None], thresholds: int) -> None:
    # Rounds of 16 fill their last block exactly, and 255 is all that one byte ranks.
    matrix = np.arange(thresholds + 1, dtype=np.float64).repeat(3)[:, None]
    label = matrix[:, 0] % 2
    parameters = {"max_depth": 6, "tree_method": "exact", "learning_rate": 1.0, "nthread": 1, "lambda": 0}
    parameters |= {"min_child_weight": 0, "subsample": 0.7, "seed": 1}
    model = load_model(xgboost.train(parameters, xgboost.DMatrix(matrix, label), 60))
    beside = np.concatenate([np.unique(model.ensemble.threshold) + step for step in (-0.25, 0, 0.25)])
    holds(model, np.concatenate([beside, [np.nan, np.inf, -np.inf, 0.0, -0.0]])[:, None].astype(np.float64))


def test_trees_divided_into_groups(xgboost: Any, holds: Callable[..., None]) -> None:
    # Two halves of a model that look at different features: more entries together than a group has slots for.
    matrix, label = training_rows(1_000, 180)
    first, second = matrix.copy(), matrix.copy()
    first[:, 90:], second[:, :90] = 0.0, 0.0
    parameters = {"max_depth": 5, "nthread": 2, "min_child_weight": 0}
    begun = xgboost.train(parameters, xgboost.DMatrix(first, label), 40)
    model = load_model(xgboost.train(parameters, xgboost.DMatrix(second, label), 40, xgb_model=begun))
    treelets = cut(model.ensemble)
    assert treelets is not None
    counts = [group.tree_count for group in treelets.groups]
    assert (len(counts), sum(counts)) == (2, 80)
    holds(model, probe_rows(model.ensemble, 150, seed=5))


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), trees=st.integers(1, 150), strict=st.booleans(), single=st.booleans())
def test_random_forests_agree_with_the_walk(
    compile_forest: Any, seed: int, trees: int, strict: bool, single: bool
) -> None:
    random = np.random.default_rng(seed)
    ensemble = random_forest(random, trees, strict, single)
    rows = np.vstack([probe_rows(ensemble, 80, seed=seed % 1000), random.normal(size=(40, ensemble.feature_count))])
    walk = compile_forest(ensemble)
    for level in LEVELS:
        compiled = compile_forest(ensemble, emit=treelets_of, level=level)
        np.testing.assert_array_equal(compiled.leaves(rows), walk.leaves(rows))
        np.testing.assert_array_equal(compiled.margins(rows), walk.margins(rows))


@pytest.mark.parametrize(
    "finish", [{"scale": 0.5}, {"average": True}, {"base_last": True, "scale": 3.0, "average": True}]
)
def test_sums_are_finished_as_the_walk_finishes_them(compile_forest: Any, finish: dict[str, Any]) -> None:
    ensemble = replace(random_forest(np.random.default_rng(8), 33, strict=False, single=False), **finish)
    rows = probe_rows(ensemble, 60, seed=1)
    compiled = compile_forest(ensemble, emit=treelets_of, level=LEVELS[-1])
    np.testing.assert_array_equal(compiled.margins(rows), compile_forest(ensemble).margins(rows))


def test_float32_inputs_may_have_float64_leaves(compile_forest: Any) -> None:
    ensemble = random_forest(np.random.default_rng(9), 40, strict=False, single=True)
    leaves, base = ensemble.leaf_value.astype(np.float64) / 3, ensemble.base_margin.astype(np.float64)
    ensemble = replace(ensemble, sum_precision="float64", leaf_value=leaves, base_margin=base)
    rows = probe_rows(ensemble, 60, seed=1)
    for level in LEVELS:
        compiled = compile_forest(ensemble, emit=treelets_of, level=level)
        np.testing.assert_array_equal(compiled.margins(rows), compile_forest(ensemble).margins(rows))


def random_forest(random: np.random.Generator, trees: int, strict: bool, single: bool) -> Ensemble:
    """Trees of random shapes, some of them one leaf, over features whose splits differ in what missing means."""
    features = int(random.integers(1, 12))
    precision = "float32" if single else "float64"
    feature: list[int] = []
    children: list[list[int]] = []
    leaf_count = 0

    def grow(depth: int) -> int:
        nonlocal leaf_count
        if depth == 0 or random.random() < 0.25:
            leaf_count += 1
            return ~(leaf_count - 1)
        split = len(feature)
        feature.append(int(random.integers(features)))
        children.append([0, 0])
        children[split] = [grow(depth - 1), grow(depth - 1)]
        return split

    roots = [grow(int(random.integers(0, 9))) for _ in range(trees)]
    splits = len(feature)
    special = np.array([0.0, -0.0, 1e-36, -1e-36, np.inf, -np.inf, 1.0, 2.0])
    threshold = np.where(random.random(splits) < 0.2, random.choice(special, splits), random.normal(size=splits))
    left_and_right = np.array(children, dtype=np.int32).reshape(splits, 2)
    return Ensemble(
        source="xgboost" if single else "lightgbm",
        source_version=None,
        objective="random",
        feature_count=features,
        feature_names=None,
        precision=precision,
        sum_precision=precision,
        operator="<" if strict else "<=",
        zero_threshold=0.0 if single else 1e-35,
        negative_fractions_truncate=False,
        roots=np.array(roots, dtype=np.int32),
        feature=np.array(feature, dtype=np.int32),
        threshold=threshold.astype(precision),
        left=left_and_right[:, 0].copy(),
        right=left_and_right[:, 1].copy(),
        default_left=random.random(splits) < 0.5,
        missing=random.integers(0, 3, splits).astype(np.uint8),
        categorical=np.zeros(splits, dtype=bool),
        category_offsets=np.zeros(splits + 1, dtype=np.int64),
        categories=np.empty(0, dtype=np.int32),
        output_count=1,
        tree_output=np.zeros(trees, dtype=np.int32),
        leaf_value=random.normal(size=leaf_count).astype(precision),
        leaf_id=np.arange(leaf_count, dtype=np.int32),
        base_margin=np.array([0.25], dtype=precision),
        link=Link.IDENTITY,
        link_scale=1.0,
    )


def test_what_treelets_do_not_serve_is_walked(xgboost: Any) -> None:
    matrix, label = training_rows(400, 3)
    parameters = {"objective": "multi:softprob", "num_class": 2, "nthread": 1}
    several = load_model(xgboost.train(parameters, xgboost.DMatrix(matrix, label), 5)).ensemble
    assert cut(several) is None
    assert "forest_walk.hpp" in emit_fastest(several, "avx512").cpp
    numeric = load_model(xgboost.train({"nthread": 1}, xgboost.DMatrix(matrix, label), 5)).ensemble
    assert "forest_stacked.hpp" in emit_fastest(numeric, "avx512").cpp


def test_too_many_entries_for_the_trees_there_are_are_walked(xgboost: Any) -> None:
    matrix, label = training_rows(2_000, MOST_ENTRIES + 100)
    parameters = {"max_depth": 7, "colsample_bynode": 0.1, "nthread": 2}
    assert cut(load_model(xgboost.train(parameters, xgboost.DMatrix(matrix, label), 6)).ensemble) is None


@pytest.mark.parametrize("vectors", get_args(Vectors))
def test_the_same_forest_gives_the_same_bytes(xgboost: Any, vectors: Vectors) -> None:
    matrix, label = training_rows(400, 5)
    ensemble = load_model(xgboost.train({"nthread": 1}, xgboost.DMatrix(matrix, label), 9)).ensemble
    assert emit_fastest(ensemble, vectors) == emit_fastest(ensemble, vectors)
