"""Random small forests of scikit-learn no trainer would grow: odd thresholds, missing values either way, categories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthorn.forest.importing import load_model

from .test_forest_random import ODD, assert_reference_equals_source, few, many, shapes

ensemble = pytest.importorskip("sklearn.ensemble")

ROWS = np.array([[0.0, 0.5, 2.0], [1.0, -1.0, 3.0], [np.nan, 2.0, 5.0], [3.0, np.nan, np.nan]] * 10)
TARGETS = np.arange(40.0)
CATEGORIES = 3  # 2, 3 and 5


def laid_out(shape: list[tuple[int, int]]) -> tuple[list[int], list[int], list[int]]:
    """Nodes in the order of a walk: left and right children, -1 at leaves; and each node's split, -1 at leaves."""
    left, right, split = [-1], [-1], [0 if shape else -1]
    waiting = [0] if shape else []
    while waiting:
        node = waiting.pop()
        for children, child in zip((left, right), shape[split[node]], strict=True):
            children[node] = len(split)
            if child >= 0:
                waiting.append(len(split))
            split.append(max(child, -1))
            left.append(-1)
            right.append(-1)
    return left, right, split


LEAVES = st.floats(-1e3, 1e3)
THRESHOLDS = st.one_of(st.sampled_from(ODD), st.floats(-1e38, 1e38))


@st.composite
def random_forests(draw: st.DrawFn) -> Any:
    """A fitted RandomForestRegressor whose trees are replaced."""
    kind = draw(st.sampled_from(["RandomForestRegressor", "ExtraTreesRegressor"]))
    estimator = getattr(ensemble, kind)(draw(st.integers(1, 6)), random_state=0, bootstrap=False).fit(ROWS, TARGETS)
    for member in estimator.estimators_:
        left, right, split = laid_out(draw(shapes()))
        tree = member.tree_
        state = tree.__getstate__()
        nodes = np.zeros(len(left), state["nodes"].dtype)
        nodes["left_child"], nodes["right_child"] = left, right
        nodes["feature"] = [draw(st.integers(0, 2)) if at >= 0 else -2 for at in split]
        nodes["threshold"] = [draw(THRESHOLDS) if at >= 0 else -2.0 for at in split]
        nodes["missing_go_to_left"] = [draw(st.integers(0, 1)) if at >= 0 else 0 for at in split]
        nodes["n_node_samples"], nodes["weighted_n_node_samples"] = 1, 1.0
        values = np.array([draw(LEAVES) for _ in left]).reshape(-1, 1, 1)
        member.tree_ = type(tree)(3, np.array([1], np.intp), 1)
        member.tree_.__setstate__(state | {"nodes": nodes, "node_count": len(left), "values": values, "max_depth": 10})
    return estimator


@st.composite
def histogram_boosters(draw: st.DrawFn) -> Any:
    """A fitted HistGradientBoostingRegressor whose predictors are replaced; its last feature is a category."""
    options = {"max_iter": draw(st.integers(1, 6)), "min_samples_leaf": 1, "categorical_features": [2]}
    estimator = ensemble.HistGradientBoostingRegressor(**options).fit(ROWS, TARGETS)
    for (predictor,) in estimator._predictors:
        left, right, split = laid_out(draw(shapes()))
        nodes = np.zeros(len(left), predictor.nodes.dtype)
        inner = np.array(split) >= 0
        nodes["is_leaf"] = ~inner
        nodes["left"], nodes["right"] = np.where(inner, left, 0), np.where(inner, right, 0)
        # Inside, the category stands in front of the other features.
        nodes["feature_idx"] = [draw(st.integers(0, 2)) if at else 0 for at in inner]
        nodes["is_categorical"] = inner & (nodes["feature_idx"] == 0)
        nodes["num_threshold"] = [draw(THRESHOLDS) if at else 0.0 for at in inner]
        nodes["missing_go_to_left"] = [draw(st.integers(0, 1)) if at else 0 for at in inner]
        nodes["value"] = [draw(LEAVES) for _ in left]
        sets = np.zeros((max(int(nodes["is_categorical"].sum()), 1), 8), np.uint32)
        sets[:, 0] = [draw(st.integers(0, 2**CATEGORIES - 1)) for _ in sets]
        nodes["bitset_idx"][nodes["is_categorical"] != 0] = np.arange(int(nodes["is_categorical"].sum()))
        predictor.nodes, predictor.raw_left_cat_bitsets = nodes, sets
    return estimator


@many
@given(estimator=st.one_of(random_forests(), histogram_boosters()))
def test_the_reference_reads_random_forests_of_scikit_learn(estimator: Any) -> None:
    assert_reference_equals_source(load_model(estimator))


@few
@given(estimator=st.one_of(random_forests(), histogram_boosters()))
def test_random_forests_of_scikit_learn(estimator: Any, assert_equal_to_source: Callable[..., None]) -> None:
    assert_equal_to_source(load_model(estimator), optimise="-O1")
