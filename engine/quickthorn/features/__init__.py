"""The second stage: what is known about an event at the moment it happens."""

from quickthorn.features.declare import FeatureSet, Kernel, count, kernel, mean, sum
from quickthorn.features.ratios import ratio, share, z_score

__all__ = ["FeatureSet", "Kernel", "count", "kernel", "mean", "ratio", "share", "sum", "z_score"]
