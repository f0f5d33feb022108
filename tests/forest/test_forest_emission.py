"""The emitted source: deterministic, self-contained, and exporting two symbols."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.forest.emission import emit_forest
from quickthorn.forest.ensemble import EVERY_OUTPUT, Ensemble, Missing
from quickthorn.reference.forest import margins_of


def stumps(count: int, **changes: Any) -> Ensemble:
    """Trees of one split each, on feature 1 at 0.5, with leaves -1 and 1."""
    index = np.arange(count, dtype=np.int32)
    ensemble = Ensemble(
        source="xgboost",
        source_version=None,
        objective="binary:logistic",
        feature_count=3,
        feature_names=None,
        precision="float32",
        sum_precision="float32",
        operator="<",
        zero_threshold=0.0,
        negative_fractions_truncate=False,
        roots=index,
        feature=np.full(count, 1, np.int32),
        threshold=np.full(count, 0.5, np.float32),
        left=~(2 * index),
        right=~(2 * index + 1),
        default_left=np.ones(count, np.bool_),
        missing=np.full(count, Missing.NAN, np.uint8),
        categorical=np.zeros(count, np.bool_),
        category_offsets=np.zeros(count + 1, np.int64),
        categories=np.empty(0, np.int32),
        leaf_value=np.tile(np.array([-1.0, 1.0], np.float32), count),
        leaf_id=np.tile(np.array([1, 2], np.int32), count),
        output_count=1,
        tree_output=np.zeros(count, np.int32),
        base_margin=np.array([0.25], np.float32),
        link=Link.SIGMOID,
        link_scale=1.0,
    )
    return dataclasses.replace(ensemble, **changes)


def test_the_same_ensemble_gives_the_same_bytes() -> None:
    first, second = emit_forest(stumps(9)), emit_forest(stumps(9))
    assert first == second
    assert first.assembly("t.bin") == second.assembly("t.bin")
    assert first.tables != emit_forest(stumps(9, leaf_id=np.tile(np.array([2, 1], np.int32), 9))).tables


def test_text_does_not_grow_with_the_forest() -> None:
    small, large = emit_forest(stumps(1)), emit_forest(stumps(5000))
    assert len(large.tables) > 1000 * 60
    assert abs(len(large.cpp) - len(small.cpp)) < 60


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17])
def test_any_number_of_trees_is_walked(compile_forest: Callable[..., Any], count: int) -> None:
    native = compile_forest(stumps(count), "-O1")
    rows = np.array([[9, 0.4, 9], [9, 0.5, 9], [9, np.nan, 9], [9, np.inf, 9]])
    assert native.margins(rows).tolist() == [0.25 - count, 0.25 + count, 0.25 - count, 0.25 + count]
    assert native.leaves(rows).tolist() == [[1] * count, [2] * count, [1] * count, [2] * count]


@pytest.mark.parametrize("count", [1, 8, 11])
def test_trees_of_one_leaf_need_no_split(compile_forest: Callable[..., Any], count: int) -> None:
    empty: dict[str, Any] = {
        name: getattr(stumps(1), name)[:0]
        for name in ("feature", "threshold", "left", "right", "default_left", "missing", "categorical")
    }
    leaves = np.arange(count, dtype=np.float32)
    ensemble = stumps(
        1,
        **empty,
        category_offsets=np.zeros(1, np.int64),
        roots=~np.arange(count, dtype=np.int32),
        leaf_value=leaves,
        leaf_id=np.zeros(count, np.int32),
        tree_output=np.zeros(count, np.int32),
    )
    native = compile_forest(ensemble, "-O1")
    assert native.margins(np.full((1, 3), np.nan)).tolist() == [0.25 + leaves.sum()]
    assert native.leaves(np.zeros((1, 3))).tolist() == [[0] * count]


def test_trees_add_to_their_own_output_and_the_base_comes_last_where_it_does(
    compile_forest: Callable[..., Any],
) -> None:
    plain: dict[str, Any] = {
        "output_count": 3,
        "tree_output": np.array([0, 1, 2, 2, 0, 0, 0, 0, 2, 2], np.int32),
        "sum_precision": "float64",
        "leaf_value": np.tile([-1.0, 0.1], 10),
        "base_margin": np.array([0.25, 1e16, 0.5]),
    }
    rows = np.array([[9, 0.4, 9], [9, 0.5, 9]])
    first = compile_forest(stumps(10, **plain), "-O1").margins(rows)
    five, four = 0.25 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1, 0.5 + 0.1 + 0.1 + 0.1 + 0.1
    # The second base is so large that what is added to it depends on the order.
    assert first.tolist() == [[-4.75, 1e16 - 1.0, -3.5], [five, 1e16 + 0.1, four]]
    last = compile_forest(stumps(10, **plain, base_last=True, average=True, scale=3.0), "-O1").margins(rows)
    five, four = (0.1 + 0.1 + 0.1 + 0.1 + 0.1) / 5 * 3.0 + 0.25, (0.1 + 0.1 + 0.1 + 0.1) / 4 * 3.0 + 0.5
    assert last.tolist() == [[-2.75, 1e16 - 3.0, -2.5], [five, 1e16 + 0.1 * 3.0, four]]


@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_vector_leaves_add_to_every_output(compile_forest: Callable[..., Any], count: int) -> None:
    vectors = np.tile(np.array([[-1.0, 2.0], [1.0, -3.0]], np.float32), (count, 1))
    ensemble = stumps(
        count,
        output_count=2,
        tree_output=np.full(count, EVERY_OUTPUT, np.int32),
        leaf_value=vectors,
        base_margin=np.array([0.25, 0.5], np.float32),
    )
    native = compile_forest(ensemble, "-O1")
    rows = np.array([[9, 0.4, 9], [9, 0.5, 9]])
    assert native.margins(rows).tolist() == [[0.25 - count, 0.5 + 2 * count], [0.25 + count, 0.5 - 3 * count]]
    assert [margins_of(ensemble, row) for row in rows] == native.margins(rows).tolist()


def test_only_the_listed_functions_are_exported_and_only_libc_is_needed(compile_forest: Callable[..., Any]) -> None:
    native = compile_forest(stumps(20))
    shown = subprocess.run(["nm", "-D", str(native.path)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split() for line in shown.splitlines()]
    defined = {words[-1] for words in symbols if len(words) == 3}
    listed = ("margin", "margins", "margins_f32", "leaves", "batch", "batch_f32")
    assert defined == {f"quickthorn_forest_{name}" for name in listed}
    undefined = {words[-1].partition("@")[0] for words in symbols if words[0] == "U"}
    assert undefined <= {"memcpy", "memset", "__stack_chk_fail", "fabs"}


def test_a_name_of_the_tables_is_quoted_for_the_assembler() -> None:
    source = emit_forest(stumps(1))
    assert '.incbin "a\\"b\\\\c"' in source.assembly('a"b\\c')
    with pytest.raises(ModelError, match="printable"):
        source.assembly("a\nb")
