"""One tree of a CatBoost export as columns over its nodes, whether its levels share a split or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError

# CatBoost trains symmetric trees no deeper than this.
_MAX_LEVELS = 16

_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class CatBoostTree:
    """A tree's n nodes, the root first; a leaf has no children (-1), a split the value 0."""

    left: npt.NDArray[np.int64]
    """int64 [n]: where a false split leads"""
    right: npt.NDArray[np.int64]
    """int64 [n]: where a true split leads"""
    feature: npt.NDArray[np.int64]
    """int64 [n]: the place in the row"""
    border: npt.NDArray[np.float32]
    """float32 [n]"""
    category: npt.NDArray[np.int64]
    """int64 [n]: the hash of the category that a split asks for, 0 elsewhere"""
    value: npt.NDArray[np.float64]
    """float64 [n, outputs]"""
    weight: npt.NDArray[np.float64] | None
    """float64 [n]: the weight of the training rows in each leaf, 0 at splits; None where the model does not say"""
    leaf_ids: npt.NDArray[np.int64]
    """int64 [2, n]: the two ways in which CatBoost numbers leaves; see read_nested_tree"""


@dataclass(frozen=True)
class SplitTable:
    """Where in a row the numbered features stand, by kind."""

    numeric: dict[int, int]
    categorical: dict[int, int]

    def read(self, split: Any, where: str) -> tuple[int, float, int]:
        """A split's place in the row, its border and the hash of its category."""
        kind = split.get("split_type") if isinstance(split, dict) else None
        if kind == "FloatFeature":
            index, border = split.get("float_feature_index"), split.get("border")
            if type(border) in (int, float) and abs(border) <= _FLOAT32_MAX and _is_one_of(index, self.numeric):
                return self.numeric[index], float(border), 0
        elif kind == "OneHotFeature":
            index, value = split.get("cat_feature_index"), split.get("value")
            if type(value) is int and -(2**31) <= value < 2**32 and _is_one_of(index, self.categorical):
                return self.categorical[index], 0.0, value % 2**32
        else:
            raise ModelError(f"{where}: unknown split {kind!r}; expected a number's border or a one-hot category")
        raise ModelError(f"{where}: a split reads no feature of the model, or compares with no number")


def read_oblivious_tree(tree: Any, table: SplitTable, outputs: int, where: str) -> CatBoostTree:
    """A tree whose levels share one split each: split i of the list decides bit i of the leaf's number."""
    if not isinstance(tree, dict) or not isinstance(tree.get("splits") or [], list):
        raise ModelError(f"{where}: expected an object with a list of splits")
    splits = [table.read(split, where) for split in tree.get("splits") or []]
    levels = len(splits)
    if levels > _MAX_LEVELS:
        raise ModelError(f"{where}: {levels} splits; expected at most {_MAX_LEVELS}")
    leaves = 2**levels
    inner = leaves - 1
    node = np.arange(inner)
    # The root decides the highest bit, so that leaves stand in the order of their numbers.
    bit = levels - np.floor(np.log2(node + 1)).astype(np.int64) - 1
    columns = [np.array([split[part] for split in splits])[bit] if levels else np.empty(0) for part in range(3)]
    number = np.concatenate([np.zeros(inner, np.int64), np.arange(leaves)])
    return CatBoostTree(
        left=np.concatenate([2 * node + 1, np.full(leaves, -1)]),
        right=np.concatenate([2 * node + 2, np.full(leaves, -1)]),
        feature=_extended(columns[0], leaves).astype(np.int64),
        border=_extended(columns[1], leaves).astype(np.float32),
        category=_extended(columns[2], leaves).astype(np.int64),
        value=np.concatenate([np.zeros((inner, outputs)), _values(tree.get("leaf_values"), leaves, outputs, where)]),
        weight=_weights([0.0] * inner, tree.get("leaf_weights"), leaves, where),
        leaf_ids=np.stack([number, number]),
    )


def read_nested_tree(tree: Any, table: SplitTable, outputs: int, where: str) -> CatBoostTree:
    """A tree written as objects within objects.

    A model that was trained numbers a leaf that stands beside a split before the leaves below that split; one that was
    read from JSON numbers leaves from left to right. `leaf_ids` holds both.
    """
    children: list[list[int]] = []
    splits: list[tuple[int, float, int]] = []
    values: list[Any] = []
    weights: list[Any] = []
    waiting: list[tuple[Any, int, int]] = [(tree, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        number = len(children)
        if parent >= 0:
            children[parent][side] = number
        children.append([-1, -1])
        if not isinstance(node, dict):
            raise ModelError(f"{where}: node {number}: expected an object, got {type(node).__name__}")
        if "value" in node:
            splits.append((0, 0.0, 0))
            values.append(_values(node["value"], 1, outputs, where)[0])
            weights.append(node.get("weight"))
        else:
            splits.append(table.read(node.get("split"), where))
            values.append(np.zeros(outputs))
            weights.append(0.0)
            # The left side is taken up first, so that nodes are numbered as they stand.
            waiting += [(node.get("right"), number, 1), (node.get("left"), number, 0)]
    left, right = np.array(children, np.int64).T
    return CatBoostTree(
        left=left,
        right=right,
        feature=np.array([split[0] for split in splits], np.int64),
        border=np.array([split[1] for split in splits], np.float32),
        category=np.array([split[2] for split in splits], np.int64),
        value=np.array(values, np.float64).reshape(len(splits), outputs),
        weight=None if None in weights else _weights([], weights, len(weights), where),
        leaf_ids=np.stack([_numbered(left, right, lone_first=True), _numbered(left, right, lone_first=False)]),
    )


def _numbered(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], *, lone_first: bool) -> npt.NDArray[np.int64]:
    number = np.zeros(len(left), np.int64)
    waiting, found = [0], 0
    while waiting:
        node = waiting.pop()
        if left[node] < 0:
            number[node] = found
            found += 1
            continue
        sides = [int(right[node]), int(left[node])]
        if lone_first and left[sides[0]] < 0 <= left[sides[1]]:
            sides.reverse()
        waiting += sides
    return number


def _is_one_of(index: Any, features: dict[int, int]) -> bool:
    return type(index) is int and index in features


def _values(found: Any, leaves: int, outputs: int, where: str) -> npt.NDArray[np.float64]:
    """float64 [leaves, outputs]"""
    numbers = found if isinstance(found, list) else [found]
    if len(numbers) != leaves * outputs or not all(type(number) in (int, float) for number in numbers):
        raise ModelError(f"{where}: expected {leaves} leaves of {outputs} number(s)")
    try:
        return np.array(numbers, np.float64).reshape(leaves, outputs)
    except OverflowError:
        raise ModelError(f"{where}: a leaf is not within float64; expected a number that is") from None


def _weights(splits: list[float], found: Any, leaves: int, where: str) -> npt.NDArray[np.float64] | None:
    """float64 [nodes]; a model that was put together from parts may have none."""
    if not found:
        return None
    return np.concatenate([splits, _values(found, leaves, 1, where)[:, 0]])


def _extended(column: npt.NDArray[Any], leaves: int) -> npt.NDArray[Any]:
    return np.concatenate([column, np.zeros(leaves)])
