"""Many rows at once give every row the margins it has alone, bit for bit, at every level this processor runs.

NativeForest.margins() holds batches of rows of float64 and float32, in C and Fortran order, to single rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.forest.test_forest_crowns import shaped_forest
from tests.forest.test_forest_treelets import LEVELS, random_forest, training_rows

from quickthorn.forest.batch_tables import MOST_LEAVES, Kind, batch_groups
from quickthorn.forest.importing import load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.forest.ranking import MOST_ENTRIES
from quickthorn.forest.treelet_emission import emit_fastest

TILE_ROWS = 256


def kinds_of(ensemble: Any) -> set[Kind]:
    groups = batch_groups(ensemble, TILE_ROWS)
    assert groups is not None
    return {Kind(kind) for group in groups for kind in np.unique(group.trees["kind"])}


@pytest.fixture
def agrees(compile_forest: Callable[..., Any]) -> Callable[..., None]:
    """Batches agree with single rows, and all levels with each other."""

    def check(ensemble: Any, rows: Any, counts: tuple[int, ...] = (300,)) -> None:
        assert "forest_batch.hpp" in emit_fastest(ensemble, "avx512").cpp
        margins = []
        for level in LEVELS:
            compiled = compile_forest(ensemble, "-O1", emit=emit_fastest, level=level)
            margins.append([compiled.margins(rows[:count]) for count in counts])
        for other in margins[1:]:
            for one, two in zip(margins[0], other, strict=True):
                np.testing.assert_array_equal(one, two)

    return check


def test_any_number_of_rows(agrees: Callable[..., None]) -> None:
    ensemble = random_forest(np.random.default_rng(6), 40, strict=True, single=True)
    rows = np.resize(probe_rows(ensemble, 300, seed=1), (700, ensemble.feature_count))
    agrees(ensemble, rows, counts=(0, 1, 47, 64, 257, 700))


@pytest.mark.parametrize("seed", range(2))
def test_trees_of_any_shape(agrees: Callable[..., None], seed: int) -> None:
    ensemble = random_forest(np.random.default_rng(seed), 60, strict=seed == 1, single=seed == 1)
    assert Kind.ANY in kinds_of(ensemble)
    agrees(ensemble, probe_rows(ensemble, 300, seed=seed))


def test_several_outputs(agrees: Callable[..., None]) -> None:
    ensemble = random_forest(np.random.default_rng(3), 30, strict=False, single=False)
    several = {"output_count": 3, "tree_output": np.arange(30, dtype=np.int32) % 3, "base_margin": np.arange(3.0)}
    agrees(replace(ensemble, **several, average=True), probe_rows(ensemble, 300, seed=1))


def test_oblivious_trees(agrees: Callable[..., None]) -> None:
    catboost = pytest.importorskip("catboost")
    matrix, label = training_rows(1_000, 12)
    model = catboost.CatBoostClassifier(
        iterations=40, depth=5, verbose=False, allow_writing_files=False, thread_count=1, random_seed=1
    )
    ensemble = load_model(model.fit(matrix, label)).ensemble
    assert kinds_of(ensemble) == {Kind.OBLIVIOUS}
    agrees(ensemble, np.vstack([matrix[:200], probe_rows(ensemble, 200, seed=2)]))


def test_more_entries_than_a_group_holds(xgboost: Any, agrees: Callable[..., None]) -> None:
    matrix, label = training_rows(1_500, MOST_ENTRIES + 60)
    parameters = {"max_depth": 5, "colsample_bytree": 0.3, "nthread": 2, "min_child_weight": 0}
    ensemble = load_model(xgboost.train(parameters, xgboost.DMatrix(matrix, label), 40)).ensemble
    groups = batch_groups(ensemble, TILE_ROWS)
    assert groups is not None
    assert len(groups) > 1
    agrees(ensemble, probe_rows(ensemble, 300, seed=5))


def test_values_beside_thresholds_that_float32_does_not_tell_apart(agrees: Callable[..., None]) -> None:
    ensemble = random_forest(np.random.default_rng(4), 60, strict=False, single=False)
    threshold = np.where(np.arange(len(ensemble.threshold)) % 5 == 0, -1e300, ensemble.threshold)
    ensemble = replace(ensemble, threshold=threshold)
    rows = np.repeat(probe_rows(ensemble, 100, seed=3), 3, axis=0)
    rows[1::3], rows[2::3] = np.nextafter(rows[1::3], np.inf), np.nextafter(rows[2::3], -np.inf)
    agrees(ensemble, np.vstack([rows, np.random.default_rng(5).choice(threshold, (60, ensemble.feature_count))]))


def test_what_no_batch_serves_goes_row_by_row(xgboost: Any) -> None:
    matrix, label = training_rows(4_000, 6)
    parameters = {"max_depth": 12, "nthread": 2, "min_child_weight": 0, "gamma": 0}
    ensemble = load_model(xgboost.train(parameters, xgboost.DMatrix(matrix, label), 3)).ensemble
    assert len(ensemble.leaf_id) > ensemble.tree_count * MOST_LEAVES
    assert batch_groups(ensemble, TILE_ROWS) is None
    assert "each_row" in emit_fastest(ensemble, "avx512").cpp


@pytest.mark.parametrize(("depth", "together"), [(6, True), (8, False)])
def test_low_trees_of_many_leaves_go_row_by_row(depth: int, together: bool) -> None:
    ensemble = shaped_forest(np.random.default_rng(depth), 40, 20, depth, 100)
    assert ("forest_batch.hpp" in emit_fastest(ensemble, "avx512").cpp) == together
