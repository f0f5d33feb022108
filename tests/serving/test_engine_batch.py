"""Many events at once: the same stages in the same order, whatever form or size they come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import quickthorn as qt
from quickthorn.errors import BundleError, EventError
from quickthorn.replay import replay

from .conftest import payment_features, payments


def one_by_one(engine: qt.Engine, events: list[dict[str, Any]]) -> list[tuple[float, str, str]]:
    decisions = [engine.decide(event) for event in events]
    return [(decision.margin, decision.outcome, decision.status) for decision in decisions]


def late_and_repeated(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same events, some a little late, some far too late, some retried."""
    disturbed = list(events)
    for row in range(10, len(events), 17):
        disturbed[row] = {**events[row], "at": events[row]["at"] - (row % 3) * 2_000_000_000}
    for row in range(5, len(events), 41):
        disturbed.insert(row, disturbed[row - 3])
    return disturbed


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_a_batch_of_any_size_decides_as_single_events_do(load: Callable[..., qt.Engine], rows: int) -> None:
    events = late_and_repeated(payments(600))
    expected = one_by_one(load(), events)
    table, engine = pa.Table.from_pylist(events), load()
    found = []
    for first in range(0, len(events), rows):
        batch = engine.decide_batch(table.slice(first, rows))
        found += list(zip(batch.margins, batch.outcomes, batch.statuses, strict=True))
    assert found == expected
    assert {status for _, _, status in found} == {"ok", "late", "duplicate"}


def test_scoring_a_batch_updates_nothing(load: Callable[..., qt.Engine]) -> None:
    events, engine = payments(200), load()
    engine.observe_batch(pa.Table.from_pylist(events))
    fresh = pa.Table.from_pylist([{**event, "event_id": "again-" + event["event_id"]} for event in payments(50)])
    before = engine.counters()
    first, second = engine.score_batch(fresh), engine.score_batch(fresh)
    np.testing.assert_array_equal(first.margins, second.margins)
    after = engine.counters()
    assert {name for name in before if before[name] != after[name]} == {"scored"}


def test_replay_gives_the_features_that_decisions_saw(load: Callable[..., qt.Engine]) -> None:
    events = late_and_repeated(payments(300))
    table = replay(payment_features(), pa.Table.from_pylist(events))
    engine = load()
    for row, event in enumerate(events):
        seen = engine.features(event)
        status = engine.decide(event).status
        replayed = {name: table[name][row].as_py() for name in seen}
        np.testing.assert_array_equal(list(replayed.values()), list(seen.values()))
        assert table["status"][row].as_py() == status
    assert table["event_id"].to_pylist() == [event["event_id"] for event in events]


FORMS: dict[str, Callable[[pa.Table], Any]] = {
    "table": lambda table: table,
    "record batch": lambda table: table.combine_chunks().to_batches()[0],
    "stream": lambda table: table.to_reader(max_chunksize=7),
    "pandas": lambda table: table.to_pandas(),
    "large strings": lambda table: table.set_column(2, "customer", table["customer"].cast(pa.large_string())),
    "string views": lambda table: table.set_column(2, "customer", table["customer"].cast(pa.string_view())),
    "dictionary": lambda table: table.set_column(2, "customer", table["customer"].combine_chunks().dictionary_encode()),
    "decimals": lambda table: table.set_column(3, "amount", table["amount"].cast(pa.decimal128(12, 2))),
    "fine decimals": lambda table: table.set_column(3, "amount", table["amount"].cast(pa.decimal128(18, 5))),
    "floats": lambda table: table.set_column(3, "amount", table["amount"].cast(pa.float64())),
    "timestamps": lambda table: table.set_column(1, "at", table["at"].cast(pa.timestamp("us", "UTC"))),
    "zoned timestamps": lambda table: table.set_column(1, "at", table["at"].cast(pa.timestamp("us", "Asia/Tokyo"))),
    "nanoseconds": lambda table: table.set_column(
        1, "at", table["at"].cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("ns", "UTC"))
    ),
    "sliced": lambda table: pa.concat_tables([table.slice(0, 3), table]).slice(3),
    "other columns too": lambda table: table.append_column("note", pa.nulls(table.num_rows)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_arrow_form_gives_the_same_decisions(load: Callable[..., qt.Engine], form: str) -> None:
    table = pa.Table.from_pylist(payments(60))
    expected = load(hash_key=bytes(16)).decide_batch(table)
    found = load().decide_batch(FORMS[form](table))
    np.testing.assert_array_equal(found.margins, expected.margins)


def test_a_bad_row_is_named_and_the_rest_is_decided(load: Callable[..., qt.Engine]) -> None:
    events = payments(50)
    events[7]["amount"], events[20]["customer"], events[33]["amount"] = "-1.00", None, "12.345"
    batch = load().decide_batch(pa.Table.from_pylist(events))
    assert [row for row, _ in batch.errors] == [7, 20, 33]
    assert [message for _, message in batch.errors] == [
        "amount: expected an amount of money of at least 0, found '-1.00'",
        "customer: expected a non-empty str or an int, found nothing",
        "amount: expected an amount with at most 2 decimals, found '12.345'",
    ]
    assert set(batch.statuses[[7, 20, 33]]) == {"invalid"}
    assert set(batch.outcomes[[7, 20, 33]]) == {"decline"}
    assert np.isnan(batch.scores[[7, 20, 33]]).all()
    good = [event for row, event in enumerate(events) if row not in (7, 20, 33)]
    expected = [margin for margin, _, _ in one_by_one(load(), good)]
    assert [margin for margin in batch.margins if not np.isnan(margin)] == expected
    assert repr(batch).endswith("3 invalid)")


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([{"event_id": "p"}], r"expected an object with the Arrow PyCapsule interface, found \[\{'event_id'"),
        (pa.table({"event_id": ["p"]}), "at: expected .*, found no column of that name"),
        (
            pa.table({"event_id": ["p"], "at": [1], "customer": ["c"], "amount": [True]}),
            'amount: expected an amount of money .*, found an Arrow column of format "b"',
        ),
        (
            pa.table({"event_id": ["p"], "at": pa.array([1], pa.timestamp("us")), "customer": ["c"], "amount": ["1"]}),
            "at: expected .* an RFC 3339 string with a zone, found an Arrow column",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused_whole(
    load: Callable[..., qt.Engine], events: object, message: str
) -> None:
    engine = load()
    with pytest.raises(EventError, match=message):
        engine.decide_batch(events)
    assert engine.counters()["decided"] == 0


def test_replay_raises_for_a_bad_row_unless_told_to_keep_it(load: Callable[..., qt.Engine]) -> None:
    events = payments(20)
    events[3]["amount"] = "much"
    table = pa.Table.from_pylist(events)
    with pytest.raises(EventError, match=r"events\[3\]\.amount: expected an amount of money .*, found 'much'"):
        replay(load(), table)
    kept = replay(load(), table, errors="keep")
    assert kept["status"].to_pylist().count("invalid") == 1
    assert np.isnan(kept["mean"][3].as_py())
    assert kept.num_rows == 20


def test_an_empty_table_is_an_empty_answer(load: Callable[..., qt.Engine]) -> None:
    empty = pa.Table.from_pylist(payments(1)).slice(0, 0)
    assert len(load().decide_batch(empty)) == 0
    assert replay(load(), empty).num_rows == 0


def test_a_bundle_of_features_scores_nothing(tmp_path: Any) -> None:
    from quickthorn.compiling import compile_bundle

    compile_bundle(features=payment_features(), output=tmp_path / "features.qt")
    engine = qt.Engine.load(tmp_path / "features.qt", allow_unsigned=True)
    table = pa.Table.from_pylist(payments(3))
    for refused in (engine.decide_batch, engine.score_batch):
        with pytest.raises(BundleError, match="a bundle of features only"):
            refused(table)
    assert list(engine.observe_batch(table)) == [0, 0, 0]
