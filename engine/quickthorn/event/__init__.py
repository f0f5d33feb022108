"""The first stage: what an event is."""

from quickthorn.event.fields import Boolean, Category, Entity, EventTime, Field, Id, Money, Number, Text, field
from quickthorn.event.schema import Event, Schema
from quickthorn.event.signal import Signal

__all__ = [
    "Boolean",
    "Category",
    "Entity",
    "Event",
    "EventTime",
    "Field",
    "Id",
    "Money",
    "Number",
    "Schema",
    "Signal",
    "Text",
    "field",
]
