"""The native engine and the executable specification side by side, over a few bundles compiled once per session."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.decision.policy import Policy
from quickthorn.errors import EventError
from quickthorn.features.decay import Decayed
from quickthorn.features.declare import Application
from quickthorn.features.distinct import Distinct
from quickthorn.features.kept import Kept
from quickthorn.features.sequence import Difference
from quickthorn.features.spread import Spread
from quickthorn.features.tiles import Tiled
from quickthorn.features.velocity import Aggregate
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.importing import load_model
from quickthorn.reference import ReferenceEngine
from quickthorn.reference.decay import weighed_values
from quickthorn.reference.event import Row, read_event
from quickthorn.reference.features import Moment
from quickthorn.reference.sequence import values

# Below it a float has no nine digits left.
SMALLEST = 1e-300
POLICY = '[thresholds]\nreview = 0.4\ndecline = 0.6\n\n[fallback]\ninvalid = "decline"\n'


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


FEATURES_ONLY = (windows, spreads, lifetimes, brief_lifetimes, forgetful, tight)


@dataclass(frozen=True)
class Specimen:
    """One compiled bundle and what it was compiled from."""

    path: Path
    features: qt.FeatureSet
    ensemble: Ensemble | None
    policy: Policy | None


class Pair:
    """A native engine and a reference engine that are told the same things and must say the same."""

    def __init__(self, specimen: Specimen) -> None:
        self.native: Any = qt.Engine.load(specimen.path)
        self.reference = ReferenceEngine(specimen.features, specimen.ensemble, specimen.policy)
        self.decides = specimen.ensemble is not None

    def tell(self, operation: str, event: object) -> None:
        """Hold the features at this moment against each other, then both engines' answer to the operation."""
        self.compare_features(event)
        if operation == "observe":
            assert self.native.observe(event) == self.reference.observe(event)
        elif operation in ("decide", "score") and self.decides:
            self.compare_decisions(getattr(self.native, operation)(event), getattr(self.reference, operation)(event))

    def compare_features(self, event: object) -> None:
        """The same feature vector, or the same field at fault."""
        try:
            row = read_event(self.reference.schema, event)
        except EventError as error:
            with pytest.raises(EventError) as caught:
                self.native.features(event)
            assert_same_fault(str(caught.value), str(error))
            return
        native, expected = self.native.features(event), self.reference.features(event)
        assert list(native) == list(expected)
        for name, value in expected.items():
            assert is_near(native[name], value, self.allowance(name, row, value)), (name, native[name], value)

    def compare_decisions(self, native: Any, expected: Any) -> None:
        """The same decision in every part: this bundle's features are exact, so its margins agree to the last bit."""
        assert native.status == expected.status
        assert native.outcome == expected.outcome
        assert is_near(native.margin, expected.margin, 0.0)
        assert is_near(native.score, expected.score, 1e-15)
        assert (native.error is None) == (expected.error is None)
        if expected.error is not None:
            assert_same_fault(native.error, expected.error)

    def allowance(self, name: str, row: Row, value: float) -> float:
        """How far a feature may be off: nothing where it is exact, 1e-9 of the largest term where numbers are added."""
        expression = self.reference.expressions[name]
        if isinstance(expression, (Application, Spread)):
            return 1e-9 * abs(value) + SMALLEST
        if isinstance(expression, Decayed):
            return 1e-9 * self.largest_term(expression, row, value) + SMALLEST
        if isinstance(expression, Tiled):
            return 1e-9 * self.largest_tiled(expression, row, value)
        if isinstance(expression, Distinct):
            # An estimate; here it is only to be about right.
            return 0.0 if value <= expression.cap else 8.0 * value
        if isinstance(expression, Difference):
            return 1e-9 * self.largest_value(expression, row)
        if not isinstance(expression, Aggregate) or not isinstance(expression.field, qt.Number):
            return 0.0
        (group,) = (group for group in self.reference.groups if expression in group.kept)
        if group.leaves_out(row):
            return 0.0
        window = group.moment(row, with_current=True).window(expression)
        terms: list[float] = [
            abs(kept[expression.field.name]) for kept in window if kept[expression.field.name] is not None
        ]
        return 1e-9 * max(abs(value), *terms, 0.0)

    def moment(self, expression: Kept, row: Row) -> Moment:
        (group,) = (group for group in self.reference.groups if expression in group.kept)
        return group.moment(row, with_current=not self.reference.is_duplicate(row))

    def largest_tiled(self, expression: Tiled, row: Row, value: float) -> float:
        """The largest number that a tiled sum could be of; nothing where it is exact."""
        if not isinstance(expression.field, qt.Number):
            return 0.0
        ever = self.moment(expression, row).lifetime(expression)
        return max((abs(float(kept[expression.field.name] or 0.0)) for kept in ever), default=abs(value))

    def largest_value(self, expression: Difference, row: Row) -> float:
        """The largest value that a difference is of, every weight of it included."""
        found = values(expression, expression.field, self.moment(expression, row))[-expression.order - 1 :]
        return float(2**expression.order * max((abs(value) for value in found), default=0))

    def largest_term(self, expression: Decayed, row: Row, value: float) -> float:
        """The largest weighed value in a decayed sum, mean or variance."""
        weighed = weighed_values(expression, self.moment(expression, row))
        weights = sum(weight for weight, _ in weighed) if expression.kind in ("mean", "variance") else Fraction(1)
        power = 2 if expression.kind == "variance" else 1
        return max((float(weight * abs(found) ** power / weights) for weight, found in weighed), default=abs(value))


def is_near(found: float, expected: float, allowance: float) -> bool:
    if math.isnan(expected) or math.isinf(expected):
        return found == expected or (math.isnan(found) and math.isnan(expected))
    return abs(found - expected) <= allowance


def assert_same_fault(native: str, expected: str) -> None:
    """Both sentences name the same field and say what was expected and found."""
    assert native.split(":")[0] == expected.split(":")[0]
    assert ": expected " in native
    assert ", found " in native
    assert "\n" not in native


@pytest.fixture(scope="session")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Specimen]:
    """Bundles by name: those of FEATURES_ONLY, and "deciding" with a model and a policy."""
    folder = tmp_path_factory.mktemp("bundles")
    made = {}
    for declare in FEATURES_ONLY:
        name, features = declare.__name__, declare()
        compile_bundle(features=features, output=folder / f"{name}.qt")
        made[name] = Specimen(folder / f"{name}.qt", features, None, None)

    features, policy = deciding(), folder / "policy.toml"
    policy.write_text(POLICY)
    model = trained_model(features)
    compile_bundle(features=features, model=model, policy=policy, output=folder / "deciding.qt")
    made["deciding"] = Specimen(folder / "deciding.qt", features, load_model(model).ensemble, Policy.from_toml(policy))
    return made


@pytest.fixture(scope="session")
def new_pair(specimens: dict[str, Specimen]) -> Callable[[str], Pair]:
    """Makes a fresh pair of engines over the bundle of that name."""
    return lambda name: Pair(specimens[name])


def trained_model(features: qt.FeatureSet) -> Any:
    """A small XGBoost classifier with splits on every feature, fitted to noise over the ranges that the tests use."""
    xgboost = pytest.importorskip("xgboost", reason="the model of the test bundle is an XGBoost one")
    rng = np.random.default_rng(7)
    rows = rng.normal(0.0, 3.0, (2_000, len(features)))
    rows[:, features.names.index("at")] = rng.integers(0, 30_000_000, len(rows))
    rows[:, features.names.index("amount")] = rng.exponential(50.0, len(rows))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    labels = rng.random(len(rows)) < 1.0 / (1.0 + np.exp(-np.nansum(rows[:, 2:], axis=1) / 10.0))
    model = xgboost.XGBClassifier(n_estimators=30, max_depth=4, n_jobs=1, random_state=7)
    return model.fit(rows, labels)
