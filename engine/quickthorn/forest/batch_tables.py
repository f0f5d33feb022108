"""The tables of many rows at once: what `cpp/library/forest_batch.hpp` evaluates a tile of rows by.

A node is tested for all rows of a tile in turn, 64 of them a vector where there are such vectors. So its test is a
comparison of one line of ranks (:mod:`quickthorn.forest.ranking`) with a code, and what a tree keeps of a row is one
byte: the number of the leaf it has come to, leaves being counted from left to right.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.ranking import MOST_ENTRIES, RankedSplits, tree_ranges

# A leaf's number is a byte.
MOST_LEAVES = 256
_HIGHEST_PERFECT = 6
# What a node costs, in instructions a vector: of a perfect tree, and of one whose shape is its own.
_PERFECT_NODE, _ANY_NODE = 2, 3
# Ranking a tile's rows costs about as much as so many trees.
_TREES_WORTH_RANKING = 4
_NAN_RIGHT = 128
_LEAF_BLOCK = 64

NODE = np.dtype([("line", "<u4"), ("bound", "i1"), ("at", "u1"), ("step", "u1"), ("unused", "u1")])
TREE = np.dtype(
    [
        ("first_node", "<u4"),
        ("leaves", "<u4"),
        ("output", "<u4"),
        ("size", "u1"),
        ("kind", "u1"),
        ("leaf_blocks", "u1"),
        ("unused", "u1"),
    ]
)


class Kind(IntEnum):
    """How a tree is evaluated; the C++ `Kind`. A tree's `size` is the number of its nodes, or else its levels."""

    ANY = 0
    """Node by node from the root: rows at leaf `at` whose rank is above the code move to leaf `to`."""
    PERFECT = 1
    """Every level full, from the leaves to the root."""
    OBLIVIOUS = 2
    """One test a level."""


@dataclass(frozen=True)
class BatchGroup:
    """Consecutive trees that share 128 entries.

    `trees` are of TREE, `nodes` of NODE. `leaves` holds, per tree, `leaf_blocks` times 64 leaves in the order of their
    numbers. A line holds the ranks of one entry, less one where its splits send NaN to the right:
    ``first_line[entry]`` is the entry's first, and bits 0 and 1 of ``line_kinds[entry]`` say which of the two it has.
    """

    ranked: RankedSplits
    trees: npt.NDArray[Any]
    nodes: npt.NDArray[Any]
    leaves: npt.NDArray[Any]
    line_kinds: npt.NDArray[np.uint8]
    levels: int
    """Of the deepest tree"""

    @property
    def line_count(self) -> int:
        """How many lines of ranks the group has."""
        return int((self.line_kinds & 1).sum() + (self.line_kinds >> 1).sum())


def batch_groups(ensemble: Ensemble, tile_rows: int) -> list[BatchGroup] | None:
    """The groups of an ensemble, or None where rows are better evaluated one by one.

    That is where there are categorical splits, linear leaves or vectors in them, where a tree has more than 256 leaves,
    and where thresholds are too many for the trees there are.
    """
    if ensemble.categorical.any() or ensemble.vector_leaves or ensemble.linear is not None:
        return None
    if ensemble.precision == "float64" and ensemble.operator == "<":
        return None
    shape = _Shape.of(ensemble)
    if shape is None or shape.leaf_count.max() > MOST_LEAVES:
        return None
    groups: list[BatchGroup] = []
    by_tree = np.argsort(shape.tree, kind="stable")
    ends = np.searchsorted(shape.tree[by_tree], np.arange(len(ensemble.roots) + 1))
    for first, count in tree_ranges(ensemble, np.split(by_tree, ends)[1:-1]):
        if len(groups) * _TREES_WORTH_RANKING > first:
            return None
        ranked = RankedSplits(ensemble, np.flatnonzero((shape.tree >= first) & (shape.tree < first + count)))
        if len(ranked.entries) > MOST_ENTRIES:
            return None
        groups.append(_group(ensemble, shape, ranked, range(first, first + count), tile_rows))
    return groups


@dataclass(frozen=True)
class _Shape:
    """Where the splits and leaves of a forest stand; splits that no tree reaches have tree -1.

    `tree` and `depth` are by split; `at` and `to` are the numbers of the first leaves below a split and below its right
    child, in its tree; `place` is the split's in a heap, where its tree is low enough to have one. `exits` are
    (tree, number, place, depth, leaf) of every leaf, `leaf_count` and `levels` are by tree.
    """

    tree: npt.NDArray[np.int64]
    depth: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    to: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    exits: npt.NDArray[np.int64]
    leaf_count: npt.NDArray[np.int64]
    levels: npt.NDArray[np.int64]

    @classmethod
    def of(cls, ensemble: Ensemble) -> _Shape | None:
        """All trees at once, level by level; None if they share nodes."""
        children = np.stack([ensemble.left, ensemble.right], axis=1).astype(np.int64)
        count = len(children)
        roots = ensemble.roots.astype(np.int64)
        pointed = np.concatenate([children.ravel(), roots])
        if np.bincount(pointed[pointed >= 0], minlength=1).max() > 1:
            return None
        levels = []
        level = roots[roots >= 0]
        while len(level):
            levels.append(level)
            below = children[level].ravel()
            level = below[below >= 0]
        leaves_below = np.ones(count + 1, np.int64)  # the last stands for every leaf
        for level in reversed(levels):
            leaves_below[level] = leaves_below[np.maximum(children[level], -1)].sum(axis=1)
        tree, depth, at, place = (np.full(count, -1, np.int64) for _ in range(4))
        inner = roots >= 0
        tree[roots[inner]] = np.flatnonzero(inner)
        at[roots[inner]] = place[roots[inner]] = 0
        alone = np.flatnonzero(~inner)
        exits = [np.stack([alone, *np.zeros((3, len(alone)), np.int64), ~roots[alone]])]
        to = np.zeros(count, np.int64)
        for number, level in enumerate(levels):
            depth[level] = number
            to[level] = at[level] + leaves_below[np.maximum(children[level, 0], -1)]
            for side, first in ((0, at), (1, to)):
                child = children[level, side]
                end = child < 0
                # Places below the trees that have a heap are never looked at; they must only not overflow.
                places = np.minimum(2 * place[level] + 1 + side, 2**40)
                here, below = level[end], child[~end]
                exits.append(
                    np.stack([tree[here], first[here], places[end], np.full(len(here), number + 1), ~child[end]])
                )
                tree[below], at[below], place[below] = tree[level[~end]], first[level[~end]], places[~end]
        found = np.concatenate(exits, axis=1)
        deepest = np.zeros(len(roots), np.int64)
        np.maximum.at(deepest, found[0], found[3])
        return cls(tree, depth, at, to, place, found, np.bincount(found[0], minlength=len(roots)), deepest)


def _group(ensemble: Ensemble, shape: _Shape, ranked: RankedSplits, trees: range, tile_rows: int) -> BatchGroup:
    inside = np.flatnonzero((shape.tree >= trees.start) & (shape.tree < trees.stop))
    slot = ranked.slot[inside].astype(np.int64)
    nan_right = (slot & _NAN_RIGHT) != 0
    line_kinds = np.zeros(max(len(ranked.entries), 1), np.uint8)
    np.bitwise_or.at(line_kinds, slot & ~_NAN_RIGHT, np.where(nan_right, 2, 1).astype(np.uint8))
    lines = (line_kinds & 1) + (line_kinds >> 1)
    first_line = np.cumsum(lines) - lines
    line = np.zeros(len(ranked.slot), np.int64)
    line[inside] = first_line[slot & ~_NAN_RIGHT] + (nan_right & (lines[slot & ~_NAN_RIGHT] == 2))
    # Ranks are compared as signed bytes: few processors compare others.
    tests = np.zeros(len(line), NODE)
    tests["line"], tests["bound"] = line * tile_rows, ((ranked.code + np.uint8(1)) ^ 0x80).view(np.int8)
    tests["at"], tests["step"] = shape.at & 255, (shape.to - shape.at) & 255
    builder = _Builder(ensemble, shape, tests)
    order = np.lexsort((inside, shape.depth[inside], shape.tree[inside]))
    splits = inside[order]
    split_ends = np.searchsorted(shape.tree[splits], np.arange(trees.start, trees.stop + 1))
    exits = shape.exits[:, np.lexsort((shape.exits[1], shape.exits[0]))]
    exit_ends = np.searchsorted(exits[0], np.arange(trees.start, trees.stop + 1))
    for i, tree in enumerate(trees):
        builder.add(tree, splits[split_ends[i] : split_ends[i + 1]], exits[:, exit_ends[i] : exit_ends[i + 1]])
    return BatchGroup(
        ranked,
        np.array(builder.trees, TREE),
        *builder.tables(),
        line_kinds,
        int(shape.levels[trees.start : trees.stop].max()),
    )


class _Builder:
    """Puts trees one behind the other."""

    def __init__(self, ensemble: Ensemble, shape: _Shape, tests: npt.NDArray[Any]) -> None:
        self.ensemble, self.shape, self.tests = ensemble, shape, tests
        self.trees: list[tuple[int, ...]] = []
        self.nodes: list[npt.NDArray[Any]] = []
        self.leaves: list[npt.NDArray[Any]] = []
        self.node_count = self.leaf_blocks = 0

    def add(self, tree: int, splits: npt.NDArray[np.int64], exits: npt.NDArray[np.int64]) -> None:
        """Add a tree, given its splits level by level and its leaves from left to right."""
        levels = int(self.shape.levels[tree])
        tests, numbers = self.tests[splits], exits[1]
        oblivious = _levels_of(tests) if len(splits) == 2**levels - 1 else None
        size, kind = len(splits), Kind.ANY
        if oblivious is not None:
            size, kind, tests = levels, Kind.OBLIVIOUS, oblivious
        elif levels <= _HIGHEST_PERFECT and _PERFECT_NODE * (2**levels - 1) <= _ANY_NODE * len(splits):
            size, kind = levels, Kind.PERFECT
            tests = np.zeros(2**levels - 1, NODE)
            tests["bound"] = -128  # above no rank: rows go right
            tests[self.shape.place[splits]] = self.tests[splits]
            # Where no split is, rows go right: the last of the places below is the leaf's.
            below = levels - exits[3]
            numbers = ((exits[2] + 2 - 2 ** exits[3]) << below) - 1
        blocks = 1 << max(int(numbers.max()) // _LEAF_BLOCK, 0).bit_length()
        leaves = np.zeros(blocks * _LEAF_BLOCK, self.ensemble.leaf_value.dtype)
        leaves[numbers] = self.ensemble.leaf_value[exits[4]]
        output = int(self.ensemble.tree_output[tree])
        self.trees.append((self.node_count, self.leaf_blocks, output, size, kind, blocks, 0))
        self.nodes.append(tests)
        self.leaves.append(leaves)
        self.node_count += len(tests)
        self.leaf_blocks += blocks

    def tables(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The nodes, and the leaves."""
        return np.concatenate(self.nodes), np.concatenate(self.leaves)


def _levels_of(tests: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """One test a level, if all tests of every level of a perfect tree are the same."""
    first = 2 ** np.arange(len(tests).bit_length()) - 1
    same = np.repeat(first, 2 ** np.arange(len(first)))
    if len(tests) == 0 or not all((tests[field] == tests[field][same]).all() for field in ("line", "bound")):
        return None
    return tests[first]
