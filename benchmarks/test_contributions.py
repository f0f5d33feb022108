"""Contributions of one row, beside the libraries' own and shap: one thread, every row different, in turns.

Each model is explained by the library that trained it and by shap, which hands XGBoost's and LightGBM's models to their
own libraries, and walks scikit-learn's itself. What is timed is the whole call from Python, with a row as numpy has it.

    taskset -c 1 .venv/bin/pytest benchmarks/test_contributions.py --benchmark-enable -q
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from benchmarks.conftest import measuring
from benchmarks.models import labels_of, rows_of

import quickthorn as qt
from quickthorn.compiling.toolchain import check_targets, target_vectors
from quickthorn.forest.explanation_emission import emit_contributions
from quickthorn.forest.importing import load_model
from quickthorn.forest.treelet_emission import emit_fastest
from quickthorn.native import _native

Row = npt.NDArray[np.float64]
Explain = Callable[[Row], Any]
LEVEL = [level for level in check_targets(None) if _native.processor_supports(level)][-1]


@dataclass(frozen=True)
class Size:
    """How large a model is; `depth` 0 where trees are limited by leaves alone."""

    trees: int
    leaves: int
    depth: int
    rows: int = 8_000


def xgboost_model(size: Size, rows: Any, labels: Any) -> tuple[Any, Explain]:
    xgboost = pytest.importorskip("xgboost")
    parameters = {"objective": "binary:logistic", "max_depth": size.depth, "eta": 0.05, "subsample": 0.5}
    parameters |= {"min_child_weight": 0, "nthread": 1, "seed": 7}
    booster = xgboost.train(parameters, xgboost.QuantileDMatrix(rows, labels), size.trees)
    return booster, lambda row: booster.predict(xgboost.DMatrix(row[np.newaxis], nthread=1), pred_contribs=True)[0]


def lightgbm_model(size: Size, rows: Any, labels: Any) -> tuple[Any, Explain]:
    lightgbm = pytest.importorskip("lightgbm")
    parameters = {"objective": "binary", "num_leaves": size.leaves, "learning_rate": 0.05, "seed": 7}
    parameters |= {"num_threads": 1, "verbose": -1, "deterministic": True, "force_row_wise": True}
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, labels), size.trees)
    return booster, lambda row: booster.predict(row[np.newaxis], pred_contrib=True, num_threads=1)[0]


def catboost_model(size: Size, rows: Any, labels: Any) -> tuple[Any, Explain]:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(
        iterations=size.trees, depth=size.depth, random_seed=7, thread_count=1, verbose=0, allow_writing_files=False
    ).fit(rows, labels)
    return model, lambda row: model.get_feature_importance(
        catboost.Pool(row[np.newaxis]), type="ShapValues", thread_count=1
    )[0]


def sklearn_model(size: Size, rows: Any, labels: Any) -> tuple[Any, Explain]:
    histogram = pytest.importorskip("sklearn.ensemble").HistGradientBoostingClassifier
    model = histogram(
        max_iter=size.trees, max_leaf_nodes=size.leaves, learning_rate=0.05, early_stopping=False, random_state=7
    ).fit(rows.astype(np.float64), labels)
    return model, shap_explainer(model)


def shap_explainer(model: Any) -> Explain:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shap = pytest.importorskip("shap")
        explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")

    def explain(row: Row) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = explainer.shap_values(row[np.newaxis], check_additivity=False)
        return np.append(np.reshape(values, -1), np.reshape(explainer.expected_value, -1)[-1])

    return explain


MODELS = {"xgboost": xgboost_model, "lightgbm": lightgbm_model, "catboost": catboost_model, "sklearn": sklearn_model}
LARGE, SMALL, TINY = Size(500, 64, 6), Size(100, 31, 5), Size(6, 12, 4, 3_000)
CASES = [(name, size) for size in (LARGE, SMALL) for name in MODELS]


def timed(explain: Explain, row: Row) -> int:
    begin = time.perf_counter_ns()
    explain(row)
    return time.perf_counter_ns() - begin


@pytest.mark.parametrize(("name", "size"), [*CASES, ("lightgbm", TINY)], ids=lambda part: str(part))
def test_contributions_of_one_row(
    request: pytest.FixtureRequest, latencies: Any, figure: Any, name: str, size: Size
) -> None:
    measure = measuring(request.config)
    if measure == (size is TINY):
        pytest.skip("a small model where benchmarks are checked, large ones where they measure")
    rows = rows_of(size.rows, seed=7)
    model, own = MODELS[name](size, rows, labels_of(rows, seed=8))
    forest = qt.compile_model(model, target=LEVEL, contributions=True)
    tested = rows_of(2_000, seed=9).astype(np.float64)
    out = np.empty(tested.shape[1] + 1)
    rivals = {("shap" if name == "sklearn" else name): own}
    if name in ("xgboost", "lightgbm") and measure:
        rivals["shap"] = shap_explainer(model)
    span = np.ptp(forest.margin_batch(tested))
    for row in tested[:5]:
        for rival in rivals.values():
            np.testing.assert_allclose(forest.contributions(row), rival(row), atol=1e-5 * span, rtol=0)
    ours: list[int] = []
    theirs: dict[str, list[int]] = {rival: [] for rival in rivals}
    explain = partial(forest.contributions, out=out)
    for turn in range(20 if measure else 2):
        for rival, call in rivals.items():
            theirs[rival] += [timed(call, row) for row in tested[turn * 10 : turn * 10 + 10]]
        ours += [timed(explain, row) for row in np.roll(tested, 100 * turn, axis=0)[: 1_000 if measure else 20]]
    what = f"{size.trees} × {size.leaves} leaves ({name})"
    latencies(f"contributions, {what}", ours)
    for rival, calls in theirs.items():
        latencies(f"  {rival}'s own", calls)
    fastest = min(np.median(calls) for calls in theirs.values())
    ensemble = load_model(model).ensemble
    ratio = len(emit_contributions(ensemble, target_vectors(LEVEL)).tables) / len(
        emit_fastest(ensemble, target_vectors(LEVEL)).tables
    )
    figure(
        f"contributions, {what}: {fastest / np.median(ours):.0f} times the fastest; tables {ratio:.2f} × the forest's"
    )
