"""The specification's graph features against examples worked out by hand, rule by rule."""

from __future__ import annotations

import math
from typing import Any

import quickthorn as qt
from quickthorn.reference import ReferenceEngine

S = 1_000_000


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity | None = None
    device: qt.Entity | None = None
    email: qt.Entity | None = None


LINKED = qt.Component(Payment.card, Payment.device, Payment.email)


def engine_with(options: dict[str, Any] | None = None, **features: Any) -> ReferenceEngine:
    declared = qt.FeatureSet(Payment, **(options or {}))
    for name, feature in features.items():
        declared[name] = feature
    return ReferenceEngine(declared)


def pay(number: int, second: float, card: Any = None, device: Any = None, email: Any = None) -> dict[str, Any]:
    return {"event_id": number, "at": int(second * S), "card": card, "device": device, "email": email}


def test_a_degree_counts_different_neighbours_ever_or_over_a_window() -> None:
    engine = engine_with(
        ever=qt.degree(Payment.card, to=Payment.device),
        lately=qt.degree(Payment.card, to=Payment.device, over="10s"),
        after=qt.degree(Payment.card, to=Payment.device, include_current=True),
        back=qt.degree(Payment.device, to=Payment.card),
    )
    for number, (second, device) in enumerate(((0, "x"), (1, "y"), (2, "x"), (3, None), (4, "z"))):
        engine.observe(pay(number, second, "a", device))
    found = engine.features(pay(9, 12, "a", "w"))
    assert found == {"ever": 3.0, "lately": 1.0, "after": 4.0, "back": 0.0}
    assert engine.features(pay(9, 12, "b", "x"))["back"] == 1.0
    assert math.isnan(engine.features(pay(9, 12, None, "x"))["ever"])


def test_a_component_is_everything_that_was_ever_seen_together() -> None:
    engine = engine_with(
        size=qt.component_size(LINKED),
        card=qt.component_size(LINKED, of=Payment.card),
        after=qt.component_size(LINKED, include_current=True),
        age=qt.component_age(LINKED),
    )
    new = engine.features(pay(1, 0, "a", "x"))
    assert (new["size"], new["card"], new["after"]) == (0.0, 0.0, 2.0)
    assert math.isnan(new["age"])
    engine.observe(pay(1, 0, "a", "x"))
    engine.observe(pay(2, 1, "b", "y", "m"))
    apart = engine.features(pay(3, 4, "a", "y"))
    assert apart == {"size": 5.0, "card": 2.0, "after": 5.0, "age": 4.0}
    engine.observe(pay(3, 4, "a", "y"))  # both are one now
    assert engine.features(pay(4, 5, "b"))["card"] == 5.0
    assert engine.features(pay(4, 5, "x"))["card"] == 0.0  # a card of the device's name is no device
    alone = engine.features(pay(4, 5, None, "x"))
    assert alone["size"] == 5.0
    assert math.isnan(alone["card"])
    assert all(math.isnan(found) for found in engine.features(pay(4, 5)).values())


def test_before_what_was_linked_since_a_component_is_not_known() -> None:
    engine = engine_with(
        {"lateness": "5s"}, size=qt.component_size(LINKED), other=qt.component_size(LINKED, of=Payment.email)
    )
    engine.observe(pay(1, 10, "a", "x"))
    engine.observe(pay(2, 6, "b", None, "m"))
    late = engine.features(pay(3, 8, "a", None, "m"))
    assert math.isnan(late["size"])
    assert late["other"] == 2.0  # its newest event is older
    assert engine.observe(pay(3, 8, "a", None, "m")) == "late"
    assert engine.features(pay(4, 10, "a"))["size"] == 4.0  # it was linked all the same
    assert math.isnan(engine.features(pay(5, 4, "a"))["size"])
    assert engine.observe(pay(5, 4, "a", "z")) == "late"  # later than the lateness allows
    assert engine.features(pay(6, 10, "a"))["size"] == 4.0


def test_a_retried_event_links_nothing_and_reads_what_it_linked() -> None:
    engine = engine_with(after=qt.component_size(LINKED, include_current=True))
    engine.observe(pay(1, 0, "a", "x"))
    assert engine.observe(pay(1, 0, "a", "y")) == "duplicate"
    assert engine.features(pay(1, 0, "a", "x"))["after"] == 2.0


def test_no_component_grows_beyond_its_cap() -> None:
    linked = qt.Component(Payment.card, Payment.device, Payment.email, cap=3)
    engine = engine_with(
        of=qt.component_size(linked, of=Payment.email, include_current=True),
        touched=qt.component_size(linked, include_current=True),
    )
    engine.observe(pay(1, 0, "a", "x"))
    # The device x comes with card a: three are linked, the e-mail to them no more.
    event = pay(2, 1, "b", "x", "m")
    assert engine.features(event) == {"of": 1.0, "touched": 4.0}
    assert engine.observe(event) == "capped"
    assert engine.features(pay(3, 2, "a", None, "m")) == {"of": 1.0, "touched": 4.0}


def test_a_component_is_forgotten_as_a_whole() -> None:
    engine = engine_with({"expire_after": "10s"}, size=qt.component_size(LINKED), age=qt.component_age(LINKED))
    engine.observe(pay(1, 0, "a", "x"))
    engine.observe(pay(2, 5, "b", "x"))
    assert engine.features(pay(3, 14.9, "a")) == {"size": 3.0, "age": 14.9}  # kept by the newest of its events
    assert engine.features(pay(3, 15, "a"))["size"] == 0.0
    engine.observe(pay(3, 15, "a", "y"))
    assert engine.features(pay(4, 15, "x")) | {"age": 0.0} == {"size": 0.0, "age": 0.0}
    assert engine.features(pay(4, 16, "a")) == {"size": 2.0, "age": 1.0}


def test_frauds_of_a_component_are_known_when_their_labels_are() -> None:
    engine = engine_with(all=qt.component_fraud(LINKED), card=qt.component_fraud(LINKED, of=Payment.card))
    engine.observe(pay(1, 0, "a", "x"))
    engine.observe(pay(2, 1, "b", "y"))
    for number, available in ((1, 5), (2, 7)):
        engine.label(number, True, available * S)
    assert engine.features(pay(9, 4, "a", "y")) == {"all": 0.0, "card": 0.0}
    assert engine.features(pay(9, 6, "a", "y")) == {"all": 1.0, "card": 1.0}
    assert engine.features(pay(9, 7, "a", "y")) == {"all": 2.0, "card": 1.0}
    engine.label(1, False, 8 * S)  # taken back
    assert engine.features(pay(9, 8, "a", "y")) == {"all": 1.0, "card": 0.0}


def test_the_neighbour_fraud_rate_is_of_the_neighbours_last_seen() -> None:
    ever = qt.neighbour_fraud_rate(Payment.card, to=Payment.device, cap=3)
    lately = qt.neighbour_fraud_rate(Payment.card, to=Payment.device, cap=3, over="5s", include_current=True)
    engine = engine_with(ever=ever, lately=lately)
    for number, (card, device) in enumerate((("b", "x"), ("a", "w"), ("a", "x"), ("a", "y"), ("a", "z"), ("a", None))):
        engine.observe(pay(number, number, card, device))
    engine.label(0, True, 6 * S)  # of another card, by the same device
    engine.label(1, True, 6 * S)  # a neighbour that three others came after
    assert engine.features(pay(9, 5, "a", "v"))["ever"] == 0.0
    found = engine.features(pay(9, 6, "a", "x"))
    assert found["ever"] == 1 / 3
    assert found["lately"] == 1 / 3
    assert math.isnan(engine.features(pay(9, 6, "c", "x"))["ever"])
    assert engine.features(pay(9, 6, "c", "x"))["lately"] == 1.0
