"""Forests whose categories are recoded give the library's leaves and margins, at every level this processor runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthorn.forest.ensemble import Ensemble, Missing
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.forest.recoding import recode
from quickthorn.forest.treelet_emission import emit_fastest
from quickthorn.native import _native

LEVELS = [level for level in ("x86-64-v2", "x86-64-v3", "x86-64-v4") if _native.processor_supports(level)]
ODD = [np.nan, -0.0, -0.5, -1.0, -1e-40, 0.5, 2.0**31, 2.0**31 - 1, 2.0**32, 1e300, np.inf, -np.inf, 39.5, 40.0, 41.0]


@pytest.fixture
def holds(compile_forest: Any) -> Callable[..., None]:
    """Hold the recoded forest, at every level, to the library that trained the model."""

    def check(model: LoadedModel, rows: npt.NDArray[np.float64]) -> None:
        margins, leaves = model.source_margins(rows), model.source_leaves(rows)
        assert model.ensemble.categorical.any()
        for level in LEVELS:
            assert "forest_recoding.hpp" in emit_fastest(model.ensemble, "portable").cpp
            compiled = compile_forest(model.ensemble, "-O1", emit=emit_fastest, level=level)
            np.testing.assert_array_equal(compiled.leaves(rows), leaves)
            np.testing.assert_array_equal(compiled.margins(rows), margins)

    return check


def rows_for(model: LoadedModel, training: Any) -> npt.NDArray[np.float64]:
    odd = training[0][: len(ODD)].copy()
    odd[:, 4] = ODD
    return np.vstack([training[0][:60], probe_rows(model.ensemble, 120, seed=2), odd])


@pytest.mark.parametrize("parameters", [{}, {"max_cat_to_onehot": 99}], ids=str)
def test_xgboost(xgboost: Any, training: Any, holds: Callable[..., None], parameters: dict[str, Any]) -> None:
    data = xgboost.DMatrix(*training[:2], feature_types=["q"] * 4 + ["c"], enable_categorical=True)
    model = load_model(xgboost.train({"nthread": 1, "max_depth": 5} | parameters, data, 40))
    holds(model, rows_for(model, training))


def test_lightgbm(lightgbm: Any, training: Any, holds: Callable[..., None]) -> None:
    data = lightgbm.Dataset(*training[:2], categorical_feature=[4])
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_per_group": 5, "cat_smooth": 1}
    model = load_model(lightgbm.train(parameters, data, 40))
    holds(model, rows_for(model, training))


def test_scikit_learn(training: Any, holds: Callable[..., None]) -> None:
    ensembles = pytest.importorskip("sklearn.ensemble")
    estimator = ensembles.HistGradientBoostingClassifier(max_iter=30, categorical_features=[4])
    model = load_model(estimator.fit(*training[:2]))
    holds(model, rows_for(model, training))


def test_catboost(training: Any, holds: Callable[..., None]) -> None:
    catboost = pytest.importorskip("catboost")
    rows = training[0].astype(object)
    rows[:, 4] = training[0][:, 4].astype(int)
    parameters = {"iterations": 80, "depth": 5, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    estimator = catboost.CatBoost(
        parameters | {"cat_features": [4], "one_hot_max_size": 64, "loss_function": "Logloss"}
    )
    model = load_model(estimator.fit(rows, training[1]))
    assert "forest_oblivious.hpp" in emit_fastest(model.ensemble, "portable").cpp
    holds(model, rows_for(model, training))


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    single=st.booleans(),
    truncate=st.booleans(),
    whole=st.booleans(),
    widest=st.sampled_from([1, 3, 40, 700]),
)
def test_random_sets_agree_with_the_walk(
    compile_forest: Any,
    nameless: Callable[[], Ensemble],
    seed: int,
    single: bool,
    truncate: bool,
    whole: bool,
    widest: int,
) -> None:
    random = np.random.default_rng(seed)
    ensemble = with_random_sets(nameless(), random, widest)
    ensemble = replace(ensemble, negative_fractions_truncate=truncate, whole_categories=whole)
    if not single:
        ensemble = replace(ensemble, precision="float64", threshold=ensemble.threshold.astype(np.float64))
        ensemble = replace(ensemble, zero_threshold=1e-35)
    rows = np.vstack([probe_rows(ensemble, 80, seed=seed % 1000), random.normal(size=(40, 5)) * widest])
    odd = random.choice([*ODD, widest - 1, widest, widest + 1, widest - 0.5], (60, 5))
    rows = np.vstack([rows, odd])
    assert recode(ensemble) is not None
    walk = compile_forest(ensemble, "-O1")
    for level in LEVELS:
        compiled = compile_forest(ensemble, "-O1", emit=emit_fastest, level=level)
        np.testing.assert_array_equal(compiled.leaves(rows), walk.leaves(rows))
        np.testing.assert_array_equal(compiled.margins(rows), walk.margins(rows))


@pytest.fixture(scope="module")
def nameless(xgboost: Any, training: Any) -> Callable[[], Ensemble]:
    """A function, because Hypothesis writes down what a test is given, and a forest is long."""
    data = xgboost.DMatrix(training[0], training[1])
    ensemble = load_model(xgboost.train({"nthread": 1, "max_depth": 4}, data, 40)).ensemble
    return lambda: ensemble


def with_random_sets(ensemble: Ensemble, random: np.random.Generator, widest: int) -> Ensemble:
    """Half of the splits ask for sets of up to `widest` categories: some empty, some equal, some within others."""
    count = len(ensemble.feature)
    categorical = random.random(count) < 0.5
    order = random.permutation(widest)
    sets = [np.empty(0, np.int32)] * count
    for split in np.flatnonzero(categorical):
        length = int(random.integers(0, widest + 1))
        members = order[:length] if random.random() < 0.5 else random.choice(widest, min(length, 9), replace=False)
        sets[split] = np.sort(members).astype(np.int32)
    return replace(
        ensemble,
        categorical=categorical,
        threshold=np.where(categorical, np.float32(0), ensemble.threshold),
        default_left=random.random(count) < 0.5,
        missing=random.integers(0, len(Missing), count).astype(np.uint8),
        category_offsets=np.cumsum([0, *map(len, sets)]),
        categories=np.concatenate(sets).astype(np.int32),
    )


def test_sets_within_one_another_are_one_code(nameless: Callable[[], Ensemble]) -> None:
    count = len(nameless().feature)
    sizes = np.arange(count) % 4
    within = replace(
        nameless(),
        categorical=np.ones(count, np.bool_),
        threshold=np.zeros(count, np.float32),
        feature=np.zeros(count, np.int32),
        default_left=np.ones(count, np.bool_),
        category_offsets=np.cumsum([0, *sizes]),
        categories=np.concatenate([np.arange(size) for size in sizes]).astype(np.int32),
    )
    recoded = recode(within)
    assert recoded is not None
    (coding,) = recoded.codings
    # The empty set, {0}, {0, 1} and {0, 1, 2}: category 0 is in all but the empty one, and NaN goes left everywhere.
    assert coding.codes[:, 0].tolist() == [1, 2, 3, 4, 0]
    assert recoded.ensemble.feature_count == nameless().feature_count + 1


def test_more_sets_than_pay_are_walked(nameless: Callable[[], Ensemble]) -> None:
    count = len(nameless().feature)
    lone = replace(
        nameless(),
        categorical=np.ones(count, np.bool_),
        threshold=np.zeros(count, np.float32),
        category_offsets=np.arange(count + 1),
        categories=np.arange(count, dtype=np.int32),
    )
    assert recode(lone) is None
    assert "forest_walk.hpp" in emit_fastest(lone, "portable").cpp
    few = replace(lone, categories=np.full(count, 2**30, np.int32))
    assert recode(few) is None
