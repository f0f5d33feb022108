"""The fourth stage: what a margin means."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quickthorn.calibration.knots import Calibration


def linked(link: str, scale: float, margin: float) -> float:
    """The score of a margin by its link: the sigmoid of scale × margin, e to the margin, or the margin itself."""
    if link == "identity":
        return margin
    try:
        power = math.exp(-scale * margin if link == "sigmoid" else margin)
    except OverflowError:
        power = math.inf  # what C's exp returns there
    return 1.0 / (1.0 + power) if link == "sigmoid" else power


def calibrated(calibration: Calibration, margin: float) -> float:
    """The probability of a margin: on the straight line between the knots around it, level beyond the ends."""
    x, y = calibration.x, calibration.y
    for left in range(len(x) - 1):
        if x[left] <= margin < x[left + 1]:
            line = y[left] + (margin - x[left]) / (x[left + 1] - x[left]) * (y[left + 1] - y[left])
            return min(line, y[left + 1])
    if math.isnan(margin):
        return margin
    return y[0] if margin < x[0] else y[-1]


def aligned(probability: float) -> float:
    """The aligned score: 600 at even odds, 50 more for every doubling, whole from 0 to 999; NaN where there is none."""
    if not 0.0 <= probability <= 1.0:
        return math.nan
    if probability in (0.0, 1.0):
        return 999.0 * probability
    return float(max(0, min(999, math.floor(600.0 + 50.0 * math.log2(probability / (1.0 - probability))))))
