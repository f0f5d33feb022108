"""Depth-limited trees for AVX-512: the tables that `cpp/library/forest_stacked.hpp` evaluates.

All trees of a group get as many levels as the deepest has, shallow branches being repeated, so that a split is found by
arithmetic. The top levels lie side by side for 64 trees at a time, the others are cut into treelets of three levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.ranking import CODE_NEVER_RIGHT, RankedSplits

_TREES_AT_ONCE = 64
_TREES_PER_PASS = 8
_MOST_TOP_LEVELS = 5
_TREELET_LEVELS = 3
MOST_HEAD_LEVELS = 4

TOP_PLACE = np.dtype([("slot", "u1", 64), ("code", "u1", 64)])
HEAD = np.dtype([("slot", "u1", 8), ("code", "u1", 8)])
LINE = np.dtype([("slot", "u1", 8), ("code", "u1", 8), ("exit", "<i4", 8), ("unused", "u1", 16)])


@dataclass(frozen=True)
class StackedGroup:
    """Consecutive trees that share 128 entries; the fields of the C++ `StackedGroup`, as arrays rather than offsets.

    `tops` is [⌈trees / 64⌉, places], level by level; `heads` one array per level of treelets between tops and lines.
    `values` and `ids` are indexed by exit number.
    """

    tree_count: int
    tiles: npt.NDArray[Any]
    tops: npt.NDArray[Any]
    heads: tuple[npt.NDArray[Any], ...]
    lines: npt.NDArray[Any]
    values: npt.NDArray[Any]
    ids: npt.NDArray[np.int32]


def top_levels(depth: int) -> int:
    """How many levels of trees this deep are in their tops: what the treelets below, with three levels each, leave."""
    treelets = max(-(-(depth - _MOST_TOP_LEVELS) // _TREELET_LEVELS), 1)
    return max(depth - _TREELET_LEVELS * treelets, 0)


def head_levels(depth: int) -> int:
    """How many levels of treelets lie between the tops and the lines."""
    return max(-(-(depth - top_levels(depth)) // _TREELET_LEVELS), 1) - 1


def stacked_group(
    ensemble: Ensemble, ranked: RankedSplits, roots: list[int], depth: int, tiles: npt.NDArray[Any]
) -> StackedGroup:
    """The tables of consecutive trees with ``depth`` levels of splits at most."""
    stack = _Stack(ensemble, ranked)
    # Leaves stand in for the trees that would fill the last 64.
    at = np.array(roots + [-1] * (-len(roots) % _TREES_AT_ONCE), np.int64)[:, None]
    places = []
    for _ in range(top_levels(depth)):
        places.append(stack.side_by_side(at))
        at = stack.below(at)
    tops = np.concatenate(places, axis=1) if places else np.zeros((len(at) // _TREES_AT_ONCE, 0), TOP_PLACE)
    at = at[: len(roots) + -len(roots) % _TREES_PER_PASS].reshape(-1)
    heads = []
    for _ in range(head_levels(depth)):
        head, exits = stack.treelets(at, HEAD)
        heads.append(head)
        at = exits.reshape(-1)
    lines, exits = stack.treelets(at, LINE)
    # A place that no row reaches is given the first leaf.
    leaves = np.where(exits < 0, ~exits, 0)
    values = ensemble.leaf_value[leaves.reshape(-1)]
    if values.dtype == np.float32:
        lines["exit"] = values.view("<i4").reshape(-1, 8)
    return StackedGroup(len(roots), tiles, tops, tuple(heads), lines, values, ensemble.leaf_id[leaves.reshape(-1)])


class _Stack:
    """Splits by arithmetic: a leaf in place of a split has itself on both sides, and a test that never goes right."""

    def __init__(self, ensemble: Ensemble, ranked: RankedSplits) -> None:
        # The last of each stands for every leaf.
        self._left, self._right = np.append(ensemble.left, 0), np.append(ensemble.right, 0)
        self._slot, self._code = np.append(ranked.slot, 0), np.append(ranked.code, CODE_NEVER_RIGHT)

    def below(self, at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The children of [n, m] nodes, [n, 2 m], each split's two beside each other."""
        splits = np.maximum(at, -1)
        left, right = np.where(at >= 0, self._left[splits], at), np.where(at >= 0, self._right[splits], at)
        return np.stack([left, right], axis=2).reshape(len(at), -1)

    def side_by_side(self, at: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """[trees, m] nodes of one level, as [trees / 64, m] places."""
        slots, codes = self._tests(at)
        places = np.zeros((len(at) // _TREES_AT_ONCE, at.shape[1]), TOP_PLACE)
        places["slot"] = slots.reshape(len(places), _TREES_AT_ONCE, -1).transpose(0, 2, 1)
        places["code"] = codes.reshape(len(places), _TREES_AT_ONCE, -1).transpose(0, 2, 1)
        return places

    def treelets(self, at: npt.NDArray[np.int64], kind: np.dtype[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The treelets at n nodes, and [n, 8] what their exits lead to."""
        table = np.zeros(len(at), kind)
        table["code"] = CODE_NEVER_RIGHT
        level = at[:, None]
        for first in (0, 1, 3):
            places = slice(first, first + level.shape[1])
            table["slot"][:, places], table["code"][:, places] = self._tests(level)
            level = self.below(level)
        return table, level

    def _tests(self, at: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        splits = np.maximum(at, -1)
        return self._slot[splits], self._code[splits]
