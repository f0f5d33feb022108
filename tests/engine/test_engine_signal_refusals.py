"""Signals that break a rule, in a call, a table or a declaration: each one clear error, and nothing has changed."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.engine.signal_sets import Bureau, Payment, loaded, read

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.errors import EventError, FeatureError, SchemaError, SignalError
from quickthorn.features.plan import plan
from quickthorn.replay import replay

BAD = [
    (("Bureu", "a", {"score": 1}, 1), "signal: expected a source that the bundle reads, Bureau, Device, found 'Bureu'"),
    ((None, "a", {"score": 1}, 1), "found None"),
    ((Payment, "a", {"score": 1}, 1), "expected a source that the bundle reads"),
    ((Bureau, "a", {}, 1), "Bureau.score: expected a finite number, found nothing"),
    ((Bureau, "a", {"score": None}, 1), "Bureau.score: expected a finite number, found nothing"),
    ((Bureau, "a", {"score": "x"}, 1), "Bureau.score: expected a finite number, found 'x'"),
    ((Bureau, "a", {"score": math.inf}, 1), "Bureau.score: expected a finite number, found inf"),
    ((Bureau, "a", {"score": math.nan}, 1), "Bureau.score: expected a finite number, found nan"),
    ((Bureau, "a", {"score": 1, "band": 3}, 1), "Bureau.band: expected a str, found 3"),
    ((Bureau, "a", {"score": 1, "debt": "1.001"}, 1), "Bureau.debt: expected an amount with at most 2 decimals"),
    ((Bureau, "a", {"score": 1, "listed": 1}, 1), "Bureau.listed: expected True or False, found 1"),
    (
        (Bureau, "a", {"score": 1, "scor": 2}, 1),
        "expected values named score, band, debt, listed, found 'scor'",
    ),
    ((Bureau, "a", {"score": 1, "at": 2}, 1), "Bureau: expected values named .*, found 'at'"),
    ((Bureau, "a", {"score": 1, "person": "b"}, 1), "Bureau: expected values named .*, found 'person'"),
    ((Bureau, "a", {"score": 1, 5: 1}, 1), "Bureau: expected values named .*, found 5"),
    ((Bureau, "a", [("score", 1)], 1), r"Bureau: expected values by name, found \["),
    ((Bureau, "", {"score": 1}, 1), "Bureau.person: expected a non-empty str or an int, found ''"),
    ((Bureau, None, {"score": 1}, 1), "Bureau.person: expected a non-empty str or an int, found nothing"),
    ((Bureau, 1.5, {"score": 1}, 1), "Bureau.person: expected a non-empty str or an int, found 1.5"),
    ((Bureau, "a", {"score": 1}, None), "Bureau.at: expected int microseconds UTC.*, found nothing"),
    ((Bureau, "a", {"score": 1}, True), "Bureau.at: expected int microseconds UTC.*, found True"),
    ((Bureau, "a", {"score": 1}, "yesterday"), "Bureau.at: expected int microseconds UTC.*, found 'yesterday'"),
    ((Bureau, "a", {"score": 1}, datetime(2026, 1, 1)), "Bureau.at: expected int microseconds UTC"),
    ((Bureau, "a", {"score": 1}, 2**70), "Bureau.at: expected an event time within"),
]


def test_a_wrong_signal_is_one_sentence_and_changes_nothing(signal_bundles: dict[str, Path]) -> None:
    engine = loaded(signal_bundles["signals"])
    before = engine.counters()
    for arguments, expected in BAD:
        with pytest.raises(SignalError, match=expected) as caught:
            engine.signal(*arguments)
        assert "\n" not in str(caught.value)
    assert engine.counters() == before
    assert read(engine, 2)[1] == 1.0


def test_tables_of_signals(signal_bundles: dict[str, Path]) -> None:
    engine = loaded(signal_bundles["signals"])
    table = pa.table({"person": ["a", "", "a", "b"], "score": [1.0, 2.0, math.inf, 4.0], "at": [1, 1, 1, 1]})
    refused = engine.signal_batch(Bureau, table)
    assert [row for row, _ in refused] == [1, 2]
    assert refused[0][1].startswith("person: expected a non-empty str")
    assert engine.counters()["signals"] == 2
    assert read(engine, 1)[0] == 1.0
    for wrong, expected in (
        (table.drop_columns("score"), "score"),
        (table.set_column(1, "score", pa.array(list("abcd"))), "score"),
        ([1], "Arrow PyCapsule interface"),
    ):
        with pytest.raises(SignalError, match=expected):
            engine.signal_batch(Bureau, wrong)
    events = pa.table({"event_id": [1], "at": [1], "payer": ["a"]})
    with pytest.raises(SignalError, match=r"signals\['Bureau'\]\[1\].person: expected a non-empty str"):
        replay(engine, events, signals={Bureau: table})
    with pytest.raises(SignalError, match="expected a source that the bundle reads"):
        replay(engine, events, signals={"Other": table})
    with pytest.raises(SignalError, match="Arrow PyCapsule interface"):
        replay(engine, events, signals={Bureau: 5})
    kept = replay(engine, events, signals={Bureau: table}, errors="keep")
    assert kept["Payment.payer_Bureau.score_3s"].to_pylist() == [1.0]


def test_declarations_that_break_a_rule_are_refused() -> None:
    def declare(**fields: Any) -> Any:
        return type("Source", (qt.Signal,), {"__annotations__": fields})

    for fields, expected in (
        ({"score": qt.Number}, "expected exactly one required Entity to speak of, found none"),
        ({"a": qt.Entity, "b": qt.Entity, "c": qt.Number}, "found a, b"),
        ({"a": qt.Entity | None, "c": qt.Number}, "found none"),
        ({"a": qt.Entity}, "expected 1 to 256 values, found 0"),
        ({"a": qt.Entity, "at": qt.EventTime}, "Source.at: expected another name"),
        ({"a": qt.Entity, "source": qt.Number}, "Source.source: expected another name"),
        ({"a": qt.Entity, "b": qt.Text}, "Source.b: expected a Number, Money, Boolean or Category, found Text"),
        ({"a": qt.Entity, "b": qt.Id}, "found Id"),
        ({"a": qt.Entity, "b": int}, "found int"),
    ):
        with pytest.raises(SchemaError, match=expected):
            declare(**fields)
    with pytest.raises(SchemaError, match="declares a source"):
        Bureau()


def test_features_that_break_a_rule_are_refused() -> None:
    class Plain(qt.Signal):
        person: qt.Entity
        kind: qt.Category

    for call, expected in (
        (lambda: qt.signal_value(Payment.payer, by=Payment.payer, ttl="1h"), "signal_value: expected a source"),
        (lambda: qt.signal_value(Bureau.person, by=Payment.payer, ttl="1h"), "signal_value: expected a source"),
        (lambda: qt.signal_value(Bureau, by=Payment.payer, ttl="1h"), "such as Bureau.score, found Bureau"),
        (lambda: qt.signal_value(Plain.kind, by=Payment.payer, ttl="1h"), "Plain.kind needs field"),
        (lambda: qt.signal_value(Bureau.score, by=Payment.at, ttl="1h"), r"signal_value\(by=\): expected an Entity"),
        (lambda: qt.signal_value(Bureau.score, by=Payment.payer, ttl="1x"), r"signal_value\(ttl=\): expected"),
        (lambda: qt.signal_value(Bureau.score, by=Payment.payer, ttl="0s"), "expected more than 0"),
        (lambda: qt.signal_status(5, by=Payment.payer, ttl="1h"), "signal_status: expected a source"),
        (lambda: qt.signal_age(qt.Signal, by=Payment.payer), "signal_age: expected a source"),
    ):
        with pytest.raises(FeatureError, match=expected):
            call()

    features = qt.FeatureSet(Payment, expire_after="1h")
    features["x"] = qt.signal_value(Bureau.score, by=Payment.payer, ttl="2h")
    with pytest.raises(FeatureError, match=r"features\['x'\]: expected a ttl within expire_after"):
        plan(features)
    features = qt.FeatureSet(Payment)
    features["x"] = qt.signal_age(Bureau, by=Bureau.person)
    with pytest.raises(FeatureError, match=r"features\['x'\]: expected a field of Payment, found Bureau.person"):
        plan(features)
    features = qt.FeatureSet(Payment)
    features["x"] = qt.signal_age(Bureau, by=Payment.payer)
    features["y"] = qt.signal_age(type("Bureau", (Bureau,), {}), by=Payment.payer)
    with pytest.raises(FeatureError, match="two that are called Bureau"):
        plan(features)


def test_a_bundle_without_signals_takes_none(tmp_path: Path) -> None:
    features = qt.FeatureSet(Payment)
    features["count"] = qt.count(by=Payment.payer, over="1d")
    compile_bundle(features=features, output=tmp_path / "plain.qt", target="x86-64-v2")
    with pytest.raises(SignalError, match="expected a source that the bundle reads, none, found 'Bureau'"):
        loaded(tmp_path / "plain.qt").signal(Bureau, "a", {"score": 1}, 1)
    with pytest.raises(EventError):
        loaded(tmp_path / "plain.qt").features({})
