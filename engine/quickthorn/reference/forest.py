"""The third stage: a walk down every tree, and the sum of the leaves where the walks end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from quickthorn.forest.ensemble import Ensemble

NAN_COUNTS_AS_ZERO, ZERO_IS_MISSING = 0, 1
CATEGORY_LIMIT = 2**31
EVERY_OUTPUT = -1


def margin_of(ensemble: Ensemble, features: Sequence[float]) -> float:
    """The first output's margin."""
    return margins_of(ensemble, features)[0]


def margins_of(ensemble: Ensemble, features: Sequence[float]) -> list[float]:
    """Each output's base margin and leaves, in tree order, every operation rounded as the source library rounds it."""
    rounded = np.float32 if ensemble.sum_precision == "float32" else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        row = prepared_row(ensemble, features)
        added = [_added(ensemble, leaf_of(ensemble, int(root), row), row) for root in ensemble.roots]
        margins = []
        for output in range(ensemble.output_count):
            values = [
                value[output] if ensemble.vector_leaves else value
                for value, tree_output in zip(added, ensemble.tree_output, strict=True)
                if tree_output in (output, EVERY_OUTPUT)
            ]
            margin = rounded(0.0 if ensemble.base_last else ensemble.base_margin[output])
            for value in values:
                margin = rounded(margin + value)
            if ensemble.average:
                margin = rounded(margin / rounded(len(values)))
            margin = rounded(margin * rounded(ensemble.scale))
            if ensemble.base_last:
                margin = rounded(margin + ensemble.base_margin[output])
            margins.append(float(margin))
    return margins


def prepared_row(ensemble: Ensemble, features: Sequence[float]) -> list[Any]:
    """The features as the source library compares them."""
    taken = np.float32 if ensemble.precision == "float32" else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        return [_prepared(ensemble, taken(value)) for value in features]


def leaves_of(ensemble: Ensemble, features: Sequence[float]) -> list[int]:
    """The leaf that each tree's walk ends at, as the source library numbers it."""
    row = prepared_row(ensemble, features)
    return [int(ensemble.leaf_id[leaf_of(ensemble, int(root), row)]) for root in ensemble.roots]


def leaf_of(ensemble: Ensemble, node: int, row: Sequence[Any]) -> int:
    """The number of the leaf where a walk from ``node`` ends; a node below 0 is the leaf ``~node``."""
    while node >= 0:
        side = ensemble.left if goes_left(ensemble, node, row[ensemble.feature[node]]) else ensemble.right
        node = int(side[node])
    return ~node


def _added(ensemble: Ensemble, leaf: int, row: Sequence[Any]) -> Any:
    """What a leaf adds: its value or vector, or what its linear model makes of the row if no input of that is NaN."""
    linear = ensemble.linear
    if linear is None:
        return ensemble.leaf_value[leaf]
    terms = range(linear.offsets[leaf], linear.offsets[leaf + 1])
    if any(math.isnan(row[linear.feature[term]]) for term in terms):
        return ensemble.leaf_value[leaf]
    value = linear.constant[leaf]
    for term in terms:
        value += linear.coefficient[term] * row[linear.feature[term]]
    return value


def _prepared(ensemble: Ensemble, value: Any) -> Any:
    return type(value)(0.0) if ensemble.precision == "float64" and abs(value) <= ensemble.zero_threshold else value


def goes_left(ensemble: Ensemble, split: int, value: Any) -> bool:
    """Whether a prepared value goes left at a split."""
    default_left = bool(ensemble.default_left[split])
    missing = ensemble.missing[split]
    if ensemble.categorical[split]:
        return default_left if math.isnan(value) else _category_goes_left(ensemble, split, float(value))
    if math.isnan(value):
        if missing != NAN_COUNTS_AS_ZERO:
            return default_left
        value = type(value)(0.0)
    elif value == 0.0 and missing == ZERO_IS_MISSING:
        return default_left
    threshold = ensemble.threshold[split]
    return bool(value < threshold if ensemble.operator == "<" else value <= threshold)


def _category_goes_left(ensemble: Ensemble, split: int, value: float) -> bool:
    if not -1.0 < value < CATEGORY_LIMIT or (value < 0.0 and not ensemble.negative_fractions_truncate):
        return False
    if ensemble.whole_categories and value != math.trunc(value):
        return False
    first, last = ensemble.category_offsets[split : split + 2]
    return math.trunc(value) in ensemble.categories[first:last]
