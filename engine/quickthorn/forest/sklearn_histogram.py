"""scikit-learn's histogram gradient boosting: predictors of raw values made the columns of an Ensemble.

Its categories pass through an encoder: what the encoder never saw is treated as missing, so a split on categories has
three ways in. Where missing values go left, the two sides change places: then the set lists who goes right.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.categories import Levels, dictionary_of
from quickthorn.forest.ensemble import Missing
from quickthorn.forest.structure import flatten_trees

# The walk reads a category as an int32.
_CATEGORY_LIMIT = 2**31


@dataclass(frozen=True)
class HistogramColumns:
    """The predictors of an estimator in one flat numbering, iteration after iteration."""

    splits: dict[str, npt.NDArray[Any]]
    """The arrays of an Ensemble that are about roots, splits and leaf ids, by name"""
    leaf_value: npt.NDArray[np.float64]
    """float64 [l]"""
    dictionary: tuple[Levels | None, ...] | None
    """Per feature of a row, the texts whose codes are 0, 1, 2…; None where no category is text"""


def read_predictors(estimator: Any, where: str) -> HistogramColumns:
    """The estimator's trees; features are numbered as in the rows it was fitted on."""
    predictors = [predictor for iteration in estimator._predictors for predictor in iteration]
    for index, predictor in enumerate(predictors):
        _check_predictor(predictor, estimator.n_features_in_, f"{where}: tree {index}")
    nodes = np.concatenate([predictor.nodes for predictor in predictors])
    sizes = [len(predictor.nodes) for predictor in predictors]
    is_leaf = nodes["is_leaf"] != 0
    left, right = (np.where(is_leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
    first_node = np.cumsum([0, *sizes], dtype=np.int64)
    flat = flatten_trees(first_node, left, right, where)
    owner = np.repeat(np.arange(len(predictors)), sizes)

    split = nodes[flat.split_nodes]
    order, levels, dictionary = _encoding(estimator, where)
    categorical = split["is_categorical"] != 0
    missing_left = split["missing_go_to_left"] != 0
    sets = [
        _category_set(predictors[tree].raw_left_cat_bitsets[node["bitset_idx"]], levels, node, where)
        if node["is_categorical"]
        else np.empty(0, np.int32)
        for tree, node in zip(owner[flat.split_nodes], split, strict=True)
    ]
    swapped = categorical & missing_left
    count = len(split)
    splits = {
        "roots": flat.roots,
        "feature": order[split["feature_idx"]].astype(np.int32),
        "threshold": np.where(categorical, 0.0, split["num_threshold"]),
        "left": np.where(swapped, flat.right, flat.left),
        "right": np.where(swapped, flat.left, flat.right),
        "default_left": missing_left & ~categorical,
        "missing": np.full(count, Missing.NAN, np.uint8),
        "categorical": categorical,
        "category_offsets": np.cumsum([0, *map(len, sets)], dtype=np.int64),
        "categories": np.concatenate([np.empty(0, np.int32), *sets]),
        "split_cover": nodes["count"][flat.split_nodes].astype(np.float64),
        "leaf_cover": nodes["count"][flat.leaf_nodes].astype(np.float64),
        "leaf_id": (flat.leaf_nodes - first_node[owner[flat.leaf_nodes]]).astype(np.int32),
    }
    return HistogramColumns(splits, nodes["value"][flat.leaf_nodes], dictionary)


def leaf_nodes(estimator: Any, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """int32 [n, trees]: the node each predictor ends at, found by the predictors themselves.

    scikit-learn has no such call, so each predictor is given its node numbers for values.
    """
    prepared = estimator._preprocess_X(rows, reset=False)
    known, position = estimator._bin_mapper.make_known_categories_bitsets()
    columns = []
    for iteration in estimator._predictors:
        for predictor in iteration:
            numbered = copy.copy(predictor)
            numbered.nodes = predictor.nodes.copy()
            numbered.nodes["value"] = np.arange(len(numbered.nodes))
            columns.append(numbered.predict(prepared, known, position, n_threads=1))
    return np.stack(columns, axis=1).astype(np.int32)


def acceptable_categories(
    estimator: Any, dictionary: tuple[Levels | None, ...] | None, rows: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    """The rows with text for its codes, and missing what scikit-learn would refuse as a category and does not know."""
    if estimator.is_categorical_ is None:
        return rows
    known = np.where(np.isinf(rows) & np.asarray(estimator.is_categorical_), np.nan, rows)
    if dictionary is None:
        return known
    mixed = known.astype(object)
    for place, levels in enumerate(dictionary):
        if levels is not None:
            mixed[:, place] = [
                levels[int(code)] if 0 <= code < len(levels) and code == int(code) else np.nan
                for code in known[:, place].tolist()
            ]
    return mixed


def _check_predictor(predictor: Any, feature_count: int, where: str) -> None:
    """scikit-learn follows a predictor's numbers without looking; the children are checked where trees are made."""
    nodes = predictor.nodes
    split = nodes[nodes["is_leaf"] == 0]
    if ((split["feature_idx"] < 0) | (split["feature_idx"] >= feature_count)).any():
        raise ModelError(f"{where}: a split reads a feature that is not one of {feature_count}")
    sets = predictor.raw_left_cat_bitsets
    if (split["bitset_idx"][split["is_categorical"] != 0] >= len(sets)).any() or sets.shape[1:] not in ((8,), (0,)):
        raise ModelError(f"{where}: a split's set of categories is not one of {len(sets)}")


def _encoding(
    estimator: Any, where: str
) -> tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int32]], tuple[Levels | None, ...] | None]:
    """Which feature of a row each column inside the estimator is, the row's categories by the codes inside, and texts.

    Categorical columns come first inside. Numbers are their own codes in a row, texts have a dictionary.
    """
    dictionary: list[Levels | None] = [None] * estimator.n_features_in_
    kinds = np.asarray(estimator._bin_mapper.is_categorical_)
    inside = estimator.n_features_in_ if estimator._preprocessor is None else len(estimator.is_categorical_)
    if len(kinds) != estimator.n_features_in_ or inside != len(kinds):
        raise ModelError(f"{where}: the estimator's bins are of {len(kinds)} features; expected {inside}")
    if estimator._preprocessor is None:
        if kinds.any():
            raise ModelError(f"{where}: the estimator has categorical features but no encoder for them")
        return np.arange(estimator.n_features_in_), [], None
    is_categorical = np.asarray(estimator.is_categorical_)
    order = np.concatenate([np.flatnonzero(is_categorical), np.flatnonzero(~is_categorical)])
    names = getattr(estimator, "feature_names_in_", range(len(order)))
    categories = estimator._preprocessor.named_transformers_["encoder"].categories_
    codes = []
    for feature, found in zip(np.flatnonzero(is_categorical), categories, strict=True):
        here = f"{where}: the categorical feature {names[feature]!r}"
        # Missing values stand last.
        values = [value for value in found.tolist() if value is not None and value == value]
        if any(isinstance(value, str) for value in values):
            dictionary[feature] = tuple(values)
            codes.append(np.arange(len(values), dtype=np.int32))
            continue
        wrong = [value for value in values if not _is_code(value)]
        if wrong:
            raise ModelError(f"{here} has the category {wrong[0]!r}; expected text, or whole numbers from 0")
        codes.append(np.array(values, np.float64).astype(np.int32))
    return order, codes, dictionary_of(dictionary, where)


def _is_code(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) and 0 <= value < _CATEGORY_LIMIT and value == int(value)


def _category_set(
    words: npt.NDArray[np.uint32], levels: list[npt.NDArray[np.int32]], node: Any, where: str
) -> npt.NDArray[np.int32]:
    """The categories whose side of a split is not that of missing values."""
    column = int(node["feature_idx"])
    if column >= len(levels):
        raise ModelError(f"{where}: a split takes a numeric feature for a categorical one")
    goes_left = np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little")[: len(levels[column])] != 0
    chosen: npt.NDArray[np.int32] = levels[column][~goes_left if node["missing_go_to_left"] else goes_left]
    return chosen
