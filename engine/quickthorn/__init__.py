"""Quickthorn: event → features → forest → calibration → decision, in microseconds, in the process."""

from quickthorn.event import Boolean, Category, Entity, Event, EventTime, Id, Money, Number, Text, field
from quickthorn.features import FeatureSet, count, kernel, max, mean, min, std, sum, variance
from quickthorn.native import _native
from quickthorn.serving import Batch, Engine

Decision = _native.Decision

__all__ = [
    "Batch",
    "Boolean",
    "Category",
    "Decision",
    "Engine",
    "Entity",
    "Event",
    "EventTime",
    "FeatureSet",
    "Id",
    "Money",
    "Number",
    "Text",
    "count",
    "field",
    "kernel",
    "max",
    "mean",
    "min",
    "std",
    "sum",
    "variance",
]
