"""The splits of single trees, for those who divide a forest into groups of trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble


@dataclass(frozen=True)
class TreeSplits:
    """A tree's root and the numbers of its splits, level by level."""

    root: int
    levels: tuple[npt.NDArray[np.int64], ...]

    @classmethod
    def of(cls, ensemble: Ensemble, root: int) -> TreeSplits:
        """Those of the tree with this root, which may be a leaf."""
        levels: list[npt.NDArray[np.int64]] = []
        level = np.array([root] if root >= 0 else [], dtype=np.int64)
        while len(level):
            levels.append(level)
            children = np.concatenate([ensemble.left[level], ensemble.right[level]]).astype(np.int64)
            level = children[children >= 0]
        return cls(root, tuple(levels))

    @property
    def leaf_count(self) -> int:
        """How many leaves it has, one that splits share counting for each."""
        return 1 + sum(map(len, self.levels))


def splits_of(trees: list[TreeSplits]) -> npt.NDArray[np.int64]:
    """The numbers of all splits of these trees."""
    return np.concatenate([*(level for tree in trees for level in tree.levels), np.empty(0, np.int64)])
