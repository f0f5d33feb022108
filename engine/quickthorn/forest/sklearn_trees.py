"""scikit-learn's Tree objects as the columns of an Ensemble, and rows as its tree estimators take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import Missing, is_cover
from quickthorn.forest.structure import FlatTrees, flatten_trees

_FLOAT32_MAX = np.finfo(np.float32).max


@dataclass(frozen=True)
class TreeColumns:
    """The trees of an estimator in one flat numbering."""

    splits: dict[str, npt.NDArray[Any]]
    """The arrays of an Ensemble that are about roots, splits and leaf ids, by name"""
    values: npt.NDArray[np.float64]
    """float64 [l, outputs, classes]: what each leaf holds"""
    leaf_row: npt.NDArray[np.int64]
    """int64 [l]: each leaf's place when all trees' nodes stand in one row"""


def read_trees(
    trees: Sequence[Any],
    columns: Sequence[npt.NDArray[np.int64]] | None,
    feature_count: int,
    where: str,
    *,
    allow_missing: bool,
) -> TreeColumns:
    """Read Tree objects; `columns[i]` says which of the model's features tree i sees, None that each sees all.

    With `allow_missing`, missing values go where each node says. Where scikit-learn refuses them they go right, as its
    own comparison would send them.
    """
    sizes = [len(tree.children_left) for tree in trees]
    first_node = np.cumsum([0, *sizes], dtype=np.int64)
    left = _joined(trees, "children_left", np.int64)
    right = _joined(trees, "children_right", np.int64)
    flat = flatten_trees(first_node, left, right, where)
    feature = _features(trees, columns, feature_count, where)[flat.split_nodes].astype(np.int32)
    threshold = _joined(trees, "threshold", np.float64)[flat.split_nodes]
    # Trees that saw missing values part them from all others by comparing with infinity.
    sound = (np.abs(threshold) < _FLOAT32_MAX) | (allow_missing & (threshold == np.inf))
    if not sound.all():
        raise ModelError(f"{where}: a split compares with {threshold[~sound][0]}, which scikit-learn never does")
    went_left = _joined(trees, "missing_go_to_left", np.bool_)[flat.split_nodes]
    shape = trees[0].value.shape[1:]
    if any(tree.value.shape != (size, *shape) for tree, size in zip(trees, sizes, strict=True)):
        raise ModelError(f"{where}: the trees' values differ in shape; expected {list(shape)} for every node")
    owner = np.repeat(np.arange(len(trees)), sizes)
    count = len(feature)
    splits = {
        "roots": flat.roots,
        "feature": feature,
        "threshold": rounded_down(threshold),
        "left": flat.left,
        "right": flat.right,
        "default_left": went_left if allow_missing else np.zeros(count, np.bool_),
        "missing": np.full(count, Missing.NAN, np.uint8),
        "categorical": np.zeros(count, np.bool_),
        "category_offsets": np.zeros(count + 1, np.int64),
        "categories": np.empty(0, np.int32),
        **_cover(trees, flat),
        "leaf_id": (flat.leaf_nodes - first_node[owner[flat.leaf_nodes]]).astype(np.int32),
    }
    values = np.concatenate([np.asarray(tree.value, np.float64) for tree in trees])[flat.leaf_nodes]
    return TreeColumns(splits, values, flat.leaf_nodes)


def _cover(trees: Sequence[Any], flat: FlatTrees) -> dict[str, npt.NDArray[np.float64]]:
    """The weights of the training rows that passed each node."""
    cover = _joined(trees, "weighted_n_node_samples", np.float64)
    if not is_cover(cover):
        return {}
    return {"split_cover": cover[flat.split_nodes], "leaf_cover": cover[flat.leaf_nodes]}


def rounded_down(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The largest float32 that is not above each float64: a float32 value is <= one exactly if it is <= the other."""
    with np.errstate(under="ignore"):
        nearest = threshold.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    lowered: npt.NDArray[np.float32] = np.where(nearest.astype(np.float64) > threshold, below, nearest)
    return lowered


def acceptable_rows(rows: npt.NDArray[np.float64], *, allow_missing: bool) -> npt.NDArray[np.float32]:
    """The rows as float32 without what scikit-learn refuses, replaced by what takes the same way.

    Thresholds are smaller than the largest float32, so that stands for infinity, and for missing values that go right.
    """
    with np.errstate(over="ignore", under="ignore"):
        single = np.clip(rows.astype(np.float32), -_FLOAT32_MAX, _FLOAT32_MAX)
    return single if allow_missing else np.where(np.isnan(single), _FLOAT32_MAX, single)


def _features(
    trees: Sequence[Any], columns: Sequence[npt.NDArray[np.int64]] | None, feature_count: int, where: str
) -> npt.NDArray[np.int64]:
    """Each node's feature, as the model numbers them; leaves have any."""
    found = []
    for index, tree in enumerate(trees):
        seen = np.arange(feature_count) if columns is None else columns[index]
        own, is_split = np.asarray(tree.feature, np.int64), np.asarray(tree.children_left) >= 0
        if tree.n_features != len(seen) or ((own < 0) | (own >= len(seen)))[is_split].any():
            raise ModelError(f"{where}: tree {index} splits a feature that is not one of its {len(seen)}")
        found.append(seen[np.where(is_split, own, 0)])
    return np.concatenate(found)


def _joined(trees: Sequence[Any], name: str, dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.asarray(getattr(tree, name)) for tree in trees]).astype(dtype)
