"""CatBoost's JSON export of a model, checked member by member; what a split means to a row is written down here.

A split on a number is true where the value is greater than the border, a split on a category where it is that category.
A true split leads right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.catboost_tree import CatBoostTree, SplitTable, read_nested_tree, read_oblivious_tree
from quickthorn.forest.ensemble import MAX_FEATURES, MAX_OUTPUTS

# Deep symmetric trees have few splits but many leaves; the walk holds each of them as a node.
_MAX_NODES = 2**27


@dataclass(frozen=True)
class CatBoostDocument:
    """What a sound export says."""

    version: str | None
    objective: str
    feature_count: int
    feature_names: tuple[str, ...] | None
    missing_goes_right: npt.NDArray[np.bool_]
    """bool [features]: where a missing value is greater than every border"""
    categorical: npt.NDArray[np.bool_]
    """bool [features]"""
    scale: float
    bias: npt.NDArray[np.float64]
    """float64 [outputs]"""
    trees: tuple[CatBoostTree, ...]

    def name_of(self, feature: int) -> str:
        """How to speak of a feature."""
        return repr(self.feature_names[feature]) if self.feature_names is not None else f"number {feature}"


def read_document(data: bytes, where: str) -> CatBoostDocument:
    """The model in an export's bytes; raises ModelError saying what cannot be honoured, or is unsound."""
    document = decode_document(data, where)
    features = _member(document, dict, where, "features_info")
    numeric = _features(features, "float_features", where)
    categories = _features(features, "categorical_features", where)
    for kind in ("text_features", "embedding_features"):
        if features.get(kind):
            raise ModelError(
                f"{where}: the model reads {kind.replace('_', ' ')}; expected numbers and categories alone"
            )
    positions = [feature["flat_feature_index"] for feature in (*numeric, *categories)]
    if not positions or len(set(positions)) != len(positions) or max(positions) >= MAX_FEATURES:
        raise ModelError(f"{where}: features_info: expected 1 to {MAX_FEATURES} features, each at its own place")
    count = max(positions) + 1
    missing_goes_right, categorical = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    for feature in numeric:
        treatment = feature.get("nan_value_treatment", "AsIs")
        if treatment not in ("AsIs", "AsFalse", "AsTrue"):
            raise ModelError(f"{where}: unknown nan_value_treatment {treatment!r}")
        # Where training saw no missing value, one is compared as it is, and is not greater than anything.
        missing_goes_right[feature["flat_feature_index"]] = treatment == "AsTrue" and feature.get("has_nans") is True
    categorical[[feature["flat_feature_index"] for feature in categories]] = True
    names = _names(numeric + categories, count)
    _refuse_statistics(features, categories, where)
    scale, bias = _scale_and_bias(document, where)
    table = SplitTable(_by_index(numeric, where), _by_index(categories, where))
    return CatBoostDocument(
        version=_version(document),
        objective=_objective(document, where),
        feature_count=count,
        feature_names=names,
        missing_goes_right=missing_goes_right,
        categorical=categorical,
        scale=scale,
        bias=bias,
        trees=_trees(document, table, len(bias), where),
    )


def decode_document(data: bytes, where: str) -> dict[str, Any]:
    """The members of a JSON object, unchecked; raises ModelError where the bytes are none."""

    def refuse(text: str) -> NoReturn:
        raise ModelError(f"{where}: the model holds {text}; expected a number")

    try:
        document = json.loads(data, parse_constant=refuse)
    except RecursionError:
        raise ModelError(f"{where}: the trees are nested deeper than can be read") from None
    except ValueError as error:
        raise ModelError(f"{where}: not a sound JSON document: {error}") from None
    if not isinstance(document, dict):
        raise ModelError(f"{where}: expected a JSON object, got {type(document).__name__}")
    return document


def _member(holder: dict[str, Any], kind: type, where: str, key: str) -> Any:
    value = holder.get(key)
    if not isinstance(value, kind):
        raise ModelError(f"{where}: {key}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def _features(features: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    found = features.get(key) or []
    if not isinstance(found, list) or not all(isinstance(feature, dict) for feature in found):
        raise ModelError(f"{where}: {key}: expected a list of objects")
    for feature in found:
        for index in ("feature_index", "flat_feature_index"):
            if type(feature.get(index)) is not int or feature[index] < 0:
                raise ModelError(f"{where}: {key}: {index}: expected a whole number, got {feature.get(index)!r}")
    return found


def _by_index(features: list[dict[str, Any]], where: str) -> dict[int, int]:
    """Where in a row each feature of a kind stands, by its number among that kind."""
    positions = {feature["feature_index"]: feature["flat_feature_index"] for feature in features}
    if len(positions) != len(features):
        raise ModelError(f"{where}: two features have one feature_index; expected each its own")
    return positions


def _names(features: list[dict[str, Any]], count: int) -> tuple[str, ...] | None:
    names = {feature["flat_feature_index"]: feature.get("feature_id") for feature in features}
    found = [names.get(position) for position in range(count)]
    # CatBoost numbers the features of a matrix in text when it has to name them.
    if any(not isinstance(name, str) or not name for name in found) or found == [str(n) for n in range(count)]:
        return None
    return tuple(map(str, found)) if len(set(found)) == count else None


def _refuse_statistics(features: dict[str, Any], categories: list[dict[str, Any]], where: str) -> None:
    """Statistics of the target per category ("CTR") come from tables, not from the row."""
    statistics = features.get("ctrs")
    if not statistics:
        return
    names = {feature["feature_index"]: feature.get("feature_id") or f"number {feature['flat_feature_index']}"
             for feature in categories}  # fmt: skip
    text = json.dumps(statistics)
    used = [repr(name) for index, name in names.items() if f'"cat_feature_index": {index},' in text]
    raise ModelError(
        f"{where}: the model computes target statistics (CTR) of the categorical feature(s) "
        f"{', '.join(used) or 'it has'}; expected numbers and one-hot categories alone: train with a one_hot_max_size "
        "that covers every category"
    )


def _scale_and_bias(document: dict[str, Any], where: str) -> tuple[float, npt.NDArray[np.float64]]:
    pair = _member(document, list, where, "scale_and_bias")
    bias = pair[1] if len(pair) == 2 and isinstance(pair[1], list) else pair[1:]
    numbers = [*pair[:1], *bias]
    if not 1 < len(numbers) <= MAX_OUTPUTS + 1 or not all(type(number) in (int, float) for number in numbers):
        raise ModelError(f"{where}: scale_and_bias: expected a number and a list of one number per output")
    try:
        return float(numbers[0]), np.array(numbers[1:], np.float64)
    except OverflowError:
        raise ModelError(f"{where}: scale_and_bias: expected numbers within float64") from None


def _trees(document: dict[str, Any], table: SplitTable, outputs: int, where: str) -> tuple[CatBoostTree, ...]:
    if isinstance(document.get("oblivious_trees"), list):
        found, read = document["oblivious_trees"], read_oblivious_tree
    else:
        found, read = _member(document, list, where, "trees"), read_nested_tree
    trees: list[CatBoostTree] = []
    nodes = 0
    for index, tree in enumerate(found):
        trees.append(read(tree, table, outputs, f"{where}: tree {index}"))
        nodes += len(trees[-1].left)
        if nodes > _MAX_NODES:
            raise ModelError(f"{where}: the trees have more than {_MAX_NODES} nodes; expected at most that")
    if not trees:
        raise ModelError(f"{where}: the model has no trees; expected at least one")
    return tuple(trees)


def _objective(document: dict[str, Any], where: str) -> str:
    value: Any = document
    for key in ("model_info", "params", "loss_function", "type"):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise ModelError(f"{where}: the model does not say what it was trained for (model_info.params.loss_function)")
    return value


def _version(document: dict[str, Any]) -> str | None:
    """The release that CatBoost names, among other things, where it describes the build that trained the model."""
    info = document.get("model_info")
    text = info.get("catboost_version_info") if isinstance(info, dict) else None
    if not isinstance(text, str):
        return None
    _, found, rest = text.partition("Branch: tags/v")
    return rest.split()[0] if found and rest.split() else None
