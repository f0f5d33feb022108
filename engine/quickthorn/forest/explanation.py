"""What explains a forest's margins: shares, repeated features and points, of which contribution tables are made.

A feature's contribution is its Shapley value in the game that path-dependent TreeSHAP plays (Lundberg et al., "From
local explanations to global understanding with explainable AI for trees", Nature Machine Intelligence 2, 2020): the
features in a coalition are known, and at a split on any other the two sides are averaged by their cover.

Shapley values are integrals (Owen, "Multilinear extensions of games", Management Science 18, 1972), which quadrature
gives for trees (Wettenstein, Mitchell and Yu, "Quadrature-TreeSHAP", arXiv:2605.04497, 2026). At p in [0, 1] let each
feature be known with chance p. Where a split's feature is not split on above it, the chance to go left at it is

    w = p * b + (1 - p) * share,

b being 1 where the row goes left, and `share` the left side's part of the cover. With W the chance to come to the
split, times p's weight, and f the value that is to be expected below one of its sides,

    f = f_right + w * (f_left - f_right),
    the contribution to the split's feature is the sum over p of  W * (b - share) * (f_left - f_right).

Where the feature is split on above it, there are two cases. The row failed one of those tests: then the feature, known
or not, does not lead here any more; the chance is w = share, and nothing is contributed that was not counted above.
Or it passed all of them, whose shares multiply to `seen`: then what is known of the feature is that it led here, and

    w = b - s * (b - share), s = seen * q / (p + seen * q), q = 1 - p,

and the contribution is the same sum with the factor seen / (p + seen * q) ** 2.

The integrand is a polynomial in p, whose degree is less by one than the number of different features on the longest
path; half as many Gauss-Legendre points as there are features integrate it exactly. So many are hardly ever needed:
quadrature.py proves how few are enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import EVERY_OUTPUT, Ensemble
from quickthorn.forest.quadrature import point_counts

# The tables of 128 Gauss-Legendre points are good to the last digits, and so is what they integrate.
MOST_FEATURES_ON_PATH = 256
# The native walk keeps a few vectors a level on the stack.
MOST_LEVELS = 4096
# How much a split's cover may differ from what its children have together, which float32 sums of hessians do a little.
_COVER_TOLERANCE = 1e-3

Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """What a forest's contributions are computed from: s splits, t trees, k outputs, as in its Ensemble."""

    share: Reals
    """float64 [s]: the left side's part of the split's cover"""
    seen: Reals
    """float64 [s]: the product of the shares of the tests of the same feature above the split; 1 without any"""
    above: Numbers
    """int64 [s]: the nearest split above it on the same feature, -1 where there is none"""
    above_left: npt.NDArray[np.bool_]
    """bool [s]: whether the split lies on the left side of that one"""
    depth: Numbers
    """int64 [s]: how many splits are above it"""
    tree: Numbers
    """int64 [s]: its tree"""
    features_on_path: Numbers
    """int64 [t]: the most different features on a path of the tree"""
    points: Numbers
    """int64 [t]: how many points its contributions are integrated at, in blocks"""
    split_count: Numbers
    """int64 [t]: how many splits the tree has"""
    factor: Reals
    """float64 [k]: what a leaf's value is multiplied by on its way into the margin"""
    expected: Reals
    """float64 [k]: the margin that is to be expected where no feature is known"""


def explain(ensemble: Ensemble) -> Explanation:
    """What is needed to explain the ensemble's margins.

    Raises ModelError where path-dependent contributions are not defined: leaves hold linear models, or the model does
    not say how much of the training data passed each node; and where paths are too long.
    """
    if ensemble.linear is not None:
        raise ModelError(
            "contributions: expected leaves that are constant, found linear models in them, for which "
            f"{ensemble.source} has no contributions either"
        )
    if ensemble.split_cover is None or ensemble.leaf_cover is None:
        raise ModelError(
            f"contributions: expected a model that says how much of the training data passed each node, found a model "
            f"of {ensemble.source} without usable covers"
        )
    parent, from_left, depth, tree = _upwards(ensemble)
    if len(depth) and depth.max() >= MOST_LEVELS:
        raise ModelError(
            f"contributions: expected trees of at most {MOST_LEVELS} levels, found {depth.max() + 1} in tree "
            f"{tree[int(depth.argmax())]}"
        )
    share = _shares(ensemble, ensemble.split_cover, ensemble.leaf_cover, tree)
    above, above_left = _same_feature_above(ensemble, parent, from_left)
    levels = _levels(depth)
    seen = np.ones(len(share))
    distinct = np.ones(len(share), np.int64)
    for level in levels:
        repeated, below = level[above[level] >= 0], level[parent[level] >= 0]
        up = above[repeated]
        seen[repeated] = seen[up] * np.where(above_left[repeated], share[up], 1.0 - share[up])
        distinct[below] = distinct[parent[below]] + (above[below] < 0)
    on_path = np.zeros(ensemble.tree_count, np.int64)
    np.maximum.at(on_path, tree, distinct)
    if on_path.max() > MOST_FEATURES_ON_PATH:
        raise ModelError(
            f"contributions: expected at most {MOST_FEATURES_ON_PATH} different features on a path, found "
            f"{on_path.max()} in tree {int(on_path.argmax())}"
        )
    factor, expected = _expected(ensemble, share, levels)
    return Explanation(
        share=share,
        seen=seen,
        above=above,
        above_left=above_left,
        depth=depth,
        tree=tree,
        features_on_path=on_path,
        points=point_counts(ensemble, share, seen, tree, levels, -(-on_path // 2)),
        split_count=np.bincount(tree, minlength=ensemble.tree_count),
        factor=factor,
        expected=expected,
    )


def _upwards(ensemble: Ensemble) -> tuple[Numbers, npt.NDArray[np.bool_], Numbers, Numbers]:
    """Of every split its parent (-1 at roots), whether it is the parent's left child, its depth and its tree."""
    count = len(ensemble.feature)
    parent, depth, tree = np.full(count, -1, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    from_left = np.zeros(count, np.bool_)
    roots = np.flatnonzero(ensemble.roots >= 0)
    level = ensemble.roots[roots].astype(np.int64)
    tree[level] = roots
    while len(level):
        below = []
        for child, is_left in ((ensemble.left[level], True), (ensemble.right[level], False)):
            split = child >= 0
            inner = child[split].astype(np.int64)
            parent[inner], from_left[inner] = level[split], is_left
            tree[inner], depth[inner] = tree[level[split]], depth[level[split]] + 1
            below.append(inner)
        level = np.concatenate(below)
    return parent, from_left, depth, tree


def _levels(depth: Numbers) -> list[Numbers]:
    """The numbers of all splits, level by level."""
    order = np.argsort(depth, kind="stable")
    return np.split(order, np.searchsorted(depth[order], np.arange(1, depth.max(initial=0) + 1)))


def _shares(ensemble: Ensemble, split_cover: Reals, leaf_cover: Reals, tree: Numbers) -> Reals:
    """The left side's part of each split's cover; a half where nothing passed it."""
    left, right = (
        np.where(child >= 0, split_cover[np.maximum(child, 0)], leaf_cover[~np.minimum(child, -1)])
        for child in (ensemble.left, ensemble.right)
    )
    together = left + right
    wrong = np.abs(together - split_cover) > _COVER_TOLERANCE * np.maximum(together, split_cover)
    if wrong.any():
        split = int(wrong.argmax())
        raise ModelError(
            f"contributions: tree {tree[split]}: expected a split's cover to be that of its two sides together, found "
            f"{split_cover[split]:g} for {left[split]:g} and {right[split]:g}"
        )
    shares: Reals = np.divide(left, together, out=np.full(len(left), 0.5), where=together > 0.0)
    return shares


def _same_feature_above(
    ensemble: Ensemble, parent: Numbers, from_left: npt.NDArray[np.bool_]
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    above, above_left = np.full(len(parent), -1, np.int64), np.zeros(len(parent), np.bool_)
    looking, at, left = np.arange(len(parent)), parent, from_left
    while len(looking):
        inside = at >= 0
        looking, at, left = looking[inside], at[inside], left[inside]
        found = ensemble.feature[at] == ensemble.feature[looking]
        above[looking[found]], above_left[looking[found]] = at[found], left[found]
        looking, at = looking[~found], at[~found]
        left, at = from_left[at], parent[at]
    return above, above_left


def _expected(ensemble: Ensemble, share: Reals, levels: list[Numbers]) -> tuple[Reals, Reals]:
    """What leaves are multiplied by, and the expected margins, float64 [outputs] each."""
    leaves = ensemble.leaf_value.astype(np.float64).reshape(len(ensemble.leaf_id), -1)
    below = np.zeros((len(share), leaves.shape[1]))
    for level in reversed(levels):
        left, right = (
            np.where((child >= 0)[:, np.newaxis], below[np.maximum(child, 0)], leaves[~np.minimum(child, -1)])
            for child in (ensemble.left[level], ensemble.right[level])
        )
        below[level] = right + share[level, np.newaxis] * (left - right)
    factor = np.full(ensemble.output_count, ensemble.scale)
    total = np.zeros(ensemble.output_count)
    trees = np.zeros(ensemble.output_count)
    for root, output in zip(ensemble.roots.tolist(), ensemble.tree_output.tolist(), strict=True):
        outputs = slice(None) if output == EVERY_OUTPUT else slice(output, output + 1)
        total[outputs] += below[root] if root >= 0 else leaves[~root]
        trees[outputs] += 1.0
    if ensemble.average:
        factor /= trees
    base = ensemble.base_margin.astype(np.float64)
    return factor, total * factor + (base if ensemble.base_last else base * factor)
