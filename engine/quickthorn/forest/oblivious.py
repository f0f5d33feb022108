"""Oblivious trees as `cpp/library/forest_oblivious.hpp` evaluates them: every split of a level is the same test.

CatBoost grows such trees, and stumps are such trees whoever grew them. A tree of n levels is n tests, whose results are
the bits of its leaf's number, and a table of 2**n leaves. Shallower trees of a group get tests that no row passes in
front of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.ranking import CODE_NEVER_RIGHT, MOST_ENTRIES, RankedSplits, Thresholds, tree_ranges

TREES_AT_ONCE = 64
# A leaf's number within its tree is one byte.
_MOST_LEVELS = 8
# How many places a table of leaves may have for each leaf there is.
_PADDING_ALLOWED = 4
# Quantising a row costs about as much as so many trees: with fewer to a group, other ways are quicker.
_TREES_WORTH_RANKING = 64

_LEVEL = np.dtype([("slot", "u1", TREES_AT_ONCE), ("code", "u1", TREES_AT_ONCE)])


@dataclass(frozen=True)
class ObliviousGroup:
    """Consecutive trees that share 128 entries; the fields of the C++ `Group`, as arrays rather than offsets.

    `levels` is [chunks of 64 trees, levels]; `values` is [trees, 2**levels], or [trees, 2**levels, outputs] where
    leaves are vectors, and `ids` likewise, both filled up with whole trees to a multiple of 64.
    """

    tree_count: int
    tiles: npt.NDArray[Any]
    levels: npt.NDArray[Any]
    values: npt.NDArray[Any]
    ids: npt.NDArray[np.int32]


@dataclass(frozen=True)
class ObliviousForest:
    """A forest of oblivious trees: `thresholds` (in the forest's precision) and groups of trees in tree order."""

    thresholds: npt.NDArray[Any]
    groups: tuple[ObliviousGroup, ...]


def oblivious(ensemble: Ensemble) -> ObliviousForest | None:
    """The forest's tables, or None where a tree is not oblivious, or this way of evaluating does not serve."""
    if ensemble.linear is not None or ensemble.categorical.any():
        return None
    if ensemble.output_count > 1 and not ensemble.vector_leaves:
        return None
    trees = []
    for root in ensemble.roots:
        tree = _read(ensemble, int(root))
        if tree is None:
            return None
        trees.append(tree)
    levels = max(len(tree.splits) for tree in trees)
    if len(trees) << levels > _PADDING_ALLOWED * len(ensemble.leaf_id) + 4096:
        return None
    splits = [tree.splits for tree in trees]
    found = list(islice(tree_ranges(ensemble, splits), len(trees) // _TREES_WORTH_RANKING + 2))
    if len(found) > 1 and len(found) * _TREES_WORTH_RANKING > len(trees):
        return None
    thresholds = Thresholds(ensemble)
    groups = []
    for first, count in found:
        ranked = RankedSplits(ensemble, np.concatenate(splits[first : first + count]))
        if len(ranked.entries) > MOST_ENTRIES:
            return None
        groups.append(_group(ensemble, ranked, ranked.tiles(thresholds), trees[first : first + count]))
    return ObliviousForest(thresholds.table(), tuple(groups))


@dataclass(frozen=True)
class _Tree:
    """One split of each level, the root first, and the leaves in the order of their numbers: right is 1."""

    splits: npt.NDArray[np.int64]
    leaves: npt.NDArray[np.int64]


def _read(ensemble: Ensemble, root: int) -> _Tree | None:
    """A tree as an oblivious one, or None where it is none, or too deep."""
    at = np.array([root], np.int64)
    splits: list[int] = []
    while at[0] >= 0:
        if len(splits) == _MOST_LEVELS or (at < 0).any():
            return None
        for name in ("feature", "threshold", "missing", "default_left"):
            column = getattr(ensemble, name)[at]
            if (column != column[0]).any():
                return None
        splits.append(int(at[0]))
        at = np.column_stack([ensemble.left[at], ensemble.right[at]]).ravel().astype(np.int64)
    return None if (at >= 0).any() else _Tree(np.array(splits, np.int64), ~at)


def _group(ensemble: Ensemble, ranked: RankedSplits, tiles: npt.NDArray[Any], trees: list[_Tree]) -> ObliviousGroup:
    depth = max(len(tree.splits) for tree in trees)
    chunks = -(-len(trees) // TREES_AT_ONCE)
    slot = np.zeros((chunks * TREES_AT_ONCE, depth), np.uint8)
    code = np.full_like(slot, CODE_NEVER_RIGHT)
    leaves = np.zeros((len(slot), 2**depth), np.int64)
    for number, tree in enumerate(trees):
        own = slice(depth - len(tree.splits), depth)
        slot[number, own], code[number, own] = ranked.slot[tree.splits], ranked.code[tree.splits]
        leaves[number, : len(tree.leaves)] = tree.leaves
    levels = np.empty((chunks, depth), _LEVEL)
    for name, column in (("slot", slot), ("code", code)):
        levels[name] = column.reshape(chunks, TREES_AT_ONCE, depth).transpose(0, 2, 1)
    return ObliviousGroup(
        tree_count=len(trees),
        tiles=tiles,
        levels=levels,
        values=ensemble.leaf_value[leaves],
        ids=ensemble.leaf_id[leaves],
    )
