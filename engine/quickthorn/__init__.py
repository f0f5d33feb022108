"""Quickthorn: event → features → forest → calibration → decision, in microseconds, in the process."""

from quickthorn.event import Boolean, Category, Entity, Event, EventTime, Id, Money, Number, Text, field
from quickthorn.features import FeatureSet, count, kernel, mean, sum
from quickthorn.model import compile_model
from quickthorn.native import _native
from quickthorn.serving import Batch, Engine, Forest

Decision = _native.Decision
Row = _native.Row

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
    "Forest",
    "Id",
    "Money",
    "Number",
    "Row",
    "Text",
    "compile_model",
    "count",
    "field",
    "kernel",
    "mean",
    "sum",
]
