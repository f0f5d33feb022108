"""From trees as a library numbers their nodes to one flat forest that is known to end in leaves.

Every model passes here before a training library or Treelite may touch it: neither checks that child numbers make a
tree, and a cycle or a number out of range would hang or kill the process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError

# Training libraries walk trees by recursion, so a deeper chain could exhaust the stack of the process that compiles.
MAX_DEPTH = 10_000


@dataclass(frozen=True)
class FlatTrees:
    """All trees in one numbering: splits 0..s-1 and leaves 0..l-1, both ordered by tree, then depth, then source id.

    A child (and a root) is a split's number when it is at least 0, else `~leaf`. `split_nodes` and `leaf_nodes` give
    the number each split and leaf had in the input.
    """

    roots: npt.NDArray[np.int32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    split_nodes: npt.NDArray[np.int64]
    leaf_nodes: npt.NDArray[np.int64]


def flatten_trees(
    first_node: npt.NDArray[np.int64], left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], where: str
) -> FlatTrees:
    """Number the nodes that the roots reach, splits apart from leaves; only leaves may be out of reach.

    `first_node` is int64 [trees + 1]: tree i owns the nodes first_node[i] .. first_node[i + 1] - 1 and is rooted at the
    first. `left` and `right` are int64 [nodes], numbered within the tree, -1 in both at a leaf. Raises ModelError
    (prefixed by `where`) when the numbers do not make a tree.
    """
    owner = np.repeat(np.arange(len(first_node) - 1), np.diff(first_node))
    _check_children(first_node, owner, left, right, where)
    is_split = left >= 0
    base = first_node[owner]
    left, right = left + base, right + base

    depth = np.full(len(owner), -1, np.int64)
    frontier = first_node[:-1]
    level = 0
    depth[frontier] = 0
    while len(frontier):
        inner = frontier[is_split[frontier]]
        frontier = np.concatenate([left[inner], right[inner]])
        twice = depth[frontier] >= 0
        if twice.any() or len(np.unique(frontier)) != len(frontier):
            tree = owner[frontier[int(np.argmax(twice))]]
            raise ModelError(f"{where}: tree {tree} reaches a node by two paths; expected a tree")
        level += 1
        if level > MAX_DEPTH:
            raise ModelError(f"{where}: a tree is deeper than {MAX_DEPTH} levels; expected at most that")
        depth[frontier] = level

    lost = is_split & (depth < 0)
    if lost.any():
        raise ModelError(f"{where}: tree {owner[int(np.argmax(lost))]} has a split that its root does not reach")
    node = np.arange(len(owner))
    order = np.lexsort((node, depth, owner))
    order = order[depth[order] >= 0]
    split_nodes, leaf_nodes = order[is_split[order]], order[~is_split[order]]
    number = np.empty(len(owner), np.int32)
    number[split_nodes] = np.arange(len(split_nodes), dtype=np.int32)
    number[leaf_nodes] = ~np.arange(len(leaf_nodes), dtype=np.int32)
    return FlatTrees(
        roots=number[first_node[:-1]],
        left=number[left[split_nodes]],
        right=number[right[split_nodes]],
        split_nodes=split_nodes,
        leaf_nodes=leaf_nodes,
    )


def cover_summed_upward(trees: FlatTrees, leaf_cover: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64 [splits]: what passes through each split, where only the leaves' part is known."""
    cover = np.zeros(len(trees.left), np.float64)
    # Children have larger numbers than their parents.
    for split in range(len(cover) - 1, -1, -1):
        for child in (trees.left[split], trees.right[split]):
            cover[split] += cover[child] if child >= 0 else leaf_cover[~child]
    return cover


def _check_children(
    first_node: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    where: str,
) -> None:
    """Both children are numbers of the same tree and not its root, or both are -1."""
    size = np.diff(first_node)
    if (size < 1).any():
        raise ModelError(f"{where}: tree {int(np.argmax(size < 1))} has no nodes; expected at least one")
    node_count = size[owner]
    split = (left > 0) & (left < node_count) & (right > 0) & (right < node_count)
    leaf = (left == -1) & (right == -1)
    wrong = ~(split | leaf)
    if wrong.any():
        node = int(np.argmax(wrong))
        tree = int(owner[node])
        raise ModelError(
            f"{where}: tree {tree}, node {node - int(first_node[tree])}: children {int(left[node])} and "
            f"{int(right[node])} are not nodes of a tree of {int(node_count[node])}"
        )
