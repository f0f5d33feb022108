"""The feature sets over which the native engine and the executable specification are held against each other."""

from __future__ import annotations

import math
from typing import Any

import quickthorn as qt


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    terminal: qt.Entity | None
    amount: qt.Money
    tip: qt.Money | None = qt.field(signed=True, scale=3)
    cents: qt.Money | None = qt.field(minor_units=True)
    risk: qt.Number | None
    distance: qt.Number
    foreign: qt.Boolean | None
    present: qt.Boolean
    channel: qt.Category = qt.field(values=("web", "app", "pos"), closed=True)
    country: qt.Category | None = qt.field(values=("de", "fr"))
    note: qt.Text | None


@qt.kernel
def ratio(amount, usual):  # type: ignore[no-untyped-def]
    return amount / usual


@qt.kernel
def hour(at):  # type: ignore[no-untyped-def]
    return at // 3_600_000_000 % 24


@qt.kernel
def damped(number, channel, by):  # type: ignore[no-untyped-def]
    if channel == 1.0:
        return math.log1p(number)
    return math.sqrt(number) * by if number > 1e-3 else math.exp(-number)


def windows() -> qt.FeatureSet:
    """Every aggregate over every kind of field, with and without delay and the current event, by two entities."""
    features = qt.FeatureSet(Payment, lateness="5s", row_limit=1_000, remembered_ids=1_000)
    spans: dict[str, dict[str, Any]] = {
        "3s": {"over": "3s"},
        "10s_with": {"over": "10s", "include_current": True},
        "10s_after_5s": {"over": "10s", "delay": "5s"},
        "1us": {"over": "1us"},
    }
    for entity in (Payment.customer, Payment.terminal):
        for name, span in spans.items():
            features[f"{entity!r}_count_{name}"] = qt.count(by=entity, **span)
            for field in (Payment.amount, Payment.tip, Payment.risk, Payment.distance, Payment.foreign):
                features[f"{entity!r}_{field!r}_sum_{name}"] = qt.sum(field, by=entity, **span)
                features[f"{entity!r}_{field!r}_mean_{name}"] = qt.mean(field, by=entity, **span)
    return features


@qt.kernel
def small(amount):  # type: ignore[no-untyped-def]
    return amount < 500.0


@qt.kernel
def odd(risk, distance, at):  # type: ignore[no-untyped-def]
    return (risk > distance) * (at % 2)


SPREAD_SPANS: dict[str, dict[str, Any]] = {
    "3s": {"over": "3s"},
    "10s_with": {"over": "10s", "include_current": True},
    "10s_after_5s": {"over": "10s", "delay": "5s"},
}


def spreads() -> qt.FeatureSet:
    """Spreads and extremes of every kind of field, of an entity and of a pair, of all events and of some."""
    features = qt.FeatureSet(Payment, lateness="5s", row_limit=1_000, remembered_ids=1_000)
    pair = (Payment.terminal, Payment.customer)
    for name, span in SPREAD_SPANS.items():
        for field in (Payment.amount, Payment.tip, Payment.risk, Payment.distance, Payment.foreign, Payment.present):
            features[f"{field!r}_variance_{name}"] = qt.variance(field, by=Payment.customer, **span)
            features[f"{field!r}_std_{name}"] = qt.std(field, by=Payment.customer, ddof=0, **span)
            features[f"{field!r}_min_{name}"] = qt.min(field, by=Payment.customer, **span)
            features[f"{field!r}_max_{name}"] = qt.max(field, by=Payment.customer, **span)
        for what, where in (
            ("foreign", Payment.foreign),
            ("small", small(Payment.amount)),
            ("odd", odd(Payment.risk, Payment.distance, Payment.at)),
        ):
            features[f"{what}_count_{name}"] = qt.count(by=pair, where=where, **span)
            features[f"{what}_sum_{name}"] = qt.sum(Payment.amount, by=pair, where=where, **span)
            features[f"{what}_mean_{name}"] = qt.mean(Payment.risk, by=Payment.customer, where=where, **span)
            features[f"{what}_tip_{name}"] = qt.mean(Payment.tip, by=Payment.customer, where=where, **span)
            features[f"{what}_max_{name}"] = qt.max(Payment.distance, by=Payment.customer, where=where, **span)
            features[f"{what}_min_{name}"] = qt.min(Payment.tip, by=pair, where=where, **span)
            features[f"{what}_std_{name}"] = qt.std(Payment.distance, by=Payment.customer, where=where, **span)
    features["pair_count"] = qt.count(by=(Payment.customer, Payment.terminal), over="10s")
    return features


def lifetimes() -> qt.FeatureSet:
    """What outlives every window, of an entity and of a pair, of all events and of some."""
    features = qt.FeatureSet(Payment, lateness="5s", row_limit=1_000, remembered_ids=1_000)
    add_lifetimes(features)
    return features


def brief_lifetimes() -> qt.FeatureSet:
    """The same beside a window, with so few rows that they go into the records before their time."""
    features = qt.FeatureSet(Payment, lateness="5s", row_limit=3, remembered_ids=1_000)
    features["count"] = qt.count(by=Payment.customer, over="10s")
    add_lifetimes(features)
    return features


@qt.stateful
class Burst:
    """How many events came within two seconds of each other, and by how much amounts rose in that time."""

    events: int = 0
    last_us: int = -(2**62)
    before: float = math.nan
    rise: float = 0

    def update(self, at, amount):  # type: ignore[no-untyped-def]
        near = at - self.last_us <= 2_000_000
        self.events = self.events + 1 if near else 1
        rise = amount - self.before
        self.rise = (self.rise if near else 0.0) + (rise if rise > 0 else 0.0)
        self.before = amount
        self.last_us = at

    def read(self, at, amount):  # type: ignore[no-untyped-def]
        self.events += 1000.0  # changes a copy
        if self.events == 1000:
            return math.nan
        return self.events + amount + (self.rise if at - self.last_us <= 2_000_000 else 0)


def forgetful() -> qt.FeatureSet:
    """Entities that are forgotten after twelve seconds."""
    features = qt.FeatureSet(Payment, lateness="5s", expire_after="12s", row_limit=1_000, remembered_ids=1_000)
    for what, by in (("customer", Payment.customer), ("terminal", Payment.terminal)):
        features[f"{what}_count"] = qt.count(by=by, over="12s")
        features[f"{what}_sum"] = qt.sum(Payment.amount, by=by, over="3s", include_current=True)
        features[f"{what}_age"] = qt.age(by=by)
        features[f"{what}_since"] = qt.since_last(by=by)
        features[f"{what}_decayed"] = qt.decayed_count(by=by, half_life="10s")
        features[f"{what}_last"] = qt.last(Payment.amount, by=by)
    return features


def add_lifetimes(features: qt.FeatureSet) -> None:
    customer, pair = Payment.customer, (Payment.customer, Payment.terminal)
    for what, by in (("customer", customer), ("pair", pair)):
        for k in (1, 3):
            features[f"{what}_since_{k}"] = qt.since_last(by=by, k=k)
        features[f"{what}_age"] = qt.age(by=by)
        features[f"{what}_new"] = qt.is_new(by=by)
    foreign, few = Payment.foreign, small(Payment.amount)
    for over, tile, options in (
        ("4s", "2s", {"include_current": True}),
        ("12s", "2s", {}),
        ("10s", "5s", {"where": few}),
    ):
        features[f"tiled_count_{over}"] = qt.count(by=pair, over=over, tile=tile, **options)
        for field in (Payment.amount, Payment.tip, Payment.distance, Payment.foreign):
            features[f"tiled_sum_{field!r}_{over}"] = qt.sum(field, by=customer, over=over, tile=tile, **options)
            features[f"tiled_mean_{field!r}_{over}"] = qt.mean(field, by=customer, over=over, tile=tile, **options)
            features[f"tiled_std_{field!r}_{over}"] = qt.std(field, by=customer, over=over, tile=tile, **options)
            features[f"tiled_variance_{field!r}_{over}"] = qt.variance(
                field, by=customer, over=over, tile=tile, ddof=0, **options
            )
            features[f"tiled_min_{field!r}_{over}"] = qt.min(field, by=customer, over=over, tile=tile, **options)
            features[f"tiled_max_{field!r}_{over}"] = qt.max(field, by=customer, over=over, tile=tile, **options)
    features["burst"] = Burst(Payment.at, Payment.amount, by=customer)
    features["burst_foreign"] = Burst(Payment.at, Payment.tip, by=pair, where=foreign)
    features["since_foreign"] = qt.since_last(by=customer, k=2, where=foreign)
    features["small_age"] = qt.age(by=customer, where=few)
    features["foreign_new"] = qt.is_new(by=pair, where=foreign)
    for field in (Payment.amount, Payment.tip, Payment.risk, Payment.foreign):
        features[f"{field!r}_last"] = qt.last(field, by=customer)
        features[f"{field!r}_third"] = qt.last(field, by=customer, k=3, where=few)
        features[f"{field!r}_difference"] = qt.difference(field, by=customer)
        features[f"{field!r}_difference_3"] = qt.difference(field, by=customer, order=3)
        features[f"{field!r}_difference_few"] = qt.difference(field, by=customer, where=few)
    for field in (Payment.tip, Payment.risk, Payment.foreign, Payment.country, Payment.terminal, Payment.note):
        features[f"{field!r}_run"] = qt.run_length(field, by=customer)
        features[f"{field!r}_run_with"] = qt.run_length(field, by=customer, include_current=True)
        features[f"{field!r}_changed"] = qt.changed(field, by=customer)
        features[f"{field!r}_changed_few"] = qt.changed(field, by=customer, where=few)
    for over in ("3s", "20s"):
        for field in (Payment.terminal, Payment.note, Payment.country):
            features[f"{field!r}_distinct_{over}"] = qt.distinct(field, by=customer, over=over, cap=2, up_to=8)
            features[f"{field!r}_exact_{over}"] = qt.distinct_is_exact(field, by=customer, over=over, cap=2, up_to=8)
        features[f"distinct_with_{over}"] = qt.distinct(
            Payment.country, by=pair, over=over, include_current=True, where=few
        )
    for name, options in (("", {}), ("_with", {"include_current": True}), ("_few", {"where": few})):
        features[f"decayed{name}"] = qt.decayed_count(by=customer, half_life="4s", **options)
        for field in (Payment.amount, Payment.tip, Payment.risk, Payment.foreign):
            for declare in (qt.decayed_sum, qt.decayed_mean, qt.decayed_variance):
                features[f"{field!r}_{declare.__name__}{name}"] = declare(field, by=customer, half_life="1s", **options)


def tight() -> qt.FeatureSet:
    """Rings of three rows and a memory of three ids: everything is soon full."""
    features = qt.FeatureSet(Payment, lateness="3s", row_limit=3, remembered_ids=3)
    features["count"] = qt.count(by=Payment.customer, over="10s", include_current=True)
    features["total"] = qt.sum(Payment.amount, by=Payment.customer, over="5s")
    features["risk"] = qt.mean(Payment.risk, by=Payment.customer, over="10s", delay="2s")
    features["least"] = qt.min(Payment.amount, by=Payment.customer, over="10s")
    features["greatest"] = qt.max(Payment.risk, by=Payment.customer, over="5s", include_current=True)
    features["spread"] = qt.variance(Payment.amount, by=Payment.customer, over="10s", delay="1s")
    features["terminal_share"] = qt.mean(Payment.present, by=Payment.terminal, over="10s")
    return features


def deciding() -> qt.FeatureSet:
    """Raw fields, kernels over them and over windows, and a forest over it all."""
    features = qt.FeatureSet(Payment, lateness="5s")
    features["strange"] = ratio(features["amount_to_usual"], 0.5)  # declared before what it needs
    for name in ("at", "amount", "tip", "cents", "risk", "foreign"):
        features[name] = Payment.schema.field(name)
    features["channel"] = Payment.channel
    features["country"] = Payment.country
    features["count_10s"] = qt.count(by=Payment.customer, over="10s", include_current=True)
    features["usual_10s"] = qt.mean(Payment.amount, by=Payment.customer, over="10s")
    features["amount_to_usual"] = ratio(Payment.amount, features["usual_10s"])
    features["hour"] = hour(Payment.at)
    features["damped"] = damped(Payment.risk, Payment.channel, features["count_10s"])
    features["terminal_5s"] = ratio(qt.sum(Payment.foreign, by=Payment.terminal, over="5s"), 2)
    return features


def risks() -> qt.FeatureSet:
    """What labels say of an entity and of a pair, beside windows and records of the same rows."""
    features = qt.FeatureSet(Payment, lateness="5s", row_limit=1_000, remembered_ids=12)
    add_risks(features)
    return features


def brief_risks() -> qt.FeatureSet:
    """The same with so little memory that rows, ids and entities are soon forgotten."""
    features = qt.FeatureSet(Payment, lateness="3s", expire_after="16s", row_limit=3, remembered_ids=5)
    add_risks(features)
    return features


def wide_risks() -> qt.FeatureSet:
    """The same with room for every event of a stream."""
    features = qt.FeatureSet(Payment, lateness="5s", row_limit=1_000, remembered_ids=1_000)
    add_risks(features)
    return features


def add_risks(features: qt.FeatureSet) -> None:
    pair = (Payment.customer, Payment.terminal)
    for what, window in (
        ("3s", {"by": Payment.customer, "over": "3s"}),
        ("10s", {"by": Payment.customer, "over": "10s"}),
        ("10s_after_5s", {"by": Payment.customer, "over": "10s", "delay": "5s"}),
        ("foreign", {"by": Payment.customer, "over": "10s", "where": Payment.foreign}),
        ("pair", {"by": pair, "over": "10s", "delay": "1us"}),
        ("pair_small", {"by": pair, "over": "5s", "delay": "3s", "where": small(Payment.amount)}),
    ):
        features[f"rate_{what}"] = qt.fraud_rate(**window)
        features[f"frauds_{what}"] = qt.fraud_count(**window)
        features[f"labels_{what}"] = qt.label_count(**window)
        features[f"count_{what}"] = qt.count(**window)
        features[f"sum_{what}"] = qt.sum(Payment.amount, **window)
    features["age"] = qt.age(by=Payment.customer)
    features["terminal_count"] = qt.count(by=Payment.terminal, over="10s")  # of a key that labels are not kept for


FEATURES_ONLY = (windows, spreads, lifetimes, brief_lifetimes, forgetful, tight, risks, brief_risks, wide_risks)
