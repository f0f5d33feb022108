"""The link functions: how a forest's margin becomes a score.

The native side evaluates the same expressions in the same order with the same libm, so a score is bit-equal on both.
"""

from __future__ import annotations

import math
from enum import Enum

from quickthorn.errors import ModelError


class Link(Enum):
    """How a margin becomes a score; `code` is the number a bundle's library carries for it."""

    IDENTITY = "identity"
    SIGMOID = "sigmoid"
    EXP = "exp"

    @property
    def code(self) -> int:
        """The number that stands for this link in native code: identity 0, sigmoid 1, exp 2."""
        return _CODES[self]

    def score(self, margin: float, scale: float = 1.0) -> float:
        """The score of a margin, both float64; `scale` multiplies the margin inside the sigmoid and is 1 elsewhere.

        sigmoid: ``1 / (1 + exp(-scale * margin))``; exp: ``exp(margin)``; identity: the margin itself.
        """
        if self is Link.SIGMOID:
            return 1.0 / (1.0 + _exp(-scale * margin))
        if self is Link.EXP:
            return _exp(margin)
        return margin

    @classmethod
    def named(cls, name: str) -> Link:
        """The link of that name, as written in a manifest; raises ModelError for any other name."""
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(link.value for link in cls)
            raise ModelError(f"link: expected one of {known}, got {name!r}") from None


_CODES = {Link.IDENTITY: 0, Link.SIGMOID: 1, Link.EXP: 2}


def _exp(value: float) -> float:
    """libm's exp; where Python raises on overflow, the infinity that C returns."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
