"""A dict, an object, JSON bytes and an Arrow row are four spellings of the same event."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow", reason="Arrow rows are made with pyarrow")

S = 1_000_000
START_US = 1_785_000_000_000_000


def events() -> list[dict[str, Any]]:
    """A small stream with a retry, a late event and missing optional fields, in values that JSON can spell."""
    rows: list[dict[str, Any]] = []
    for number, (second, customer) in enumerate([(0, 7), (1, 7), (2, 8), (1, 7), (3, 7), (3, 8), (9, 7), (3, 7)]):
        rows.append(
            {
                "event_id": f"p-{min(number, 6)}",
                "at": START_US + second * S,
                "customer": customer,
                "terminal": None if number % 3 == 0 else f"t{number % 2}",
                "amount": f"{number}.5",
                "tip": None if number % 2 else "-1.005",
                "cents": number * 100,
                "risk": None if number == 2 else number / 8,
                "distance": 0.25 * number,
                "foreign": None if number == 3 else number % 2 == 0,
                "present": number % 3 == 0,
                "channel": ("web", "app", "pos")[number % 3],
                "country": None if number == 1 else ("de", "fr", "xx")[number % 3],
                "note": None if number == 4 else "note",
            }
        )
    return rows


def as_dict(event: dict[str, Any]) -> object:
    return event


def without_missing(event: dict[str, Any]) -> object:
    return {name: value for name, value in event.items() if value is not None}


def as_object(event: dict[str, Any]) -> object:
    return SimpleNamespace(**{name: value for name, value in event.items() if value is not None})


def as_json(event: dict[str, Any]) -> object:
    return json.dumps(event).encode()


def with_rich_values(event: dict[str, Any]) -> object:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event["at"])
    return {**event, "at": at, "amount": Decimal(event["amount"]), "customer": str(event["customer"])}


def with_texts(event: dict[str, Any]) -> object:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event["at"])
    return {**event, "at": at.isoformat(), "amount": float(event["amount"])}


PLAIN_TYPES = {
    "event_id": pa.string(),
    "at": pa.int64(),
    "customer": pa.int64(),
    "terminal": pa.string(),
    "amount": pa.string(),
    "tip": pa.string(),
    "cents": pa.int64(),
    "risk": pa.float64(),
    "distance": pa.float64(),
    "foreign": pa.bool_(),
    "present": pa.bool_(),
    "channel": pa.string(),
    "country": pa.string(),
    "note": pa.string(),
}
RICH_TYPES = {
    **PLAIN_TYPES,
    "at": pa.timestamp("us", tz="UTC"),
    "customer": pa.int32(),
    "amount": pa.decimal128(12, 2),
    "tip": pa.decimal128(20, 3),
    "channel": pa.dictionary(pa.int32(), pa.string()),
    "note": pa.large_string(),
}


def table(rows: list[dict[str, Any]], types: dict[str, Any]) -> Any:
    def value(row: dict[str, Any], name: str) -> Any:
        return Decimal(row[name]) if row[name] is not None and pa.types.is_decimal(types[name]) else row[name]

    columns = {name: pa.array([value(row, name) for row in rows], type_) for name, type_ in types.items()}
    return pa.table(columns)


def as_arrow_row(event: dict[str, Any]) -> object:
    return table([event], PLAIN_TYPES)


def as_rich_arrow_row(event: dict[str, Any]) -> object:
    return table([event], RICH_TYPES).to_batches()[0]


def as_arrow_slice(event: dict[str, Any]) -> object:
    """The middle row of a longer table: offsets into its buffers are not zero."""
    other = {**events()[0], "event_id": "other"}
    return table([other, event, other], RICH_TYPES).slice(1, 1)


@pytest.mark.parametrize(
    "spelled",
    [
        *(as_dict, without_missing, as_object, as_json, with_rich_values, with_texts),
        *(as_arrow_row, as_rich_arrow_row, as_arrow_slice),
    ],
)
def test_every_spelling_of_a_stream_gets_the_same_decisions(
    new_pair: Callable[[str], Any], spelled: Callable[[dict[str, Any]], object]
) -> None:
    pair = new_pair("deciding")
    for event in events():
        native, expected = pair.native.features(spelled(event)), pair.native.features(event)
        assert repr(native) == repr(expected)  # NaN where NaN, and every bit of the rest
        pair.compare_decisions(pair.native.decide(spelled(event)), pair.reference.decide(event))


def test_a_batch_is_the_same_as_its_rows_one_by_one(new_pair: Callable[[str], Any]) -> None:
    batched, single = new_pair("deciding").native, new_pair("deciding").native
    rows = table(events(), RICH_TYPES)
    for run, call in ((batched.decide_batch, single.decide), (batched.score_batch, single.score)):
        batch, decisions = run(rows), [call(event) for event in events()]
        assert batch.statuses.tolist() == [decision.status for decision in decisions]
        assert batch.outcomes.tolist() == [decision.outcome for decision in decisions]
        assert batch.margins.tolist() == [decision.margin for decision in decisions]
        assert batch.scores.tolist() == [decision.score for decision in decisions]
    assert [single.observe(event) for event in events()] == ["duplicate"] * len(events())


def test_a_batch_goes_on_after_a_wrong_row_and_names_it(new_pair: Callable[[str], Any]) -> None:
    engine = new_pair("deciding").native
    rows = events()[:3]
    rows[1]["amount"] = "abc"
    batch = engine.decide_batch(table(rows, PLAIN_TYPES))
    assert batch.statuses.tolist() == ["ok", "invalid", "ok"]
    assert batch.outcomes.tolist()[1] == "decline"
    ((row, message),) = batch.errors
    assert row == 1
    assert message.startswith("amount: expected ")


def test_one_arrow_row_is_one_event(new_pair: Callable[[str], Any]) -> None:
    engine = new_pair("deciding").native
    for rows in ([], events()[:2]):
        decision = engine.decide(table(rows, PLAIN_TYPES))
        assert decision.status == "invalid"
        assert decision.error.startswith("event: expected one Arrow row, found ")
