"""Measuring a bundle: the right number of calls, a budget that is kept or not, and events that fit the schema."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.errors import BudgetError
from quickthorn.lifecycle import Budget, Latency, Percentiles, measure_latency, sample_events


class Payment(qt.Event):
    """Every kind of field there is."""

    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    refund: qt.Money = qt.field(signed=True, minor_units=True, scale=0)
    distance_km: qt.Number | None = None
    channel: qt.Category = qt.field(values=("pos", "web"), closed=True)
    country: qt.Category | None = qt.field(values=("DE", "FR"))
    email: qt.Text
    card_present: qt.Boolean


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two features of a payment."""
    features = qt.FeatureSet(Payment)
    features["amount"] = Payment.amount
    features["count_1h"] = qt.count(by=Payment.customer, over="1h")
    path = tmp_path_factory.mktemp("bundle") / "payments.qt"
    compile_bundle(features=features, output=path, target="x86-64-v2")
    return path


def test_made_up_events_fit_any_schema(bundle: Path) -> None:
    engine = qt.Engine.load(bundle, errors="raise", allow_unsigned=True)
    events = sample_events(engine.manifest.schema, 400)
    assert {engine.observe(event) for event in events} == {"ok"}
    columns = {name: {event[name] for event in events} for name in events[0]}
    assert columns["channel"] == {"pos", "web"}
    assert columns["country"] == {"DE", "FR", "none of these", None}
    assert columns["card_present"] == {True, False}
    assert None in columns["distance_km"]
    assert None not in columns["email"]
    assert min(columns["refund"]) < 0


def test_made_up_events_go_on_where_they_stopped(bundle: Path) -> None:
    schema = qt.Engine.load(bundle, allow_unsigned=True).manifest.schema
    events = sample_events(schema, 50, seed=3) + sample_events(schema, 50, seed=3, first=50)
    assert len({event["event_id"] for event in events}) == 100
    assert events == sample_events(schema, 50, seed=3) + sample_events(schema, 50, seed=3, first=50)
    assert events[:50] != sample_events(schema, 50, seed=4)


def test_every_call_is_counted_once(bundle: Path) -> None:
    engine = qt.Engine.load(bundle, allow_unsigned=True)
    latency = measure_latency(engine, sample_events(engine.manifest.schema, 200), cold_calls=7)
    # A tenth warms up, the last are cold.
    assert (latency.hot.calls, latency.cold.calls) == (173, 7)
    for found in (latency.hot, latency.cold):
        assert 0 < found.p50_us <= found.p99_us <= found.p999_us <= found.max_us
    assert engine.counters()["observed"] == 200


def test_percentiles_are_numpy_s() -> None:
    found = Percentiles.of([1_000 * call for call in range(1, 1001)])
    expected = np.percentile(np.arange(1, 1001), [50, 99, 99.9])
    assert (found.calls, found.max_us) == (1000, 1000.0)
    np.testing.assert_allclose((found.p50_us, found.p99_us, found.p999_us), expected)


def test_a_budget_names_what_was_over_it(tmp_path: Path) -> None:
    (tmp_path / "budget.toml").write_text("[hot]\np50_us = 2\np99_us = 9.5\n[cold]\nmax_us = 100\n")
    budget = Budget.from_toml(tmp_path / "budget.toml")
    good = Percentiles(calls=10, p50_us=2.0, p99_us=9.5, p999_us=50.0, max_us=100.0)
    slow = Percentiles(calls=10, p50_us=1.0, p99_us=9.51, p999_us=50.0, max_us=101.0)
    assert budget.broken_by(Latency(hot=good, cold=good)) == ()
    assert budget.broken_by(Latency(hot=slow, cold=slow)) == (
        "hot.p99_us: expected at most 9.5 µs, found 9.51 µs",
        "cold.max_us: expected at most 100 µs, found 101.00 µs",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a limit such as hot.p99_us, found none"),
        ("[hot", "expected TOML, found a syntax error"),
        ("[warm]\np50_us = 1", "unknown field `warm`"),
        ("[hot]\np95_us = 1", "hot: object contains unknown field `p95_us`"),
        ("[hot]\np50_us = 0", "p50_us"),
        ('[hot]\np50_us = "soon"', "p50_us"),
    ],
)
def test_a_wrong_budget_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "budget.toml").write_text(text)
    with pytest.raises(BudgetError) as refused:
        Budget.from_toml(tmp_path / "budget.toml")
    assert "budget.toml: " in str(refused.value)
    assert message in str(refused.value)


def test_what_cannot_be_measured_is_refused(bundle: Path, tmp_path: Path) -> None:
    engine = qt.Engine.load(bundle, allow_unsigned=True)
    events = sample_events(engine.manifest.schema, 20)
    with pytest.raises(BudgetError, match="expected at least 10 to measure with, found 9"):
        measure_latency(engine, events[:9])
    with pytest.raises(BudgetError, match="expected events that fit the bundle's schema, found 1 that do not"):
        measure_latency(engine, [*events, {"event_id": "x"}])
    with pytest.raises(BudgetError, match=r"none\.toml: expected a readable budget file"):
        Budget.from_toml(tmp_path / "none.toml")
