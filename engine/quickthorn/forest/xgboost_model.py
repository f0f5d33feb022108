"""XGBoost models: read through Treelite, with XGBoost itself as the truth about base margin, leaves and margins."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.extras import require
from quickthorn.forest.categories import Levels, dictionary_of
from quickthorn.forest.ensemble import EVERY_OUTPUT, Ensemble, Missing
from quickthorn.forest.structure import FlatTrees
from quickthorn.forest.xgboost_document import XGBoostDocument, read_document

_PURPOSE = "reading an XGBoost model"

# How many float32 a base_score is off at most after a way through a margin and back.
_BASE_SCORE_STEPS = 16

# Treelite's numbers for a node's kind and for the operator "<".
_LEAF, _NUMERIC, _CATEGORICAL = 0, 1, 2
_LESS_THAN = 2


def read_file(data: bytes, where: str, *, category_codes: bool) -> tuple[Ensemble, XGBoostSource]:
    """The forest in a file's bytes, and the booster it makes; all trees, as Booster predicts."""
    document = _with_base_score(read_document(data, where), where)
    ensemble = _read(document, where, category_codes)
    return ensemble, XGBoostSource(_load(document, where), ensemble, document, where)


def read_estimator(estimator: Any, where: str, *, category_codes: bool) -> tuple[Ensemble, XGBoostSource]:
    """The forest of a fitted scikit-learn wrapper, cut at the best iteration where its own predict cuts there."""
    missing = getattr(estimator, "missing", math.nan)
    if missing is not None and not math.isnan(missing):
        raise ModelError(f"{where}: missing={missing!r}; expected NaN, the one missing value of a feature vector")
    try:
        booster = estimator.get_booster()
    except Exception as error:  # scikit-learn's NotFittedError, or XGBoost's stand-in when that is not installed
        raise ModelError(f"{where}: the estimator is not fitted: {_first_line(error)}") from None
    best = booster.attr("best_iteration")
    if best is not None and int(best) + 1 < booster.num_boosted_rounds():
        booster = booster[: int(best) + 1]
    return read_booster(booster, where, category_codes=category_codes)


def read_booster(booster: Any, where: str, *, category_codes: bool) -> tuple[Ensemble, XGBoostSource]:
    """The forest of a Booster: all its trees, as its own predict uses them."""
    with _refusals(where):
        # UBJSON, because it holds the float32 values themselves where JSON holds decimal text.
        raw = bytes(booster.save_raw("ubj"))
    document = read_document(raw, where)
    ensemble = _read(document, where, category_codes)
    return ensemble, XGBoostSource(booster, ensemble, document, where)


def _dictionary(document: XGBoostDocument, where: str) -> tuple[Levels | None, ...] | None:
    """The data frame's categories by feature.

    XGBoost 3.2 counts a pandas frame's text in characters and cuts it in bytes, so that beyond ASCII one category runs
    into the next, in its file and in its own predictions.
    """
    for feature, levels in enumerate(document.category_levels):
        garbled = next((level for level in levels or () if isinstance(level, str) and not level.isascii()), None)
        if garbled is not None:
            name = document.feature_names[feature] if document.feature_names else str(feature)
            raise ModelError(
                f"{where}: feature {name!r} was trained on the category {garbled!r}; expected ASCII, as XGBoost may "
                "have cut other text in the wrong place; pass category_codes=True to score codes"
            )
    return dictionary_of(document.category_levels, where)


def _read(document: XGBoostDocument, where: str, category_codes: bool) -> Ensemble:
    trees = document.flat_trees(where)
    splits = _read_with_treelite(document, trees, where)
    every = np.full(len(trees.roots), EVERY_OUTPUT, np.int32)
    first_node = document.first_node
    cover = document.cover()
    tree_start = first_node[np.searchsorted(first_node, trees.leaf_nodes, "right") - 1]
    return Ensemble(
        source="xgboost",
        source_version=".".join(map(str, document.version)) or None,
        objective=document.objective.name,
        feature_count=document.feature_count,
        feature_names=document.feature_names,
        precision="float32",
        sum_precision="float32",
        operator="<",
        zero_threshold=0.0,
        negative_fractions_truncate=False,
        roots=trees.roots,
        leaf_id=(trees.leaf_nodes - tree_start).astype(np.int32),
        output_count=document.objective.output_count,
        tree_output=every if document.vector_leaves else np.array(document.tree_outputs, np.int32),
        leaf_value=document.leaf_values(trees.leaf_nodes),
        split_cover=None if cover is None else cover[trees.split_nodes],
        leaf_cover=None if cover is None else cover[trees.leaf_nodes],
        base_margin=_base_margins(document, where),
        link=document.objective.link,
        link_scale=1.0,
        category_dictionary=None if category_codes else _dictionary(document, where),
        **splits,
    )


def _read_with_treelite(document: XGBoostDocument, trees: FlatTrees, where: str) -> dict[str, Any]:
    """The split arrays of an Ensemble, as Treelite reads the trees."""
    treelite = require("treelite", "compile", _PURPOSE)
    try:
        model = treelite.frontend.from_xgboost_ubjson(document.splits_alone().ubjson(), allow_unknown_field=True)
    except treelite.TreeliteError as error:
        raise ModelError(f"{where}: Treelite refuses the model: {_first_line(error)}") from None
    nodes = _node_arrays(model, len(document.trees))
    split, leaf = trees.split_nodes, trees.leaf_nodes
    categorical = nodes["node_type"][split] == _CATEGORICAL
    # Leaf ids are node numbers, so Treelite must have kept XGBoost's numbering; and its splits must be "<".
    agrees = (
        all(
            np.array_equal(nodes[theirs], np.concatenate([getattr(tree, ours) for tree in document.trees]))
            for theirs, ours in (("cleft", "left_children"), ("cright", "right_children"))
        )
        and (nodes["node_type"][leaf] == _LEAF).all()
        and ((nodes["node_type"][split] == _NUMERIC) | categorical).all()
        and (nodes["cmp"][split][~categorical] == _LESS_THAN).all()
    )
    if not agrees:
        raise ModelError(f"{where}: Treelite reads the trees differently from what XGBoost wrote")
    begin, end = nodes["category_list_begin"][split], nodes["category_list_end"][split]
    size = np.where(categorical, end - begin, 0)
    offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    owner = np.repeat(np.arange(len(split)), size)
    categories = nodes["category_list"][begin[owner] + np.arange(len(owner)) - offsets[owner]]
    categories = categories[np.lexsort((categories, owner))]
    # XGBoost sends the categories in the set right; an Ensemble sends them left, so those splits are mirrored.
    mirrored = categorical & (nodes["category_list_right_child"][split] != 0)
    default_left = nodes["default_left"][split] != 0
    return {
        "feature": nodes["split_index"][split].astype(np.int32),
        "threshold": np.where(categorical, np.float32(0), nodes["threshold"][split]).astype(np.float32),
        "left": np.where(mirrored, trees.right, trees.left),
        "right": np.where(mirrored, trees.left, trees.right),
        "default_left": default_left != mirrored,
        "missing": np.full(len(split), Missing.NAN, np.uint8),
        "categorical": categorical,
        "category_offsets": offsets,
        "categories": categories.astype(np.int32),
    }


def _node_arrays(model: Any, tree_count: int) -> dict[str, npt.NDArray[Any]]:
    """Treelite's node arrays, all trees in one row; category lists are offset to the row of all lists."""
    names = ("node_type", "cleft", "cright", "split_index", "threshold", "default_left", "cmp")
    lists = ("category_list", "category_list_begin", "category_list_end", "category_list_right_child")
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names + lists}
    listed = 0
    for index in range(tree_count):
        tree = model.get_tree_accessor(index)
        for name, column in columns.items():
            field = tree.get_field(name)
            column.append(field.astype(np.int64) + listed if name.endswith(("_begin", "_end")) else np.array(field))
        listed += len(columns["category_list"][-1])
    return {name: np.concatenate(column) for name, column in columns.items()}


def _load(document: XGBoostDocument, where: str) -> Any:
    """The checked document as an XGBoost Booster."""
    xgboost = require("xgboost", "train", _PURPOSE)
    booster = xgboost.Booster()
    with _refusals(where), xgboost.config_context(verbosity=0):
        booster.load_model(bytearray(document.ubjson()))
    return booster


def _base_margins(document: XGBoostDocument, where: str) -> npt.NDArray[np.float32]:
    """float32 [outputs]: what XGBoost adds the leaves to, from XGBoost itself.

    base_score has several spellings, and its way to a margin is float32 arithmetic that differs between objectives.
    """
    row = np.zeros((1, document.feature_count), np.float32)
    booster = _load(document.bare(), where)
    with _refusals(where):
        margins = np.asarray(booster.inplace_predict(row, predict_type="margin"), np.float32).reshape(-1)
    if len(margins) != document.objective.output_count:
        raise ModelError(f"{where}: XGBoost gives {len(margins)} margins; expected {document.objective.output_count}")
    return margins


def _with_base_score(document: XGBoostDocument, where: str) -> XGBoostDocument:
    """The same model with a base_score that is not the margin itself, but of which XGBoost makes that margin.

    XGBoost 1.0 to 3.0 made up for the difference themselves, but for binary:hinge with another margin.
    """
    if not document.base_is_margin:
        return document
    margin = np.float32(document.objective.base_score)
    for base_score in _base_scores_near(margin, document.objective.link):
        objective = replace(document.objective, base_score=str(base_score))
        found = replace(document, base_is_margin=False, objective=objective)
        try:
            if (_base_margins(found, where) == margin).all():
                return found
        except ModelError:
            # Outside what the objective takes for a base_score.
            continue
    raise ModelError(f"{where}: base_score: no base_score of XGBoost becomes the margin {margin} that the trees add to")


def _base_scores_near(margin: np.float32, link: Link) -> Iterator[np.float32]:
    """The margin itself, and those float32 that a logistic or exponential objective may turn into it."""
    yield margin
    if link in (Link.SIGMOID, Link.EXP):
        with np.errstate(over="ignore"):
            below = above = np.float32(link.score(float(margin)))
        yield below
        for _ in range(_BASE_SCORE_STEPS):
            below, above = np.nextafter(below, np.float32(-np.inf)), np.nextafter(above, np.float32(np.inf))
            yield below
            yield above


@contextmanager
def _refusals(where: str) -> Iterator[None]:
    """XGBoost's own errors as ModelErrors."""
    xgboost = require("xgboost", "train", _PURPOSE)
    try:
        yield
    except xgboost.core.XGBoostError as error:
        raise ModelError(f"{where}: XGBoost refuses the model: {_first_line(error)}") from None


class XGBoostSource:
    """What XGBoost itself computes from rows in the model's own feature order."""

    def __init__(self, booster: Any, ensemble: Ensemble, document: XGBoostDocument, where: str) -> None:
        self._booster = booster
        self._ensemble = ensemble
        self._dropout = document.tree_weights is not None
        self._scorer = booster
        if document.objective.name == "multi:softmax":
            # Its prediction is a class, so that the probabilities come from the same model under the other name.
            probabilities = replace(document, objective=replace(document.objective, name="multi:softprob"))
            self._scorer = _load(probabilities, where)

    def margins(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: XGBoost's float32 margins, widened."""
        return self._predict(self._booster, rows, margin=True)

    def scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: XGBoost's float32 predictions, widened; its link is good to about 1e-7."""
        return self._predict(self._scorer, rows, margin=False)

    def leaves(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """int32 [n, trees]: the node number each tree ends at."""
        trees = self._ensemble.tree_count
        if not len(rows):
            return np.empty((0, trees), np.int32)
        leaves = np.asarray(self._booster.predict(self._matrix(rows), pred_leaf=True, validate_features=False))
        return leaves.reshape(len(rows), trees).astype(np.int32)

    def contributions(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """float64 [n, outputs, f + 1], widened from float32; XGBoost has none where leaves are vectors."""
        if self._ensemble.vector_leaves:
            return None
        found = self._booster.predict(self._matrix(rows), pred_contribs=True, validate_features=False)
        return np.asarray(found, np.float64).reshape(len(rows), self._ensemble.output_count, -1)

    def _predict(self, booster: Any, rows: npt.NDArray[np.float64], *, margin: bool) -> npt.NDArray[np.float64]:
        shape = (len(rows),) if self._ensemble.output_count == 1 else (len(rows), self._ensemble.output_count)
        if not len(rows):
            return np.empty(shape, np.float64)
        if self._dropout:
            # Here inplace_predict subtracts the base margin from each tree's leaf and loses digits; predict does not.
            predicted = booster.predict(self._matrix(rows), output_margin=margin, validate_features=False)
        else:
            # inplace_predict, because a DMatrix refuses infinities.
            kind = "margin" if margin else "value"
            predicted = booster.inplace_predict(_rounded(rows), predict_type=kind, missing=np.nan)
        return np.asarray(predicted).reshape(shape).astype(np.float64)

    def _matrix(self, rows: npt.NDArray[np.float64]) -> Any:
        xgboost = require("xgboost", "train", _PURPOSE)
        return xgboost.DMatrix(self._finite(_rounded(rows)), missing=np.nan)

    def _finite(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The rows with infinities replaced by the largest numbers, which go the same way at every split.

        Only a DMatrix gives leaves, and it refuses infinities. The two differ where a threshold is itself infinite or
        the lowest number, and nowhere else: categories end far below either.
        """
        limit = np.finfo(np.float32).max
        edge = (np.abs(self._ensemble.threshold) == np.inf) | (self._ensemble.threshold == -limit)
        if edge.any() and np.isinf(rows).any():
            raise ModelError("XGBoost cannot give the leaves of an infinite value where a threshold is infinite too")
        return np.where(np.isnan(rows), rows, np.clip(rows, -limit, limit))


def _rounded(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(rows, dtype=np.float32)


def _first_line(error: BaseException) -> str:
    """A library's message without the time, the place in its source, and the stack trace."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return re.sub(r"^\[[0-9:]+\] \S+:[0-9]+: ", "", line)
