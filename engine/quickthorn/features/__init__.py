"""The second stage: what is known about an event at the moment it happens."""

from quickthorn.features.amounts import decimal_part, first_digit, log, log1p, roundness
from quickthorn.features.calendar import (
    cyclic,
    day_of_month,
    days_to_month_end,
    hour,
    is_month_end,
    is_night,
    is_weekend,
    time_of_day,
    weekday,
)
from quickthorn.features.declare import FeatureSet, Kernel, count, kernel, mean, sum
from quickthorn.features.encodings import Encoding, encoded, hash_bucket
from quickthorn.features.fitting import fit_frequency, fit_ordinal, fit_target_mean, fit_weight_of_evidence
from quickthorn.features.geography import distance_km, implied_speed_kmh, mismatch
from quickthorn.features.ratios import ratio, share, z_score
from quickthorn.features.texts import digit_ratio, edit_distance, edit_similarity, entropy, jaro_winkler, text_length

__all__ = [
    "Encoding",
    "FeatureSet",
    "Kernel",
    "count",
    "cyclic",
    "day_of_month",
    "days_to_month_end",
    "decimal_part",
    "digit_ratio",
    "distance_km",
    "edit_distance",
    "edit_similarity",
    "encoded",
    "entropy",
    "first_digit",
    "fit_frequency",
    "fit_ordinal",
    "fit_target_mean",
    "fit_weight_of_evidence",
    "hash_bucket",
    "hour",
    "implied_speed_kmh",
    "is_month_end",
    "is_night",
    "is_weekend",
    "jaro_winkler",
    "kernel",
    "log",
    "log1p",
    "mean",
    "mismatch",
    "ratio",
    "roundness",
    "share",
    "sum",
    "text_length",
    "time_of_day",
    "weekday",
    "z_score",
]
