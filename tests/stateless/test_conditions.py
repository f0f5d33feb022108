"""Built-in kernels with what is kept: as conditions of windows, over texts and times too, and over last values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import quickthorn as qt

HOUR_US = 3_600_000_000
MIDNIGHT = 20_000 * 24  # of a day in 2024, in hours


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    name: qt.Text | None
    email: qt.Text | None
    amount: qt.Money


def test_windows_count_what_a_built_in_kernel_says(both: Callable[[qt.FeatureSet], Any]) -> None:
    features = qt.FeatureSet(Payment)
    by = {"by": Payment.customer, "over": "7d"}
    features["nights"] = qt.count(where=qt.is_night(Payment.at, zone="UTC"), **by)
    features["others' names"] = qt.count(where=qt.mismatch(Payment.name, Payment.email), **by)
    risky = qt.encoded(Payment.email, qt.Encoding("risky", {"x@y": 1.0}, unknown=0.0, missing=0.0))
    features["risky"] = qt.sum(Payment.amount, where=risky, **by)
    features["share"] = qt.share(features["risky"], qt.sum(Payment.amount, include_current=True, **by))
    read = both(features)
    events = [
        {
            "event_id": 1,
            "at": (MIDNIGHT + 23) * HOUR_US,
            "customer": "c",
            "name": "x@y",
            "email": "x@y",
            "amount": "10.00",
        },
        {
            "event_id": 2,
            "at": (MIDNIGHT + 24) * HOUR_US,
            "customer": "c",
            "name": "a",
            "email": "x@y",
            "amount": "5.00",
        },
        {"event_id": 3, "at": (MIDNIGHT + 36) * HOUR_US, "customer": "c", "name": "a", "email": None, "amount": "1.00"},
    ]
    for event in events:
        read(**event)
        for engine in (read.native, read.reference):
            engine.observe(event)
    found = read(event_id=4, at=(MIDNIGHT + 48) * HOUR_US, customer="c", amount="14.00")
    assert (found["nights"], found["others' names"], found["risky"], found["share"]) == (2.0, 1.0, 15.0, 0.5)


class Journey(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    latitude: qt.Number
    longitude: qt.Number


def test_the_last_place_and_the_time_since_imply_a_speed(both: Callable[[qt.FeatureSet], Any]) -> None:
    features = qt.FeatureSet(Journey)
    last = [qt.last(field, by=Journey.card) for field in (Journey.latitude, Journey.longitude)]
    elapsed = qt.since_last(by=Journey.card)
    features["speed"] = qt.implied_speed_kmh(Journey.latitude, Journey.longitude, *last, elapsed)
    read = both(features)
    berlin = {"event_id": 1, "at": 0, "card": "c", "latitude": 52.52, "longitude": 13.405}
    assert math.isnan(read(**berlin)["speed"])
    for engine in (read.native, read.reference):
        engine.observe(berlin)
    paris = {"event_id": 2, "at": HOUR_US // 2, "card": "c", "latitude": 48.8566, "longitude": 2.3522}
    assert read(**paris)["speed"] == pytest.approx(2 * 877.5, rel=1e-3)
