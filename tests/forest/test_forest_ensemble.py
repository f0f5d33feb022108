"""The Ensemble: what it refuses, and reading another feature vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quickthorn.errors import ModelError
from quickthorn.forest.importing import LoadedModel, load_model


@pytest.fixture(scope="module")
def named(xgboost: Any, training: Any) -> LoadedModel:
    names = ["amount", "age", "count", "ratio", "hour"]
    matrix = xgboost.DMatrix(training[0], training[1], feature_names=names, nthread=1)
    return load_model(xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 4}, matrix, 5))


@pytest.fixture(scope="module")
def nameless(xgboost: Any, training: Any) -> LoadedModel:
    return load_model(xgboost.train({"nthread": 1}, xgboost.DMatrix(training[0], training[2], nthread=1), 2))


def test_a_named_model_finds_its_features_in_a_longer_vector(
    named: LoadedModel, training: Any, compile_forest: Callable[..., Any]
) -> None:
    order = ["hour", "unused", "count", "amount", "ratio", "age", "another"]
    moved = named.with_features(order)
    assert moved.ensemble.feature_count == 7
    assert moved.ensemble.feature_names == tuple(order)
    rows = np.full((len(training[0]), 7), 1e9)
    rows[:, [3, 5, 2, 4, 0]] = training[0]
    assert np.array_equal(moved.source_margins(rows), named.source_margins(training[0]))
    native = compile_forest(moved.ensemble)
    assert np.array_equal(native.margins(rows), named.source_margins(training[0]))
    assert np.array_equal(native.leaves(rows), named.source_leaves(training[0]))
    # Moving twice is moving once.
    again = moved.with_features(["x", *reversed(order)])
    assert np.array_equal(
        again.source_margins(np.column_stack([rows[:, 0], rows[:, ::-1]])), moved.source_margins(rows)
    )


def test_missing_features_are_named(named: LoadedModel) -> None:
    with pytest.raises(ModelError, match=r"2 feature\(s\).*'age', 'ratio'"):
        named.with_features(["amount", "count", "hour"])
    with pytest.raises(ModelError, match="'amount' more than once"):
        named.ensemble.with_features(["amount", "age", "count", "ratio", "hour", "amount"])


def test_a_nameless_model_takes_features_by_position(nameless: LoadedModel) -> None:
    moved = nameless.ensemble.with_features(["a", "b", "c", "d", "e"])
    assert np.array_equal(moved.feature, nameless.ensemble.feature)
    with pytest.raises(ModelError, match="reads 5 features by position, but the feature set has 4"):
        nameless.with_features(["a", "b", "c", "d"])


def test_rows_of_another_width_are_refused(nameless: LoadedModel) -> None:
    with pytest.raises(ModelError, match=r"expected \[n, 5\] values, got \[3, 4\]"):
        nameless.source_margins(np.zeros((3, 4)))
    assert nameless.source_leaves(np.zeros((0, 5))).shape == (0, nameless.ensemble.tree_count)
    assert nameless.source_margins(np.zeros((0, 5))).shape == (0,)


def test_the_arrays_are_read_only(nameless: LoadedModel) -> None:
    with pytest.raises(ValueError, match="read-only"):
        nameless.ensemble.threshold[0] = 1.0


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("left", lambda array: np.where(np.arange(len(array)) == 0, 0, array), "larger than its parent"),
        ("right", lambda array: array + 10_000, "expected splits below"),
        ("roots", lambda array: array[:0], "no trees"),
        ("feature", lambda array: array + 5, "expected 0 to 4"),
        ("threshold", lambda array: array * np.float32("nan"), "compares with NaN"),
        ("threshold", lambda array: array.astype(np.float64), r"expected float32 \["),
        ("leaf_value", lambda array: array * np.float32("inf"), "not finite"),
        ("missing", lambda array: array + 3, "expected 0 to 2"),
        ("category_offsets", lambda array: array + 1, "rise from 0"),
        ("tree_output", lambda array: array + 1, "tree_output: expected 0 to 0"),
        ("leaf_value", lambda array: np.stack([array, array], axis=1), r"leaf_value: expected float32 \[.*, 1\]"),
        ("base_margin", lambda array: np.repeat(array, 2), r"base_margin: expected float32 \[1\]"),
    ],
)
def test_arrays_that_are_no_forest_are_refused(nameless: LoadedModel, name: str, change: Any, reason: str) -> None:
    array = getattr(nameless.ensemble, name)
    changed = change(array)
    dtype = changed.dtype if name in ("threshold", "leaf_value") else array.dtype
    with pytest.raises(ModelError, match=reason):
        replace(nameless.ensemble, **{name: changed.astype(dtype)})


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"objective": "multi:softprob", "num_class": 3}, r"3 outputs \(objective 'multi:softprob'\)"),
        ({"objective": "binary:hinge"}, "the link 'step', which makes no score"),
    ],
    ids=str,
)
def test_a_decision_needs_one_output_with_a_score(
    xgboost: Any, training: Any, nameless: LoadedModel, parameters: dict[str, Any], reason: str
) -> None:
    matrix = xgboost.DMatrix(training[0], training[1], nthread=1)
    ensemble = load_model(xgboost.train({"nthread": 1, "max_depth": 2, **parameters}, matrix, 2)).ensemble
    with pytest.raises(ModelError, match=reason):
        ensemble.require_single_output()
    nameless.ensemble.require_single_output()
