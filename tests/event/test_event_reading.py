"""How events come in: what each field takes and refuses, by the executable specification."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import quickthorn as qt
from quickthorn.errors import EventError
from quickthorn.reference import ReferenceEngine

S = 1_000_000  # one second in event time


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    terminal: qt.Entity | None = None
    amount: qt.Money | None = None
    risk: qt.Number | None = None
    foreign: qt.Boolean | None = None
    channel: qt.Category | None = qt.field(values=("web", "app"))
    note: qt.Text | None = None


def pay(number: int | str, second: float, **fields: Any) -> dict[str, Any]:
    return {"event_id": number, "at": int(second * S), "customer": "c", **fields}


def reader(field: str = "amount", event: type[qt.Event] = Payment) -> ReferenceEngine:
    declared = qt.FeatureSet(event)
    declared[field] = getattr(event, field)
    return ReferenceEngine(declared)


def reads(field: str, found: object, *, event: type[qt.Event] = Payment) -> Any:
    """What one field's value is read as."""
    return reader(field, event).features({**pay(1, 0), field: found})[field]


@pytest.mark.parametrize(
    ("found", "amount"),
    [
        ("59.90", 59.9),
        ("59.9", 59.9),
        ("59", 59.0),
        ("59.9000", 59.9),
        (".5", 0.5),
        ("0", 0.0),
        ("-0.00", 0.0),
        (59, 59.0),
        (59.9, 59.9),
        (0.1 + 0.2 - 0.00000000000000004, 0.3),
        (Decimal("59.90"), 59.9),
        (Decimal("5E+1"), 50.0),
        ("87960930222.08", 2**43 / 100),
    ],
)
def test_money_in_major_units(found: object, amount: float) -> None:
    assert reads("amount", found) == amount


@pytest.mark.parametrize(
    "found",
    [
        *("", "59.901", "1e3", "abc", " 5", "5.", ".", "1,5", "٣", "-1", "87960930222.09", b"5", [5], True),
        *(59.901, 0.1 + 0.2, math.nan, math.inf, -0.01, -1, 2**43),
        *(Decimal("NaN"), Decimal("-inf"), Decimal("0.001"), Decimal("1E+999999999")),
    ],
)
def test_what_is_not_an_amount_of_money_is_refused(found: object) -> None:
    with pytest.raises(EventError, match=r"^amount: expected an amount of money.*, found .* \(\w+\)$"):
        reads("amount", found)


class Transfer(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    cents: qt.Money | None = qt.field(minor_units=True)
    profit: qt.Money | None = qt.field(signed=True, scale=3)
    kind: qt.Category | None = qt.field(values=("in", "out"), closed=True)


def test_money_options() -> None:
    assert reads("cents", 5990, event=Transfer) == 59.9
    assert reads("profit", "-1.005", event=Transfer) == -1.005
    for found in ("5990", 5990.0, Decimal(5990), -1):
        with pytest.raises(EventError, match=r"^cents: expected .* minor units"):
            reads("cents", found, event=Transfer)


def test_a_closed_category_refuses_other_values() -> None:
    assert reads("kind", "out", event=Transfer) == 1.0
    with pytest.raises(EventError, match=r"^kind: expected one of 'in', 'out', found 'fax' \(str\)$"):
        reads("kind", "fax", event=Transfer)


@pytest.mark.parametrize(
    ("found", "us"),
    [
        (0, 0),
        (-5, -5),
        (2**61, 2**61),
        (datetime(1970, 1, 2, tzinfo=UTC), 86_400 * S),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 0),
        ("1970-01-01T00:00:01Z", S),
        ("1970-01-01t00:00:01.25z", 1.25 * S),
        ("1970-01-01 02:00:00+02:00", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01T00:00:00.0000019Z", 1),
    ],
)
def test_event_times(found: object, us: int) -> None:
    assert reads("at", found) == us


@pytest.mark.parametrize(
    "found",
    [
        *(True, 1.0, 2**61 + 1, -(2**61) - 1, 2**70, datetime(1970, 1, 1), b"0", None),
        *(np.datetime64(5, "ns"), np.timedelta64(5, "ns")),
        *("1970-01-01", "1970-01-01T00:00:00", "1970-02-30T00:00:00Z", "1970-01-01T24:00:00Z", "yesterday", ""),
    ],
)
def test_what_is_not_an_event_time_is_refused(found: object) -> None:
    with pytest.raises(EventError, match=r"^at: expected int microseconds UTC.*, found "):
        reads("at", found)


def test_numbers_and_booleans() -> None:
    assert reads("risk", np.float32(0.5)) == 0.5
    assert reads("risk", np.int16(3)) == 3.0
    assert math.isnan(reads("risk", np.float64("nan")))
    assert reads("foreign", np.bool_(False)) == 0.0
    for field, found in [("risk", True), ("risk", "1"), ("risk", math.inf), ("risk", 10**400), ("risk", np.True_)]:
        with pytest.raises(EventError, match=r"^risk: expected a finite number, found "):
            reads(field, found)
    for found in (1, 0.0, "true"):
        with pytest.raises(EventError, match=r"^foreign: expected True or False, found "):
            reads("foreign", found)


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({}, "event_id: expected a non-empty str or an int, found nothing"),
        (pay("", 0), "event_id: expected a non-empty str or an int, found '' (str)"),
        (pay(True, 0), "event_id: expected a non-empty str or an int, found True (bool)"),
        ({"event_id": 1, "at": 0}, "customer: expected a non-empty str or an int, found nothing"),
        ({**pay(1, 0), "customer": 2.5}, "customer: expected a non-empty str or an int, found 2.5 (float)"),
        (pay("\ud800", 0), "event_id: expected a non-empty str or an int, found '\\ud800' (str)"),
        (pay(1, 0, note="a\udc00"), "note: expected a str, found 'a\\udc00' (str)"),
        (pay(1, 0, note=5), "note: expected a str, found 5 (int)"),
        (pay(1, 0, channel=5), "channel: expected a str, found 5 (int)"),
        (b"[1]", "event: expected a JSON object, found [1] (list)"),
    ],
)
def test_a_wrong_event_is_told_in_one_sentence(event: object, sentence: str) -> None:
    with pytest.raises(EventError) as caught:
        reader().features(event)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("document", [b"", b"{", b'{"risk": NaN}', b"\xff", b"null"])
def test_what_is_not_json_is_refused(document: bytes) -> None:
    with pytest.raises(EventError, match=r"^event: expected .*JSON.*, found "):
        reader().features(document)


def test_dict_object_and_json_are_the_same_event() -> None:
    event = pay(1, 0, amount="1.50", foreign=True, undeclared="ignored")
    forms = (event, SimpleNamespace(**event), json.dumps(event).encode())
    assert all(reader().features(form) == {"amount": 1.5} for form in forms)
