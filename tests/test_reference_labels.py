"""The executable specification of labels against examples worked out by hand, rule by rule."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.payments import Payment, S, engine_with, pay

import quickthorn as qt
from quickthorn.errors import LabelError

CUSTOMER = Payment.customer


def labelled_engine(delay: str = "0s", **options: Any) -> Any:
    """A reference engine that has the three features of labels over ten seconds."""
    window = {"by": CUSTOMER, "over": "10s", "delay": delay}
    return engine_with(
        **options, rate=qt.fraud_rate(**window), frauds=qt.fraud_count(**window), labels=qt.label_count(**window)
    )


def read(engine: Any, second: float, **fields: Any) -> tuple[float, float, float]:
    found = engine.features(pay("reading", second, **fields))
    return found["rate"], found["frauds"], found["labels"]


def test_a_label_counts_from_when_it_is_available() -> None:
    engine = labelled_engine()
    for number in range(3):
        engine.observe(pay(number, number))
    assert math.isnan(read(engine, 4)[0])
    assert read(engine, 4)[1:] == (0.0, 0.0)
    engine.label(0, True, 5 * S)
    engine.label("1", False, 6 * S)  # 1 and "1" are one event, as they are one key
    assert read(engine, 5 - 1e-6)[1:] == (0.0, 0.0)
    assert read(engine, 5) == (1.0, 1.0, 1.0)
    assert read(engine, 6) == (0.5, 1.0, 2.0)
    # An event exactly as old as the window is out, with its label.
    assert read(engine, 10) == (0.0, 0.0, 1.0)


def test_with_a_delay_a_label_waits_until_its_event_is_old_enough() -> None:
    engine = labelled_engine(delay="5s")
    engine.observe(pay(1, 0))
    engine.label(1, True, 1 * S)
    assert read(engine, 5 - 1e-6)[1:] == (0.0, 0.0)
    assert read(engine, 5) == (1.0, 1.0, 1.0)
    assert read(engine, 15)[1:] == (0.0, 0.0)


def test_a_label_that_comes_after_the_delay_counts_from_when_it_came() -> None:
    engine = labelled_engine(delay="5s")
    engine.observe(pay(1, 0))
    engine.label(1, True, 8 * S)
    assert read(engine, 7)[1:] == (0.0, 0.0)
    assert read(engine, 8) == (1.0, 1.0, 1.0)


def test_an_event_has_the_label_that_was_known_last() -> None:
    engine = labelled_engine()
    engine.observe(pay(1, 0))
    engine.label(1, False, 6 * S)  # a chargeback reversed, told before the chargeback itself
    engine.label(1, True, 4 * S)
    assert [read(engine, second)[1:] for second in (3, 4, 5, 6)] == [(0, 0), (1, 1), (1, 1), (0, 1)]
    engine.label(1, True, 6 * S)  # of two from one time the later word counts
    assert read(engine, 6)[1:] == (1, 1)


def test_the_last_two_changes_are_kept_and_a_repetition_is_none() -> None:
    engine = labelled_engine()
    engine.observe(pay(1, 0))
    for second, fraud in ((1, True), (2, True), (3, False), (4, False)):
        engine.label(1, fraud, second * S)
    assert [read(engine, second)[1:] for second in (1, 2, 3, 4)] == [(1, 1), (1, 1), (0, 1), (0, 1)]
    engine.label(1, True, 5 * S)
    assert [read(engine, second)[1:] for second in (2, 3, 4, 5)] == [(0, 0), (0, 1), (0, 1), (1, 1)]


def test_a_label_available_before_its_event_counts_as_soon_as_that_is_stored() -> None:
    engine = labelled_engine(lateness="5s")
    engine.observe(pay(1, 3))
    engine.label(1, True, -(2**61))
    assert read(engine, 3) == (1.0, 1.0, 1.0)
    assert read(engine, 2)[1:] == (0, 0)  # as anything else of its event, not before it


def test_an_event_that_is_not_remembered_has_no_label() -> None:
    engine = labelled_engine(remembered_ids=2)
    for number in range(3):
        engine.observe(pay(number, number))
    with pytest.raises(LabelError, match="event_id: expected the id of an event that is remembered, found 0"):
        engine.label(0, True, 0)
    with pytest.raises(LabelError, match="found 'yet to come'"):
        engine.label("yet to come", True, 0)
    assert read(engine, 2)[1:] == (0, 0)


def test_of_an_event_told_twice_the_first_has_the_label() -> None:
    engine = labelled_engine()
    assert [engine.observe(pay(1, second)) for second in (0, 5)] == ["ok", "duplicate"]
    engine.label(1, True, 5 * S)
    assert read(engine, 9)[1:] == (1, 1)
    assert read(engine, 10)[1:] == (0, 0)


def test_an_event_that_was_left_out_or_has_left_takes_its_label_along() -> None:
    engine = labelled_engine(row_limit=2)
    engine.observe(pay(0, 10))
    assert engine.observe(pay("late", 0)) == "late"
    engine.label("late", True, 11 * S)
    for number in (1, 2):
        engine.observe(pay(number, 11))
    engine.label(0, True, 11 * S)  # its row has given way to a newer one
    assert read(engine, 11)[1:] == (0, 0)


def test_a_condition_holds_for_events_and_so_for_their_labels() -> None:
    window = {"by": CUSTOMER, "over": "10s", "where": Payment.foreign}
    engine = engine_with(frauds=qt.fraud_count(**window), labels=qt.label_count(**window))
    for number, foreign in enumerate((True, False, None)):
        engine.observe(pay(number, 0, foreign=foreign))
        engine.label(number, True, 0)
    assert list(engine.features(pay("reading", 1)).values()) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ((None, True, 0), "event_id: expected a non-empty str or an int, found nothing"),
        ((1.5, True, 0), "event_id: expected a non-empty str or an int, found 1.5"),
        ((1, 1, 0), "fraud: expected True or False, found 1"),
        ((1, None, 0), "fraud: expected True or False, found nothing"),
        ((1, True, "today"), "available_at: expected int microseconds UTC, .*, found 'today'"),
        ((1, True, 2**61 + 1), "available_at: expected int microseconds UTC"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(label: tuple[Any, ...], message: str) -> None:
    engine = labelled_engine()
    engine.observe(pay(1, 0))
    with pytest.raises(LabelError, match=message):
        engine.label(*label)


def test_an_engine_without_features_of_labels_takes_none() -> None:
    engine = engine_with(count=qt.count(by=CUSTOMER, over="10s"))
    engine.observe(pay(1, 0))
    with pytest.raises(LabelError, match="expected a bundle with features of labels, found none"):
        engine.label(1, True, 0)
