"""The aligned score: a whole number from 0 to 999 on one curve for every model version.

A probability p is placed by its odds: 600 are even odds, and every 50 points double them. So 0 is a probability of
1/4097 or less, 300 is 1/65, 999 is 0.996 or more. The curve belongs to no model: thresholds on it keep their meaning
when the model behind them changes, as long as each version is calibrated.
"""

from __future__ import annotations

import math
from typing import Final

EVEN_ODDS_SCORE: Final = 600.0
POINTS_PER_DOUBLING: Final = 50.0
HIGHEST: Final = 999
NONE: Final = -1
"""What stands for the aligned score of an event without a probability."""


def aligned_score(probability: float) -> int:
    """The aligned score of a probability: 0 to 999, rounded down; -1 where it is NaN or outside 0 to 1."""
    if not 0.0 <= probability <= 1.0:
        return NONE
    if probability == 0.0:
        return 0
    if probability == 1.0:
        return HIGHEST
    points = EVEN_ODDS_SCORE + POINTS_PER_DOUBLING * math.log2(probability / (1.0 - probability))
    return int(min(max(points, 0.0), float(HIGHEST)))
