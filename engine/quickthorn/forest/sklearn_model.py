"""scikit-learn's tree estimators made an Ensemble, with the fitted estimator itself as the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.extras import require
from quickthorn.forest.ensemble import EVERY_OUTPUT, MAX_FEATURES, Ensemble
from quickthorn.forest.sklearn_histogram import read_predictors
from quickthorn.forest.sklearn_source import (
    BoostingSource,
    ForestSource,
    HistogramSource,
    IsolationSource,
    SklearnSource,
    leaf_depths,
)
from quickthorn.forest.sklearn_trees import read_trees

Read: TypeAlias = tuple[Ensemble, SklearnSource]

# What gradient boosting starts from must be the same for every row.
_CONSTANT_PRIORS = {"prior", "most_frequent", "mean", "median", "quantile", "constant"}

_IDENTITY_LOSSES = {"squared_error", "absolute_error", "huber", "quantile"}

# Types inside skops files that skops does not trust by itself. All are data, or check data; none acts when loaded.
_KNOWN_TYPES = {
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
}


def is_archive(data: bytes) -> bool:
    """Whether a file's bytes look like a zip archive, which a skops file is."""
    return data.startswith(b"PK\x03\x04")


def read_skops(data: bytes, where: str) -> Read:
    """The fitted estimator in a skops file; types that no estimator accepted here is made of are never loaded."""
    skops = require("skops.io", "skops", "reading a skops file")
    try:
        unknown = sorted(set(skops.get_untrusted_types(data=data)) - _KNOWN_TYPES)
    except Exception as error:
        raise ModelError(f"{where}: not a sound skops file: {error}") from None
    if unknown:
        raise ModelError(f"{where}: the file holds the type {unknown[0]!r}, of which no forest is made; not loaded")
    try:
        estimator = skops.loads(data, trusted=sorted(_KNOWN_TYPES))
    except Exception as error:
        raise ModelError(f"{where}: skops cannot load the file: {error}") from None
    return read_estimator(estimator, where)


def read_estimator(estimator: Any, where: str) -> Read:
    """The forest of a fitted estimator; raises ModelError for one that is not fitted, damaged, or no forest."""
    reader = next((_READERS[kind.__name__] for kind in type(estimator).__mro__ if kind.__name__ in _READERS), None)
    if reader is None or not type(estimator).__module__.startswith("sklearn."):
        raise ModelError(
            f"{where}: expected one of scikit-learn's {', '.join(sorted(_READERS))}, got {type(estimator).__qualname__}"
        )
    if not hasattr(estimator, "n_features_in_"):
        raise ModelError(f"{where}: the estimator is not fitted")
    try:
        if not 0 < estimator.n_features_in_ <= MAX_FEATURES:
            raise ModelError(f"{where}: it reads {estimator.n_features_in_} features; expected 1 to {MAX_FEATURES}")
        return reader(estimator, where)
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        # An estimator from a file, or one changed by hand, may lack or mistype anything.
        raise ModelError(f"{where}: the estimator is not whole: {type(error).__name__}: {error}") from None


def _read_forest(estimator: Any, where: str) -> Read:
    """Forests of trees, and a tree alone, whose leaves hold class probabilities or values."""
    members = getattr(estimator, "estimators_", [estimator])
    probe = np.zeros((1, estimator.n_features_in_), np.float32)
    allow_missing = bool(members[0]._support_missing_values(probe))
    columns = read_trees(
        [member.tree_ for member in members], None, estimator.n_features_in_, where, allow_missing=allow_missing
    )
    if hasattr(estimator, "classes_"):
        class_count = _class_count(estimator, where)
        if columns.values.shape[1:] != (1, class_count):
            raise ModelError(f"{where}: leaves hold {list(columns.values.shape[1:])} values for {class_count} classes")
        values = columns.values[:, 0, :]
        leaf_value = values[:, 1] if class_count == 2 else values
    else:
        values = columns.values[:, :, 0]
        leaf_value = values[:, 0] if estimator.n_outputs_ == 1 else values
    outputs = leaf_value.shape[1] if leaf_value.ndim == 2 else 1
    ensemble = _ensemble(
        estimator,
        columns.splits,
        precision="float32",
        objective=type(estimator).__name__,
        output_count=outputs,
        tree_output=np.full(len(members), EVERY_OUTPUT if outputs > 1 else 0, np.int32),
        leaf_value=np.ascontiguousarray(leaf_value),
        base_margin=np.zeros(outputs),
        average=len(members) > 1,
        link=Link.IDENTITY,
    )
    return ensemble, ForestSource(estimator, outputs, allow_missing=allow_missing)


def _read_boosting(estimator: Any, where: str) -> Read:
    stages = np.asarray(estimator.estimators_)
    columns = read_trees(
        [member.tree_ for member in stages.ravel()], None, estimator.n_features_in_, where, allow_missing=False
    )
    outputs = stages.shape[1]
    if columns.values.shape[1:] != (1, 1) or outputs != _expected_outputs(estimator, where):
        raise ModelError(f"{where}: expected one tree per stage and class, each leaf holding one value")
    loss = estimator.loss
    link, link_scale = Link.IDENTITY, 1.0
    if hasattr(estimator, "classes_"):
        link = Link.SIGMOID if outputs == 1 else Link.SOFTMAX
        # With this loss a margin is half the logarithm of the odds.
        link_scale = 2.0 if loss == "exponential" else 1.0
    elif loss not in _IDENTITY_LOSSES:
        raise ModelError(f"{where}: unknown loss {loss!r}; expected one of {', '.join(sorted(_IDENTITY_LOSSES))}")
    _check_prior(estimator, where)
    ensemble = _ensemble(
        estimator,
        columns.splits,
        precision="float32",
        objective=f"{type(estimator).__name__}:{loss}",
        output_count=outputs,
        tree_output=np.tile(np.arange(outputs, dtype=np.int32), len(stages)),
        leaf_value=float(estimator.learning_rate) * columns.values[:, 0, 0],
        base_margin=np.asarray(
            estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), np.float32)), np.float64
        ).reshape(outputs),
        link=link,
        link_scale=link_scale,
    )
    return ensemble, BoostingSource(estimator, outputs)


def _check_prior(estimator: Any, where: str) -> None:
    prior = estimator.init_
    if isinstance(prior, str) and prior == "zero":
        return
    kind = type(prior)
    if kind.__module__ != "sklearn.dummy" or prior.strategy not in _CONSTANT_PRIORS:
        raise ModelError(
            f"{where}: the first prediction comes from the estimator {prior!r}; expected init=None, 'zero', "
            "or a DummyClassifier or DummyRegressor whose prediction is constant"
        )


def _read_histogram(estimator: Any, where: str) -> Read:
    columns = read_predictors(estimator, where)
    outputs = estimator.n_trees_per_iteration_
    if outputs != _expected_outputs(estimator, where) or {len(trees) for trees in estimator._predictors} != {outputs}:
        raise ModelError(f"{where}: expected {outputs} trees in every iteration")
    if hasattr(estimator, "classes_"):
        link = Link.SIGMOID if outputs == 1 else Link.SOFTMAX
    elif estimator.loss in ("poisson", "gamma"):
        link = Link.EXP
    elif estimator.loss in _IDENTITY_LOSSES:
        link = Link.IDENTITY
    else:
        raise ModelError(f"{where}: unknown loss {estimator.loss!r}")
    ensemble = _ensemble(
        estimator,
        columns.splits,
        precision="float64",
        objective=f"{type(estimator).__name__}:{estimator.loss}",
        output_count=outputs,
        tree_output=np.tile(np.arange(outputs, dtype=np.int32), len(estimator._predictors)),
        leaf_value=columns.leaf_value,
        base_margin=np.asarray(estimator._baseline_prediction, np.float64).reshape(outputs),
        link=link,
        category_dictionary=columns.dictionary,
    )
    return ensemble, HistogramSource(estimator, outputs, columns.dictionary)


def _read_isolation(estimator: Any, where: str) -> Read:
    """Every tree adds the depth at which it isolates a row; the anomaly score is 2 ** -(depths / usual depths)."""
    columns = read_trees(
        [member.tree_ for member in estimator.estimators_],
        [np.asarray(seen, np.int64) for seen in estimator.estimators_features_],
        estimator.n_features_in_,
        where,
        allow_missing=True,
    )
    usual = len(estimator.estimators_) * _usual_depth(estimator._max_samples)
    if not usual > 0:
        raise ModelError(f"{where}: each tree saw {estimator._max_samples} row, so every row is equally odd")
    scale = -math.log(2.0) / usual
    depths = leaf_depths(estimator)
    for index, (tree, depth) in enumerate(zip(estimator.estimators_, depths, strict=True)):
        if depth.shape != (tree.tree_.node_count,):
            raise ModelError(f"{where}: tree {index} has {tree.tree_.node_count} nodes but {list(depth.shape)} depths")
    ensemble = _ensemble(
        estimator,
        columns.splits,
        precision="float32",
        objective=type(estimator).__name__,
        output_count=1,
        tree_output=np.zeros(len(depths), np.int32),
        leaf_value=np.concatenate(depths)[columns.leaf_row],
        base_margin=np.zeros(1),
        scale=scale,
        link=Link.EXP,
    )
    return ensemble, IsolationSource(estimator, scale)


def _usual_depth(rows: int) -> float:
    """How deep a search that fails ends on average in a binary search tree of so many rows; the paper's c(n)."""
    if rows <= 2:
        return float(rows == 2)
    return 2.0 * (math.log(rows - 1.0) + float(np.euler_gamma)) - 2.0 * (rows - 1.0) / rows


def _expected_outputs(estimator: Any, where: str) -> int:
    classes = _class_count(estimator, where) if hasattr(estimator, "classes_") else 2
    return 1 if classes == 2 else classes


def _class_count(estimator: Any, where: str) -> int:
    if getattr(estimator, "n_outputs_", 1) != 1:
        raise ModelError(f"{where}: {estimator.n_outputs_} labels are predicted at once; expected a model with one")
    count = len(estimator.classes_)
    if count < 2:
        raise ModelError(f"{where}: the model was trained on {count} class; expected at least two")
    return count


def _ensemble(estimator: Any, splits: dict[str, Any], *, link_scale: float = 1.0, **forest: Any) -> Ensemble:
    names = getattr(estimator, "feature_names_in_", None)
    return Ensemble(
        source="sklearn",
        source_version=require("sklearn", "train", "reading a scikit-learn model").__version__,
        feature_count=int(estimator.n_features_in_),
        feature_names=None if names is None else tuple(map(str, names)),
        sum_precision="float64",
        operator="<=",
        zero_threshold=0.0,
        negative_fractions_truncate=False,
        # An encoder's categories are equal to a value or not: no fraction of one is one.
        whole_categories=bool(splits["categorical"].any()),
        link_scale=link_scale,
        **splits,
        **forest,
    )


_READERS: dict[str, Callable[[Any, str], Read]] = {
    "DecisionTreeClassifier": _read_forest,
    "DecisionTreeRegressor": _read_forest,
    "ExtraTreeClassifier": _read_forest,
    "ExtraTreeRegressor": _read_forest,
    "RandomForestClassifier": _read_forest,
    "RandomForestRegressor": _read_forest,
    "ExtraTreesClassifier": _read_forest,
    "ExtraTreesRegressor": _read_forest,
    "GradientBoostingClassifier": _read_boosting,
    "GradientBoostingRegressor": _read_boosting,
    "IsolationForest": _read_isolation,
    "HistGradientBoostingClassifier": _read_histogram,
    "HistGradientBoostingRegressor": _read_histogram,
}
