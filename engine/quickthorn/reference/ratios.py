"""Ratios, z-scores and shares."""

from __future__ import annotations

import math


def ratio(numerator: float, denominator: float, zero_division: float) -> float:
    """0/0 is missing, x/0 what was declared."""
    if math.isnan(numerator) or math.isnan(denominator):
        return math.nan
    if denominator == 0:
        return math.nan if numerator == 0 else zero_division
    return numerator / denominator


def z_score(value: float, mean: float, std: float, least_std: float) -> float:
    """The distance from the mean in deviations that are at least ``least_std``."""
    if math.isnan(std):
        return math.nan
    spread = max(std, least_std)
    return (value - mean) / spread if spread > 0 else math.nan


def share(part: float, whole: float) -> float:
    """The part of a positive whole."""
    return part / whole if whole > 0 else math.nan
