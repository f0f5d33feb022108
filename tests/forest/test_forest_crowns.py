"""A forest cut into crowns and branches gives the library's or the walk's leaves and margins, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthorn.forest.crown_emission import emit_crowns
from quickthorn.forest.crowns import Crowns, crowns_pay, cut_crowns
from quickthorn.forest.emission import ForestSource, Vectors
from quickthorn.forest.ensemble import Ensemble, Missing
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.forest.treelet_emission import emit_fastest
from quickthorn.native import _native

from .test_forest_treelets import random_forest, training_rows

PORTABLE_AND_AVX2: tuple[Vectors, ...] = ("portable", "avx2")
LEVELS = [level for level in ("x86-64-v2", "x86-64-v3") if _native.processor_supports(level)]


def crowns_of(ensemble: Ensemble, vectors: Vectors = "portable") -> ForestSource:
    return emit_crowns(ensemble, cut(ensemble))


def cut(ensemble: Ensemble) -> Crowns:
    crowns = cut_crowns(ensemble)
    assert crowns is not None
    return crowns


@pytest.fixture
def agree(compile_forest: Any) -> Callable[..., None]:
    """Hold crowns, at every level, to the walk from node to node, or to the library that trained the model."""

    def check(model: LoadedModel | Ensemble, rows: npt.NDArray[np.float64]) -> None:
        optimise = "-O3"
        if isinstance(model, Ensemble):
            optimise = "-O1"  # compiles quickly, and other tests do without
            ensemble, walk = model, compile_forest(model, optimise)
            margins, leaves = walk.margins(rows), walk.leaves(rows)
        else:
            ensemble, margins, leaves = model.ensemble, model.source_margins(rows), model.source_leaves(rows)
        for level in LEVELS:
            compiled = compile_forest(ensemble, optimise, emit=crowns_of, level=level)
            np.testing.assert_array_equal(compiled.leaves(rows), leaves)
            np.testing.assert_array_equal(compiled.margins(rows), margins)

    return check


@pytest.mark.parametrize("depth", [1, 4, 5, 8])
def test_depth_wise_trees_of_every_depth(xgboost: Any, agree: Callable[..., None], depth: int) -> None:
    matrix, label = training_rows(1_500, 9)
    parameters = {"max_depth": depth, "objective": "binary:logistic", "nthread": 1, "min_child_weight": 0}
    model = load_model(xgboost.train(parameters, xgboost.DMatrix(matrix, label), 75))
    assert cut(model.ensemble).groups[0].even
    agree(model, np.vstack([matrix[:60], probe_rows(model.ensemble, 120, seed=depth)]))


@pytest.mark.parametrize("leaves", [2, 40])
def test_leaf_wise_trees(lightgbm: Any, agree: Callable[..., None], leaves: int) -> None:
    matrix, label = training_rows(1_500, 9)
    matrix[:, 3] = np.nan_to_num(matrix[:, 3])  # a feature without missing values takes NaN for zero
    parameters = {"num_leaves": leaves, "min_data_in_leaf": 3, "objective": "binary", "verbosity": -1, "num_threads": 1}
    model = load_model(lightgbm.train(parameters, lightgbm.Dataset(matrix, label), 70))
    assert cut(model.ensemble).groups[0].even == (leaves == 2)
    agree(model, np.vstack([matrix[:60], probe_rows(model.ensemble, 120, seed=leaves)]))


def test_zeros_that_count_as_missing(lightgbm: Any, agree: Callable[..., None]) -> None:
    matrix, label = training_rows(1_500, 4)
    matrix[np.random.default_rng(1).random(matrix.shape) < 0.2] = 0.0
    parameters = {"zero_as_missing": True, "objective": "binary", "verbosity": -1, "num_threads": 1}
    model = load_model(lightgbm.train(parameters, lightgbm.Dataset(matrix, label), 20))
    assert (model.ensemble.missing == Missing.ZERO).any()
    agree(model, np.vstack([matrix[:60], probe_rows(model.ensemble, 120, seed=3)]))


@pytest.mark.parametrize("thresholds", [16, 254, 255])
def test_features_of_few_and_of_many_thresholds(xgboost: Any, agree: Callable[..., None], thresholds: int) -> None:
    matrix = np.arange(thresholds + 1, dtype=np.float64).repeat(3)[:, None]
    parameters = {"max_depth": 6, "tree_method": "exact", "learning_rate": 1.0, "nthread": 1, "lambda": 0}
    parameters |= {"min_child_weight": 0, "subsample": 0.7, "seed": 1}
    model = load_model(xgboost.train(parameters, xgboost.DMatrix(matrix, matrix[:, 0] % 2), 60))
    beside = np.concatenate([np.unique(model.ensemble.threshold) + step for step in (-0.25, 0, 0.25)])
    agree(model, np.concatenate([beside, [np.nan, np.inf, -np.inf, 0.0, -0.0]])[:, None].astype(np.float64))


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), trees=st.integers(1, 150), strict=st.booleans(), single=st.booleans())
def test_random_forests_agree_with_the_walk(
    agree: Callable[..., None], seed: int, trees: int, strict: bool, single: bool
) -> None:
    random = np.random.default_rng(seed)
    ensemble = random_forest(random, trees, strict, single)
    agree(
        ensemble,
        np.vstack([probe_rows(ensemble, 80, seed=seed % 1000), random.normal(size=(40, ensemble.feature_count))]),
    )


@pytest.mark.parametrize("finish", [{"scale": 0.5}, {"base_last": True, "scale": 3.0, "average": True}])
def test_sums_are_finished_as_the_walk_finishes_them(agree: Callable[..., None], finish: dict[str, Any]) -> None:
    ensemble = replace(random_forest(np.random.default_rng(8), 33, strict=False, single=False), **finish)
    agree(ensemble, probe_rows(ensemble, 60, seed=1))


def test_float32_inputs_may_have_float64_leaves(agree: Callable[..., None]) -> None:
    ensemble = random_forest(np.random.default_rng(9), 40, strict=False, single=True)
    leaves, base = ensemble.leaf_value.astype(np.float64) / 3, ensemble.base_margin.astype(np.float64)
    ensemble = replace(ensemble, sum_precision="float64", leaf_value=leaves, base_margin=base)
    agree(ensemble, probe_rows(ensemble, 60, seed=1))


@pytest.mark.parametrize(
    ("trees", "features", "depth", "distinct"),
    [(3, 4, 0, 1), (1, 50, 6, 50), (1_100, 6, 2, 40), (40, 400, 6, 3), (70, 1, 6, 10_000), (30, 5, 40, 60)],
    ids=["leaves only", "one tree", "1,100 trees", "400 features", "10,000 thresholds", "chains"],
)
def test_forests_of_unusual_shapes(
    agree: Callable[..., None], trees: int, features: int, depth: int, distinct: int
) -> None:
    ensemble = shaped_forest(np.random.default_rng(trees), trees, features, depth, distinct)
    wide = len(cut(ensemble).groups[0].tiles) > 8
    assert wide == (features == 400)
    rows = np.random.default_rng(2).integers(-1, distinct + 1, size=(150, features)).astype(np.float64)
    rows[np.random.default_rng(3).random(rows.shape) < 0.1] = np.nan
    agree(ensemble, rows)


@pytest.mark.parametrize("depth", [3, 40], ids=["even", "chains"])
def test_trees_that_need_too_many_entries_together_are_divided_into_groups(
    agree: Callable[..., None], depth: int
) -> None:
    random = np.random.default_rng(depth)
    trees, features, each = 150, 250, 100
    ensemble = shaped_forest(random, trees, each, depth, 30)
    # Every half of the trees asks for features of its own.
    tree = np.searchsorted(ensemble.roots, np.arange(len(ensemble.feature)), side="right") - 1
    feature = (ensemble.feature + np.where(tree < trees // 2, 0, features - each)).astype(np.int32)
    ensemble = replace(ensemble, feature_count=features, feature=feature)
    counts = [group.tree_count for group in cut(ensemble).groups]
    assert len(counts) == 2
    assert sum(counts) == trees
    rows = random.integers(-1, 31, size=(100, features)).astype(np.float64)
    rows[random.random(rows.shape) < 0.1] = np.nan
    agree(ensemble, rows)


def shaped_forest(random: np.random.Generator, trees: int, features: int, depth: int, distinct: int) -> Ensemble:
    """Full trees of a depth, or chains where that is above 8; thresholds are whole numbers below `distinct`."""
    feature: list[int] = []
    children: list[list[int]] = []
    leaf_count = 0

    def grow(levels: int) -> int:
        nonlocal leaf_count
        if levels == 0:
            leaf_count += 1
            return ~(leaf_count - 1)
        split = len(feature)
        feature.append(int(random.integers(features)))
        children.append([0, 0])
        below = [grow(levels - 1), grow(levels - 1 if depth <= 8 else 0)]
        children[split] = below if random.random() < 0.5 else below[::-1]
        return split

    roots = [grow(depth) for _ in range(trees)]
    splits = len(feature)
    plain = random_forest(random, 1, strict=False, single=True)
    sides = np.array(children, dtype=np.int32).reshape(splits, 2)
    return replace(
        plain,
        feature_count=features,
        roots=np.array(roots, dtype=np.int32),
        feature=np.array(feature, dtype=np.int32),
        threshold=random.integers(0, distinct, splits).astype(np.float32),
        left=sides[:, 0].copy(),
        right=sides[:, 1].copy(),
        default_left=random.random(splits) < 0.5,
        missing=np.full(splits, Missing.NAN, dtype=np.uint8),
        categorical=np.zeros(splits, dtype=bool),
        category_offsets=np.zeros(splits + 1, dtype=np.int64),
        tree_output=np.zeros(trees, dtype=np.int32),
        leaf_value=random.normal(size=leaf_count).astype(np.float32),
        leaf_id=np.arange(leaf_count, dtype=np.int32),
    )


def test_forests_that_ranking_does_not_serve_or_pay_for_are_walked(xgboost: Any) -> None:
    matrix, label = training_rows(400, 3)
    parameters = {"objective": "multi:softprob", "num_class": 2, "nthread": 1}
    several = load_model(xgboost.train(parameters, xgboost.DMatrix(matrix, label), 5)).ensemble
    assert cut_crowns(several) is None
    one_tree = shaped_forest(np.random.default_rng(0), 1, 50, 6, 50)
    assert not crowns_pay(one_tree)
    few = load_model(xgboost.train({"nthread": 1}, xgboost.DMatrix(matrix, label), 5)).ensemble
    for vectors in PORTABLE_AND_AVX2:
        assert "forest_walk.hpp" in emit_fastest(several, vectors).cpp
        assert "forest_walk.hpp" in emit_fastest(one_tree, vectors).cpp
        assert "forest_crowns.hpp" in emit_fastest(few, vectors).cpp
