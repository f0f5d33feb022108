"""Degrees and components: the native engine says what the specification says, whatever links what in whatever order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.engine.conftest import Pair, Specimen

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.errors import LabelError
from quickthorn.replay import replay

S = 1_000_000
KEY = bytes(range(16))
STEPS_US = [
    *(0, 0, 0, 1, -1, S, S, 2 * S, 3 * S, 5 * S, 12 * S, 12 * S - 1),
    *(-S, -3 * S, -5 * S, -5 * S - 1, -20 * S),
]
# When labels become known, seen from the event that was told last.
LABEL_STEPS_US = [0, 0, -S, 1, S, 2 * S, 5 * S, -20 * S, 12 * S]


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    device: qt.Entity | None
    email: qt.Entity | None
    amount: qt.Money
    online: qt.Boolean | None


def add_components(features: qt.FeatureSet, cap: int) -> qt.FeatureSet:
    """Everything that can be read of two components, one of them with a cap."""
    for what, linked in (
        ("all", qt.Component(Payment.email, Payment.card, Payment.device, cap=cap)),
        ("two", qt.Component(Payment.device, Payment.email)),
    ):
        for of in (None, *linked.entities):
            for with_current in (False, True):
                name = f"{what}_{of}_{with_current}"
                features[f"size_{name}"] = qt.component_size(linked, of=of, include_current=with_current)
                features[f"age_{name}"] = qt.component_age(linked, of=of, include_current=with_current)
                features[f"fraud_{name}"] = qt.component_fraud(linked, of=of, include_current=with_current)
    return features


def graph() -> qt.FeatureSet:
    """Components, and degrees of every kind."""
    features = add_components(qt.FeatureSet(Payment, lateness="5s", remembered_ids=1_000), cap=1_000)
    for over in ("3s", None):
        features[f"degree_{over}"] = qt.degree(Payment.card, to=Payment.device, over=over, cap=3, up_to=12)
        features[f"exact_{over}"] = qt.degree_is_exact(Payment.card, to=Payment.device, over=over, cap=3, up_to=12)
        features[f"with_{over}"] = qt.degree(Payment.device, to=Payment.card, over=over, include_current=True)
        features[f"rate_{over}"] = qt.neighbour_fraud_rate(Payment.card, to=Payment.device, over=over, cap=3)
        features[f"rate_with_{over}"] = qt.neighbour_fraud_rate(
            Payment.device, to=Payment.email, over=over, cap=2, include_current=True
        )
    features["online_rate"] = qt.neighbour_fraud_rate(Payment.device, to=Payment.card, where=Payment.online)
    features["online"] = qt.degree(Payment.device, to=Payment.card, where=Payment.online)
    features["pair_degree"] = qt.degree((Payment.card, Payment.device), to=Payment.email)
    return features


def capped_graph() -> qt.FeatureSet:
    """Components of at most four, and nothing late is let in."""
    return add_components(qt.FeatureSet(Payment, remembered_ids=1_000), cap=4)


def forgetful_graph() -> qt.FeatureSet:
    features = qt.FeatureSet(Payment, lateness="5s", expire_after="12s", remembered_ids=1_000)
    linked = qt.Component(Payment.card, Payment.device, Payment.email, cap=5)
    for of in (None, Payment.card, Payment.email):
        features[f"size_{of}"] = qt.component_size(linked, of=of)
        features[f"with_{of}"] = qt.component_size(linked, of=of, include_current=True)
        features[f"age_{of}"] = qt.component_age(linked, of=of)
        features[f"fraud_{of}"] = qt.component_fraud(linked, of=of)
    features["rate"] = qt.neighbour_fraud_rate(Payment.card, to=Payment.device)
    features["degree"] = qt.degree(Payment.card, to=Payment.device)
    return features


GRAPHS = (graph, capped_graph, forgetful_graph)
NAMES = [declare.__name__ for declare in GRAPHS]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Specimen]:
    folder = tmp_path_factory.mktemp("graphs")
    made = {}
    for declare in GRAPHS:
        path, features = folder / f"{declare.__name__}.qt", declare()
        compile_bundle(features=features, output=path, target="x86-64-v2")
        made[declare.__name__] = Specimen(path, features, None, None)
    return made


@pytest.fixture(scope="module")
def new_pair(graphs: dict[str, Specimen]) -> Callable[[str], Pair]:
    return lambda name: Pair(graphs[name])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Events of a few names, the same ones in every field, with ties, late ones, retries and missing entities."""
    at = draw(st.sampled_from([0, 1_785_000_000_000_000, -(2**61) + 300 * S, 2**61 - 400 * S]))
    names = st.sampled_from(list(range(draw(st.sampled_from([2, 6])))))
    fields = st.fixed_dictionaries(
        {"card": names, "amount": st.just(1)},
        optional={
            "device": st.one_of(st.none(), names),
            "email": st.one_of(st.none(), names),
            "online": st.booleans(),
        },
    )
    history = []
    for number in range(draw(st.integers(1, 25))):
        at = max(-(2**61), min(2**61, at + draw(st.sampled_from(STEPS_US))))
        event = {"event_id": draw(st.sampled_from([number] * 6 + [number - 1])), "at": at, **draw(fields)}
        history.append((draw(st.sampled_from(["observe", "observe", "observe", "read"])), event))
        if draw(st.integers(0, 2)) == 0:
            available_us = max(-(2**61), min(2**61, at + draw(st.sampled_from(LABEL_STEPS_US))))
            label = (draw(st.sampled_from([number, number - 1, number // 2, number + 1])), draw(st.booleans()))
            history.append(("label", {"event_id": label[0], "fraud": label[1], "available_at": available_us}))
    return history


@pytest.mark.parametrize("name", NAMES)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.target],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(history=histories())
def test_any_history_links_what_the_specification_links(
    new_pair: Callable[[str], Pair], name: str, history: list[tuple[str, dict[str, Any]]]
) -> None:
    pair = new_pair(name)
    for operation, told in history:
        if operation != "label":
            pair.tell(operation, told)
            continue
        try:
            pair.reference.label(**told)
        except LabelError:
            with pytest.raises(LabelError):
                pair.native.label(**told)
        else:
            pair.native.label(**told)


def test_every_short_history_of_a_small_component(new_pair: Callable[[str], Pair]) -> None:
    """Links in every order of three, up to the cap and beyond it, late ones and missing entities among them."""
    pair = new_pair("capped_graph")
    moves = [(0, "a", None), (S, "b", "a"), (0, "c", "b"), (-S, "a", "c"), (S, None, "a")]
    for history, chosen in enumerate(itertools.product(moves, repeat=3)):
        at = 100 * S * history
        for number, (step_us, device, email) in enumerate(chosen):
            at += step_us
            pair.tell(
                "observe",
                {
                    "event_id": f"{history}-{number}",
                    "at": at,
                    "card": f"{history}-{number // 2}",
                    "device": device and f"{history}-{device}",
                    "email": email and f"{history}-{email}",
                    "amount": 1,
                },
            )
    counters = pair.native.counters()
    assert counters["over_cap"] > 0
    assert counters["late_left_out"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_replay_in_any_batches_is_one_event_after_the_other(graphs: dict[str, Specimen], name: str) -> None:
    random = np.random.default_rng(4)
    count = 400
    at = np.cumsum(random.choice([0, 0, S // 2, S, 3 * S], count)) - random.choice([0, 0, 0, S, 4 * S, 9 * S], count)
    fields = {
        field: pa.array([None if number > 12 else f"{number}" for number in random.integers(0, most, count)])
        for field, most in (("card", 13), ("device", 16), ("email", 20))
    }
    table = pa.table({"event_id": np.arange(count), "at": at, **fields, "amount": np.ones(count)})

    def replayed(size: int) -> Any:
        engine = qt.Engine.load(graphs[name].path, hash_key=KEY, allow_unsigned=True)
        return pa.concat_tables([replay(engine, table.slice(first, size)) for first in range(0, count, size)])

    engine = qt.Engine.load(graphs[name].path, hash_key=KEY, allow_unsigned=True)
    rows = []
    for event in table.to_pylist():
        rows.append(list(engine.features(event).values()))
        engine.observe(event)
    for found in (replayed(count), replayed(37)):
        for column, values in zip(graphs[name].features.names, np.array(rows).T, strict=True):
            np.testing.assert_array_equal(found[column].to_numpy(), values, err_msg=column)


def test_a_link_that_is_left_out_is_counted_and_visible(new_pair: Callable[[str], Pair]) -> None:
    engine = new_pair("capped_graph").native

    def observe(number: int, **entities: str) -> str:
        status: str = engine.observe({"event_id": number, "at": number, "amount": 1, **entities})
        return status

    assert observe(1, card="a", device="a", email="a") == "ok"
    assert observe(2, card="b", device="b", email="b") == "ok"
    assert observe(3, card="a", device="b") == "capped"
    assert engine.counters()["over_cap"] == 1
    assert (engine.counters()["out_of_space"], engine.counters()["late_left_out"]) == (0, 0)


def test_what_is_saved_and_restored_goes_on_as_if_nothing_had_been(graphs: dict[str, Specimen], tmp_path: Path) -> None:
    pair = Pair(graphs["graph"])
    pair.native = qt.Engine.load(graphs["graph"].path, hash_key=KEY, allow_unsigned=True)
    random = np.random.default_rng(8)
    for number in range(80):
        if number == 40:
            pair.native.save_state(tmp_path / "state")
            pair.native = qt.Engine.load(graphs["graph"].path, hash_key=KEY, allow_unsigned=True)
            pair.native.restore_state(tmp_path / "state")
        card, device, email, labelled = (int(drawn) for drawn in random.integers(0, [30, 30, 30, number + 1]))
        event = {"event_id": number, "at": number * S, "card": card, "device": device, "email": email, "amount": 1}
        pair.tell("observe", event)
        for engine in (pair.native, pair.reference):
            engine.label(labelled, True, (number + 5) * S)


@pytest.mark.parametrize("name", NAMES)
def test_many_labels_are_known_from_their_time_on(new_pair: Callable[[str], Pair], name: str) -> None:
    """Labels of old events and new, for this second and others, told, repeated and taken back, between all events."""
    pair = new_pair(name)
    random = np.random.default_rng(6)
    for number in range(150):
        card, device, email = (int(drawn) for drawn in random.integers(0, 6, 3))
        at = number * S - int(random.choice([0, 0, 0, S, 3 * S]))
        event = {"event_id": number, "at": at, "card": card, "device": device, "email": email, "amount": 1}
        pair.tell("observe", event if number % 7 else {**event, "device": None})
        for _ in range(2):
            labelled, fraud = int(random.integers(max(0, number - 20), number + 1)), bool(random.random() < 0.6)
            available_us = (number + int(random.integers(-2, 4))) * S
            for engine in (pair.native, pair.reference):
                engine.label(labelled, fraud, available_us)
