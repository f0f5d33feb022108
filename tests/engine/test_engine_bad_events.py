"""A wrong event: one sentence that names the field, a fallback decision or an exception, and an engine that goes on."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import quickthorn as qt
from quickthorn.errors import EventError, QuickthornError

GOOD = {
    "event_id": "p-1",
    "at": 1_785_000_000_000_000,
    "customer": "c",
    "amount": "59.90",
    "distance": 1.0,
    "present": True,
    "channel": "web",
}
IDENTIFIERS = [None, "", True, 2.5, b"c", ["c"], Decimal(5), "\ud800"]
TIMES = [
    *(None, True, 1.0, 2**61 + 1, -(2**61) - 1, 2**70, datetime(2026, 1, 1), b"0", Decimal(5)),
    *("", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z"),
    *(np.datetime64("2026-01-01", "ns"), np.timedelta64(5, "ns")),
]
MONEY = [
    *(True, "", "abc", "1e3", " 5", "5.", "1,5", "59.9001", "87960930222.09", "٣", b"5", [5], 5j),
    *(2**43, 2**70, 59.9001, 0.1 + 0.2, 1e300, math.nan, math.inf, -math.inf),
    *(Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("0.0001"), Decimal("1E+100000")),
]
NUMBERS = [True, "1", "", math.inf, -math.inf, np.float64("inf"), 10**400, np.True_, Decimal(1), b"1", [1], 5j]
BOOLEANS = [0, 1, 1.0, "true", "", b"1", [True], Decimal(1)]
STRINGS = [True, 5, 1.5, b"web", ["web"], Decimal(5), "\ud800"]

WRONG_VALUES: dict[str, list[Any]] = {
    "event_id": IDENTIFIERS,
    "at": TIMES,
    "customer": IDENTIFIERS,
    "terminal": [wrong for wrong in IDENTIFIERS if wrong is not None],
    "amount": [None, "59.901", "-0.01", -1, -0.01, 59.901, Decimal("0.001"), *MONEY],
    "tip": MONEY,
    "cents": ["5", 5.0, Decimal(5), -1, True, 2**43 + 1],
    "risk": NUMBERS,
    "distance": [None, math.nan, *NUMBERS],
    "foreign": BOOLEANS,
    "present": [None, *BOOLEANS],
    "channel": [None, "fax", "", "WEB", *STRINGS],
    "country": STRINGS,
    "note": STRINGS,
}


@pytest.fixture(scope="module")
def raising(specimens: dict[str, Any]) -> Any:
    return qt.Engine.load(specimens["deciding"].path, errors="raise", allow_unsigned=True)


@pytest.fixture(scope="module")
def falling_back(specimens: dict[str, Any]) -> Any:
    return qt.Engine.load(specimens["deciding"].path, allow_unsigned=True)


@pytest.mark.parametrize("field", WRONG_VALUES)
def test_a_wrong_value_is_refused_in_one_sentence_that_names_its_field(
    raising: Any, falling_back: Any, field: str
) -> None:
    for wrong in WRONG_VALUES[field]:
        event = {**GOOD, field: wrong}
        for call in (raising.decide, raising.score, raising.observe, raising.features, falling_back.features):
            with pytest.raises(EventError, match=rf"^{field}: expected .+, found .+$") as caught:
                call(event)
            if wrong is None:
                assert str(caught.value).endswith(", found nothing")
        for call in (falling_back.decide, falling_back.score):
            decision = call(event)
            assert (decision.outcome, decision.status) == ("decline", "invalid"), wrong
            assert math.isnan(decision.score)
            assert math.isnan(decision.margin)
            assert decision.error.startswith(f"{field}: expected ")
        assert falling_back.observe(event) == "invalid"


def test_a_missing_required_field_is_named(raising: Any) -> None:
    for field in GOOD:
        event = {name: value for name, value in GOOD.items() if name != field}
        with pytest.raises(EventError, match=rf"^{field}: expected .+, found nothing$"):
            raising.decide(event)


def test_the_first_wrong_field_in_declared_order_is_named(raising: Any) -> None:
    with pytest.raises(EventError, match=r"^customer: "):
        raising.decide({"present": 5, "amount": "abc", "customer": "", "at": 0, "event_id": 1})


def test_the_found_value_is_shown_shortened(raising: Any) -> None:
    with pytest.raises(EventError, match=r"found 'abc' \(str\)$"):
        raising.decide({**GOOD, "amount": "abc"})
    with pytest.raises(EventError) as caught:
        raising.decide({**GOOD, "amount": "é" * 100_000})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "event",
    [
        None,
        5,
        "p-1",
        [],
        (),
        {},
        object(),
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'{"event_id": NaN}',
        b"\xff\xfe",
        bytearray(b"{"),
    ],
    # An object's own text has its address in it, and workers that share the tests must call them by the same names.
    ids=lambda event: "an object" if type(event) is object else repr(event),
)
def test_what_is_no_event_at_all_is_refused(raising: Any, falling_back: Any, event: object) -> None:
    with pytest.raises(EventError, match=r"^(event|event_id): expected .+, found .+"):
        raising.decide(event)
    assert falling_back.decide(event).status == "invalid"
    assert falling_back.observe(event) == "invalid"


def test_wrong_events_leave_no_trace(new_pair: Callable[[str], Any]) -> None:
    pair = new_pair("deciding")
    at = 0
    for number, (field, wrong) in enumerate((f, w) for f, values in WRONG_VALUES.items() for w in values):
        at += 1_000_000
        pair.tell("decide", {**GOOD, "event_id": number, "at": at, field: wrong})
        # The same id again, now in order: had the wrong event been stored, it would be a duplicate.
        event = {**GOOD, "event_id": number, "at": at}
        pair.tell("decide", event)
        assert pair.native.score(event).status == "duplicate"


def test_values_at_their_limits_are_taken(raising: Any) -> None:
    limits: list[dict[str, Any]] = [
        {"at": 2**61},
        {"at": -(2**61)},
        {"at": "0001-01-01T00:00:00Z"},
        {"at": "9999-12-31T23:59:59.999999-23:59"},
        {"at": datetime.max.replace(tzinfo=UTC)},
        {"amount": "87960930222.08"},
        {"amount": "0"},
        {"amount": -0.0},
        {"tip": "-8796093022.208"},
        {"cents": 2**43},
        {"distance": 1.7976931348623157e308},
        {"distance": 5e-324},
        {"distance": np.int8(-5)},
        {"event_id": 2**200},
        {"customer": "x" * 1_000_000},
        {"note": ""},
        {"note": "\0"},
        {"country": ""},
        {"country": "atlantis"},
    ]
    for number, limit in enumerate(limits):
        event = {**GOOD, "event_id": f"limit-{number}", **limit}
        assert raising.score(event).status in ("ok", "late"), limit


def test_an_error_in_the_event_s_own_code_reaches_the_caller(falling_back: Any) -> None:
    class Broken:
        event_id = "p-9"

        @property
        def at(self) -> int:
            raise RuntimeError("the clock is gone")

    with pytest.raises(RuntimeError, match="the clock is gone"):
        falling_back.decide(Broken())
    assert falling_back.score(GOOD).status in ("ok", "late")


def test_a_mapping_of_another_kind_is_read_as_one(raising: Any) -> None:
    from types import MappingProxyType

    expected = raising.score(GOOD)
    for event in (OrderedDict(GOOD), MappingProxyType(GOOD), bytearray(json.dumps(GOOD).encode())):
        assert raising.score(event).margin == expected.margin


def test_one_event_is_given_at_a_time(raising: Any) -> None:
    for call in (raising.decide, raising.score, raising.observe):
        with pytest.raises(TypeError):
            call()
        with pytest.raises(TypeError):
            call(GOOD, GOOD)


def test_a_bundle_of_features_only_does_not_decide(specimens: dict[str, Any]) -> None:
    engine = qt.Engine.load(specimens["windows"].path, allow_unsigned=True)
    for call in (engine.decide, engine.score):
        with pytest.raises(QuickthornError, match="features only"):
            call(GOOD)
    assert engine.observe(GOOD) == "ok"
    assert engine.features({**GOOD, "event_id": 2})["Payment.customer_count_3s"] == 1.0
