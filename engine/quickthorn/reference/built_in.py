"""What the built-in kernels mean, one plain function each, found by the kernel's name.

A function takes the kernel's parameters, then its arguments: floats (NaN where missing), and event times as ints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quickthorn.features.built_in import BuiltIn
from quickthorn.reference import ratios

MEANINGS: dict[str, Callable[..., float]] = {
    "ratio": ratios.ratio,
    "z_score": ratios.z_score,
    "share": ratios.share,
}


def built_in_value(kernel: BuiltIn, *arguments: Any) -> float:
    """The kernel's value for these arguments."""
    return float(MEANINGS[kernel.name](*kernel.parameters, *arguments))
