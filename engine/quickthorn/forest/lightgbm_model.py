"""LightGBM models: the model text made an Ensemble, with LightGBM itself as the truth about leaves and margins."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.extras import require
from quickthorn.forest.categories import Levels, dictionary_of
from quickthorn.forest.ensemble import Ensemble, LinearLeaves, Missing
from quickthorn.forest.lightgbm_text import LightGBMText, LightGBMTree, parse
from quickthorn.forest.structure import FlatTrees, flatten_trees

_PURPOSE = "reading a LightGBM model"

# LightGBM's own constant is the float32 number, widened.
_ZERO_THRESHOLD = float(np.float32(1e-35))

_CATEGORICAL_BIT, _DEFAULT_LEFT_BIT, _MISSING_SHIFT = 1, 2, 2


def read_file(data: bytes, where: str, *, category_codes: bool) -> tuple[Ensemble, LightGBMSource]:
    """The forest in a model text's bytes, and the booster LightGBM makes of them."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelError(f"{where}: the model text is not UTF-8, so it is altered") from None
    model = parse(text, where)
    booster = _load(model, where)
    if model.linear:
        # LightGBM reads these decimals in a way of its own; what it made of them is what it writes again.
        model = replace(
            parse(booster.model_to_string(), where),
            pandas_categories=model.pandas_categories,
            categorical_features=model.categorical_features,
        )
    return _read(model, booster, where, category_codes)


def read_estimator(estimator: Any, where: str, *, category_codes: bool) -> tuple[Ensemble, LightGBMSource]:
    """The forest of a fitted scikit-learn wrapper."""
    try:
        booster = estimator.booster_
    except Exception as error:  # scikit-learn's NotFittedError, or LightGBM's stand-in when that is not installed
        raise ModelError(f"{where}: the estimator is not fitted: {error}") from None
    return read_booster(booster, where, category_codes=category_codes)


def read_booster(booster: Any, where: str, *, category_codes: bool) -> tuple[Ensemble, LightGBMSource]:
    """The forest of a Booster, cut at its best iteration as its own predict is."""
    lightgbm = require("lightgbm", "train", _PURPOSE)
    try:
        # The text holds 17 digits, so every float64 survives it.
        text = booster.model_to_string()
    except lightgbm.basic.LightGBMError as error:
        raise ModelError(f"{where}: LightGBM cannot save the model: {error}") from None
    model = parse(text, where)
    # Linear leaves are compared with the booster itself, because the text may not be read back to the last bit.
    return _read(model, booster if model.linear else _load(model, where), where, category_codes)


def _read(model: LightGBMText, booster: Any, where: str, category_codes: bool) -> tuple[Ensemble, LightGBMSource]:
    ensemble = replace(
        _ensemble(model, where), category_dictionary=None if category_codes else _dictionary(model, where)
    )
    return ensemble, LightGBMSource(booster, ensemble)


def _load(model: LightGBMText, where: str) -> Any:
    """The checked text as a LightGBM Booster; refuses child numbers that make no tree before LightGBM sees them."""
    _flatten(model.trees, where)
    lightgbm = require("lightgbm", "train", _PURPOSE)
    try:
        return lightgbm.Booster(model_str=model.checked)
    except lightgbm.basic.LightGBMError as error:
        raise ModelError(f"{where}: LightGBM refuses the model: {error}") from None


def _dictionary(model: LightGBMText, where: str) -> tuple[Levels | None, ...] | None:
    """The data frame's categories by feature; the text lists them without saying whose they are.

    They belong to the categorical features, in order, where there are as many of both.
    """
    listed = dictionary_of(model.pandas_categories, where)
    if listed is None:
        return None
    features = model.categorical_features
    if features is None or len(features) != len(listed):
        of = "an unknown number of" if features is None else str(len(features))
        raise ModelError(
            f"{where}: the model has the categories of {len(listed)} columns of a data frame and {of} categorical "
            "features, so whose they are is not known; pass category_codes=True to score codes"
        )
    levels: list[Levels | None] = [None] * model.feature_count
    for feature, found in zip(features, listed, strict=True):
        levels[feature] = found
    return tuple(levels)


def _ensemble(model: LightGBMText, where: str) -> Ensemble:
    flat, leaf_id = _flatten(model.trees, where)
    names = model.feature_names
    objective = model.objective
    nameless = names == tuple(f"Column_{index}" for index in range(len(names)))
    return Ensemble(
        source="lightgbm",
        source_version=model.version,
        objective=objective.name,
        feature_count=model.feature_count,
        feature_names=None if nameless else names,
        precision="float64",
        sum_precision="float64",
        operator="<=",
        zero_threshold=_ZERO_THRESHOLD,
        negative_fractions_truncate=True,
        roots=flat.roots,
        left=flat.left,
        right=flat.right,
        leaf_id=leaf_id,
        output_count=objective.output_count,
        # Each iteration has one tree per class, in the order of the classes.
        tree_output=np.arange(len(flat.roots), dtype=np.int32) % objective.output_count,
        base_margin=np.zeros(objective.output_count),
        average=model.average,
        link=objective.link,
        link_scale=objective.link_scale,
        linear=_linear(model.trees, flat) if model.linear else None,
        **_columns(model.trees, flat),
    )


def _flatten(trees: tuple[LightGBMTree, ...], where: str) -> tuple[FlatTrees, npt.NDArray[np.int32]]:
    """LightGBM numbers splits and leaves apart; in one row, a tree's splits stand before its leaves."""
    left: list[npt.NDArray[np.int64]] = []
    right: list[npt.NDArray[np.int64]] = []
    leaf_index = []
    sizes = [0]
    for tree in trees:
        splits, leaves = len(tree.left_child), len(tree.leaf_value)
        for column, child in ((left, tree.left_child), (right, tree.right_child)):
            column.append(np.where(child >= 0, child, splits + ~child))
            column.append(np.full(leaves, -1, np.int64))
        leaf_index.append(np.concatenate([np.full(splits, -1), np.arange(leaves)]))
        sizes.append(splits + leaves)
    first_node = np.cumsum(sizes, dtype=np.int64)
    flat = flatten_trees(first_node, np.concatenate(left), np.concatenate(right), where)
    return flat, np.concatenate(leaf_index)[flat.leaf_nodes].astype(np.int32)


def _columns(trees: tuple[LightGBMTree, ...], flat: FlatTrees) -> dict[str, Any]:
    """The split and leaf arrays of an Ensemble, in the flat numbering."""
    split, leaf = flat.split_nodes, flat.leaf_nodes

    def row(name: str, at: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """A column of splits or of leaves, set out in the row of all nodes and gathered from it."""
        parts: list[npt.NDArray[Any]] = []
        for tree in trees:
            column = getattr(tree, name)
            filler = np.zeros(len(tree.left_child) + len(tree.leaf_value) - len(column), column.dtype)
            parts += [filler, column] if name == "leaf_value" else [column, filler]
        return np.concatenate(parts)[at]

    decision, threshold = row("decision_type", split), row("threshold", split)
    categorical = (decision & _CATEGORICAL_BIT) != 0
    sets, set_count = _category_sets(trees)
    first_set = np.repeat(np.cumsum([0, *set_count[:-1]]), [len(t.left_child) + len(t.leaf_value) for t in trees])
    chosen = [
        sets[first + int(index)] if is_category else np.empty(0, np.int64)
        for first, index, is_category in zip(first_set[split], threshold, categorical, strict=True)
    ]
    return {
        "feature": row("split_feature", split).astype(np.int32),
        "threshold": np.where(categorical, 0.0, threshold),
        # LightGBM sends NaN right at a categorical split, whatever the bit says.
        "default_left": ((decision & _DEFAULT_LEFT_BIT) != 0) & ~categorical,
        "missing": np.where(categorical, Missing.NAN, decision >> _MISSING_SHIFT).astype(np.uint8),
        "categorical": categorical,
        "category_offsets": np.cumsum([0, *map(len, chosen)], dtype=np.int64),
        "categories": np.concatenate([np.empty(0, np.int64), *chosen]).astype(np.int32),
        "leaf_value": row("leaf_value", leaf),
        **_cover(trees, flat),
    }


def _cover(trees: tuple[LightGBMTree, ...], flat: FlatTrees) -> dict[str, npt.NDArray[np.float64]]:
    """The training rows that passed each node: what LightGBM's own explanations weigh branches by."""
    counts = [tree.counts for tree in trees if tree.counts is not None]
    if len(counts) != len(trees):
        return {}
    every = np.concatenate(counts)
    return {"split_cover": every[flat.split_nodes], "leaf_cover": every[flat.leaf_nodes]}


def _linear(trees: tuple[LightGBMTree, ...], flat: FlatTrees) -> LinearLeaves:
    """The linear models of all leaves in the flat numbering; a constant leaf is a model without terms."""
    constants: list[npt.NDArray[np.float64]] = []
    starts: list[npt.NDArray[np.int64]] = []
    counts: list[npt.NDArray[np.int64]] = []
    features, coefficients = [np.empty(0, np.int64)], [np.empty(0)]
    known = 0
    for tree in trees:
        splits, leaves = len(tree.left_child), len(tree.leaf_value)
        linear = tree.linear
        count = np.zeros(leaves, np.int64) if linear is None else linear.num_features
        filler = np.zeros(splits, np.int64)
        constants += [filler.astype(np.float64), tree.leaf_value if linear is None else linear.leaf_const]
        counts += [filler, count]
        starts += [filler, known + np.cumsum(count) - count]
        if linear is not None:
            features.append(linear.leaf_features)
            coefficients.append(linear.leaf_coeff)
            known += len(linear.leaf_features)
    at = flat.leaf_nodes
    count, start = np.concatenate(counts)[at], np.concatenate(starts)[at]
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    terms = np.repeat(start - offsets[:-1], count) + np.arange(offsets[-1])
    return LinearLeaves(
        constant=np.concatenate(constants)[at],
        offsets=offsets,
        feature=np.concatenate(features)[terms].astype(np.int32),
        coefficient=np.concatenate(coefficients)[terms],
    )


def _category_sets(trees: tuple[LightGBMTree, ...]) -> tuple[list[npt.NDArray[np.int64]], list[int]]:
    """Every tree's category sets in one row, unpacked from 32-bit words, and how many each tree has."""
    sets, counts = [], []
    for tree in trees:
        for begin, end in pairwise(tree.cat_boundaries):
            words = tree.cat_threshold[begin:end].astype("<u4")
            sets.append(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")))
        counts.append(max(len(tree.cat_boundaries) - 1, 0))
    return sets, counts


class LightGBMSource:
    """What LightGBM itself computes from rows in the model's own feature order."""

    def __init__(self, booster: Any, ensemble: Ensemble) -> None:
        self._booster = booster
        self._ensemble = ensemble

    def margins(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: LightGBM's raw scores; averaged, where its link takes the average of them."""
        raw = self._predict(rows, raw_score=True).reshape(self._shape(rows))
        if not self._ensemble.average:
            return raw
        return raw / (self._ensemble.tree_count // self._ensemble.output_count)

    def scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: LightGBM's predictions."""
        return self._predict(rows).reshape(self._shape(rows))

    def leaves(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """int32 [n, trees]: the leaf index each tree ends at."""
        return self._predict(rows, pred_leaf=True).reshape(len(rows), self._ensemble.tree_count).astype(np.int32)

    def contributions(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """float64 [n, outputs, f + 1]: LightGBM's contributions; averaged where the trees are."""
        found = self._predict(rows, pred_contrib=True).reshape(len(rows), self._ensemble.output_count, -1)
        if not self._ensemble.average:
            return found
        return found / (self._ensemble.tree_count // self._ensemble.output_count)

    def _shape(self, rows: npt.NDArray[np.float64]) -> tuple[int, ...]:
        outputs = self._ensemble.output_count
        return (len(rows),) if outputs == 1 else (len(rows), outputs)

    def _predict(self, rows: npt.NDArray[np.float64], **kind: bool) -> npt.NDArray[np.float64]:
        if not len(rows):
            return np.empty(0, np.float64)
        predicted: npt.NDArray[np.float64] = np.asarray(self._booster.predict(np.ascontiguousarray(rows), **kind))
        return predicted
