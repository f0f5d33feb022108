"""Why a margin is as high as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quickthorn.decision.reasons import ReasonMap


def reasons_of(reasons: ReasonMap, contributions: Mapping[str, float]) -> list[tuple[str, float]]:
    """The codes that add most to the margin with what they add; only of features that add to it."""
    sums = []
    for reason in reasons.reason:
        raising = [value for name, value in contributions.items() if name in reason.features and value > 0.0]
        total = 0.0
        for value in raising:
            total += value
        sums.append((reason.code, total))
    ranked = sorted(sums, key=lambda entry: -entry[1])  # a stable sort: of equal ones, the first declared goes first
    return [entry for entry in ranked if entry[1] > 0.0][: reasons.most]
