"""Cutting a forest into treelets: the tables that `cpp/library/forest_treelets.hpp` evaluates.

A split is two bytes, slot and code (:mod:`quickthorn.forest.ranking`). Trees whose splits need more than 128 entries
together are divided into several groups, each with ranks of its own.

Trees are cut into treelets of three levels. Where they are about equally deep (XGBoost's depth-wise trees), all get
the same number of levels, shallow branches being repeated, and a treelet's children are found by arithmetic; else
(leaf-wise trees) every treelet names its children.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.emission import Vectors
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.grown import GrownGroup, Growth, grown_group
from quickthorn.forest.ranking import CODE_NEVER_RIGHT, MOST_ENTRIES, RankedSplits, Thresholds, tree_ranges
from quickthorn.forest.stacked import HEAD, LINE, StackedGroup, stacked_group

_TREES_AT_ONCE = 8
MOST_LEVELS = 6
_MOST_THRESHOLDS = 2**31
# How many exits of a stacked tree may lead to repeated leaves, for each leaf there is.
_REPEATS_ALLOWED = 8
# Quantising a row costs about as much as so many trees: with fewer to a group, a walk from node to node is quicker.
_TREES_WORTH_RANKING = 16


@dataclass(frozen=True)
class Group:
    """Consecutive trees that share 128 entries; the fields of the C++ `Group`, as arrays rather than offsets.

    `tiles` hold the entries, with their first thresholds as numbers into the forest's thresholds. `heads` is one array
    per level but the last of a stacked group, empty in a linked one. `values` and `ids` are indexed by exit number.
    """

    tree_count: int
    tiles: npt.NDArray[Any]
    levels: int
    root_shift: int
    heads: tuple[npt.NDArray[Any], ...]
    lines: npt.NDArray[Any]
    values: npt.NDArray[Any]
    ids: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Treelets:
    """A forest as treelets: `thresholds` (in the forest's precision) and groups of trees in tree order, of one kind."""

    thresholds: npt.NDArray[Any]
    groups: tuple[Group | StackedGroup | GrownGroup, ...]
    depth: int
    """Of the deepest tree: how many splits a row may pass in it"""


def cut(ensemble: Ensemble, vectors: Vectors) -> Treelets | None:
    """The ensemble as treelets, or None where they do not serve it: categories, several outputs, too many entries."""
    scalar = ensemble.output_count == 1 and not ensemble.vector_leaves and ensemble.linear is None
    if ensemble.categorical.any() or not scalar:
        return None
    trees = [_Tree.of(ensemble, int(root)) for root in ensemble.roots]
    thresholds = Thresholds(ensemble)
    splits = [_splits_of([tree]) for tree in trees]
    ranges = list(islice(tree_ranges(ensemble, splits), len(trees) // _TREES_WORTH_RANKING + 2))
    if len(ranges) > 1 and len(ranges) * _TREES_WORTH_RANKING > len(trees):
        return None
    wide = vectors == "avx512"
    depth = _depth(trees)
    stacked = wide and all(_stackable(trees[first : first + count], depth) for first, count in ranges)
    growth = Growth(ensemble) if wide and not stacked else None
    groups: list[Group | StackedGroup | GrownGroup] = []
    for first, count in ranges:
        members = trees[first : first + count]
        ranked = RankedSplits(ensemble, _splits_of(members))
        if len(ranked.entries) > MOST_ENTRIES or thresholds.length >= _MOST_THRESHOLDS:
            return None
        tiles = ranked.tiles(thresholds)
        roots = [tree.root for tree in members]
        if growth is not None:
            groups.append(grown_group(ensemble, ranked, roots, growth, tiles))
        elif stacked:
            groups.append(stacked_group(ensemble, ranked, roots, depth, tiles))
        else:
            groups.append(_group(ensemble, ranked, tiles, members))
    return Treelets(thresholds.table(), tuple(groups), depth)


@dataclass(frozen=True)
class _Tree:
    """A tree's root and the numbers of its splits, level by level."""

    root: int
    levels: tuple[npt.NDArray[np.int64], ...]

    @classmethod
    def of(cls, ensemble: Ensemble, root: int) -> _Tree:
        levels: list[npt.NDArray[np.int64]] = []
        level = np.array([root] if root >= 0 else [], dtype=np.int64)
        while len(level):
            levels.append(level)
            children = np.concatenate([ensemble.left[level], ensemble.right[level]]).astype(np.int64)
            level = children[children >= 0]
        return cls(root, tuple(levels))

    @property
    def leaf_count(self) -> int:
        return 1 + sum(map(len, self.levels))


def _splits_of(trees: list[_Tree]) -> npt.NDArray[np.int64]:
    """The numbers of all splits of these trees."""
    return np.concatenate([*(level for tree in trees for level in tree.levels), np.empty(0, np.int64)])


def _depth(trees: list[_Tree]) -> int:
    return max(len(tree.levels) for tree in trees)


def _stackable(trees: list[_Tree], depth: int) -> bool:
    """Whether trees are about equally deep, so that giving all ``depth`` levels repeats few leaves."""
    leaves = sum(tree.leaf_count for tree in trees)
    return depth <= 3 * MOST_LEVELS and len(trees) * 2**depth <= _REPEATS_ALLOWED * leaves + 64


def _group(ensemble: Ensemble, ranked: RankedSplits, tiles: npt.NDArray[Any], trees: list[_Tree]) -> Group:
    roots = [tree.root for tree in trees]
    depth = _depth(trees)
    if _stackable(trees, depth):
        return _Stacked(ensemble, ranked, max(-(-depth // 3), 1), depth).group(roots, tiles)
    return _Linked(ensemble, ranked).group(roots, tiles)


class _Cutter:
    """What both kinds of groups share: a treelet's tests, and what its exits lead to."""

    def __init__(self, ensemble: Ensemble, ranked: RankedSplits) -> None:
        self.ensemble = ensemble
        self.ranked = ranked

    def treelet(self, node: int, levels: int = 3) -> tuple[list[int], list[int], list[int]]:
        """Slots and codes of the seven places, and the eight exits' nodes; a negative node is leaf ``~node``.

        With fewer levels than three, the places below are empty and the row leaves by their leftmost exit.
        """
        slots, codes = [0] * 8, [CODE_NEVER_RIGHT] * 8
        at = [node]
        for level in range(3):
            below = []
            for offset, here in enumerate(at):
                if here >= 0 and level < levels:
                    place = 2**level - 1 + offset
                    slots[place], codes[place] = int(self.ranked.slot[here]), int(self.ranked.code[here])
                    below += [int(self.ensemble.left[here]), int(self.ensemble.right[here])]
                else:
                    below += [here, here]
            at = below
        return slots, codes, at

    def leaf(self, node: int) -> tuple[Any, int]:
        """A leaf's value and id; a place that no row reaches gets the first leaf's."""
        number = ~node if node < 0 else 0
        return self.ensemble.leaf_value[number], int(self.ensemble.leaf_id[number])

    def as_group(self, lines: list[Any], ends: list[int], tiles: npt.NDArray[Any], **shape: Any) -> Group:
        """The group whose lines these are; ``ends`` has each exit's leaf as a node, or a split where it is none."""
        found = [self.leaf(end) for end in ends]
        values = np.array([value for value, _ in found], dtype=self.ensemble.leaf_value.dtype)
        table = np.array(lines, dtype=LINE)
        if values.dtype == np.float32:
            leaf = (np.array(ends) < 0).reshape(-1, 8)
            table["exit"][leaf] = values.view("<i4").reshape(-1, 8)[leaf]
        ids = np.array([number for _, number in found], dtype=np.int32)
        return Group(tiles=tiles, lines=table, values=values, ids=ids, **shape)


class _Stacked(_Cutter):
    """Trees of one depth: level by level, children in place."""

    def __init__(self, ensemble: Ensemble, ranked: RankedSplits, levels: int, depth: int) -> None:
        super().__init__(ensemble, ranked)
        self.levels = levels
        # The first treelet takes what is left over when the others have three levels each.
        self.root_levels = 3 if levels == 1 else depth - 3 * (levels - 1)

    def group(self, roots: list[int], tiles: npt.NDArray[Any]) -> Group:
        """All trees, and leaves in place of trees up to a multiple of eight."""
        at = roots + [-1] * (-len(roots) % _TREES_AT_ONCE)
        shift = 3 - self.root_levels
        heads = []
        for level in range(self.levels - 1):
            tests, below = [], []
            for node in at:
                slots, codes, exits = self.treelet(node, self.root_levels if level == 0 else 3)
                tests.append((slots, codes))
                below += exits[:: 2**shift] if level == 0 else exits
            heads.append(np.array(tests, dtype=HEAD))
            at = below
        lines, ends = [], []
        for node in at:
            slots, codes, exits = self.treelet(node)
            lines.append((slots, codes, [0] * 8, [0] * 16))
            ends += exits
        return self.as_group(
            lines, ends, tiles, tree_count=len(roots), levels=self.levels, root_shift=shift, heads=tuple(heads)
        )


class _Linked(_Cutter):
    """Trees of any shape: the roots' treelets come first, in tree order, and every treelet names its children."""

    def group(self, roots: list[int], tiles: npt.NDArray[Any]) -> Group:
        """Breadth first, so that what is visited together lies together."""
        queue = list(roots)
        lines, ends = [], []
        for node in queue:
            slots, codes, exits = self.treelet(node)
            slots[7] = sum(1 << place for place, end in enumerate(exits) if end < 0)
            number: dict[int, int] = {}
            for end in exits:
                if end >= 0 and end not in number:
                    number[end] = len(queue)
                    queue.append(end)
            lines.append((slots, codes, [number.get(end, 0) for end in exits], [0] * 16))
            ends += exits
        return self.as_group(lines, ends, tiles, tree_count=len(roots), levels=0, root_shift=0, heads=())
