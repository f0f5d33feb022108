"""The second stage: what is known about an event at the moment it happens."""

from quickthorn.features.declare import FeatureSet, Kernel, kernel
from quickthorn.features.extremes import max, min
from quickthorn.features.spread import std, variance
from quickthorn.features.velocity import count, mean, sum

__all__ = ["FeatureSet", "Kernel", "count", "kernel", "max", "mean", "min", "std", "sum", "variance"]
