"""The forest alone, one row at a time, at every CPU level: 100 features with 10 % missing, every row different.

Levels are compared in one run and in turns, with XGBoost's own prediction of the same single rows beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xgboost
from benchmarks.conftest import measuring

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Policy
from quickthorn.native import _native

FEATURES = 100
LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
MODELS = {"100 trees of depth 6": (100, 6), "500 trees of depth 6": (500, 6), "1000 trees of depth 8": (1000, 8)}
SMOKE_MODELS = {"20 trees of depth 6": (20, 6)}


def rows_of(count: int, seed: int) -> npt.NDArray[np.float64]:
    """Rows of float32 values, 10 % of them missing."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, FEATURES)).astype(np.float32).astype(np.float64)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def feature_set() -> qt.FeatureSet:
    """One event field for every feature of the model."""
    fields: dict[str, Any] = {"event_id": qt.Id, "at": qt.EventTime}
    fields |= {f"x{number}": qt.Number | None for number in range(FEATURES)}
    event = type("Row", (qt.Event,), {"__annotations__": fields})
    features = qt.FeatureSet(event)
    for number in range(FEATURES):
        features[f"x{number}"] = getattr(event, f"x{number}")
    return features


def train(trees: int, depth: int, rows: int) -> xgboost.Booster:
    """A model of features that matter a little each, so that its trees are as full as the data allows."""
    matrix = rows_of(rows, seed=0)
    known = np.nan_to_num(matrix)
    noise = np.random.default_rng(1).normal(size=rows)
    label = known[:, :20].sum(axis=1) + known[:, 3] * known[:, 4] + noise > 0
    data = xgboost.DMatrix(matrix, label=label, feature_names=[f"x{number}" for number in range(FEATURES)])
    parameters = {"objective": "binary:logistic", "max_depth": depth, "nthread": 2, "seed": 0}
    return xgboost.train(parameters, data, trees)


def per_row_ns(call: Callable[[], Any], rows: int) -> float:
    """Nanoseconds per row of one call over all rows."""
    start_ns = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start_ns) / rows


def test_single_rows_at_every_level(
    request: pytest.FixtureRequest, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    full = measuring(request.config)
    rows = rows_of(20_000 if full else 200, seed=9)
    for name, (trees, depth) in (MODELS if full else SMOKE_MODELS).items():
        model = train(trees, depth, rows=60_000 if full else 1_000)
        bundle = tmp_path / "forest.qt"
        compile_bundle(
            features=feature_set(),
            model=model,
            policy=Policy.with_thresholds(review=0.5, decline=0.9, invalid="review"),
            output=bundle,
        )
        levels = [level for level in LEVELS if _native.processor_supports(level)]
        engines = [qt.Engine.load(bundle, target=level, allow_unsigned=True) for level in levels]
        model.set_param({"nthread": 1})
        model.feature_names = None
        expected = model.inplace_predict(rows, predict_type="margin").astype(np.float64)
        taken: list[list[float]] = [[] for _ in levels]
        for _ in range(9 if full else 1):
            for engine, times in zip(engines, taken, strict=True):
                np.testing.assert_array_equal(engine._margins(rows[:200]), expected[:200])
                times.append(per_row_ns(partial(engine._margins, rows), len(rows)))
        single = [per_row_ns(partial(model.inplace_predict, row), 1) for row in rows[:300, None]]
        medians = [float(np.median(times)) for times in taken]
        shown = ", ".join(f"{level} {median:,.0f} ns" for level, median in zip(levels, medians, strict=True))
        figure(f"forest, {name}, one row: {shown}; XGBoost inplace_predict {np.median(single):,.0f} ns")
