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


def margin_of(ensemble: Ensemble, features: Sequence[float]) -> float:
    """The base margin plus one leaf per tree, in tree order, every addition rounded as the source library rounds it."""
    rounded = np.float32 if ensemble.precision == "float32" else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        row = [_prepared(ensemble, rounded(value)) for value in features]
        margin = rounded(ensemble.base_margin)
        for root in ensemble.roots:
            margin = rounded(margin + ensemble.leaf_value[leaf_of(ensemble, int(root), row)])
    return float(margin)


def leaf_of(ensemble: Ensemble, node: int, row: Sequence[Any]) -> int:
    """The number of the leaf where a walk from ``node`` ends; a node below 0 is the leaf ``~node``."""
    while node >= 0:
        side = ensemble.left if _goes_left(ensemble, node, row[ensemble.feature[node]]) else ensemble.right
        node = int(side[node])
    return ~node


def _prepared(ensemble: Ensemble, value: Any) -> Any:
    return type(value)(0.0) if ensemble.precision == "float64" and abs(value) <= ensemble.zero_threshold else value


def _goes_left(ensemble: Ensemble, split: int, value: Any) -> bool:
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
    first, last = ensemble.category_offsets[split : split + 2]
    return math.trunc(value) in ensemble.categories[first:last]
