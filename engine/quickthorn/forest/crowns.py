"""Cutting a forest into crowns and branches: the tables that `cpp/library/forest_crowns.hpp` evaluates.

A split is two bytes, slot and code (:mod:`quickthorn.forest.ranking`). The first levels of all trees are their crowns,
which are evaluated side by side. What hangs below an exit of a crown is a branch, walked node by node: in an *even*
forest all branches have the same number of levels and end in leaves; else a branch has three levels and says where
each of its exits leads, to a leaf or to another branch.

Trees whose splits need more than 128 entries together are divided into a few groups, each with ranks of its own. Where
that would take many, the forest is *wide*: its slots have 16 bits, and it has branches only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.ranking import CODE_NEVER_RIGHT, MOST_ENTRIES, RankedSplits, Thresholds, entry_count, tree_ranges
from quickthorn.forest.tree_splits import TreeSplits, splits_of

TREES_PER_CROWN = 32
# Slots of 16 bits have one for whether to take one from the rank.
_MOST_WIDE_ENTRIES = 2**15
# An entry costs about as much to rank as a quarter of a tree to walk from node to node.
_ENTRIES_PER_TREE = 4
# Measured: another level of an even forest's crowns costs less than a step in its branches.
_EVEN_CROWN_LEVELS = 5
_CROWN_LEVELS = 4
_MOST_BRANCH_LEVELS = 4
# Ranking a row once more costs about as much as so many trees of a wide forest do in excess of narrow ones.
_TREES_WORTH_RANKING = 48
# Each group is code of its own.
_MOST_GROUPS = 8
# How many exits of an even forest may lead to repeated leaves, for each leaf there is.
_REPEATS_ALLOWED = 8
_LEAF = 2**31
_ONWARD_TO_LEAF = 128

CROWN_NODE = np.dtype([("slot", "u1", TREES_PER_CROWN), ("code", "u1", TREES_PER_CROWN)])
Numbers = npt.NDArray[np.int64]


def even_branch_dtype(levels: int, leaf: np.dtype[Any]) -> np.dtype[Any]:
    """The C++ `EvenBranch`."""
    exits = 2**levels
    size = 1 << (exits * (2 + leaf.itemsize) - 1).bit_length()
    return np.dtype(
        {
            "names": ["slot", "code", "leaf"],
            "formats": [("u1", exits), ("u1", exits), (leaf.newbyteorder("<"), exits)],
            "offsets": [0, exits, -(-2 * exits // leaf.itemsize) * leaf.itemsize],
            "itemsize": size,
        }
    )


def branch_dtype(wide: bool) -> np.dtype[Any]:
    """The C++ `Branch`."""
    fields: list[Any] = [
        ("slot", "<u2" if wide else "u1", 8),
        ("code", "u1", 8),
        ("base", "<u4", 2),
        ("onward", "u1", 8),
    ]
    return np.dtype([*fields, ("unused", "u1", 24)]) if wide else np.dtype(fields)


@dataclass(frozen=True)
class CrownGroup:
    """Consecutive trees as crowns and branches; the fields of the C++ `CrownShape`, as arrays rather than offsets.

    `values` and `ids` are those of the leaves by leaf number; the values of an even forest lie in its branches.
    """

    even: bool
    tree_count: int
    crown_levels: int
    branch_levels: int
    tiles: npt.NDArray[Any]
    crowns: npt.NDArray[Any]
    branches: npt.NDArray[Any]
    values: npt.NDArray[Any]
    ids: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Crowns:
    """A forest as crowns and branches: `thresholds` (in the forest's precision) and groups of trees in tree order."""

    thresholds: npt.NDArray[Any]
    groups: tuple[CrownGroup, ...]


def crowns_pay(ensemble: Ensemble) -> bool:
    """Whether ranking a row costs less than walking the forest from node to node."""
    return entry_count(ensemble, np.arange(len(ensemble.feature))) <= _ENTRIES_PER_TREE * ensemble.tree_count


def cut_crowns(ensemble: Ensemble) -> Crowns | None:
    """The ensemble as crowns and branches, or None where they do not serve it: categories, several outputs, entries
    beyond 32,768.
    """
    scalar = ensemble.output_count == 1 and not ensemble.vector_leaves and ensemble.linear is None
    if ensemble.categorical.any() or not scalar:
        return None
    trees = [TreeSplits.of(ensemble, int(root)) for root in ensemble.roots]
    if entry_count(ensemble, splits_of(trees)) > _MOST_WIDE_ENTRIES:
        return None
    thresholds = Thresholds(ensemble)
    groups = [
        _Cutter(ensemble, trees[first : first + count]).cut(thresholds) for first, count in _ranges_of(ensemble, trees)
    ]
    return Crowns(thresholds.table(), tuple(groups))


def _ranges_of(ensemble: Ensemble, trees: list[TreeSplits]) -> list[tuple[int, int]]:
    """The first tree and the count of every group: a few of 128 entries each, or one that is wide."""
    most = min(_MOST_GROUPS, max(len(trees) // _TREES_WORTH_RANKING, 1))
    ranges = list(islice(tree_ranges(ensemble, [splits_of([tree]) for tree in trees]), most + 1))
    return ranges if len(ranges) <= most else [(0, len(trees))]


class _Cutter:
    """Follows splits of some trees, by number, down the levels; a negative number is leaf ``~number``."""

    def __init__(self, ensemble: Ensemble, trees: list[TreeSplits]) -> None:
        self.ensemble = ensemble
        self.trees = trees
        self.ranked = RankedSplits(ensemble, splits_of(trees))
        self.wide = len(self.ranked.entries) > MOST_ENTRIES
        entries = -(-len(self.ranked.entries) // 16) * 16 if self.wide else MOST_ENTRIES
        self.slot = self.ranked.entry + np.where(self.ranked.nan_right, entries, 0)

    def cut(self, thresholds: Thresholds) -> CrownGroup:
        ensemble = self.ensemble
        tiles = self.ranked.tiles(thresholds)
        roots = np.array([tree.root for tree in self.trees], np.int64)
        depth = max(len(tree.levels) for tree in self.trees)
        repeats = len(roots) * 2**depth if depth <= _EVEN_CROWN_LEVELS + _MOST_BRANCH_LEVELS else np.inf
        even = not self.wide and repeats <= _REPEATS_ALLOWED * (
            sum(tree.leaf_count for tree in self.trees) + len(roots)
        )
        levels = 0 if self.wide else min(depth, _EVEN_CROWN_LEVELS if even else _CROWN_LEVELS)
        crowns, ends = self.crowns(roots, levels)
        branches, leaves = self.even(ends, depth - levels) if even else self.uneven(ends)
        return CrownGroup(
            even=even,
            tree_count=len(roots),
            crown_levels=levels,
            branch_levels=depth - levels if even else 3,
            tiles=tiles,
            crowns=crowns,
            branches=branches,
            values=ensemble.leaf_value[leaves[:0] if even else leaves],
            ids=ensemble.leaf_id[leaves],
        )

    def below(self, at: Numbers) -> Numbers:
        """The next level [..., 2n] of a level [..., n]; a leaf is repeated."""
        split = np.maximum(at, 0)
        children = [np.where(at >= 0, child[split], at) for child in (self.ensemble.left, self.ensemble.right)]
        return np.stack(children, axis=-1).reshape(*at.shape[:-1], 2 * at.shape[-1])

    def tests(self, at: Numbers) -> tuple[Numbers, Numbers]:
        """The slots and codes of nodes; a leaf's never goes right."""
        split = np.maximum(at, 0)
        return np.where(at >= 0, self.slot[split], 0), np.where(at >= 0, self.ranked.code[split], CODE_NEVER_RIGHT)

    def nodes(self, roots: Numbers, levels: int) -> tuple[Numbers, Numbers, Numbers]:
        """Slots and codes [n, 2**levels] of trees [n], breadth first from place 1, and their exits [n, 2**levels]."""
        slots = np.zeros((len(roots), 2**levels), dtype=np.int64)
        codes = np.full(slots.shape, CODE_NEVER_RIGHT, dtype=np.int64)
        at = roots[:, None]
        for level in range(levels):
            places = slice(2**level, 2 ** (level + 1))
            slots[:, places], codes[:, places] = self.tests(at)
            at = self.below(at)
        return slots, codes, at

    def crowns(self, roots: Numbers, levels: int) -> tuple[npt.NDArray[Any], Numbers]:
        """The nodes of all crowns, 32 trees side by side, and what their exits lead to, tree by tree."""
        padded = np.concatenate([roots, np.full(-len(roots) % TREES_PER_CROWN, -1)])
        slots, codes, exits = self.nodes(padded, levels)
        blocks = len(padded) // TREES_PER_CROWN
        table = np.zeros((blocks, 2**levels - 1), dtype=CROWN_NODE)
        for name, bytes_ in (("slot", slots), ("code", codes ^ 0x80)):
            table[name] = bytes_[:, 1:].reshape(blocks, TREES_PER_CROWN, 2**levels - 1).transpose(0, 2, 1)
        return table, exits[: len(roots)].reshape(-1)

    def even(self, roots: Numbers, levels: int) -> tuple[npt.NDArray[Any], Numbers]:
        """A branch for every root, and the numbers of all leaves."""
        table = np.zeros(len(roots), dtype=even_branch_dtype(levels, self.ensemble.leaf_value.dtype))
        table["slot"], table["code"], exits = self.nodes(roots, levels)
        leaves = ~exits
        table["leaf"] = self.ensemble.leaf_value[leaves]
        return table, leaves.reshape(-1)

    def uneven(self, roots: Numbers) -> tuple[npt.NDArray[Any], Numbers]:
        """Branches, the roots' first and then round by round, and the numbers of all leaves as they are numbered.

        Leaves are numbered tree by tree, in the order that they are summed in.
        """
        tables: list[npt.NDArray[Any]] = []
        places: list[Numbers] = []
        leaves: list[Numbers] = []
        branch_count = len(roots)
        of_root = np.arange(len(roots))
        while len(roots):
            slots, codes, exits = self.nodes(roots, 3)
            table = np.zeros(len(roots), dtype=branch_dtype(self.wide))
            table["slot"], table["code"] = slots, codes
            # What an exit shares with the one before it is a leaf above the third level.
            new = np.ones(exits.shape, dtype=bool)
            new[:, 1:] = exits[:, 1:] != exits[:, :-1]
            leaf = exits < 0
            branch, end = (np.cumsum(new & kind, axis=1) for kind in (~leaf, leaf))
            table["base"][:, 0] = branch_count + np.cumsum(branch[:, -1]) - branch[:, -1]
            table["onward"] = np.where(leaf, end - 1 + _ONWARD_TO_LEAF, branch - 1)
            tables.append(table)
            places.append(np.column_stack([of_root, end[:, -1]]))
            leaves.append(~exits[new & leaf])
            roots, of_root = exits[new & ~leaf], of_root.repeat(branch[:, -1])
            branch_count += len(roots)
        branches = np.concatenate(tables)
        of_root, end_count = np.concatenate(places).T
        order = np.argsort(of_root, kind="stable")
        begin = np.empty(len(order), dtype=np.int64)
        begin[order] = np.cumsum(end_count[order]) - end_count[order]
        branches["base"][:, 1] = begin + _LEAF - _ONWARD_TO_LEAF
        numbers = np.empty(int(end_count.sum()), dtype=np.int64)
        numbers[_ranges(begin, end_count)] = np.concatenate(leaves)
        return branches, numbers


def _ranges(begin: Numbers, count: Numbers) -> Numbers:
    """The numbers from begin[0], count[0] of them, then from begin[1]…"""
    before = np.cumsum(count) - count
    return np.arange(int(count.sum())) + (begin - before).repeat(count)
