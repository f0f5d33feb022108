"""Oblivious trees give CatBoost's leaves and margins, bit for bit, at every level this processor runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthorn.calibration.link import Link
from quickthorn.forest.emission import ForestSource, Vectors
from quickthorn.forest.ensemble import EVERY_OUTPUT, Ensemble, Missing
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.oblivious import oblivious
from quickthorn.forest.oblivious_emission import emit_oblivious
from quickthorn.forest.probes import probe_rows
from quickthorn.forest.treelet_emission import emit_fastest
from quickthorn.native import _native

LEVELS = [level for level in ("x86-64-v2", "x86-64-v3", "x86-64-v4") if _native.processor_supports(level)]


def oblivious_of(ensemble: Ensemble, vectors: Vectors) -> ForestSource:
    forest = oblivious(ensemble)
    assert forest is not None
    return emit_oblivious(ensemble, forest)


@pytest.fixture
def holds(compile_forest: Any) -> Callable[..., None]:
    """Hold the forest, at every level, to the library that trained the model."""

    def check(model: LoadedModel, rows: npt.NDArray[np.float64]) -> None:
        margins, leaves = model.source_margins(rows), model.source_leaves(rows)
        for level in LEVELS:
            compiled = compile_forest(model.ensemble, optimise="-O1", emit=oblivious_of, level=level)
            np.testing.assert_array_equal(compiled.leaves(rows), leaves)
            np.testing.assert_array_equal(compiled.margins(rows), margins)

    return check


def fitted(rows: npt.NDArray[np.float64], wanted: npt.NDArray[Any], **parameters: Any) -> LoadedModel:
    catboost = pytest.importorskip("catboost")
    quiet = {"verbose": 0, "thread_count": 1, "allow_writing_files": False, "random_seed": 0}
    return load_model(catboost.CatBoost(quiet | parameters).fit(rows, wanted))


@pytest.mark.parametrize(
    "parameters",
    [
        {"depth": 6, "iterations": 200},
        {"depth": 6, "iterations": 150, "nan_mode": "Max", "learning_rate": 0.5},
        {"depth": 1, "iterations": 65},
        {"depth": 8, "iterations": 20},
        {"depth": 4, "iterations": 100, "loss_function": "MultiClass"},
    ],
    ids=str,
)
def test_what_catboost_computes(training: Any, holds: Callable[..., None], parameters: dict[str, Any]) -> None:
    rows, labels, targets = training
    wanted = labels + (targets > 1.5) if "loss_function" in parameters else labels
    model = fitted(rows, wanted, **({"loss_function": "Logloss"} | parameters))
    holds(model, np.vstack([rows[:80], probe_rows(model.ensemble, 120, seed=4)]))


def test_stumps_are_oblivious_whoever_grew_them(xgboost: Any, training: Any, holds: Callable[..., None]) -> None:
    model = load_model(xgboost.train({"max_depth": 1, "nthread": 1}, xgboost.DMatrix(*training[:2]), 90))
    holds(model, np.vstack([training[0][:80], probe_rows(model.ensemble, 120, seed=4)]))


def test_scale_and_bias_come_last(training: Any, holds: Callable[..., None]) -> None:
    catboost = pytest.importorskip("catboost")
    estimator = catboost.CatBoost({"iterations": 70, "verbose": 0, "allow_writing_files": False, "thread_count": 1})
    estimator.fit(training[0], training[2]).set_scale_and_bias(0.37, 0.123)
    holds(load_model(estimator), training[0][:100])


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    trees=st.sampled_from([1, 63, 64, 65, 128, 200]),
    outputs=st.sampled_from([1, 1, 3]),
    single=st.booleans(),
    strict=st.booleans(),
)
def test_random_forests_agree_with_the_walk(
    compile_forest: Any, seed: int, trees: int, outputs: int, single: bool, strict: bool
) -> None:
    random = np.random.default_rng(seed)
    ensemble = random_forest(random, trees, outputs, single=single, strict=strict)
    rows = np.vstack([probe_rows(ensemble, 80, seed=seed % 1000), random.normal(size=(40, ensemble.feature_count))])
    walk = compile_forest(ensemble, "-O1")
    for level in LEVELS:
        compiled = compile_forest(ensemble, optimise="-O1", emit=oblivious_of, level=level)
        np.testing.assert_array_equal(compiled.leaves(rows), walk.leaves(rows))
        np.testing.assert_array_equal(compiled.margins(rows), walk.margins(rows))


def test_more_entries_than_a_group_has(compile_forest: Any) -> None:
    # 300 features, each used by neighbouring trees alone: three groups.
    random = np.random.default_rng(2)
    ensemble = random_forest(random, 300, 1, features=300)
    owner = np.repeat(np.arange(300), [len(splits) for splits in splits_of_trees(ensemble)])
    moved = replace(ensemble, feature=owner.astype(np.int32), missing=np.full(len(owner), Missing.NAN, np.uint8))
    forest = oblivious(moved)
    assert forest is not None
    assert len(forest.groups) == 3
    rows = np.vstack([probe_rows(moved, 60, seed=1), random.normal(size=(40, 300))])
    for level in LEVELS:
        compiled = compile_forest(moved, optimise="-O1", emit=oblivious_of, level=level)
        np.testing.assert_array_equal(compiled.margins(rows), compile_forest(moved, "-O1").margins(rows))


def test_averages_are_taken(compile_forest: Any) -> None:
    for outputs in (1, 2):
        ensemble = random_forest(np.random.default_rng(3), 70, outputs)
        ensemble = replace(ensemble, average=True, scale=3.0, base_last=True)
        rows = probe_rows(ensemble, 60, seed=1)
        compiled = compile_forest(ensemble, optimise="-O1", emit=oblivious_of, level=LEVELS[-1])
        np.testing.assert_array_equal(compiled.margins(rows), compile_forest(ensemble, "-O1").margins(rows))


def test_the_sum_is_rounded_as_it_goes(compile_forest: Any) -> None:
    """Leaves that make sums cross powers of two, cancel, and lie just between two float64, or are subnormal."""
    random = np.random.default_rng(4)
    for magnitude in (1e-3, 2.0**-53, 2.0**-60, 1.0, 1e300, 5e-324):
        ensemble = random_forest(random, 200, 1, features=8)
        half = random.choice([0.5, 1.0, 1.5, 0.25, -0.5, -1.5, 3.0, 0.0], len(ensemble.leaf_id)) * magnitude
        noise = random.choice([0.0, 0.0, 1.0, 2.0**-20], len(half)) * random.normal(size=len(half)) * magnitude
        ensemble = replace(ensemble, leaf_value=half + noise, base_margin=np.array([random.choice([1.0, 0.0, -1.75])]))
        rows = random.normal(size=(150, ensemble.feature_count))
        expected = compile_forest(ensemble, "-O1").margins(rows)
        for level in LEVELS:
            compiled = compile_forest(ensemble, optimise="-O1", emit=oblivious_of, level=level)
            np.testing.assert_array_equal(compiled.margins(rows), expected)


def test_other_trees_are_none(xgboost: Any, training: Any) -> None:
    model = load_model(xgboost.train({"max_depth": 3, "nthread": 1}, xgboost.DMatrix(*training[:2]), 10))
    assert oblivious(model.ensemble) is None
    ensemble = random_forest(np.random.default_rng(1), 80, 1)
    assert "forest_oblivious.hpp" in emit_fastest(ensemble, "portable").cpp
    deep = random_forest(np.random.default_rng(1), 80, 1, depths=[9])
    assert oblivious(deep) is None
    uneven = random_forest(np.random.default_rng(1), 800, 1, depths=[0] * 99 + [8])
    assert oblivious(uneven) is None


def splits_of_trees(ensemble: Ensemble) -> list[npt.NDArray[np.int64]]:
    """The numbers of each tree's splits, where they lie in a row."""
    found = pairwise([*(int(root) for root in ensemble.roots if root >= 0), len(ensemble.feature)])
    return [np.arange(*next(found)) if root >= 0 else np.empty(0, np.int64) for root in ensemble.roots]


def random_forest(
    random: np.random.Generator,
    trees: int,
    outputs: int,
    *,
    single: bool = False,
    strict: bool = False,
    features: int = 7,
    depths: list[int] | None = None,
) -> Ensemble:
    """Oblivious trees of random depths over splits of every kind."""
    precision: Literal["float32", "float64"] = "float32" if single else "float64"
    special = np.array([0.0, -0.0, 1e-36, -1e-36, np.inf, -np.inf, 1.0])
    columns: dict[str, list[Any]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "default_left", "missing")
    }
    roots, splits, leaves = [], 0, 0
    for _ in range(trees):
        depth = int(random.choice([0, 2, 5, 5, 6, 6, 6] if depths is None else depths))
        roots.append(splits if depth else ~leaves)
        inner = 2**depth - 1
        level = np.repeat(np.arange(depth), 2 ** np.arange(depth))
        children = np.arange(1, 2 * inner + 1).reshape(inner, 2)
        child = np.where(children < inner, splits + children, ~(leaves + children - inner))
        tests = {
            "feature": random.integers(0, features, depth),
            "threshold": np.where(random.random(depth) < 0.2, random.choice(special, depth), random.normal(size=depth)),
            "default_left": random.random(depth) < 0.5,
            "missing": random.integers(0, len(Missing), depth),
        }
        for name, values in tests.items():
            columns[name].append(values[level])
        columns["left"].append(child[:, 0])
        columns["right"].append(child[:, 1])
        splits, leaves = splits + inner, leaves + inner + 1
    dtypes: dict[str, npt.DTypeLike] = {"threshold": precision, "default_left": np.bool_, "missing": np.uint8}
    shape = (leaves, outputs) if outputs > 1 else (leaves,)
    arrays: dict[str, Any] = {
        name: np.concatenate(parts).astype(dtypes.get(name, np.int32)) for name, parts in columns.items()
    }
    return Ensemble(
        source="catboost",
        source_version=None,
        objective="random",
        feature_count=features,
        feature_names=None,
        precision=precision,
        sum_precision=precision,
        operator="<" if strict else "<=",
        zero_threshold=0.0 if single else 1e-35,
        negative_fractions_truncate=False,
        roots=np.array(roots, np.int32),
        categorical=np.zeros(splits, np.bool_),
        category_offsets=np.zeros(splits + 1, np.int64),
        categories=np.empty(0, np.int32),
        output_count=outputs,
        tree_output=np.full(trees, EVERY_OUTPUT if outputs > 1 else 0, np.int32),
        leaf_value=random.normal(size=shape).astype(precision),
        leaf_id=random.integers(0, 99, leaves).astype(np.int32),
        base_margin=random.normal(size=outputs).astype(precision),
        link=Link.IDENTITY,
        link_scale=1.0,
        **arrays,
    )
