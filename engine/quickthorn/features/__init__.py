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
from quickthorn.features.components import Component, component_age, component_fraud, component_size
from quickthorn.features.decay import decayed_count, decayed_mean, decayed_sum, decayed_variance
from quickthorn.features.declare import FeatureSet, Kernel, kernel
from quickthorn.features.degree import degree, degree_is_exact
from quickthorn.features.distinct import distinct, distinct_is_exact
from quickthorn.features.encodings import Encoding, encoded, hash_bucket
from quickthorn.features.extremes import max, min
from quickthorn.features.fitting import fit_frequency, fit_ordinal, fit_target_mean, fit_weight_of_evidence
from quickthorn.features.geography import distance_km, implied_speed_kmh, mismatch
from quickthorn.features.labels import fraud_count, fraud_rate, label_count
from quickthorn.features.neighbours import neighbour_fraud_rate
from quickthorn.features.ratios import ratio, share, z_score
from quickthorn.features.recency import age, is_new, since_last
from quickthorn.features.sequence import changed, difference, last, run_length
from quickthorn.features.signals import signal_age, signal_status, signal_value
from quickthorn.features.spread import std, variance
from quickthorn.features.stateful import stateful
from quickthorn.features.texts import digit_ratio, edit_distance, edit_similarity, entropy, jaro_winkler, text_length
from quickthorn.features.velocity import count, mean, sum

__all__ = [
    "Component",
    "Encoding",
    "FeatureSet",
    "Kernel",
    "age",
    "changed",
    "component_age",
    "component_fraud",
    "component_size",
    "count",
    "cyclic",
    "day_of_month",
    "days_to_month_end",
    "decayed_count",
    "decayed_mean",
    "decayed_sum",
    "decayed_variance",
    "decimal_part",
    "degree",
    "degree_is_exact",
    "difference",
    "digit_ratio",
    "distance_km",
    "distinct",
    "distinct_is_exact",
    "edit_distance",
    "edit_similarity",
    "encoded",
    "entropy",
    "first_digit",
    "fit_frequency",
    "fit_ordinal",
    "fit_target_mean",
    "fit_weight_of_evidence",
    "fraud_count",
    "fraud_rate",
    "hash_bucket",
    "hour",
    "implied_speed_kmh",
    "is_month_end",
    "is_new",
    "is_night",
    "is_weekend",
    "jaro_winkler",
    "kernel",
    "label_count",
    "last",
    "log",
    "log1p",
    "max",
    "mean",
    "min",
    "mismatch",
    "neighbour_fraud_rate",
    "ratio",
    "roundness",
    "run_length",
    "share",
    "signal_age",
    "signal_status",
    "signal_value",
    "since_last",
    "stateful",
    "std",
    "sum",
    "text_length",
    "time_of_day",
    "variance",
    "weekday",
    "z_score",
]
