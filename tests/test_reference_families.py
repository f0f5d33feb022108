"""The executable specification's families of features against examples worked out by hand, rule by rule."""

from __future__ import annotations

import math
from typing import Any

from tests.payments import Payment, count_over, engine_with, pay, value

import quickthorn as qt
from quickthorn.reference import ReferenceEngine

# ---- spreads, extremes, conditions and pairs ----


def test_spreads_and_extremes_leave_out_what_is_missing() -> None:
    by = Payment.customer
    engine = engine_with(
        variance=qt.variance(Payment.amount, by=by, over="10s"),
        deviation=qt.std(Payment.amount, by=by, over="10s", ddof=0),
        least=qt.min(Payment.amount, by=by, over="10s"),
        greatest=qt.max(Payment.amount, by=by, over="10s", include_current=True),
    )
    assert all(math.isnan(found) for found in engine.features(pay(1, 0)).values())
    engine.observe(pay(1, 0, amount="2.00"))
    only = engine.features(pay(2, 1, amount="7.00"))
    assert math.isnan(only["variance"])  # one value is no sample to say how far it spreads
    assert (only["deviation"], only["least"], only["greatest"]) == (0.0, 2.0, 7.0)
    for number, amount in enumerate(("4.00", "4.00", None, "6.00")):
        engine.observe(pay(number + 2, 1, amount=amount))
    both = engine.features(pay(9, 2))
    assert (both["variance"], both["deviation"]) == (8.0 / 3.0, math.sqrt(2.0))
    assert (both["least"], both["greatest"]) == (2.0, 6.0)


def test_a_condition_holds_where_it_is_neither_zero_nor_missing() -> None:
    @qt.kernel
    def above(amount: float, limit: float) -> float:
        return amount - limit if amount >= limit else 0.0

    by = Payment.customer
    engine = engine_with(
        abroad=count_over("10s", where=Payment.foreign, include_current=True),
        dear=qt.sum(Payment.amount, by=by, over="10s", where=above(Payment.amount, 5)),
    )
    for number, (amount, foreign) in enumerate((("5.00", True), ("6.00", None), (None, False), ("7.00", True))):
        engine.observe(pay(number, number, amount=amount, foreign=foreign))
    assert engine.features(pay(9, 4, foreign=True)) == {"abroad": 3.0, "dear": 13.0}
    assert engine.features(pay(9, 4, foreign=None))["abroad"] == 2.0


def test_a_pair_is_a_key_of_its_own_and_needs_both() -> None:
    engine = engine_with(n=qt.count(by=(Payment.terminal, Payment.customer), over="10s"))
    for number, (customer, terminal) in enumerate((("a", "b"), ("a", "b"), ("b", "a"), ("a", None), ("a", "c"))):
        engine.observe(pay(number, 0, customer, terminal=terminal))
    found = [value(engine, pay(9, 1, *key[:1], terminal=key[1])) for key in (("a", "b"), ("b", "a"), ("c", "a"))]
    assert found == [2.0, 1.0, 0.0]
    assert math.isnan(value(engine, pay(9, 1, "a")))


# ---- what outlives windows ----


def test_recency_and_age_go_back_to_the_first_event_however_long_ago() -> None:
    by = Payment.customer
    engine = engine_with(
        last=qt.since_last(by=by), second=qt.since_last(by=by, k=2), age=qt.age(by=by), new=qt.is_new(by=by)
    )
    first = engine.features(pay(1, 0))
    assert first["new"] == 1.0
    assert all(math.isnan(first[name]) for name in ("last", "second", "age"))
    for number, second in ((1, 0.0), (2, 10.5), (3, 1e6)):
        engine.observe(pay(number, second))
    assert engine.features(pay(4, 1e6 + 0.25)) == {"last": 0.25, "second": 999_989.75, "age": 1_000_000.25, "new": 0.0}


def test_a_late_event_sees_only_what_was_before_it() -> None:
    engine = engine_with(lateness="10s", last=qt.since_last(by=Payment.customer), n=count_over("1000s"))
    for number, second in ((1, 0), (2, 9)):
        engine.observe(pay(number, second))
    assert engine.features(pay(3, 5)) == {"last": 5.0, "n": 1.0}
    engine.observe(pay(3, 5))
    assert engine.features(pay(4, 6))["last"] == 1.0
    assert engine.features(pay(4, 10))["last"] == 1.0


def test_a_sequence_leaves_out_what_is_missing() -> None:
    by, amount, channel = Payment.customer, Payment.amount, Payment.channel
    engine = engine_with(
        last=qt.last(amount, by=by),
        second=qt.last(amount, by=by, k=2),
        step=qt.difference(amount, by=by),
        bend=qt.difference(amount, by=by, order=2),
        run=qt.run_length(channel, by=by),
        run_with=qt.run_length(channel, by=by, include_current=True),
        changed=qt.changed(channel, by=by),
    )
    for number, (paid, kind) in enumerate((("1.00", "web"), ("3.00", "fax"), (None, "fax"), ("7.00", None))):
        engine.observe(pay(number, number, amount=paid, channel=kind))
    assert engine.features(pay(9, 5, amount="8.50", channel="fax")) == {
        **{"last": 7.0, "second": 3.0, "step": 1.5, "bend": -2.5},
        **{"run": 2.0, "run_with": 3.0, "changed": 0.0},
    }
    # Two values that are not among the listed ones are still two.
    assert engine.features(pay(9, 5, channel="telex"))["changed"] == 1.0
    without = engine.features(pay(9, 5))
    assert math.isnan(without["step"])
    assert math.isnan(without["changed"])
    assert without["run_with"] == 2.0


def test_weights_halve_with_every_half_life() -> None:
    by, options = Payment.customer, {"by": Payment.customer, "half_life": "10s"}
    engine = engine_with(
        n=qt.decayed_count(**options),
        n_with=qt.decayed_count(**options, include_current=True),
        total=qt.decayed_sum(Payment.amount, **options),
        usual=qt.decayed_mean(Payment.amount, **options),
        spread=qt.decayed_variance(Payment.amount, **options),
        abroad=qt.decayed_count(by=by, half_life="5s", where=Payment.foreign),
    )
    engine.observe(pay(1, 0, amount="4.00", foreign=True))
    engine.observe(pay(2, 10, amount="10.00"))
    assert engine.features(pay(3, 20)) == {
        **{"n": 0.75, "n_with": 1.75, "total": 6.0, "usual": 8.0, "spread": 8.0, "abroad": 0.0625}
    }
    # Long after, means are what they were; sums are not.
    later = engine.features(pay(3, 1e6))
    assert (later["usual"], later["spread"], later["total"]) == (8.0, 8.0, 0.0)


def test_distinct_values_are_counted_once_and_the_current_one_where_asked_for() -> None:
    options: dict[str, Any] = {"by": Payment.customer, "over": "10s", "cap": 2}
    engine = engine_with(
        n=qt.distinct(Payment.terminal, **options),
        n_with=qt.distinct(Payment.terminal, include_current=True, **options),
        exact=qt.distinct_is_exact(Payment.terminal, **options),
    )
    for number, terminal in enumerate(("a", "b", "a", None)):
        engine.observe(pay(number, number, terminal=terminal))
    assert engine.features(pay(9, 5, terminal="c")) == {"n": 2.0, "n_with": 3.0, "exact": 1.0}
    assert engine.features(pay(9, 5, terminal="b")) == {"n": 2.0, "n_with": 2.0, "exact": 1.0}
    assert engine.features(pay(9, 11, terminal="c"))["n"] == 1.0
    engine.observe(pay(9, 5, terminal="c"))
    assert engine.features(pay(10, 5)) == {"n": 3.0, "n_with": 3.0, "exact": 0.0}


def test_a_tiled_window_begins_with_the_tile_that_it_reaches_into() -> None:
    engine = engine_with(n=count_over("20s", tile="10s"))
    for number, second in enumerate((0, 9.999999, 10, 25)):
        engine.observe(pay(number, second))
    # (5, 25] reaches into the tile that begins at 0; (9.999999, 29.999999] does not.
    assert [value(engine, pay(9, t)) for t in (25, 29.999998, 29.999999, 30)] == [4.0, 4.0, 2.0, 2.0]


def test_a_users_record_goes_through_events_in_order() -> None:
    @qt.stateful
    class Streak:
        rising: int = 0
        before: float = -1.0

        def update(self, amount: float) -> None:
            self.rising = self.rising + 1 if amount > self.before else 0
            self.before = amount

        def read(self, amount: float) -> float:
            return self.rising + 1.0 if amount > self.before else 0.0

    engine = engine_with(lateness="10s", streak=Streak(Payment.amount, by=Payment.customer))
    assert value(engine, pay(1, 0, amount="1.00")) == 1.0
    for number, second, amount in ((1, 0, "1.00"), (2, 4, "5.00"), (3, 2, "3.00")):
        engine.observe(pay(number, second, amount=amount))
    assert value(engine, pay(4, 5, amount="6.00")) == 4.0
    assert value(engine, pay(4, 1, amount="6.00")) == 2.0


def test_an_idle_key_is_forgotten_exactly_when_it_has_been_idle_for_so_long() -> None:
    declared = qt.FeatureSet(Payment, expire_after="10s")
    declared["age"] = qt.age(by=Payment.customer)
    declared["n"] = count_over("10s")
    engine = ReferenceEngine(declared)
    for number, second in enumerate((0, 9)):
        engine.observe(pay(number, second))
    assert engine.features(pay(5, 18.999999)) == {"age": 18.999999, "n": 1.0}
    assert math.isnan(engine.features(pay(5, 19))["age"])
    engine.observe(pay(5, 19))
    assert engine.features(pay(6, 20)) == {"age": 1.0, "n": 1.0}
