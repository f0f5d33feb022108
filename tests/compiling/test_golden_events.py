"""Golden events: what their story holds, and that a bundle whose features are not the reference's is never written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

import quickthorn as qt
from quickthorn.bundle import read_bundle
from quickthorn.bundle.golden_events import GoldenDecision, GoldenStep, decode_lines
from quickthorn.compiling import compile_bundle, proving
from quickthorn.compiling.golden_events import golden_events
from quickthorn.compiling.golden_story import golden_story
from quickthorn.decision import Fallback, Policy, Rule, Thresholds
from quickthorn.decision.compiled import compile_conditions
from quickthorn.decision.policy_file import PolicySource
from quickthorn.errors import BundleError, FeatureError
from quickthorn.features.plan import plan

HOUR_US = 3_600_000_000


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    device: qt.Entity | None
    amount: qt.Money
    weight: qt.Number | None
    channel: qt.Category = qt.field(values=("web", "app"), closed=True)
    country: qt.Category | None = qt.field(values=("de", "fr"))


class Bureau(qt.Signal):
    person: qt.Entity
    score: qt.Number | None


def every_kind() -> qt.FeatureSet:
    features = qt.FeatureSet(Payment, lateness="1h")
    features["amount"] = Payment.amount
    features["country"] = Payment.country
    features["count"] = qt.count(by=Payment.customer, over="1d")
    features["mean"] = qt.mean(Payment.weight, by=Payment.customer, over="1d", include_current=True)
    features["devices"] = qt.distinct(Payment.device, by=Payment.customer, over="30d", cap=2, up_to=8)
    features["frauds"] = qt.fraud_count(by=Payment.customer, over="30d")
    features["score"] = qt.signal_value(Bureau.score, by=Payment.customer, ttl="2d")
    return features


def told() -> list[GoldenStep]:
    features = every_kind()
    policy = Policy(
        thresholds=Thresholds(least={"review": 0.5}),
        fallback=Fallback(invalid="review"),
        block=(Rule(name="large", when="amount > 250 and country in ('fr', 'xx')"),),
    )
    conditions = compile_conditions(PolicySource(policy), features.schema.fields, features.names)
    return list(golden_story(features, plan(features), conditions))


def test_the_story_has_every_edge_and_is_always_the_same() -> None:
    steps = told()
    assert [msgspec.json.encode(step) for step in steps] == [msgspec.json.encode(step) for step in told()]
    events: list[dict[str, Any]] = [msgspec.json.decode(step.event) for step in steps if step.event]
    assert len(events) >= 256
    known = [event for event in events if isinstance(event.get("at"), int)]
    ids, times = [event.get("event_id") for event in events], [event["at"] for event in known]
    assert len({str(event_id) for event_id in ids}) < len(ids) - 5
    assert len(set(times)) < len(times) - 20
    late_us = {known[row - 1]["at"] - event["at"] for row, event in enumerate(known) if row}
    assert {1, HOUR_US, HOUR_US + 1} <= late_us
    amounts = [event.get("amount") for event in events]
    assert {"249.99", "250.00", "250.01", "0.00", "0.01", "87960930222.08"} <= {text for text in amounts if text}
    assert {None, "de", "fr", "xx", "none of these"} <= {event.get("country") for event in events}
    assert {"present", "null", "left out"} == {
        "left out" if "weight" not in event else "null" if event["weight"] is None else "present" for event in events
    }
    assert sum(step.label is not None for step in steps) > 20
    assert sum(step.signal is not None for step in steps) > 20


def test_the_reference_meets_every_status_and_fills_every_feature() -> None:
    features = every_kind()
    found = golden_events(features, plan(features))
    statuses = [decision.status for decision in found.statuses()]
    assert {"ok", "late", "duplicate", "invalid"} <= set(statuses)
    for name, column in zip(features.names, found.vectors.T, strict=True):
        assert len({value for value in column.tolist() if not math.isnan(value)}) > 2, name
    estimated = [decision.estimated for decision in found.statuses()]
    assert {(), ("devices",)} == set(estimated)


def test_a_bundle_of_features_is_held_to_its_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_bundle(features=every_kind(), output=tmp_path / "features.qt", target="x86-64-v2")
    honest = read_bundle(tmp_path / "features.qt")
    assert honest.manifest.golden_events == 256
    assert len(decode_lines(honest.members["golden/decisions.jsonl"], GoldenDecision, "decisions")) == 256

    def miscounting(*given: Any) -> Any:
        events = golden_events(*given)
        events.vectors[200, 2] += 1.0
        return events

    monkeypatch.setattr(proving, "golden_events", miscounting)
    with pytest.raises(BundleError, match=r"golden event 200 \(\{.*\): expected feature count \d+\.0, found \d+\.0"):
        compile_bundle(features=every_kind(), output=tmp_path / "wrong.qt", target="x86-64-v2")
    assert not (tmp_path / "wrong.qt").exists()


def test_a_kernel_that_fails_as_plain_python_is_refused_by_what_it_says() -> None:
    @qt.kernel
    def counted(amount):  # type: ignore[no-untyped-def]
        return [0.0, 1.0][int(amount)]

    features = qt.FeatureSet(Payment)
    features["counted"] = counted(Payment.amount)
    with pytest.raises(FeatureError, match=r"kernels that run as plain Python too, .*found IndexError: list index"):
        golden_events(features, plan(features))


def test_what_hangs_on_rounding_is_left_out_and_nothing_else() -> None:
    features = qt.FeatureSet(Payment)
    features["mean"] = qt.mean(Payment.weight, by=Payment.customer, over="1d", include_current=True)
    features["count"] = qt.count(by=Payment.customer, over="1d")
    events = golden_events(features, plan(features))
    place = next(row for row, vector in enumerate(events.vectors) if vector[0] > 1.0 and vector[1] > 0.0)
    events.vectors[place, 0] = 1e-9
    rows = [tuple(vector) for vector in events.vectors.tolist()]
    rows[place] = (2e-9, rows[place][1])
    (settled,) = events.settled(events.statuses(), rows, None)[place : place + 1]
    assert settled.estimated == ("mean",)
    rows[place] = (1e-9, rows[place][1] + 1.0)
    assert events.settled(events.statuses(), rows, None)[place].estimated == ()
