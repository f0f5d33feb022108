"""Degrees and components that cannot be are refused where they are declared, with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import quickthorn as qt
from quickthorn.errors import FeatureError
from quickthorn.features.plan import plan


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    device: qt.Entity | None
    email: qt.Entity | None
    amount: qt.Money


class Refund(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    device: qt.Entity


LINKED = qt.Component(Payment.card, Payment.device)


def refusal(declare: Callable[[], Any]) -> str:
    with pytest.raises(FeatureError) as refused:
        declare()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def planned(feature: Any) -> Callable[[], Any]:
    features = qt.FeatureSet(Payment)
    features["x"] = feature
    return lambda: plan(features)


def test_a_degree_is_between_two_entity_fields() -> None:
    wrong: Any
    for wrong in (Payment.amount, None, "device"):
        assert refusal(lambda wrong=wrong: qt.degree(Payment.card, to=wrong)) == (  # type: ignore[misc]
            f"degree(to=): expected an Entity field of the event class, found {wrong!r}"
        )
    assert refusal(lambda: qt.degree(Payment.amount, to=Payment.card)) == (  # type: ignore[arg-type]
        "degree(by=): expected an Entity field of the event class, found Payment.amount"
    )
    for by in (Payment.card, (Payment.device, Payment.card)):
        assert refusal(lambda by=by: qt.degree(by, to=Payment.card)) == (  # type: ignore[misc]
            "degree(to=): expected another entity than Payment.card, whose degree it is"
        )
    assert refusal(planned(qt.degree(Payment.card, to=Refund.device))) == (
        "features['x']: expected a field of Payment, found Refund.device"
    )


def test_a_degree_declares_its_window_and_its_cap_as_distinct_does() -> None:
    to = Payment.device
    assert refusal(lambda: qt.degree(Payment.card, to=to, over="0s")) == (
        "degree(over=): expected a window longer than 0, found '0s'"
    )
    assert refusal(lambda: qt.degree_is_exact(Payment.card, to=to, over=5)).startswith(  # type: ignore[arg-type]
        "degree_is_exact(over=): expected a duration"
    )
    assert refusal(lambda: qt.degree(Payment.card, to=to, cap=0)) == "degree(cap=): expected 1 to 1024, found 0"
    assert refusal(lambda: qt.degree(Payment.card, to=to, cap=64, up_to=63)) == (
        "degree(up_to=): expected 64 to 1073741824, found 63"
    )
    features = qt.FeatureSet(Payment, expire_after="1d")
    features["ever"] = qt.degree(Payment.card, to=to)  # as long as the card is known
    plan(features)
    features["x"] = qt.degree(Payment.card, to=to, over="2d")
    assert refusal(lambda: plan(features)).startswith("features['x']: expected a window within expire_after")


def test_a_component_links_different_entities() -> None:
    wrong: Any
    for wrong in (Payment.amount, "card", None):
        assert refusal(lambda wrong=wrong: qt.Component(Payment.card, wrong)) == (  # type: ignore[misc]
            f"Component: expected Entity fields of the event class, found {wrong!r}"
        )
    for few, found in (((), "none"), ((Payment.card,), "Payment.card"), ((LINKED.entities[0],) * 2, None)):
        message = refusal(lambda few=few: qt.Component(*few))  # type: ignore[misc]
        assert message.startswith("Component: expected 2 to 8 different entities to link, found ")
        assert found is None or message.endswith(f"found {found}")
    for wrong in (1, 2**24 + 1, True, 100.0, None):
        assert refusal(lambda wrong=wrong: qt.Component(Payment.card, Payment.device, cap=wrong)) == (  # type: ignore[misc]
            f"Component(cap=): expected 2 to 16777216, found {wrong!r}"
        )
    foreign = qt.component_size(qt.Component(Payment.card, Refund.device))
    assert refusal(planned(foreign)) == "features['x']: expected a field of Payment, found Refund.device"


def test_values_are_read_of_a_declared_component_and_of_what_it_links() -> None:
    wrong: Any
    for declare in (qt.component_size, qt.component_age, qt.component_fraud):
        for wrong in (Payment.card, (Payment.card, Payment.device), None):
            assert refusal(lambda declare=declare, wrong=wrong: declare(wrong)) == (  # type: ignore[misc]
                f"{declare.__name__}: expected a Component, found {wrong!r}"
            )
        for wrong in (Payment.email, Refund.card, "card"):
            assert refusal(lambda declare=declare, wrong=wrong: declare(LINKED, of=wrong)) == (  # type: ignore[misc]
                f"{declare.__name__}(of=): expected one of the linked entities Payment.card, Payment.device, "
                f"found {wrong!r}"
            )
    assert refusal(lambda: qt.count(by=Payment.card, over="1d", where=qt.component_size(LINKED))).startswith(  # type: ignore[arg-type]
        "count(where=): expected a Boolean field or a kernel of the event's fields, found ComponentValue"
    )
    assert refusal(lambda: planned(LINKED)) == (
        "features['x']: expected a field, a feature, an aggregate or a number, "
        "found Component(Payment.card, Payment.device)"
    )


def test_the_order_in_which_entities_are_named_does_not_matter() -> None:
    features = qt.FeatureSet(Payment)
    features["one"] = qt.component_size(qt.Component(Payment.card, Payment.device))
    features["two"] = qt.component_size(qt.Component(Payment.device, Payment.card))
    features["age"] = qt.component_age(LINKED)
    features["small"] = qt.component_size(qt.Component(Payment.card, Payment.device, cap=9))
    made = plan(features)
    assert [(each.value_first, len(each.values)) for each in made.components] == [(0, 2), (2, 1)]
    assert made.outputs[0] == made.outputs[1]
    assert made.value_count == 3


def test_neighbours_are_those_of_a_degree() -> None:
    assert refusal(lambda: qt.neighbour_fraud_rate(Payment.card, to=Payment.amount)) == (  # type: ignore[arg-type]
        "neighbour_fraud_rate(to=): expected an Entity field of the event class, found Payment.amount"
    )
    assert refusal(lambda: qt.neighbour_fraud_rate(Payment.card, to=Payment.card)) == (
        "neighbour_fraud_rate(to=): expected another entity than Payment.card, whose degree it is"
    )
    assert refusal(lambda: qt.neighbour_fraud_rate(Payment.card, to=Payment.device, cap=2_000)) == (
        "neighbour_fraud_rate(cap=): expected 1 to 1024, found 2000"
    )
    features = qt.FeatureSet(Payment)
    features["rate"] = qt.neighbour_fraud_rate(Payment.card, to=Payment.device)
    features["degree"] = qt.degree(Payment.card, to=Payment.device, up_to=64)
    made = plan(features)
    (group,) = made.groups
    assert made.looked_up == (Payment.device,)
    assert len(group.records) == 1  # one memory for both
