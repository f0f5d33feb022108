"""Random small forests no trainer would grow, written as model files: odd thresholds, odd categories, every flag."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthorn.forest.importing import load_model

FEATURES = 3
ODD = [0.0, -0.0, 1e-36, -1e-36, 1e-35, -1e-35, 1e-45, -1e-45, 1.0, -1.0, 0.1, 3.4e38, -3.3e38, 16777216.0]
few = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def shapes(draw: st.DrawFn) -> list[tuple[int, int]]:
    """A random binary tree of up to ten splits: each split's children, splits by number and leaves as ~number."""
    children: list[list[int]] = []
    leaves = 1
    for split in range(draw(st.integers(0, 10))):
        children.append([0, 0])
        if split:
            # The new split takes the place of a leaf, which becomes its left child.
            places = [(node, side) for node in range(split) for side in (0, 1) if children[node][side] < 0]
            node, side = draw(st.sampled_from(places))
            children[split] = [children[node][side], ~leaves]
            children[node][side] = split
        else:
            children[0] = [~0, ~1]
        leaves += 1
    return [(left, right) for left, right in children]


def numbers(width: int) -> st.SearchStrategy[float]:
    return st.one_of(st.sampled_from(ODD), st.floats(width=32, allow_nan=False, allow_infinity=False) if width == 32
                     else st.floats(allow_nan=False, allow_infinity=False))  # fmt: skip


def numbered(shape: list[tuple[int, int]]) -> list[int]:
    """Each node's left child as XGBoost numbers them: breadth first, the right child after the left, -1 at leaves."""
    left, waiting = [-1], [(0, 0 if shape else -1)]
    while waiting:
        node, split = waiting.pop(0)
        if split >= 0:
            left[node] = len(left)
            waiting += [(len(left), shape[split][0]), (len(left) + 1, shape[split][1])]
            left += [-1, -1]
    return left


def words(values: Any) -> str:
    return " ".join(str(value) for value in values)


@st.composite
def lightgbm_texts(draw: st.DrawFn) -> str:
    blocks = []
    for index in range(draw(st.integers(1, 10))):
        tree = draw(shapes())
        leaves = [repr(draw(st.floats(-1e3, 1e3))) for _ in range(len(tree) + 1)]
        lines = [f"Tree={index}", f"num_leaves={len(leaves)}"]
        decisions, thresholds, bounds, sets = [], [], [0], []
        for _ in tree:
            if draw(st.booleans()):
                decisions.append(1)
                thresholds.append(str(len(bounds) - 1))
                sets += draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3))
                bounds.append(len(sets))
            else:
                decisions.append(draw(st.sampled_from([0, 2, 4, 6, 8, 10])))
                thresholds.append(repr(draw(numbers(64))))
        lines.append(f"num_cat={len(bounds) - 1}")
        if tree:
            features = [draw(st.integers(0, FEATURES - 1)) for _ in tree]
            lines += [
                f"split_feature={words(features)}",
                f"threshold={words(thresholds)}",
                f"decision_type={words(decisions)}",
                f"left_child={words(left for left, _ in tree)}",
                f"right_child={words(right for _, right in tree)}",
            ]
        lines.append(f"leaf_value={words(leaves)}")
        if sets:
            lines += [f"cat_boundaries={words(bounds)}", f"cat_threshold={words(sets)}"]
        blocks.append("\n".join([*lines, "shrinkage=1", "", ""]))
    head = (
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n"
        f"max_feature_idx={FEATURES - 1}\nobjective=regression\nfeature_names=Column_0 Column_1 Column_2\n"
        "feature_infos=none none none\n\n"
    )
    return head + "\n".join([*blocks, "end of trees", ""])


@st.composite
def xgboost_documents(draw: st.DrawFn) -> str:
    trees = []
    for index in range(draw(st.integers(1, 10))):
        left = numbered(draw(shapes()))
        count = len(left)
        is_split = [child >= 0 for child in left]
        kinds = [draw(st.sampled_from([0, 0, 1])) if split else 0 for split in is_split]
        nodes = [node for node, kind in enumerate(kinds) if kind]
        sets = [sorted(draw(st.sets(st.integers(0, 70), min_size=1, max_size=5))) for _ in nodes]
        values = [float(np.float32(draw(numbers(32) if split else st.floats(-9, 9)))) for split in is_split]
        parents = [2**31 - 1] * count
        for node in range(count):
            if is_split[node]:
                parents[left[node]] = parents[left[node] + 1] = node
        sizes = [len(members) for members in sets]
        trees.append(
            {
                "base_weights": [0.0] * count, "loss_changes": [0.0] * count, "sum_hessian": [0.0] * count,
                "categories": [member for members in sets for member in members],
                "categories_nodes": nodes, "categories_sizes": sizes,
                "categories_segments": [sum(sizes[:position]) for position in range(len(sizes))],
                "default_left": [draw(st.integers(0, 1)) for _ in range(count)],
                "id": index, "left_children": left, "parents": parents,
                "right_children": [child + 1 if child >= 0 else -1 for child in left],
                "split_conditions": values, "split_type": kinds,
                "split_indices": [draw(st.integers(0, FEATURES - 1)) if split else 0 for split in is_split],
                "tree_param": {"num_deleted": "0", "num_feature": str(FEATURES), "num_nodes": str(count),
                               "size_leaf_vector": "1"},
            }
        )  # fmt: skip
    model = {
        "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
        "iteration_indptr": list(range(len(trees) + 1)),
        "tree_info": [0] * len(trees),
        "trees": trees,
    }
    base_score = draw(st.sampled_from(["5E-1", "[1E-3]", "9.99E-1"]))
    learner = {
        "attributes": {}, "feature_names": [], "feature_types": [],
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {"base_score": base_score, "boost_from_average": "1", "num_class": "0",
                                "num_feature": str(FEATURES), "num_target": "1"},
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
    }  # fmt: skip
    return json.dumps({"learner": learner, "version": [3, 2, 0]})


def check(text: str, assert_equal_to_source: Callable[..., None]) -> None:
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        model = load_model(Path(file.name))
    assert_equal_to_source(model, optimise="-O1")


@few
@given(text=lightgbm_texts())
def test_random_lightgbm_forests(text: str, lightgbm: Any, assert_equal_to_source: Callable[..., None]) -> None:
    check(text, assert_equal_to_source)


@few
@given(text=xgboost_documents())
def test_random_xgboost_forests(text: str, xgboost: Any, assert_equal_to_source: Callable[..., None]) -> None:
    check(text, assert_equal_to_source)
