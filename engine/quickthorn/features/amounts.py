"""Features of an amount alone: its logarithm, how round it is, its decimals, its first digit."""

from __future__ import annotations

import math

from quickthorn.errors import FeatureError
from quickthorn.event import Money
from quickthorn.features.built_in import BuiltIn, built_in, check_whole
from quickthorn.features.declare import Application

# Up to here a float64 counts every single minor unit and the half between two.
MINOR_UNITS_LIMIT = 2.0**52


def log(value: object) -> Application:
    """The natural logarithm; missing at 0 and below."""
    return _LOG(value)


def log1p(value: object) -> Application:
    """The natural logarithm of 1 + value, which takes an amount of 0; missing at −1 and below."""
    return _LOG1P(value)


def roundness(amount: object, *, decimals: int | None = None) -> Application:
    """How round an amount is: the largest power of ten that divides it.

    100.00 has 2, 5.00 has 0, 59.90 has −1 and 59.99 has −2. Missing for an amount of 0 and for a missing one. The sign
    does not matter.

    ``amount``    a Money field, or any expression in major units together with ``decimals``
    ``decimals``  how many decimals the amount is rounded to, half up, before it is looked at; a Money field has its own
    """
    return _minor("roundness", _ROUNDNESS, amount, decimals)


def decimal_part(amount: object, *, decimals: int | None = None) -> Application:
    """What lies behind the decimal point: 0.99 of 59.99; of a negative amount without its sign.

    Arguments as for ``roundness``.
    """
    return _minor("decimal_part", _DECIMAL_PART, amount, decimals)


def first_digit(amount: object, *, decimals: int | None = None) -> Application:
    """The first digit that is not 0, from 1 to 9: 5 of 59.90 and of 0.05. Missing for an amount of 0.

    In amounts that grew by themselves digit d leads with a share of log10(1 + 1/d) (Newcomb 1881, Benford 1938).
    Arguments as for ``roundness``.
    """
    return _minor("first_digit", _FIRST_DIGIT, amount, decimals)


def _minor(name: str, kernel: BuiltIn, amount: object, decimals: int | None) -> Application:
    if isinstance(amount, Money):
        if decimals is not None:
            raise FeatureError(f"{name}(decimals=): {amount!r} has {amount.scale} decimals, found {decimals!r}")
        return kernel(amount, amount.scale)
    if decimals is None:
        raise FeatureError(f"{name}: expected a Money field, or decimals= for any other amount, found {amount!r}")
    return kernel(amount, check_whole(f"{name}(decimals=)", decimals, 0, 6))


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else math.nan


def _log1p(value: float) -> float:
    return math.log1p(value) if value > -1.0 else math.nan


def _roundness(amount: float, decimals: float) -> float:
    scaled = math.fabs(amount) * 10.0**decimals + 0.5
    if not (1.0 <= scaled < MINOR_UNITS_LIMIT):
        return math.nan
    minor, zeros = int(scaled), 0
    while minor % 10_000 == 0:
        minor //= 10_000
        zeros += 4
    while minor % 10 == 0:
        minor //= 10
        zeros += 1
    return float(zeros) - decimals


def _decimal_part(amount: float, decimals: float) -> float:
    units: float = 10.0**decimals
    scaled = math.fabs(amount) * units + 0.5
    if not scaled < MINOR_UNITS_LIMIT:
        return math.nan
    return float(int(scaled) % int(units)) / units


def _first_digit(amount: float, decimals: float) -> float:
    scaled = math.fabs(amount) * 10.0**decimals + 0.5
    if not (1.0 <= scaled < MINOR_UNITS_LIMIT):
        return math.nan
    minor = int(scaled)
    while minor >= 10_000:
        minor //= 10_000
    while minor >= 10:
        minor //= 10
    return float(minor)


_LOG = built_in(_log, ("number",), name="log")
_LOG1P = built_in(_log1p, ("number",), name="log1p")
_ROUNDNESS = built_in(_roundness, ("number", "number"), name="roundness")
_DECIMAL_PART = built_in(_decimal_part, ("number", "number"), name="decimal_part")
_FIRST_DIGIT = built_in(_first_digit, ("number", "number"), name="first_digit")
