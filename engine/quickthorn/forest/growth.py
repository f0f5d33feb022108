"""Which splits of leaf-wise trees are looked at together: those that leave rows the fewest records on their way down.

A tree's *top* is the splits from its root that are tested whatever the row; what lies below is cut into *records*, of
which a row looks at those it comes to. Both take any splits that hang together. Costs are counted in records that rows
look at, each split being passed as often as in training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble

TOP_SPLITS = 15
RECORD_SPLITS = 5
# What a record costs in the second and later rounds, where few trees are left to look at together, to the first.
_LATER_ROUND = 1.7

Splits = npt.NDArray[np.int64]


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


@dataclass(frozen=True)
class Cut:
    """Splits that are looked at together, of one tree.

    `exits` are the nodes below them from left to right, as the ensemble numbers them. `tests` are the splits from left
    to right too, each with a bit for every exit below its left child: the last of these is the test's own place.
    """

    exits: list[int]
    tests: list[tuple[int, int]]


class Growth:
    """The tops and records of a forest's trees. Among its splits, one more stands for every leaf: it costs nothing."""

    def __init__(self, ensemble: Ensemble) -> None:
        leaf = len(ensemble.feature)
        self._ensemble = ensemble
        self._left = np.append(np.where(ensemble.left < 0, leaf, ensemble.left), leaf)
        self._right = np.append(np.where(ensemble.right < 0, leaf, ensemble.right), leaf)
        self._top = _Shares(self._left, self._right, TOP_SPLITS)
        self._record = _Shares(self._left, self._right, RECORD_SPLITS)
        passing = np.append(rows_passing(ensemble), 0.0)
        for splits in self._by_height():
            self._record.divide(splits)
            below = self._record.cost[splits, RECORD_SPLITS]
            self._record.cost[splits, 0] = _LATER_ROUND * passing[splits] + below
            self._top.cost[splits, 0] = passing[splits] + below
            self._top.divide(splits)

    def top(self, root: int) -> Cut:
        """The top of the tree with this root, which may be a leaf."""
        return self._cut(root, self._top, TOP_SPLITS)

    def record(self, split: int) -> Cut:
        """The record that begins at a split."""
        return self._cut(split, self._record, RECORD_SPLITS)

    def _cut(self, first: int, shares: _Shares, most: int) -> Cut:
        cut = Cut([], [])
        ensemble = self._ensemble
        # From left to right, without recursion: (node, how many splits from it on), or a split whose left side is done
        # with the first exit there.
        waiting: list[tuple[int, int, int | None]] = [(first, most, None)]
        while waiting:
            node, count, first_exit = waiting.pop()
            if first_exit is not None:
                cut.tests.append((node, (1 << len(cut.exits)) - (1 << first_exit)))
            elif node < 0 or count == 0:
                cut.exits.append(node)
            else:
                to_left = int(shares.to_left[node, count])
                waiting += [
                    (int(ensemble.right[node]), count - 1 - to_left, None),
                    (node, count, len(cut.exits)),
                    (int(ensemble.left[node]), to_left, None),
                ]
        return cut

    def _by_height(self) -> list[Splits]:
        """The splits by how many splits are below them at most, the lowest first."""
        height = np.zeros(len(self._left), np.int64)
        left, right = self._left.tolist(), self._right.tolist()
        # Children come after their parents.
        for split in range(len(height) - 2, -1, -1):
            height[split] = 1 + max(height[left[split]], height[right[split]])
        return [np.flatnonzero(height == level) for level in range(1, int(height.max(initial=0)) + 1)]


class _Shares:
    """``cost[n, k]`` is what rows cost below split n when k of the splits from it downwards are looked at together.

    ``to_left[n, k]`` says how many of those then lie on its left.
    """

    def __init__(self, left: Splits, right: Splits, most: int) -> None:
        self._left, self._right, self._most = left, right, most
        self.cost = np.zeros((len(left), most + 1))
        self.to_left = np.zeros((len(left), most + 1), np.uint8)

    def divide(self, splits: Splits) -> None:
        """Share out k splits of which these are the first: what is best with fewer is good enough with more."""
        left, right = self.cost[self._left[splits]], self.cost[self._right[splits]]
        for count in range(1, self._most + 1):
            shared = left[:, :count] + right[:, count - 1 :: -1]
            self.to_left[splits, count] = shared.argmin(axis=1)
            self.cost[splits, count] = shared.min(axis=1)
