"""The executable specification's windows, order and kernels against examples worked out by hand, rule by rule."""

from __future__ import annotations

import math

import pytest
from tests.payments import Payment, count_over, engine_with, pay, value

import quickthorn as qt
from quickthorn.errors import FeatureError
from quickthorn.reference import ReferenceEngine

# ---- windows ----


def test_a_window_is_half_open_an_event_exactly_w_old_is_out() -> None:
    engine = engine_with(n=count_over("10s"))
    engine.observe(pay(1, 0))
    assert value(engine, pay(2, 9.999999)) == 1.0
    assert value(engine, pay(2, 10)) == 0.0


def test_the_current_event_counts_only_where_it_is_asked_for() -> None:
    engine = engine_with(without=count_over("10s"), including=count_over("10s", include_current=True))
    assert engine.features(pay(1, 0)) == {"without": 0.0, "including": 1.0}


def test_an_earlier_arrival_of_the_same_time_is_in_the_window() -> None:
    engine = engine_with(n=count_over("10s"))
    engine.observe(pay(1, 5))
    assert value(engine, pay(2, 5)) == 1.0


def test_a_delay_shifts_the_window_and_keeps_its_ends() -> None:
    engine = engine_with(n=count_over("10s", delay="5s"))
    engine.observe(pay(1, 0))
    # At t the window is (t − 15, t − 5]: the event at 0 is in from t = 5 until just before t = 15.
    assert [value(engine, pay(2, t)) for t in (4.999999, 5, 14.999999, 15)] == [0.0, 1.0, 1.0, 0.0]


def test_a_delayed_window_ends_before_newer_rows() -> None:
    engine = engine_with(total=qt.sum(Payment.amount, by=Payment.customer, over="10s", delay="5s"))
    engine.observe(pay(1, 0, amount="1.00"))
    engine.observe(pay(2, 3, amount="20.00"))
    assert value(engine, pay(3, 7)) == 1.0
    assert value(engine, pay(3, 8)) == 21.0


def test_keys_and_entities_are_kept_apart() -> None:
    engine = engine_with(c=count_over("10s"), t=qt.count(by=Payment.terminal, over="10s"))
    engine.observe(pay(1, 0, "x", terminal="y"))
    assert engine.features(pay(2, 1, "x", terminal="x")) == {"c": 1.0, "t": 0.0}
    assert engine.features(pay(2, 1, "y", terminal="y")) == {"c": 0.0, "t": 1.0}


def test_an_int_and_its_decimal_text_are_one_key_and_one_id() -> None:
    engine = engine_with(n=count_over("10s"))
    engine.observe(pay(1, 0, 7))
    assert value(engine, pay(2, 1, "7")) == 1.0
    assert engine.observe(pay("1", 1)) == "duplicate"


def test_an_entity_never_seen_has_count_0_sum_0_and_no_mean() -> None:
    by = Payment.customer
    engine = engine_with(
        n=count_over("10s"),
        total=qt.sum(Payment.amount, by=by, over="10s"),
        usual=qt.mean(Payment.amount, by=by, over="10s"),
        risk=qt.sum(Payment.risk, by=by, over="10s"),
    )
    features = engine.features(pay(1, 0))
    assert (features["n"], features["total"], features["risk"]) == (0.0, 0.0, 0.0)
    assert math.isnan(features["usual"])


def test_missing_values_count_as_events_but_not_in_sums_and_means() -> None:
    by = Payment.customer
    engine = engine_with(
        n=count_over("10s"),
        total=qt.sum(Payment.risk, by=by, over="10s"),
        usual=qt.mean(Payment.risk, by=by, over="10s"),
        share=qt.mean(Payment.foreign, by=by, over="10s"),
        abroad=qt.sum(Payment.foreign, by=by, over="10s"),
    )
    engine.observe(pay(1, 0, risk=1.5, foreign=True))
    engine.observe(pay(2, 1, risk=math.nan, foreign=None))
    engine.observe(pay(3, 2, risk=2.0, foreign=False))
    assert engine.features(pay(4, 3)) == {"n": 3.0, "total": 3.5, "usual": 1.75, "share": 0.5, "abroad": 1.0}


def test_a_missing_key_has_no_values_and_is_not_stored() -> None:
    engine = engine_with(n=qt.count(by=Payment.terminal, over="10s"), c=count_over("10s"))
    assert engine.observe(pay(1, 0)) == "ok"
    features = engine.features(pay(2, 1))
    assert math.isnan(features["n"])
    assert features["c"] == 1.0
    assert engine.groups[0].pasts == {}


# ---- numbers ----


def test_sums_of_money_are_exact_and_divided_once() -> None:
    by = Payment.customer
    engine = engine_with(
        total=qt.sum(Payment.amount, by=by, over="10s"), usual=qt.mean(Payment.amount, by=by, over="10s")
    )
    for number in range(3):
        engine.observe(pay(number, number, amount="0.10"))
    # 0.1 + 0.1 + 0.1 in floats is 0.30000000000000004; 30 minor units are 0.3.
    assert engine.features(pay(3, 3)) == {"total": 0.3, "usual": 0.1}
    engine.observe(pay(3, 3, amount="0.05"))
    assert engine.features(pay(4, 4))["usual"] == 35.0 / 400.0


def test_a_sum_of_numbers_does_not_lose_the_small_ones() -> None:
    engine = engine_with(total=qt.sum(Payment.risk, by=Payment.customer, over="10s"))
    for number, risk in enumerate((1e16, 1.0, -1e16)):
        engine.observe(pay(number, number, risk=risk))
    assert value(engine, pay(3, 3)) == 1.0


def test_a_sum_past_the_largest_float_is_infinite() -> None:
    engine = engine_with(total=qt.sum(Payment.risk, by=Payment.customer, over="10s"))
    for number in range(2):
        engine.observe(pay(number, number, risk=-1.5e308))
    assert value(engine, pay(2, 2)) == -math.inf


def test_raw_fields_become_numbers() -> None:
    engine = engine_with(
        amount=Payment.amount, risk=Payment.risk, foreign=Payment.foreign, channel=Payment.channel, at=Payment.at
    )
    full = pay(1, 2, amount="59.90", risk=3, foreign=True, channel="app")
    assert engine.features(full) == {"amount": 59.9, "risk": 3.0, "foreign": 1.0, "channel": 1.0, "at": 2e6}
    assert engine.features(pay(1, 2, channel="fax"))["channel"] == -1.0
    empty = engine.features(pay(1, 2))
    assert all(math.isnan(empty[name]) for name in ("amount", "risk", "foreign", "channel"))


# ---- order, lateness and identity ----


def test_a_late_event_within_the_lateness_takes_its_place() -> None:
    engine = engine_with(lateness="5s", n=count_over("10s"), total=qt.sum(Payment.risk, by=Payment.customer, over="3s"))
    engine.observe(pay(1, 10, risk=1.0))
    engine.observe(pay(2, 14, risk=2.0))
    late = pay(3, 11, risk=4.0)
    # The row at 14 lies after the late event's own time, so its window does not hold it.
    assert engine.features(late) == {"n": 1.0, "total": 1.0}
    assert engine.observe(late) == "late"
    assert engine.features(pay(4, 14)) == {"n": 3.0, "total": 2.0}
    assert engine.features(pay(4, 13.5)) == {"n": 2.0, "total": 5.0 - 1.0}


def test_lateness_is_inclusive_and_beyond_it_the_event_is_left_out() -> None:
    engine = engine_with(lateness="5s", n=count_over("100s", include_current=True))
    engine.observe(pay(1, 10))
    assert engine.observe(pay(2, 5)) == "late"
    assert value(engine, pay(3, 10)) == 3.0
    too_late = pay(4, 4.999999)
    assert math.isnan(value(engine, too_late))
    assert engine.observe(too_late) == "late"
    assert value(engine, pay(5, 10)) == 3.0
    # Its id was accepted all the same: a retry of it is a retry.
    assert engine.observe(too_late) == "duplicate"


def test_without_lateness_an_older_event_is_left_out_and_an_equal_one_is_not() -> None:
    engine = engine_with(n=count_over("100s"))
    engine.observe(pay(1, 10))
    assert engine.observe(pay(2, 10)) == "ok"
    assert engine.observe(pay(3, 9)) == "late"
    assert value(engine, pay(4, 10)) == 2.0


def test_an_event_may_be_too_late_for_one_entity_and_in_time_for_another() -> None:
    engine = engine_with(c=count_over("100s"), t=qt.count(by=Payment.terminal, over="100s"))
    engine.observe(pay(1, 10, "c1", terminal="t1"))
    late = pay(2, 5, "c1", terminal="t2")
    features = engine.features(late)
    assert math.isnan(features["c"])
    assert features["t"] == 0.0
    assert engine.observe(late) == "late"
    assert engine.features(pay(3, 11, "c1", terminal="t2")) == {"c": 1.0, "t": 1.0}


def test_a_duplicate_is_stored_once_and_reads_the_features_as_they_stand() -> None:
    engine = engine_with(n=count_over("10s", include_current=True))
    engine.observe(pay(1, 0))
    assert value(engine, pay(1, 0)) == 1.0  # itself, once: found in the window, not added to it
    assert engine.observe(pay(1, 0)) == "duplicate"
    assert value(engine, pay(2, 0)) == 2.0


def test_ids_beyond_the_remembered_ones_are_forgotten_oldest_first() -> None:
    engine = engine_with(remembered_ids=2, n=count_over("100s"))
    for number in (1, 2):
        engine.observe(pay(number, number))
    assert engine.observe(pay(1, 3)) == "duplicate"  # recognised, and no younger for it
    assert engine.observe(pay(3, 4)) == "ok"
    assert engine.observe(pay(2, 5)) == "duplicate"
    assert engine.observe(pay(1, 6)) == "ok"
    assert value(engine, pay(9, 7)) == 4.0


def test_status_late_goes_before_capped_and_duplicate_before_late() -> None:
    engine = engine_with(lateness="50s", row_limit=1, n=count_over("100s"))
    engine.observe(pay(1, 10))
    assert engine.observe(pay(2, 5)) == "late"
    assert engine.observe(pay(1, 5)) == "duplicate"


# ---- the row limit ----


def test_a_full_ring_drops_its_oldest_row_after_the_read() -> None:
    engine = engine_with(row_limit=2, total=qt.sum(Payment.risk, by=Payment.customer, over="100s"))
    assert [engine.observe(pay(n, n, risk=10.0**n)) for n in range(3)] == ["ok", "ok", "capped"]
    assert value(engine, pay(3, 3)) == 110.0


def test_a_late_event_older_than_a_full_ring_is_left_out() -> None:
    engine = engine_with(lateness="50s", row_limit=2, total=qt.sum(Payment.risk, by=Payment.customer, over="100s"))
    engine.observe(pay(1, 10, risk=1.0))
    engine.observe(pay(2, 20, risk=10.0))
    engine.observe(pay(3, 9, risk=100.0))
    assert value(engine, pay(4, 20)) == 11.0
    # One that is not the oldest takes its place, and the oldest goes; at the oldest's own time it counts as newer.
    engine.observe(pay(5, 10, risk=1000.0))
    assert value(engine, pay(6, 20)) == 1010.0


def test_rows_that_no_window_can_reach_do_not_count_towards_the_limit() -> None:
    engine = engine_with(row_limit=1, n=count_over("10s"))
    engine.observe(pay(1, 0))
    assert engine.observe(pay(2, 9.999999)) == "capped"
    assert engine.observe(pay(3, 19.999999)) == "ok"


# ---- kernels ----


@qt.kernel
def ratio(amount, usual):  # type: ignore[no-untyped-def]
    return amount / usual


@qt.kernel
def logarithm(number):  # type: ignore[no-untyped-def]
    return math.log(number)


@qt.kernel
def last_bit(at):  # type: ignore[no-untyped-def]
    return at % 2


def test_a_kernel_divides_by_zero_as_the_machine_does() -> None:
    engine = engine_with(q=ratio(Payment.risk, 0.0))
    assert value(engine, pay(1, 0, risk=1.0)) == math.inf
    assert value(engine, pay(1, 0, risk=-1.0)) == -math.inf
    assert math.isnan(value(engine, pay(1, 0, risk=0.0)))
    assert math.isnan(value(engine, pay(1, 0)))


def test_a_kernel_s_mathematics_do_not_raise() -> None:
    engine = engine_with(q=logarithm(Payment.risk))
    assert value(engine, pay(1, 0, risk=math.e)) == 1.0
    assert value(engine, pay(1, 0, risk=0.0)) == -math.inf
    assert math.isnan(value(engine, pay(1, 0, risk=-1.0)))


def test_a_kernel_sees_event_time_as_an_integer() -> None:
    engine = engine_with(bit=last_bit(Payment.at))
    assert value(engine, {**pay(1, 0), "at": 2**53 + 1}) == 1.0  # a float64 would have been rounded to 2**53


def test_kernels_read_features_declared_before_or_after_them() -> None:
    declared = qt.FeatureSet(Payment)
    declared["first"] = ratio(declared["second"], 2)
    declared["second"] = ratio(Payment.amount, qt.sum(Payment.amount, by=Payment.customer, over="1d"))
    engine = ReferenceEngine(declared)
    engine.observe(pay(1, 0, amount=40))
    assert engine.features(pay(2, 1, amount=10)) == {"first": 0.125, "second": 0.25}


def test_a_cycle_and_an_undeclared_feature_are_refused_by_name() -> None:
    declared = qt.FeatureSet(Payment)
    declared["first"] = ratio(declared["second"], 2)
    with pytest.raises(FeatureError, match="'second'"):
        ReferenceEngine(declared)
    declared["second"] = ratio(declared["first"], 2)
    with pytest.raises(FeatureError, match="first → second → first"):
        ReferenceEngine(declared)
