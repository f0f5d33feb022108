"""Rows that look for trouble: values on and beside every threshold, odd numbers and odd categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import Ensemble

_SPECIAL = np.array(
    [
        np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-36, -1e-36, 1e-35, -1e-35, float(np.float32(1e-35)),
        float(np.nextafter(np.float32(1e-35), np.float32(1))), 5e-324, 1e-45, -1e-45, 1.0, -1.0, 1e300, -1e300,
        float(np.finfo(np.float32).max), float(np.finfo(np.float32).min),
    ]
)  # fmt: skip
_ODD_CATEGORIES = np.array([-1.0, -0.5, -0.999, 0.0, 0.5, 1.5, 31.0, 32.0, 2.0**24, 2.0**31, 2.0**31 - 1, 2.0**32])


def probe_rows(ensemble: Ensemble, count: int, seed: int) -> npt.NDArray[np.float64]:
    """float64 [count, feature_count] adversarial rows; the same arguments always give the same rows.

    Values sit on thresholds, one float64 and one float32 step beside them, on and beside categories, and on the
    special numbers (±0, subnormals, ±1e-36, ±infinity, NaN), mixed with ordinary ones between the thresholds.
    The first rows hold one special number throughout.
    """
    if count < 0:
        raise ModelError(f"count: expected no negative number of rows, got {count}")
    random = np.random.default_rng(seed)
    rows = np.empty((count, ensemble.feature_count))
    for feature in range(ensemble.feature_count):
        at = ensemble.feature == feature
        thresholds = np.unique(ensemble.threshold[at & ~ensemble.categorical]).astype(np.float64)
        pools = [_beside(thresholds), _ordinary(thresholds, random), _SPECIAL]
        weights = [0.5, 0.35, 0.15]
        if (at & ensemble.categorical).any():
            pools += [_categories(ensemble, at & ensemble.categorical), _ODD_CATEGORIES]
            weights = [0.15, 0.1, 0.1, 0.5, 0.15]
        rows[:, feature] = _mixed(pools, weights, count, random)
    uniform = min(count, len(_SPECIAL))
    rows[:uniform] = _SPECIAL[:uniform, np.newaxis]
    return rows


def _mixed(
    pools: list[npt.NDArray[np.float64]], weights: list[float], count: int, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Values from the pools in these shares; an empty pool gives its share to the special numbers."""
    chosen = random.choice(len(pools), size=count, p=weights)
    values = np.empty(count)
    for index, pool in enumerate(pools):
        mask = chosen == index
        values[mask] = random.choice(pool if len(pool) else _SPECIAL, size=int(mask.sum()))
    return values


def _beside(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each threshold and its neighbours, in float64 and in float32."""
    up, down = np.float32(np.inf), np.float32(-np.inf)
    with np.errstate(over="ignore", under="ignore"):
        single = thresholds.astype(np.float32)
        neighbours: list[npt.NDArray[Any]] = [
            thresholds,
            np.nextafter(thresholds, np.inf),
            np.nextafter(thresholds, -np.inf),
            single,
            np.nextafter(single, up),
            np.nextafter(single, down),
        ]
    return np.concatenate([values.astype(np.float64) for values in neighbours])


def _ordinary(thresholds: npt.NDArray[np.float64], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Values spread over the range the thresholds span, and a little beyond."""
    finite = thresholds[np.abs(thresholds) < 1e30]
    low, high = (finite.min(), finite.max()) if len(finite) else (-1.0, 1.0)
    margin = 0.1 * (high - low) + 1.0
    return random.uniform(low - margin, high + margin, size=256)


def _categories(ensemble: Ensemble, at: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The categories of some splits, their neighbours, fractions of them, and ones never seen."""
    splits = np.flatnonzero(at)
    begin, end = ensemble.category_offsets[splits], ensemble.category_offsets[splits + 1]
    known = np.unique(np.concatenate([ensemble.categories[a:b] for a, b in zip(begin, end, strict=True)]))
    values = known.astype(np.float64)
    unseen = np.array([values.max(initial=0.0) + 1.0, values.max(initial=0.0) + 33.0])
    return np.concatenate([values, values + 0.5, np.nextafter(values + 1.0, 0.0), values + 1.0, unseen])
