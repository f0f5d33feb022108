"""Features of an amount, by its decimal digits."""

from __future__ import annotations

import math
from decimal import Decimal

_LIMIT = 2**52


def log(value: float) -> float:
    """Missing at 0 and below."""
    return math.log(value) if value > 0 else math.nan


def log1p(value: float) -> float:
    """Missing at −1 and below."""
    return math.log1p(value) if value > -1 else math.nan


def roundness(amount: float, decimals: float) -> float:
    """The zeros at the end of the amount in minor units, less its decimals."""
    digits = _digits(amount, decimals)
    return float(len(digits) - len(digits.rstrip("0"))) - decimals if digits.strip("0") else math.nan


def decimal_part(amount: float, decimals: float) -> float:
    """The last ``decimals`` digits behind a decimal point."""
    digits = _digits(amount, decimals)
    if not digits:
        return math.nan
    return float(Decimal("0." + (digits.zfill(int(decimals))[-int(decimals) :] if decimals else "0")))


def first_digit(amount: float, decimals: float) -> float:
    """The first digit that is not 0."""
    significant = _digits(amount, decimals).strip("0")
    return float(significant[0]) if significant else math.nan


def _digits(amount: float, decimals: float) -> str:
    """The amount's minor units as decimal digits, rounded half up; nothing where they are missing or too many."""
    scaled = abs(amount) * float(10 ** int(decimals)) + 0.5
    return str(int(scaled)) if scaled < _LIMIT else ""
