"""Payments, and reference engines over a few features of them, for examples worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import quickthorn as qt
from quickthorn.features.velocity import Aggregate
from quickthorn.reference import ReferenceEngine

S = 1_000_000  # one second in event time


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    terminal: qt.Entity | None = None
    amount: qt.Money | None = None
    risk: qt.Number | None = None
    foreign: qt.Boolean | None = None
    channel: qt.Category | None = qt.field(values=("web", "app"))
    note: qt.Text | None = None


def engine_with(lateness: str = "0s", row_limit: int = 100, remembered_ids: int = 100, **features: Any) -> Any:
    """A reference engine without a model, over the given features."""
    declared = qt.FeatureSet(Payment, lateness=lateness, row_limit=row_limit, remembered_ids=remembered_ids)
    for name, feature in features.items():
        declared[name] = feature
    return ReferenceEngine(declared)


def count_over(over: str, **options: Any) -> Aggregate:
    return qt.count(by=Payment.customer, over=over, **options)


def pay(number: int | str, second: float, customer: str | int = "c", **fields: Any) -> dict[str, Any]:
    return {"event_id": number, "at": int(second * S), "customer": customer, **fields}


def value(engine: ReferenceEngine, event: Mapping[str, Any]) -> float:
    """The only feature of an engine, read without storing the event."""
    (only,) = engine.features(event).values()
    return only
