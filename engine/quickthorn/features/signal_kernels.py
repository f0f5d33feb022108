"""What is read of a signal, as kernels over its time and its slots.

``known`` is 0 where there is no signal, and then ``signal`` must not be looked at.
"""

from __future__ import annotations

import math

from quickthorn.event.fields import MISSING_MONEY
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_float64, load_int64
from quickthorn.features.signals import MISSING, NULL, OK, STALE

SECOND_US = 1e6


@ahead_of_time
def signal_said(signal: Address, known: int, now_us: int) -> int:
    """1 where something was said by then: a signal from later on is none of the event's."""
    return 1 if known != 0 and load_int64(signal, 0) <= now_us else 0


@ahead_of_time
def signal_standing(signal: Address, known: int, now_us: int, ttl_us: int) -> float:
    if signal_said(signal, known, now_us) == 0:
        return MISSING
    return STALE if now_us - load_int64(signal, 0) >= ttl_us else OK


@ahead_of_time
def signal_age(signal: Address, known: int, now_us: int) -> float:
    if signal_said(signal, known, now_us) == 0:
        return math.nan
    return float(now_us - load_int64(signal, 0)) / SECOND_US


@ahead_of_time
def signal_number(signal: Address, known: int, now_us: int, ttl_us: int, value_at: int) -> float:
    if signal_standing(signal, known, now_us, ttl_us) != OK:
        return math.nan
    number: float = load_float64(signal, value_at)
    return number


@ahead_of_time
def signal_money(signal: Address, known: int, now_us: int, ttl_us: int, value_at: int, units: float) -> float:
    if signal_standing(signal, known, now_us, ttl_us) != OK:
        return math.nan
    minor = load_int64(signal, value_at)
    return math.nan if minor == MISSING_MONEY else float(minor) / units


@ahead_of_time
def signal_status(signal: Address, known: int, now_us: int, ttl_us: int, value: float) -> float:
    """How it stands with a value, which is NaN where there is none."""
    standing: float = signal_standing(signal, known, now_us, ttl_us)
    return NULL if standing == OK and math.isnan(value) else standing
