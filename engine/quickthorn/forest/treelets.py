"""Cutting a forest for AVX-512: into trees of one depth that are stacked, or tops that are grown, and treelets below.

A split is two bytes, slot and code (:mod:`quickthorn.forest.ranking`). Trees whose splits need more than 128 entries
together are divided into several groups, each with ranks of its own. Where the trees are about equally deep (XGBoost's
depth-wise trees) all get the same levels, shallow branches being repeated (:mod:`quickthorn.forest.stacked`); else
(leaf-wise trees) each grows a top where most rows pass (:mod:`quickthorn.forest.grown`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.grown import GrownGroup, grown_group
from quickthorn.forest.growth import Growth
from quickthorn.forest.ranking import MOST_ENTRIES, RankedSplits, Thresholds, tree_ranges
from quickthorn.forest.stacked import StackedGroup, stacked_group
from quickthorn.forest.tree_splits import TreeSplits, splits_of

_MOST_THRESHOLDS = 2**31
_MOST_STACKED = 18
# How many exits of a stacked tree may lead to repeated leaves, for each leaf there is.
_REPEATS_ALLOWED = 8
# Quantising a row costs about as much as so many trees: with fewer to a group, a walk from node to node is quicker.
_TREES_WORTH_RANKING = 16


@dataclass(frozen=True)
class Treelets:
    """A forest as treelets: `thresholds` (in the forest's precision) and groups of trees in tree order, of one kind."""

    thresholds: npt.NDArray[Any]
    groups: tuple[StackedGroup | GrownGroup, ...]
    depth: int
    """Of the deepest tree: how many splits a row may pass in it"""


def cut(ensemble: Ensemble) -> Treelets | None:
    """The ensemble as treelets, or None where they do not serve it: categories, several outputs, too many entries."""
    scalar = ensemble.output_count == 1 and not ensemble.vector_leaves and ensemble.linear is None
    if ensemble.categorical.any() or not scalar:
        return None
    trees = [TreeSplits.of(ensemble, int(root)) for root in ensemble.roots]
    thresholds = Thresholds(ensemble)
    splits = [splits_of([tree]) for tree in trees]
    ranges = list(islice(tree_ranges(ensemble, splits), len(trees) // _TREES_WORTH_RANKING + 2))
    if len(ranges) > 1 and len(ranges) * _TREES_WORTH_RANKING > len(trees):
        return None
    depth = max(len(tree.levels) for tree in trees)
    stacked = all(_stackable(trees[first : first + count], depth) for first, count in ranges)
    growth = None if stacked else Growth(ensemble)
    groups: list[StackedGroup | GrownGroup] = []
    for first, count in ranges:
        members = trees[first : first + count]
        ranked = RankedSplits(ensemble, splits_of(members))
        if len(ranked.entries) > MOST_ENTRIES or thresholds.length >= _MOST_THRESHOLDS:
            return None
        tiles = ranked.tiles(thresholds)
        roots = [tree.root for tree in members]
        if growth is None:
            groups.append(stacked_group(ensemble, ranked, roots, depth, tiles))
        else:
            groups.append(grown_group(ensemble, ranked, roots, growth, tiles))
    return Treelets(thresholds.table(), tuple(groups), depth)


def _stackable(trees: list[TreeSplits], depth: int) -> bool:
    """Whether trees are about equally deep, so that giving all ``depth`` levels repeats few leaves."""
    leaves = sum(tree.leaf_count for tree in trees)
    return depth <= _MOST_STACKED and len(trees) * 2**depth <= _REPEATS_ALLOWED * leaves + 64
