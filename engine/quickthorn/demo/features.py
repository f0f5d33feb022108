"""The demo's payment event and what its model knows about each payment: raw fields, windows and kernels."""

from __future__ import annotations

import math

import quickthorn as qt
from quickthorn.demo.payments import CHANNELS, ENTRIES
from quickthorn.demo.population import CATEGORIES, COUNTRIES


class Payment(qt.Event):
    """A card payment; its fields are the event columns of the simulated stream."""

    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    terminal: qt.Entity
    amount: qt.Money = qt.field(minor_units=True)
    channel: qt.Category = qt.field(values=CHANNELS, closed=True)
    entry: qt.Category = qt.field(values=ENTRIES, closed=True)
    category: qt.Category = qt.field(values=CATEGORIES)
    country: qt.Category = qt.field(values=COUNTRIES)
    card_country: qt.Category = qt.field(values=COUNTRIES)
    device_new: qt.Boolean
    distance_km: qt.Number | None = None


@qt.kernel
def log_amount(amount: float) -> float:
    """The amount on a scale where twice as much is always the same step."""
    return math.log1p(amount)


@qt.kernel
def ratio(value: float, usual: float) -> float:
    """How many times the usual value this is; missing where nothing is usual yet."""
    return value / usual if usual > 0.0 else math.nan


@qt.kernel
def hour_of_day(at_us: int) -> float:
    """Hour of the day, UTC, with its fraction: 0 up to 24."""
    return (at_us % 86_400_000_000) / 3_600_000_000.0


@qt.kernel
def night(hour: float) -> float:
    """1 between midnight and five in the morning, else 0."""
    return 1.0 if hour < 5.0 else 0.0


@qt.kernel
def abroad(country: float, card_country: float) -> float:
    """1 where the terminal is in another country than the one the card is from, else 0."""
    return 1.0 if country != card_country else 0.0


@qt.kernel
def pace(lately: float, before: float, times_longer: float) -> float:
    """How many times faster payments come lately than in the longer window; 1 is the usual pace."""
    return lately * times_longer / before if before > 0.0 else math.nan


def demo_features() -> qt.FeatureSet:
    """The feature set the demo trains on and serves."""
    features = qt.FeatureSet(Payment)
    for field in (Payment.amount, Payment.channel, Payment.entry, Payment.category, Payment.device_new):
        features[field.name] = field
    features["distance_km"] = Payment.distance_km
    features["log_amount"] = log_amount(Payment.amount)
    features["hour"] = hour_of_day(Payment.at)
    features["night"] = night(features["hour"])
    features["abroad"] = abroad(Payment.country, Payment.card_country)

    for over in ("15m", "1d", "7d", "30d"):
        features[f"customer_count_{over}"] = qt.count(by=Payment.customer, over=over, include_current=True)
        features[f"customer_sum_{over}"] = qt.sum(Payment.amount, by=Payment.customer, over=over, include_current=True)
    # Without the current payment: what was usual before it.
    for over in ("7d", "30d"):
        features[f"customer_mean_{over}"] = qt.mean(Payment.amount, by=Payment.customer, over=over)
        features[f"terminal_mean_{over}"] = qt.mean(Payment.amount, by=Payment.terminal, over=over)
    features["customer_distance_30d"] = qt.mean(Payment.distance_km, by=Payment.customer, over="30d")
    features["customer_new_devices_30d"] = qt.sum(Payment.device_new, by=Payment.customer, over="30d")
    for over in ("15m", "1d", "7d"):
        features[f"terminal_count_{over}"] = qt.count(by=Payment.terminal, over=over, include_current=True)
    features["terminal_new_devices_1d"] = qt.mean(Payment.device_new, by=Payment.terminal, over="1d")
    # Two weeks of the terminal's past that no fraud of the last week can have coloured.
    features["terminal_mean_before"] = qt.mean(Payment.amount, by=Payment.terminal, over="14d", delay="7d")

    features["amount_to_customer"] = ratio(Payment.amount, features["customer_mean_30d"])
    features["amount_to_terminal"] = ratio(Payment.amount, features["terminal_mean_30d"])
    features["distance_to_customer"] = ratio(Payment.distance_km, features["customer_distance_30d"])
    features["terminal_trend"] = ratio(features["terminal_mean_7d"], features["terminal_mean_before"])
    features["customer_pace"] = pace(features["customer_count_1d"], features["customer_count_30d"], 30.0)
    features["terminal_pace"] = pace(features["terminal_count_15m"], features["terminal_count_7d"], 672.0)
    return features
