"""What the demo's model is told about a payment, worked out by hand on a short history."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quickthorn.demo.features import demo_features
from quickthorn.demo.payments import DAY_US, HOUR_US, START_US
from quickthorn.reference import ReferenceEngine


def payment(number: int, at_us: int, amount: int, **other: Any) -> dict[str, Any]:
    usual = {
        "event_id": f"p-{number}",
        "at": at_us,
        "customer": "c-1",
        "terminal": "t-1",
        "amount": amount,
        "channel": "pos",
        "entry": "chip",
        "category": "grocery",
        "country": "DE",
        "card_country": "DE",
        "device_new": False,
        "distance_km": 2.0,
    }
    return usual | other


@pytest.fixture(scope="module")
def told() -> dict[str, float]:
    """Features of a large payment abroad at 03:30, after two usual ones and a stranger's at the same terminal."""
    engine = ReferenceEngine(demo_features())
    now_us = START_US + 20 * DAY_US + 3 * HOUR_US + HOUR_US // 2
    history = [
        payment(1, now_us - 10 * DAY_US, 30_00, distance_km=4.0),
        payment(2, now_us - 2 * DAY_US, 10_00, terminal="t-2"),
        payment(3, now_us - 5 * 60_000_000, 50_00, customer="c-2", device_new=True),
    ]
    for event in history:
        assert engine.observe(event) == "ok"
    return engine.features(payment(4, now_us, 200_00, country="FR", distance_km=30.0, channel="web"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", 200.0),
        ("channel", 1.0),
        ("device_new", 0.0),
        ("log_amount", math.log(201.0)),
        ("hour", 3.5),
        ("night", 1.0),
        ("abroad", 1.0),
        ("customer_count_15m", 1.0),
        ("customer_count_7d", 2.0),
        ("customer_count_30d", 3.0),
        ("customer_sum_30d", 240.0),
        # What was usual before this payment does not contain it.
        ("customer_mean_7d", 10.0),
        ("customer_mean_30d", 20.0),
        ("amount_to_customer", 10.0),
        ("customer_distance_30d", 3.0),
        ("distance_to_customer", 10.0),
        ("terminal_count_15m", 2.0),
        ("terminal_mean_7d", 50.0),
        ("terminal_mean_30d", 40.0),
        ("amount_to_terminal", 5.0),
        ("terminal_new_devices_1d", 1.0),
        # The two weeks that ended a week ago.
        ("terminal_mean_before", 30.0),
        ("terminal_trend", 50.0 / 30.0),
        ("customer_pace", 1.0 * 30.0 / 3.0),
        ("terminal_pace", 2.0 * 672.0 / 2.0),
    ],
)
def test_feature_of_a_suspicious_payment(told: dict[str, float], name: str, value: float) -> None:
    assert told[name] == pytest.approx(value, rel=1e-12)


def test_a_first_payment_has_nothing_usual_to_compare_with() -> None:
    first = ReferenceEngine(demo_features()).features(payment(1, START_US, 30_00, distance_km=None, channel="app"))
    missing = {name for name, value in first.items() if math.isnan(value)}
    assert missing == {
        "distance_km",
        "customer_mean_7d",
        "customer_mean_30d",
        "customer_distance_30d",
        "terminal_mean_7d",
        "terminal_mean_30d",
        "terminal_mean_before",
        "terminal_new_devices_1d",
        "amount_to_customer",
        "amount_to_terminal",
        "distance_to_customer",
        "terminal_trend",
    }
