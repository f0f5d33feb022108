"""What the built-in kernels mean, one plain function each, found by the kernel's name.

A function takes the kernel's parameters, then its arguments: floats (NaN where missing), event times as ints,
and texts as a str or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quickthorn.features.built_in import BuiltIn
from quickthorn.reference import amounts, calendar, categories, geography, ratios, texts

MEANINGS: dict[str, Callable[..., float]] = {
    "ratio": ratios.ratio,
    "z_score": ratios.z_score,
    "share": ratios.share,
    "log": amounts.log,
    "log1p": amounts.log1p,
    "roundness": amounts.roundness,
    "decimal_part": amounts.decimal_part,
    "first_digit": amounts.first_digit,
    "local_time": calendar.local_time,
    "hour": calendar.hour,
    "time_of_day": calendar.time_of_day,
    "weekday": calendar.weekday,
    "day_of_month": calendar.day_of_month,
    "days_to_month_end": calendar.days_to_month_end,
    "is_month_end": calendar.is_month_end,
    "is_weekend": calendar.is_weekend,
    "is_night": calendar.is_night,
    "circle_sin": calendar.circle_sin,
    "circle_cos": calendar.circle_cos,
    "distance_km": geography.distance_km,
    "speed_kmh": geography.speed_kmh,
    "mismatch": geography.mismatch,
    "encoded": categories.encoded,
    "hash_bucket": categories.hash_bucket,
    "text_length": texts.text_length,
    "digit_ratio": texts.digit_ratio,
    "entropy": texts.entropy,
    "edit_distance": texts.edit_distance,
    "edit_similarity": texts.edit_similarity,
    "jaro_winkler": texts.jaro_winkler,
    "text_mismatch": texts.text_mismatch,
}


def built_in_value(kernel: BuiltIn, *arguments: Any) -> float:
    """The kernel's value for these arguments."""
    return float(MEANINGS[kernel.name](*kernel.parameters, *arguments))
