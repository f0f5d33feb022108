"""XGBoost's model document (JSON or UBJSON): decoded, checked, and written anew from what was checked.

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

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import MAX_FEATURES
from quickthorn.forest.structure import FlatTrees, flatten_trees
from quickthorn.forest.ubjson import read_ubjson, write_ubjson
from quickthorn.forest.xgboost_tree import DecimalText, XGBoostTree, integers, listed, mapping, member, read_tree, whole

_LINK_OF = {
    "binary:logistic": Link.SIGMOID,
    "reg:logistic": Link.SIGMOID,
    # XGBoost's own prediction for this objective is the margin.
    "binary:logitraw": Link.IDENTITY,
    "reg:squarederror": Link.IDENTITY,
    "reg:linear": Link.IDENTITY,
    "reg:squaredlogerror": Link.IDENTITY,
    "reg:absoluteerror": Link.IDENTITY,
    "reg:pseudohubererror": Link.IDENTITY,
    "reg:quantileerror": Link.IDENTITY,
    "count:poisson": Link.EXP,
    "reg:gamma": Link.EXP,
    "reg:tweedie": Link.EXP,
}


@dataclass(frozen=True)
class XGBoostDocument:
    """What a sound model document says."""

    version: tuple[int, ...]
    objective: str
    objective_parameters: dict[str, Any]
    link: Link
    base_score: str
    feature_count: int
    feature_names: tuple[str, ...] | None
    category_levels: tuple[tuple[str | int, ...] | None, ...]
    """Each feature's dictionary of category values, None for numeric ones; empty when the model keeps none"""
    trees: tuple[XGBoostTree, ...]

    @property
    def first_node(self) -> npt.NDArray[np.int64]:
        """int64 [trees + 1]: each tree's first node when all trees' nodes stand in one row."""
        return np.cumsum([0, *(len(tree.left_children) for tree in self.trees)], dtype=np.int64)

    def flat_trees(self, where: str) -> FlatTrees:
        """The trees in one numbering; raises ModelError when the children do not make trees."""
        left = np.concatenate([tree.left_children for tree in self.trees]).astype(np.int64)
        right = np.concatenate([tree.right_children for tree in self.trees]).astype(np.int64)
        return flatten_trees(self.first_node, left, right, where)

    def bare(self) -> XGBoostDocument:
        """The same model with one leaf of 0 for trees: its margin is the base margin."""
        return replace(self, trees=(XGBoostTree.leaf(0.0),))

    def ubjson(self) -> bytes:
        """The model written anew, of checked members alone.

        Names, attributes and the dictionary of categories are left out: no prediction from numbers depends on them,
        and Treelite refuses the dictionary. Parallel trees of one round become rounds, added in the same order.
        """
        count = len(self.trees)
        model = {
            "cats": {"enc": [], "feature_segments": np.empty(0, np.int32), "sorted_idx": np.empty(0, np.int32)},
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(count)},
            "iteration_indptr": list(range(count + 1)),
            "tree_info": [0] * count,
            "trees": [tree.document(index, self.feature_count) for index, tree in enumerate(self.trees)],
        }
        learner = {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {"model": model, "name": "gbtree"},
            "learner_model_param": {
                "base_score": self.base_score,
                "boost_from_average": "1",
                "num_class": "0",
                "num_feature": str(self.feature_count),
                "num_target": "1",
            },
            "objective": {"name": self.objective, **self.objective_parameters},
        }
        return write_ubjson({"learner": learner, "version": list(self.version)})


def read_document(data: bytes, where: str) -> XGBoostDocument:
    """The single-output tree ensemble in a JSON or UBJSON document; raises ModelError saying what else it is."""
    document = _decode(data, where)
    learner = mapping(document, where, "learner")
    booster = mapping(learner, where, "gradient_booster")
    name = member(booster, where, "name")
    if name != "gbtree":
        raise ModelError(f"{where}: the booster is {name!r}; expected 'gbtree', whose trees add up to the margin")
    objective, link, objective_parameters = _read_objective(learner, where)
    parameters = mapping(learner, where, "learner_model_param")
    feature_count = whole(parameters, where, "num_feature")
    if not 0 < feature_count <= MAX_FEATURES:
        raise ModelError(f"{where}: the model reads {feature_count} features; expected 1 to {MAX_FEATURES}")
    model = mapping(booster, where, "model")
    _check_single_output(parameters, model, where)
    names = listed(learner, where, "feature_names") if "feature_names" in learner else []
    if len(names) not in (0, feature_count) or not all(isinstance(text, str) for text in names):
        raise ModelError(f"{where}: {len(names)} feature names for {feature_count} features")
    trees = listed(model, where, "trees")
    return XGBoostDocument(
        version=tuple(integers(document, where, "version").tolist()),
        objective=objective,
        objective_parameters=objective_parameters,
        link=link,
        base_score=_read_base_score(parameters, where),
        feature_count=feature_count,
        feature_names=tuple(names) or None,
        category_levels=_read_category_levels(model, where),
        trees=tuple(read_tree(tree, feature_count, f"{where}: trees[{index}]") for index, tree in enumerate(trees)),
    )


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


def _read_objective(learner: dict[str, Any], where: str) -> tuple[str, Link, dict[str, Any]]:
    parameters = dict(mapping(learner, where, "objective"))
    objective = parameters.pop("name", None)
    if isinstance(objective, str) and objective.startswith("multi:"):
        raise ModelError(f"{where}: the objective {objective!r} is multi-class; expected a model with one output")
    if not isinstance(objective, str) or objective not in _LINK_OF:
        raise ModelError(f"{where}: unknown objective {objective!r}; expected one of {', '.join(sorted(_LINK_OF))}")
    for key, values in parameters.items():
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ModelError(f"{where}: objective.{key}: expected an object of texts")
    return objective, _LINK_OF[objective], parameters


def _read_base_score(parameters: dict[str, Any], where: str) -> str:
    """base_score as it is spelt: a number in text, in brackets since XGBoost 3.1."""
    text = member(parameters, where, "base_score")
    try:
        # A list of several is one per output.
        if isinstance(text, str) and np.isfinite(float(text.removeprefix("[").removesuffix("]"))):
            return text
    except ValueError:
        pass
    raise ModelError(f"{where}: base_score: expected one number in text, got {text!r}")


def _check_single_output(parameters: dict[str, Any], model: dict[str, Any], where: str) -> None:
    for key in ("num_class", "num_target"):
        if key in parameters and whole(parameters, where, key) > 1:
            raise ModelError(f"{where}: {key} is {parameters[key]}; expected a model with one output")
    if "weight_drop" in model:
        raise ModelError(f"{where}: the trees are weighted by dropout (dart); expected plain 'gbtree'")
    trees, groups = listed(model, where, "trees"), integers(model, where, "tree_info")
    declared = whole(mapping(model, where, "gbtree_model_param"), where, "num_trees")
    if len(trees) != declared or len(groups) != declared:
        raise ModelError(f"{where}: {declared} trees declared, but {len(trees)} found and {len(groups)} assigned")
    if declared == 0:
        raise ModelError(f"{where}: the model has no trees; expected at least one")
    if groups.any():
        raise ModelError(f"{where}: trees belong to several outputs; expected a model with one output")


def _read_category_levels(model: dict[str, Any], where: str) -> tuple[tuple[str | int, ...] | None, ...]:
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
            levels.append(tuple(_level(value) for value in values))
    return tuple(levels)


def _level(value: Any) -> str | int:
    """A category that is a number: whole ones as int, to be told apart from codes; any other as text."""
    text = str(value)
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else text
