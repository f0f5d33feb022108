"""What the model knows of a payment."""

from __future__ import annotations

import math

import quickthorn as qt


class Payment(qt.Event):
    """A card payment as the service sends it."""

    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    terminal: qt.Entity
    amount: qt.Money = qt.field(minor_units=True)
    device_new: qt.Boolean
    distance_km: qt.Number | None = None


@qt.kernel
def ratio(amount: float, usual: float) -> float:
    """How many times the usual amount this is; missing where nothing is usual yet."""
    return amount / usual if usual > 0.0 else math.nan


features = qt.FeatureSet(Payment)
features["amount"] = Payment.amount
features["device_new"] = Payment.device_new
features["distance_km"] = Payment.distance_km
features["customer_count_1h"] = qt.count(by=Payment.customer, over="1h", include_current=True)
features["customer_count_1d"] = qt.count(by=Payment.customer, over="1d", include_current=True)
features["customer_mean_7d"] = qt.mean(Payment.amount, by=Payment.customer, over="7d")
features["amount_to_usual"] = ratio(Payment.amount, features["customer_mean_7d"])
features["terminal_count_1d"] = qt.count(by=Payment.terminal, over="1d", include_current=True)
