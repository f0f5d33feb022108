"""The link functions: how a forest's margin becomes a score.

The native side evaluates the same expressions in the same order with the same libm, so a score is bit-equal on both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

from quickthorn.errors import ModelError


class Link(Enum):
    """How a margin becomes a score, by the name a manifest has for it."""

    IDENTITY = "identity"
    SIGMOID = "sigmoid"
    EXP = "exp"
    STEP = "step"
    SOFTMAX = "softmax"
    SIGNED_SQUARE = "signed_square"
    LOG1P_EXP = "log1p_exp"

    def score(self, margin: float, scale: float = 1.0) -> float:
        """The score of a margin, both float64; `scale` multiplies the margin inside the sigmoid and is 1 elsewhere.

        sigmoid: ``1 / (1 + exp(-scale * margin))``; exp: ``exp(margin)``; identity: the margin itself; step: 1 above
        0, else 0; signed_square: ``margin * abs(margin)``; log1p_exp: ``log(1 + exp(margin))``; softmax of one margin
        is 1.
        """
        if self is Link.SIGMOID:
            return 1.0 / (1.0 + _exp(-scale * margin))
        if self is Link.EXP:
            return _exp(margin)
        if self is Link.STEP:
            return 1.0 if margin > 0.0 else 0.0
        if self is Link.SIGNED_SQUARE:
            return margin * abs(margin)
        if self is Link.LOG1P_EXP:
            # LightGBM's own expression: it loses the small scores of low margins, and is infinite above 709.
            return math.log1p(_exp(margin))
        if self is Link.SOFTMAX:
            return 1.0
        return margin

    def scores(self, margins: Sequence[float], scale: float = 1.0) -> list[float]:
        """The scores of an ensemble's outputs: softmax over all of them, every other link one by one.

        softmax: ``exp(margin - largest)``, divided by the sum of them all.
        """
        if self is Link.SOFTMAX:
            largest = max(margins)
            powers = [_exp(margin - largest) for margin in margins]
            total = 0.0
            for power in powers:  # in order: Python's own sum is compensated since 3.12
                total += power
            return [power / total for power in powers]
        return [self.score(margin, scale) for margin in margins]

    @property
    def decides(self) -> bool:
        """Whether it makes scores that a policy's thresholds can judge."""
        return self in (Link.IDENTITY, Link.SIGMOID, Link.EXP)

    @classmethod
    def named(cls, name: str) -> Link:
        """The link of that name, as written in a manifest; raises ModelError for any other name."""
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(link.value for link in cls)
            raise ModelError(f"link: expected one of {known}, got {name!r}") from None


def _exp(value: float) -> float:
    """libm's exp; where Python raises on overflow, the infinity that C returns."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
