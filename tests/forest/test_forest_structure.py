"""Flattening trees: the numbering, and the shapes that are no tree."""

from __future__ import annotations

import numpy as np
import pytest

from quickthorn.errors import ModelError
from quickthorn.forest.structure import MAX_DEPTH, FlatTrees, flatten_trees


def flatten(*trees: tuple[list[int], list[int]]) -> FlatTrees:
    first_node = np.cumsum([0, *(len(left) for left, _ in trees)], dtype=np.int64)
    left = np.array([child for tree, _ in trees for child in tree], np.int64)
    right = np.array([child for _, tree in trees for child in tree], np.int64)
    return flatten_trees(first_node, left, right, "model")


def test_splits_and_leaves_are_numbered_by_tree_then_depth() -> None:
    # The second tree's root has its deeper side first, and node 2 was removed by pruning.
    flat = flatten(([-1], [-1]), ([3, -1, -1, 4, -1, -1], [1, -1, -1, 5, -1, -1]))
    assert flat.roots.tolist() == [~0, 0]
    assert flat.split_nodes.tolist() == [1, 4]
    assert flat.leaf_nodes.tolist() == [0, 2, 5, 6]
    assert flat.left.tolist() == [1, ~2]
    assert flat.right.tolist() == [~1, ~3]


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ([1, -1], [1, -1], "reaches a node by two paths"),
        ([1, 3, -1, -1, -1], [2, 4, 3, -1, -1], "children -1 and 3 are not nodes"),
        ([1, 3, 3, -1, -1], [2, 4, 4, -1, -1], "reaches a node by two paths"),
        ([1, -1, -1], [3, -1, -1], "children 1 and 3 are not nodes of a tree of 3"),
        ([0, -1, -1], [1, -1, -1], "children 0 and 1"),
        ([-1, 2, 1, -1], [-1, 3, 3, -1], "a split that its root does not reach"),
        ([], [], "tree 0 has no nodes"),
    ],
)
def test_what_is_no_tree_is_refused(left: list[int], right: list[int], reason: str) -> None:
    with pytest.raises(ModelError, match=f"model: .*{reason}"):
        flatten((left, right))


def test_a_chain_deeper_than_a_library_can_recurse_is_refused() -> None:
    splits = MAX_DEPTH + 5
    left = [2 * step + 1 for step in range(splits)]
    chain = np.full((2, 2 * splits + 1), -1)
    chain[:, 0] = 1, 2
    for node in left[:-1]:
        chain[:, node] = node + 2, node + 3
    with pytest.raises(ModelError, match="deeper than 10000 levels"):
        flatten((chain[0].tolist(), chain[1].tolist()))
