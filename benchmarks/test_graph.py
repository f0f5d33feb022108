"""What graph features cost: payments of shared cards, devices and addresses, with degrees and with components."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import quickthorn as qt
from quickthorn.compiling import compile_bundle

START_US = 1_785_000_000_000_000
ROUNDS = 5
FRAUD_EVERY = 200
FIELDS = ("card", "device", "email")


class Payment(qt.Event):
    """A payment by three identifiers that are shared now and then."""

    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    device: qt.Entity | None
    email: qt.Entity | None
    amount: qt.Money


LINKED = qt.Component(Payment.card, Payment.device, Payment.email)
KINDS: dict[str, dict[str, Any]] = {
    "a count over 1 d by card": {},
    "degree ever, card to device": {"degree": qt.degree(Payment.card, to=Payment.device)},
    "degree over 30 d, card to device": {"degree": qt.degree(Payment.card, to=Payment.device, over="30d")},
    "component size": {"size": qt.component_size(LINKED)},
    "component size, of the card, and age": {
        "size": qt.component_size(LINKED, include_current=True),
        "card": qt.component_size(LINKED, of=Payment.card),
        "age": qt.component_age(LINKED),
    },
    "neighbour fraud rate, card to device": {"rate": qt.neighbour_fraud_rate(Payment.card, to=Payment.device)},
    "component size and frauds": {
        "size": qt.component_size(LINKED, include_current=True),
        "fraud": qt.component_fraud(LINKED),
    },
}


def payments(count: int) -> tuple[pa.Table, dict[str, Any]]:
    """Payments a second apart; a card keeps to a device and an address of its own, but for one in fifty payments."""
    random = np.random.default_rng(5)
    cards = random.integers(0, count // 8, count)
    owned = {"card": cards}
    for field in ("device", "email"):
        owned[field] = np.where(random.random(count) < 0.02, random.integers(0, count // 8, count), cards)
    columns = {field: pa.array([f"{field}-{number}" for number in owned[field]]) for field in FIELDS}
    return pa.table(
        {
            "event_id": np.arange(count),
            "at": START_US + np.arange(count) * 1_000_000,
            **columns,
            "amount": np.full(count, 1.0),
        }
    ), owned


def known_after_all(owned: dict[str, Any]) -> tuple[Any, Any]:
    """The size and the frauds of each payment's component once all payments are known, by SciPy."""
    most = int(max(numbers.max() for numbers in owned.values())) + 1
    nodes = [numbers + place * most for place, numbers in enumerate(owned.values())]
    one, other = np.concatenate([nodes[0], nodes[0]]), np.concatenate([nodes[1], nodes[2]])
    _, labels = connected_components(coo_array((np.ones(len(one)), (one, other)), shape=(3 * most, 3 * most)))
    seen = np.zeros(3 * most, bool)
    seen[np.concatenate(nodes)] = True
    component = labels[nodes[0]]
    fraud = np.arange(len(component)) % FRAUD_EVERY == 0
    return np.bincount(labels, weights=seen)[component], np.bincount(component, weights=fraud)[component]


def engine_of(kind: str, path: Path) -> qt.Engine:
    features = qt.FeatureSet(Payment)
    features["count"] = qt.count(by=Payment.card, over="1d")
    for name, feature in KINDS[kind].items():
        features[name] = feature
    if not path.exists():
        compile_bundle(features=features, output=path, target="x86-64-v2")
    return qt.Engine.load(path, allow_unsigned=True)


def test_the_cost_of_graph_features(tmp_path: Path, events_count: int, figure: Callable[[str], None]) -> None:
    measured = events_count > 2_000
    events, owned = payments(events_count)
    kinds = list(KINDS) if measured else list(KINDS)[-1:]
    best = dict.fromkeys(kinds, float("inf"))
    engines: dict[str, qt.Engine] = {}
    for _ in range(ROUNDS if measured else 1):
        for kind in kinds:
            engines[kind] = engine_of(kind, tmp_path / f"{list(KINDS).index(kind)}.qt")
            found = np.empty((len(engines[kind].manifest.features), events.num_rows))
            start_ns = time.perf_counter_ns()
            engines[kind]._run_batch(events, "replay", found)
            best[kind] = min(best[kind], (time.perf_counter_ns() - start_ns) / events.num_rows)
            assert np.isfinite(found[0]).all()
    end_us = START_US + events_count * 1_000_000
    frauds = np.arange(0, events_count, FRAUD_EVERY)
    labels = {"event_id": frauds, "fraud": np.full(len(frauds), True), "available_at": np.full(len(frauds), end_us)}
    assert engines[kinds[-1]].label_batch(pa.table(labels)) == ()
    again = events.set_column(0, "event_id", pa.array(np.arange(events_count) + events_count))
    again = again.set_column(1, "at", pa.array(np.full(events_count, end_us)))
    found = np.empty((len(engines[kinds[-1]].manifest.features), again.num_rows))
    engines[kinds[-1]]._run_batch(again, "replay", found)
    np.testing.assert_array_equal(found[1:], np.vstack(known_after_all(owned)))
    base = best[kinds[0]]
    figure(f"payments of {len(FIELDS)} entities, replayed, ns each: {base:.0f} with {kinds[0]}; on top of that:")
    for kind in kinds[1:]:
        figure(f"  {kind:<44}{best[kind] - base:6.0f} ns")
    figure(f"  largest of {len(np.unique(found[1])):,} different sizes: {found[1].max():.0f}")


def test_single_reads_and_updates(tmp_path: Path, events_count: int, latencies: Callable[[str, Any], None]) -> None:
    events, _ = payments(events_count // 4)
    engine = engine_of("component size, of the card, and age", tmp_path / "all.qt")
    rows = events.to_pylist()
    read_ns, observe_ns = np.empty(len(rows)), np.empty(len(rows))
    sizes = []
    for place, event in enumerate(rows):
        start_ns = time.perf_counter_ns()
        found = engine._read_features(event)
        between_ns = time.perf_counter_ns()
        engine.observe(event)
        observe_ns[place] = time.perf_counter_ns() - between_ns
        read_ns[place] = between_ns - start_ns
        sizes.append(found[1])
    assert min(sizes) == 3.0
    latencies("features of a payment with components, hot", read_ns)
    latencies("observe a payment with components, hot", observe_ns)
