"""Event classes: what a declaration gives, and how a wrong one is refused by class and field."""

from __future__ import annotations

import re
from typing import Any

import pytest

import quickthorn as qt
from quickthorn.errors import SchemaError
from quickthorn.event import Field


def declare(name: str = "Payment", /, *bases: type, **fields: Any) -> type[qt.Event]:
    """An event class with an id, a time and the given fields, each an annotation or (annotation, value)."""
    annotations: dict[str, Any] = {"event_id": qt.Id, "at": qt.EventTime}
    body: dict[str, Any] = {"__annotations__": annotations, "__module__": __name__}
    for field, declared in fields.items():
        annotation, value = declared if isinstance(declared, tuple) else (declared, ...)
        annotations[field] = annotation
        if value is not ...:
            body[field] = value
    return type(name, bases or (qt.Event,), body)


def refusal(**fields: Any) -> str:
    with pytest.raises(SchemaError) as caught:
        declare(**fields)
    return str(caught.value)


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money = qt.field(scale=3, signed=True)
    channel: qt.Category | None = qt.field(values=["web", "app"], closed=True)
    note: qt.Text | None = None


def test_fields_keep_the_order_names_and_options_of_their_declaration() -> None:
    schema = Payment.schema
    assert schema.name == "Payment"
    assert schema.names == ("event_id", "at", "customer", "amount", "channel", "note")
    assert [field.index for field in schema.fields] == [0, 1, 2, 3, 4, 5]
    assert [field.required for field in schema.fields] == [True, True, True, True, False, False]
    assert schema.event_id.name == "event_id"
    assert schema.event_time.name == "at"
    amount, channel = schema.field("amount"), schema.field("channel")
    assert (amount.scale, amount.signed, amount.minor_units) == (3, True, False)
    assert (channel.values, channel.closed) == (("web", "app"), True)


def test_reading_a_field_on_the_class_gives_the_field() -> None:
    assert isinstance(Payment.amount, Field)
    assert Payment.amount is Payment.schema.field("amount")
    assert repr(Payment.amount) == "Payment.amount"


def test_an_undeclared_field_is_named_with_the_declared_ones() -> None:
    with pytest.raises(SchemaError, match=r"^Payment\.amont: .*'amount'"):
        Payment.schema.field("amont")


def test_a_subclass_has_its_base_s_fields_and_options_as_its_own() -> None:
    class CardPayment(Payment):
        card: qt.Entity

    assert CardPayment.schema.names == (*Payment.schema.names, "card")
    inherited = CardPayment.schema.field("amount")
    assert (inherited.scale, inherited.signed) == (3, True)
    assert repr(inherited) == "CardPayment.amount"
    assert repr(Payment.amount) == "Payment.amount"
    assert CardPayment.schema.field("note").required is False


def test_exactly_one_required_id_and_time() -> None:
    assert refusal(other=qt.Id) == "Payment: expected exactly one required Id field, found event_id, other"
    assert refusal(event_id=qt.Id | None) == "Payment: expected exactly one required Id field, found event_id"
    assert refusal(event_id=qt.Text) == "Payment: expected exactly one required Id field, found none"
    assert refusal(then=qt.EventTime) == "Payment: expected exactly one required EventTime field, found at, then"
    assert refusal(at=qt.EventTime | None).startswith("Payment: expected exactly one required EventTime field")
    assert refusal(at=qt.Number).endswith("EventTime field, found none")


@pytest.mark.parametrize(
    ("annotation", "found"),
    [(int, "int"), (Field, "Field"), (dict[str, int], "dict"), (qt.Money | qt.Number, "Money"), (None, "None")],
)
def test_an_annotation_that_is_no_field_type_is_refused(annotation: object, found: str) -> None:
    message = refusal(amount=annotation)
    assert message.startswith("Payment.amount: expected Id, EventTime, Entity, Money, Number, ")
    assert found in message.split(", found ")[1]


def test_an_annotation_that_names_nothing_is_refused() -> None:
    message = refusal(amount="qt.Monye")
    assert message.startswith("Payment: an annotation cannot be resolved: ")
    assert refusal(amount="Monye").startswith("Payment: an annotation cannot be resolved: name 'Monye'")


@pytest.mark.parametrize(
    ("annotation", "options", "sentence"),
    [
        (qt.Number, {"scale": 2}, "scale is not an option of Number"),
        (qt.Money, {"values": ("a",)}, "values is not an option of Money"),
        (qt.Category, {"signed": True}, "signed is not an option of Category"),
        (qt.Entity, {"closed": False}, "closed is not an option of Entity"),
        (qt.Money, {"scale": 7}, "scale: expected 0 to 6 decimal digits, found 7"),
        (qt.Money, {"scale": -1}, "scale: expected 0 to 6 decimal digits, found -1"),
        (qt.Money, {"scale": True}, "scale: expected 0 to 6 decimal digits, found True"),
        (qt.Money, {"scale": "2"}, "scale: expected 0 to 6 decimal digits, found '2'"),
        (qt.Category, {"values": ("web", "app", "web")}, "values: 'web' is named twice"),
        (qt.Category, {"values": "web"}, "values: expected a tuple of non-empty strings, found 'web'"),
        (qt.Category, {"values": ("web", "")}, "values: expected a tuple of non-empty strings, found ('web', '')"),
        (qt.Category, {"values": (1, 2)}, "values: expected a tuple of non-empty strings, found (1, 2)"),
        (qt.Category, {"closed": True}, "closed: expected values to close over, found none"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(annotation: object, options: dict[str, Any], sentence: str) -> None:
    message = refusal(some=(annotation, qt.field(**options)))
    assert re.fullmatch(r"Payment\.some: " + re.escape(sentence), message)


def test_a_default_value_is_refused() -> None:
    assert refusal(amount=(qt.Money | None, 0)).endswith("expected no default other than None or field(...), found 0")


def test_an_event_class_is_never_instantiated() -> None:
    with pytest.raises(SchemaError, match="Payment declares events"):
        Payment()


def test_reading_an_undeclared_field_on_the_class_names_the_declared_ones() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = Payment.amont  # type: ignore[attr-defined, unused-ignore]
    assert str(caught.value) == (
        "Payment.amont: expected a declared field, found none; declared: event_id, at, customer, amount, channel, note"
    )
    assert not hasattr(Payment, "__no_such_protocol__")
    assert not hasattr(qt.Event, "amont")
