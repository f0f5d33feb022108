"""XGBoost's model document (JSON, UBJSON or old binary): decoded, checked, and written anew from what was checked.

XGBoost and Treelite follow a document's numbers without looking, and crash or hang on altered ones; so neither sees a
document that did not pass here. What splits mean is not decided here; that is Treelite's part.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import MAX_FEATURES, is_cover
from quickthorn.forest.structure import FlatTrees, flatten_trees
from quickthorn.forest.ubjson import read_ubjson, write_ubjson
from quickthorn.forest.xgboost_binary import is_binary, read_binary
from quickthorn.forest.xgboost_objective import XGBoostObjective, read_objective
from quickthorn.forest.xgboost_tree import (
    DecimalText,
    XGBoostTree,
    integers,
    listed,
    mapping,
    member,
    read_tree,
    singles,
    whole,
)


@dataclass(frozen=True)
class XGBoostDocument:
    """What a sound model document says."""

    version: tuple[int, ...]
    """Three numbers; two in the old binary format, and none of those from before 1.0"""
    base_is_margin: bool
    """Whether base_score is the margin itself, as before 1.0, and not what XGBoost makes a margin of"""
    objective: XGBoostObjective
    feature_count: int
    feature_names: tuple[str, ...] | None
    category_levels: tuple[tuple[str | int, ...] | None, ...]
    """Each feature's dictionary of category values, None for numeric ones; empty when the model keeps none"""
    trees: tuple[XGBoostTree, ...]
    tree_outputs: tuple[int, ...]
    """The output each tree adds to; 0 where leaves are vectors"""
    tree_weights: npt.NDArray[np.float32] | None
    """float32 [trees]: what dropout (dart) multiplies each tree's leaves by; None without dropout"""

    @property
    def vector_leaves(self) -> bool:
        """Whether every leaf holds one value per output."""
        return self.trees[0].leaf_weights is not None

    @property
    def first_node(self) -> npt.NDArray[np.int64]:
        """int64 [trees + 1]: each tree's first node when all trees' nodes stand in one row."""
        return np.cumsum([0, *(len(tree.left_children) for tree in self.trees)], dtype=np.int64)

    def flat_trees(self, where: str) -> FlatTrees:
        """The trees in one numbering; raises ModelError when the children do not make trees."""
        left = np.concatenate([tree.left_children for tree in self.trees]).astype(np.int64)
        right = np.concatenate([tree.right_children for tree in self.trees]).astype(np.int64)
        return flatten_trees(self.first_node, left, right, where)

    def leaf_values(self, leaf_nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """float32 [leaves], or [leaves, outputs]: what leaves add, by their numbers in the row of all trees' nodes."""
        first = self.first_node
        owner = np.searchsorted(first, leaf_nodes, "right") - 1
        values = np.concatenate(
            [tree.leaf_values(leaf_nodes[owner == index] - first[index]) for index, tree in enumerate(self.trees)]
        )
        if self.tree_weights is None:
            return values
        with np.errstate(over="ignore"):
            return values * self.tree_weights[owner]

    def cover(self) -> npt.NDArray[np.float64] | None:
        """float64 [nodes]: the sum of the hessians of the training rows that passed each node of the row of all nodes.

        None where a tree has none, or an objective of someone's own made some that no weight can be.
        """
        columns = [tree.sum_hessian for tree in self.trees if tree.sum_hessian is not None]
        cover = np.concatenate([*columns, np.empty(0, np.float32)]).astype(np.float64)
        return cover if len(columns) == len(self.trees) and is_cover(cover) else None

    def bare(self) -> XGBoostDocument:
        """The same model with leaves of 0 for trees: its margins are the base margins."""
        outputs = self.objective.output_count
        count, length = (1, outputs) if self.vector_leaves else (outputs, None)
        return replace(
            self, trees=(XGBoostTree.zero(length),) * count, tree_outputs=tuple(range(count)), tree_weights=None
        )

    def splits_alone(self) -> XGBoostDocument:
        """A model of the same trees for a reader of splits, whatever their leaves and the objective are."""
        plain = XGBoostObjective("reg:squarederror", {"reg_loss_param": {"scale_pos_weight": "1"}}, "0E0", 0, 1)
        trees = tuple(tree.with_scalar_leaves() for tree in self.trees)
        return replace(self, objective=plain, trees=trees, tree_outputs=(0,) * len(trees), tree_weights=None)

    def ubjson(self) -> bytes:
        """The model written anew, of checked members alone.

        Names, attributes and the dictionary of categories are left out: no prediction from numbers depends on them,
        and Treelite refuses the dictionary. Parallel trees of one round become rounds, added in the same order.
        """
        count = len(self.trees)
        objective = self.objective
        model = {
            "cats": {"enc": [], "feature_segments": np.empty(0, np.int32), "sorted_idx": np.empty(0, np.int32)},
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(count)},
            "iteration_indptr": list(range(count + 1)),
            "tree_info": list(self.tree_outputs),
            "trees": [tree.document(index, self.feature_count) for index, tree in enumerate(self.trees)],
        }
        booster: dict[str, Any] = {"model": model, "name": "gbtree"}
        if self.tree_weights is not None:
            # Every version reads this form; some ignore the weights of the newer one.
            booster = {
                "gbtree": booster,
                "name": "dart",
                "weight_drop": [float(weight) for weight in self.tree_weights],
            }
        learner = {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": booster,
            "learner_model_param": {
                "base_score": objective.base_score,
                "boost_from_average": "1",
                "num_class": str(objective.class_count),
                "num_feature": str(self.feature_count),
                "num_target": str(objective.target_count),
            },
            "objective": {"name": objective.name, **objective.parameters},
        }
        return write_ubjson({"learner": learner, "version": [*self.version, 0, 0, 0][:3]})


def read_document(data: bytes, where: str) -> XGBoostDocument:
    """The tree ensemble in a model's bytes; raises ModelError saying what else they are."""
    binary = is_binary(data)
    document = read_binary(data, where) if binary else _decode(data, where)
    version = tuple(integers(document, where, "version").tolist())
    if not binary and len(version) != 3:
        raise ModelError(f"{where}: version: expected three numbers, got {len(version)}")
    learner = mapping(document, where, "learner")
    model, weights = _read_booster(mapping(learner, where, "gradient_booster"), where)
    objective = read_objective(learner, where)
    feature_count = whole(mapping(learner, where, "learner_model_param"), where, "num_feature")
    if not 0 < feature_count <= MAX_FEATURES:
        raise ModelError(f"{where}: the model reads {feature_count} features; expected 1 to {MAX_FEATURES}")
    names = listed(learner, where, "feature_names") if "feature_names" in learner else []
    if len(names) not in (0, feature_count) or not all(isinstance(text, str) for text in names):
        raise ModelError(f"{where}: {len(names)} feature names for {feature_count} features")
    trees = _read_trees(model, feature_count, objective.output_count, where)
    return XGBoostDocument(
        version=version,
        base_is_margin=not version,
        objective=objective,
        feature_count=feature_count,
        feature_names=tuple(names) or None,
        category_levels=_read_category_levels(model, feature_count, where),
        trees=trees,
        tree_outputs=_read_tree_outputs(model, trees, objective.output_count, where),
        tree_weights=_read_weights(weights, trees, where),
    )


def _read_booster(booster: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The member that holds the trees, and the one that holds their weights if there are any.

    Dropout (dart) used to be a booster of its own around the trees; later it became weights beside the trees.
    """
    name = member(booster, where, "name")
    if name == "dart":
        return mapping(booster, where, "gbtree", "model"), booster
    if name != "gbtree":
        raise ModelError(f"{where}: the booster is {name!r}; expected trees, 'gbtree' or 'dart'")
    model = mapping(booster, where, "model")
    return model, model


def _read_trees(model: dict[str, Any], feature_count: int, output_count: int, where: str) -> tuple[XGBoostTree, ...]:
    documents = listed(model, where, "trees")
    declared = whole(mapping(model, where, "gbtree_model_param"), where, "num_trees")
    if len(documents) != declared:
        raise ModelError(f"{where}: {declared} trees declared, but {len(documents)} found")
    if declared == 0:
        raise ModelError(f"{where}: the model has no trees; expected at least one")
    trees = []
    for index, document in enumerate(documents):
        here = f"{where}: trees[{index}]"
        trees.append(read_tree(document, feature_count, output_count, here))
        # XGBoost puts each tree at the place that its number names.
        if "id" in document and document["id"] != index:
            raise ModelError(f"{here}: id: expected {index}, got {document['id']!r}")
    if len({tree.leaf_weights is None for tree in trees}) > 1:
        raise ModelError(f"{where}: some trees have leaves of one value and others have vectors; expected one kind")
    return tuple(trees)


def _read_tree_outputs(
    model: dict[str, Any], trees: tuple[XGBoostTree, ...], output_count: int, where: str
) -> tuple[int, ...]:
    outputs = integers(model, where, "tree_info")
    if len(outputs) != len(trees):
        raise ModelError(f"{where}: {len(trees)} trees declared, but {len(outputs)} assigned to an output")
    last = 0 if trees[0].leaf_weights is not None else output_count - 1
    if outputs.min() < 0 or outputs.max() > last:
        raise ModelError(f"{where}: tree_info: expected 0 to {last}")
    return tuple(outputs.tolist())


def _read_weights(holder: dict[str, Any], trees: tuple[XGBoostTree, ...], where: str) -> npt.NDArray[np.float32] | None:
    if "weight_drop" not in holder:
        return None
    weights = singles(holder, where, "weight_drop")
    if len(weights) != len(trees) or not np.isfinite(weights).all():
        raise ModelError(f"{where}: weight_drop: expected {len(trees)} numbers, one per tree, got {len(weights)}")
    if trees[0].leaf_weights is not None:
        raise ModelError(f"{where}: leaves are vectors and trees are weighted by dropout (dart); expected one of them")
    return weights


def _decode(data: bytes, where: str) -> dict[str, Any]:
    """The document as dicts and lists."""
    if data.lstrip()[1:].lstrip()[:1] not in (b'"', b"}"):
        document = read_ubjson(data, where)
    else:
        try:
            document = json.loads(data.decode("utf-8"), parse_float=DecimalText, object_pairs_hook=_without_twins)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{where}: not sound JSON, it is truncated or altered: {error}") from None
    if not isinstance(document, dict) or "learner" not in document:
        raise ModelError(f"{where}: no member 'learner', so this is not an XGBoost model")
    return document


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that occurs twice: XGBoost might read the other one."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _read_category_levels(
    model: dict[str, Any], feature_count: int, where: str
) -> tuple[tuple[str | int, ...] | None, ...]:
    if "cats" not in model:
        return ()
    levels: list[tuple[str | int, ...] | None] = []
    for index, encoding in enumerate(listed(mapping(model, where, "cats"), f"{where}: cats", "enc")):
        here = f"{where}: cats.enc[{index}]"
        values = listed(encoding, here, "values")
        if "offsets" in encoding:
            raw = bytes((integers(encoding, here, "values") & 0xFF).tolist())
            ends = integers(encoding, here, "offsets").tolist()
            levels.append(tuple(raw[begin:end].decode("utf-8", "replace") for begin, end in pairwise(ends)) or None)
        else:
            levels.append(tuple(_level(value) for value in values) or None)
    if len(levels) not in (0, feature_count):
        raise ModelError(
            f"{where}: cats.enc: expected {feature_count} dictionaries, one per feature, got {len(levels)}"
        )
    return tuple(levels)


def _level(value: Any) -> str | int:
    """A category that is a number: whole ones as int, to be told apart from codes; any other as text."""
    text = str(value)
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else text
