"""The second stage: what is known about an event at the moment it happens."""

from quickthorn.features.decay import decayed_count, decayed_mean, decayed_sum, decayed_variance
from quickthorn.features.declare import FeatureSet, Kernel, kernel
from quickthorn.features.distinct import distinct, distinct_is_exact
from quickthorn.features.extremes import max, min
from quickthorn.features.recency import age, is_new, since_last
from quickthorn.features.sequence import changed, difference, last, run_length
from quickthorn.features.spread import std, variance
from quickthorn.features.stateful import stateful
from quickthorn.features.velocity import count, mean, sum

__all__ = [
    "FeatureSet",
    "Kernel",
    "age",
    "changed",
    "count",
    "decayed_count",
    "decayed_mean",
    "decayed_sum",
    "decayed_variance",
    "difference",
    "distinct",
    "distinct_is_exact",
    "is_new",
    "kernel",
    "last",
    "max",
    "mean",
    "min",
    "run_length",
    "since_last",
    "stateful",
    "std",
    "sum",
    "variance",
]
