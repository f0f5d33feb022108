"""Labels, signals and components are part of what is saved: an engine that goes on from it has never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.engine.signal_sets import Bureau, Payment, S, loaded

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.errors import LabelError

# With room for all that happens, and with so little that keys, ids, rows and members are soon left out or forgotten.
LIMITS: dict[str, dict[str, Any]] = {
    "ample": {"lateness": "5s", "remembered_ids": 100},
    "brief": {"lateness": "3s", "expire_after": "12s", "row_limit": 3, "remembered_ids": 4},
}


def told_features(name: str) -> qt.FeatureSet:
    """What is read of labels, of components and neighbours with their frauds, and of signals."""
    features = qt.FeatureSet(Payment, **LIMITS[name])
    linked = qt.Component(Payment.payer, Payment.payee, cap=3 if name == "brief" else 100)
    for by in (Payment.payer, Payment.payee):
        features[f"rate_{by!r}"] = qt.fraud_rate(by=by, over="10s", delay="1s")
        features[f"labels_{by!r}"] = qt.label_count(by=by, over="3s")
        features[f"size_{by!r}"] = qt.component_size(linked, of=by, include_current=True)
        features[f"age_{by!r}"] = qt.component_age(linked, of=by)
        features[f"fraud_{by!r}"] = qt.component_fraud(linked, of=by)
        features[f"score_{by!r}"] = qt.signal_value(Bureau.score, by=by, ttl="10s")
        features[f"debt_{by!r}"] = qt.signal_status(Bureau.debt, by=by, ttl="3s")
    features["neighbours"] = qt.neighbour_fraud_rate(Payment.payer, to=Payment.payee, over="10s", cap=2)
    features["degree"] = qt.degree(Payment.payee, to=Payment.payer)
    return features


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("told")
    for name in LIMITS:
        compile_bundle(features=told_features(name), output=folder / name, target="x86-64-v2")
    return {name: folder / name for name in LIMITS}


keys = st.sampled_from(["a", "b", 7, "c"])
steps = st.sampled_from([0, 0, 1, S, S, 3 * S, 10 * S, 12 * S, -1, -S, -3 * S, -6 * S])
# How far back the event of that id was, and how long after now its label is known.
events = st.tuples(st.just("event"), st.sampled_from([0, 0, 0, 0, 1, 2]), st.tuples(keys, st.one_of(st.none(), keys)))
labels = st.tuples(st.just("label"), st.integers(0, 5), st.tuples(st.booleans(), steps))
signals = st.tuples(st.just("signal"), keys, st.fixed_dictionaries({"score": st.integers(-5, 5)}))
histories = st.lists(st.tuples(steps, st.one_of(events, events, labels, labels, signals)), min_size=4, max_size=30)


def tell(engine: Any, number: int, at: int, what: tuple[str, Any, Any]) -> tuple[Any, ...]:
    """All that an engine says when it is told the step of that number, and of every key after it."""
    kind, which, values = what
    if kind == "event":
        said = engine.observe({"event_id": number - which, "at": at, "payer": values[0], "payee": values[1]})
    elif kind == "signal":
        said = engine.signal(Bureau, which, values, at)
    else:
        try:
            said = engine.label(number - which, values[0], at + values[1])
        except LabelError as error:
            said = str(error)
    probes = [{"event_id": "probe", "at": at, "payer": payer, "payee": "b"} for payer in ("a", 7)]
    return said, *(tuple(map(repr, engine.features(probe).values())) for probe in probes)


@pytest.mark.parametrize("name", LIMITS)
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(history=histories, place=st.integers(0, 30))
def test_saved_and_restored_with_labels_signals_and_components_is_never_stopped(
    bundles: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    history: list[tuple[int, tuple[str, Any, Any]]],
    place: int,
) -> None:
    saved = tmp_path_factory.getbasetemp() / "told.state"
    engine, other = loaded(bundles[name]), None
    at = 1_785_000_000 * S
    for number, (step, what) in enumerate(history):
        if number == min(place, len(history) - 1):
            engine.save_state(saved)
            other = loaded(bundles[name], state=saved)
            assert other.counters() == engine.counters()
        at += step
        said = tell(engine, number, at, what)
        if other is not None:
            assert tell(other, number, at, what) == said
    assert other is not None
    engine.save_state(saved)
    before = saved.read_bytes()
    other.save_state(saved)
    assert saved.read_bytes() == before
