"""Leaf-wise trees for AVX-512: the tables that `cpp/library/forest_grown.hpp` evaluates.

A tree's top holds up to 15 splits and has up to 16 exits, numbered from left to right. What lies below is cut into
complete treelets of three levels, each on a cache line that names where its eight exits lead. Which splits the top
holds is chosen so that rows, passing each split as often as in training, look at the fewest treelets after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.ranking import CODE_NEVER_RIGHT, RankedSplits

_TREES_AT_ONCE = 64
_EXITS = 16
_TESTS = _EXITS - 1
_KILL_BYTES = _EXITS // 8
_LINE_BYTES = 64
_LINK_BYTES = 4
# What a treelet costs in the second and later rounds, where few trees are left to look at together, to the first.
_LATER_ROUND = 1.7

TOP_TEST = np.dtype([("slot", "u1", 64), ("code", "u1", 64), ("kills", "u1", (_KILL_BYTES, 64))])
TOPS = np.dtype([("tests", TOP_TEST, _TESTS), ("leaves", "u1", (_KILL_BYTES, 64))])
LINE = np.dtype([("slot", "u1", 8), ("code", "u1", 8), ("link", "<i4", 8), ("unused", "u1", 16)])


@dataclass(frozen=True)
class GrownGroup:
    """Consecutive trees that share 128 entries; the fields of the C++ `GrownGroup`, as arrays rather than offsets.

    `links` are the tops' links, 16 a tree, then the lines; leaf -n is n places before the end of `values` and `ids`.
    """

    tree_count: int
    tiles: npt.NDArray[Any]
    tops: npt.NDArray[Any]
    links: bytes
    values: npt.NDArray[Any]
    ids: npt.NDArray[np.int32]


def rows_passing(ensemble: Ensemble) -> npt.NDArray[np.float64]:
    """float64 [s]: how many rows pass each split, or as many as there are leaves below it where that is not known."""
    cover = ensemble.split_cover
    if cover is not None:
        return cover
    below = np.ones(len(ensemble.feature))
    # Children come after their parents.
    for split in range(len(below) - 1, -1, -1):
        for child in (ensemble.left[split], ensemble.right[split]):
            below[split] += below[child] if child >= 0 else 0
    return below


class Growth:
    """Which splits the tops of a forest's trees hold: those that leave the fewest treelets to look at on the way down.

    ``_cost[n, k]`` is what rows cost below split n when k of the splits from it downwards are in the top, and
    ``_to_left[n, k]`` how many of those then lie on its left. All leaves are one, behind the splits, without cost.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        splits = len(ensemble.feature)
        self._left = np.append(np.where(ensemble.left < 0, splits, ensemble.left), splits)
        self._right = np.append(np.where(ensemble.right < 0, splits, ensemble.right), splits)
        self._cost = np.zeros((splits + 1, _TESTS + 1))
        self._to_left = np.zeros((splits + 1, _TESTS + 1), np.uint8)
        passing = np.append(rows_passing(ensemble), 0.0)
        by_height = self._by_height()
        later = np.zeros(splits + 1)
        exits = self._exits()
        for splits_at in by_height:
            below = later[exits[splits_at]].sum(axis=1)
            later[splits_at] = _LATER_ROUND * passing[splits_at] + below
            self._cost[splits_at, 0] = passing[splits_at] + below
            self._divide(splits_at)

    def chosen(self, root: int) -> set[int]:
        """The splits in the top of the tree with this root."""
        inside: set[int] = set()
        waiting = [(root, _TESTS)]
        leaf = len(self._left) - 1
        while waiting:
            split, count = waiting.pop()
            if split < 0 or split == leaf or count == 0:
                continue
            inside.add(split)
            to_left = int(self._to_left[split, count])
            waiting += [(int(self._left[split]), to_left), (int(self._right[split]), count - 1 - to_left)]
        return inside

    def _divide(self, splits: npt.NDArray[np.int64]) -> None:
        """Share out k splits of which these are the first: what is best with fewer is good enough with more."""
        left, right = self._cost[self._left[splits]], self._cost[self._right[splits]]
        for count in range(1, _TESTS + 1):
            shared = left[:, :count] + right[:, count - 1 :: -1]
            self._to_left[splits, count] = shared.argmin(axis=1)
            self._cost[splits, count] = shared.min(axis=1)

    def _exits(self) -> npt.NDArray[np.int64]:
        """[s + 1, 8]: where the treelet of three levels at each split leads; a leaf leads nowhere else."""
        at = np.arange(len(self._left))[:, None]
        for _ in range(3):
            at = np.concatenate([self._left[at], self._right[at]], axis=1)
        return at

    def _by_height(self) -> list[npt.NDArray[np.int64]]:
        """The splits by how many splits are below them at most, the lowest first."""
        height = np.zeros(len(self._left), np.int64)
        left, right = self._left.tolist(), self._right.tolist()
        # Children come after their parents.
        for split in range(len(height) - 2, -1, -1):
            height[split] = 1 + max(height[left[split]], height[right[split]])
        return [np.flatnonzero(height == level) for level in range(1, int(height.max(initial=0)) + 1)]


class _Top:
    """The first splits of one tree: exits from left to right, and each split with the exits below its left child."""

    def __init__(self, ensemble: Ensemble, root: int, inside: set[int]) -> None:
        self.exits: list[int] = []
        self.tests: list[tuple[int, int]] = []
        # From left to right, without recursion: a top may be one long chain.
        waiting: list[tuple[int, int | None]] = [(root, None)]
        while waiting:
            node, first = waiting.pop()
            if first is not None:
                # Its left side is done: the exits from `first` on lie there.
                self.tests.append((node, (1 << len(self.exits)) - (1 << first)))
            elif node in inside:
                children = int(ensemble.left[node]), int(ensemble.right[node])
                waiting += [(children[1], None), (node, len(self.exits)), (children[0], None)]
            else:
                self.exits.append(node)


def grown_group(
    ensemble: Ensemble, ranked: RankedSplits, roots: list[int], growth: Growth, tiles: npt.NDArray[Any]
) -> GrownGroup:
    """The tables of consecutive trees."""
    padded = -(-len(roots) // _TREES_AT_ONCE) * _TREES_AT_ONCE
    tops = np.zeros(padded // _TREES_AT_ONCE, TOPS)
    tops["tests"]["code"] = CODE_NEVER_RIGHT
    tops["leaves"][:, 0, :] = 1
    lines_at = padded * _EXITS * _LINK_BYTES
    links = np.full((padded, _EXITS), -1, "<i4")
    queue: list[int] = []
    leaves = _Leaves()

    def link(node: int) -> int:
        """Where an exit leads; a split gets the next line."""
        if node < 0:
            return -leaves.number(~node)
        queue.append(node)
        return lines_at + _LINE_BYTES * (len(queue) - 1)

    for tree, root in enumerate(roots):
        top = _Top(ensemble, root, growth.chosen(root))
        chunk, lane = tops[tree // _TREES_AT_ONCE], tree % _TREES_AT_ONCE
        for place, (split, kills) in enumerate(top.tests):
            test = chunk["tests"][place]
            test["slot"][lane], test["code"][lane] = ranked.slot[split], ranked.code[split]
            test["kills"][:, lane] = _bytes(kills)
        ends = sum((node < 0) << number for number, node in enumerate(top.exits))
        chunk["leaves"][:, lane] = _bytes(ends)
        links[tree, : len(top.exits)] = [link(node) for node in top.exits]
    lines = _lines(ensemble, ranked, queue, link)
    of = np.array(leaves.numbers[::-1], np.int64)
    return GrownGroup(
        tree_count=len(roots),
        tiles=tiles,
        tops=tops,
        links=links.tobytes() + lines.tobytes(),
        values=ensemble.leaf_value[of],
        ids=ensemble.leaf_id[of],
    )


def _bytes(bits: int) -> list[int]:
    return list(bits.to_bytes(_KILL_BYTES, "little"))


class _Leaves:
    """The group's leaves in the order they are first met."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def number(self, leaf: int) -> int:
        self.numbers.append(leaf)
        return len(self.numbers)


def _lines(ensemble: Ensemble, ranked: RankedSplits, queue: list[int], link: Any) -> npt.NDArray[Any]:
    """The treelets below the tops, breadth first, so that what is visited together lies together."""
    rows = []
    for root in queue:
        slots, codes = [0] * 8, [CODE_NEVER_RIGHT] * 8
        at = [root]
        for level in range(3):
            below = []
            for offset, node in enumerate(at):
                if node >= 0:
                    place = 2**level - 1 + offset
                    slots[place], codes[place] = int(ranked.slot[node]), int(ranked.code[node])
                    below += [int(ensemble.left[node]), int(ensemble.right[node])]
                else:
                    below += [node, node]
            at = below
        slots[7] = sum((node < 0) << number for number, node in enumerate(at))
        known: dict[int, int] = {}
        for node in at:
            if node not in known:
                known[node] = link(node)
        rows.append((slots, codes, [known[node] for node in at], [0] * 16))
    return np.array(rows, LINE)
