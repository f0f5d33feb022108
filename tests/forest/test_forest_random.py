"""Random small forests no trainer would grow, written as model files: odd thresholds, odd categories, every flag."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.reference.forest import leaves_of, margins_of

FEATURES = 3
ODD = [0.0, -0.0, 1e-36, -1e-36, 1e-35, -1e-35, 1e-45, -1e-45, 1.0, -1.0, 0.1, 3.4e38, -3.3e38, 16777216.0]
many = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
few = settings(
    many,
    max_examples=10,
    derandomize=True,
    database=None,
    # A failing forest is not made smaller: every attempt compiles one.
    phases=[Phase.explicit, Phase.generate],
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
    # XGBoost cannot give the leaves of an infinite value beside a threshold that is the lowest float32.
    wide = (
        st.floats(-(2.0**127), 2.0**127, width=32) if width == 32 else st.floats(allow_nan=False, allow_infinity=False)
    )
    return st.one_of(st.sampled_from(ODD), wide)


def normal(limit: float) -> st.SearchStrategy[float]:
    """Numbers that LightGBM reads in the leaves' linear models: it refuses subnormal ones there."""
    return st.floats(-limit, limit, allow_subnormal=False)


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
    classes, averaged = draw(st.sampled_from([1, 1, 2, 3])), draw(st.booleans())
    for index in range(classes * draw(st.integers(1, 10 // classes))):
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
        if draw(st.sampled_from([False, False, True])):
            counts = [draw(st.integers(0, FEATURES)) for _ in leaves]
            terms = [(draw(st.integers(0, FEATURES - 1)), repr(draw(normal(2.0)))) for _ in range(sum(counts))]
            lines += [
                "is_linear=1",
                f"leaf_const={words(repr(draw(normal(9.0))) for _ in leaves)}",
                f"num_features={words(counts)}",
                f"leaf_features={words(feature for feature, _ in terms)}",
                f"leaf_coeff={words(coefficient for _, coefficient in terms)}",
            ]
            if not tree:
                lines += ["split_feature=", "threshold=", "decision_type=", "left_child=", "right_child="]
        if sets:
            lines += [f"cat_boundaries={words(bounds)}", f"cat_threshold={words(sets)}"]
        blocks.append("\n".join([*lines, "shrinkage=1", "", ""]))
    objective = f"multiclass num_class:{classes}" if classes > 1 else "regression"
    head = (
        f"tree\nversion=v4\nnum_class={classes}\nnum_tree_per_iteration={classes}\nlabel_index=0\n"
        f"max_feature_idx={FEATURES - 1}\nobjective={objective}\n"
        f"{'average_output' if averaged else ''}\nfeature_names=Column_0 Column_1 Column_2\n"
        "feature_infos=none none none\n\n"
    )
    return head + "\n".join([*blocks, "end of trees", ""])


@st.composite
def xgboost_documents(draw: st.DrawFn) -> str:
    trees = []
    # Every output's leaves in one vector, or trees that add to one output each.
    outputs, kind = draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from(["plain", "dart", "vectors"]))
    vectors = kind == "vectors" and outputs > 1
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
        leaf_nodes = [node for node in range(count) if not is_split[node]]
        rows = {node: row for row, node in enumerate(draw(st.permutations(leaf_nodes)))} if vectors else {}
        length = outputs if vectors else 1
        weights = [float(np.float32(draw(st.floats(-9, 9)))) for _ in range(len(rows) * length)]
        trees.append(
            ({"leaf_weights": weights} if vectors else {}) | {
                "base_weights": [0.0] * count * length, "loss_changes": [0.0] * count, "sum_hessian": [0.0] * count,
                "categories": [member for members in sets for member in members],
                "categories_nodes": nodes, "categories_sizes": sizes,
                "categories_segments": [sum(sizes[:position]) for position in range(len(sizes))],
                "default_left": [draw(st.integers(0, 1)) for _ in range(count)],
                "id": index, "left_children": left, "parents": parents,
                "right_children": [child + 1 if child >= 0 else rows.get(node, -1) for node, child in enumerate(left)],
                "split_conditions": values, "split_type": kinds,
                "split_indices": [draw(st.integers(0, FEATURES - 1)) if split else 0 for split in is_split],
                "tree_param": {"num_deleted": "0", "num_feature": str(FEATURES), "num_nodes": str(count),
                               "size_leaf_vector": str(length)},
            }
        )  # fmt: skip
    model = {
        "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
        "iteration_indptr": list(range(len(trees) + 1)),
        "tree_info": [0 if vectors else draw(st.integers(0, outputs - 1)) for _ in trees],
        "trees": trees,
    }
    base_score = draw(st.sampled_from(["5E-1", "[1E-3]", "9.99E-1"]))
    booster: dict[str, Any] = {"model": model, "name": "gbtree"}
    if kind == "dart":
        dropout = [float(np.float32(draw(st.floats(0, 2)))) for _ in trees]
        booster = {"name": "dart", "gbtree": booster, "weight_drop": dropout}
    learner = {
        "attributes": {}, "feature_names": [], "feature_types": [],
        "gradient_booster": booster,
        "learner_model_param": {"base_score": base_score, "boost_from_average": "1", "num_class": "0",
                                "num_feature": str(FEATURES), "num_target": str(outputs)},
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
    }  # fmt: skip
    return json.dumps({"learner": learner, "version": [3, 2, 0]})


def read(text: str) -> LoadedModel:
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        return load_model(Path(file.name))


def assert_reference_equals_source(model: LoadedModel) -> None:
    """The plain reference walks to the source library's leaves, and adds up its very margins."""
    ensemble = model.ensemble
    rows = probe_rows(ensemble, 60, seed=6)
    shape = (len(rows), -1) if ensemble.output_count > 1 else (len(rows),)
    margins = np.array([margins_of(ensemble, row) for row in rows.tolist()]).reshape(shape)
    assert np.array_equal(margins, model.source_margins(rows), equal_nan=True)
    assert [leaves_of(ensemble, row) for row in rows.tolist()] == model.source_leaves(rows).tolist()


@many
@given(text=lightgbm_texts())
def test_the_reference_reads_random_lightgbm_forests(text: str, lightgbm: Any) -> None:
    assert_reference_equals_source(read(text))


@many
@given(text=xgboost_documents())
def test_the_reference_reads_random_xgboost_forests(text: str, xgboost: Any) -> None:
    assert_reference_equals_source(read(text))


@few
@given(text=lightgbm_texts())
def test_random_lightgbm_forests(text: str, lightgbm: Any, assert_equal_to_source: Callable[..., None]) -> None:
    assert_equal_to_source(read(text), optimise="-O1")


@few
@given(text=xgboost_documents())
def test_random_xgboost_forests(text: str, xgboost: Any, assert_equal_to_source: Callable[..., None]) -> None:
    assert_equal_to_source(read(text), optimise="-O1")
