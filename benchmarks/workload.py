"""The first workload: 12 event fields, 2 entities, 14 features, 100 trees of depth 6."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Policy

START_US = 1_785_000_000_000_000
CUSTOMERS, TERMINALS = 10_000, 2_000
CHANNELS = ("pos", "web", "app")
TREES = 100


class Payment(qt.Event):
    """A card payment as a decision service sees it."""

    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    terminal: qt.Entity
    amount: qt.Money
    channel: qt.Category = qt.field(values=CHANNELS, closed=True)
    country: qt.Category = qt.field(values=("DE", "FR", "GB", "US"))
    device_new: qt.Boolean
    distance_km: qt.Number | None = None
    account_age_days: qt.Number
    email: qt.Text | None = None
    card_present: qt.Boolean


@qt.kernel
def ratio(amount, usual):  # type: ignore[no-untyped-def]
    """How many times the usual amount this is."""
    return amount / usual if usual > 0 else math.nan


def workload_features() -> qt.FeatureSet:
    """14 features: 9 windowed aggregates over 2 entities, 4 raw fields, 1 kernel."""
    features = qt.FeatureSet(Payment)
    features["amount"] = Payment.amount
    features["channel"] = Payment.channel
    features["device_new"] = Payment.device_new
    features["distance_km"] = Payment.distance_km
    for over in ("1d", "7d", "30d"):
        features[f"customer_count_{over}"] = qt.count(by=Payment.customer, over=over, include_current=True)
        features[f"customer_mean_{over}"] = qt.mean(
            Payment.amount, by=Payment.customer, over=over, include_current=True
        )
        features[f"terminal_count_{over}"] = qt.count(by=Payment.terminal, over=over)
    features["amount_to_usual"] = ratio(Payment.amount, features["customer_mean_30d"])
    return features


def payments(count: int, seed: int) -> list[dict[str, Any]]:
    """Payments of 10,000 customers at 2,000 terminals, three seconds apart on average, each one different."""
    random = np.random.default_rng(seed)
    at = START_US + np.cumsum(random.exponential(3e6, count).astype(np.int64))
    customer, terminal = random.integers(0, CUSTOMERS, count), random.integers(0, TERMINALS, count)
    cents = np.exp(random.normal(3.5, 1.0, count)) * 100
    channel, country = random.integers(0, 3, count), random.integers(0, 5, count)
    new, present = random.random(count) < 0.1, random.random(count) < 0.6
    distance = np.round(random.exponential(20, count), 2)
    return [
        {
            "event_id": f"p-{seed}-{row}",
            "at": int(at[row]),
            "customer": f"c-{customer[row]}",
            "terminal": f"t-{terminal[row]}",
            "amount": f"{int(cents[row]) / 100:.2f}",
            "channel": CHANNELS[channel[row]],
            "country": ("DE", "FR", "GB", "US", "XX")[country[row]],
            "device_new": bool(new[row]),
            "distance_km": None if distance[row] < 1 else float(distance[row]),
            "account_age_days": float(row % 3000),
            "email": f"someone{row}@example.org",
            "card_present": bool(present[row]),
        }
        for row in range(count)
    ]


def workload_model(features: qt.FeatureSet) -> xgboost.Booster:
    """100 trees of depth 6, grown on noise so that every tree is as deep as it may be."""
    random = np.random.default_rng(3)
    vectors = np.column_stack(
        [
            np.exp(random.normal(3.5, 1.0, 40_000)),
            random.integers(0, 3, 40_000),
            random.integers(0, 2, 40_000),
            random.exponential(20, 40_000),
            *(
                random.integers(0, 60, 40_000) if column % 3 != 1 else np.exp(random.normal(3.5, 0.7, 40_000))
                for column in range(9)
            ),
            random.exponential(1.0, 40_000),
        ]
    )
    vectors[random.random(vectors.shape) < 0.05] = np.nan
    fraud = random.random(40_000) < 1 / (1 + np.exp(2 - np.nan_to_num(vectors[:, 13])))
    data = xgboost.DMatrix(vectors, label=fraud, feature_names=list(features.names))
    parameters = {"objective": "binary:logistic", "max_depth": 6, "min_child_weight": 0, "nthread": 2, "seed": 3}
    return xgboost.train(parameters, data, num_boost_round=TREES)


def workload_bundle(directory: Path) -> tuple[Path, xgboost.Booster]:
    """The compiled bundle and the model it was compiled from."""
    features = workload_features()
    model = workload_model(features)
    path = directory / "workload.qt"
    compile_bundle(
        features=features,
        model=model,
        policy=Policy.with_thresholds(review=0.5, decline=0.9, invalid="review"),
        output=path,
    )
    return path, model
