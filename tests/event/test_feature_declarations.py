"""Durations, kernels, aggregates and feature sets: how a wrong declaration is refused, by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import quickthorn as qt
from quickthorn.errors import FeatureError
from quickthorn.features.durations import LONGEST_US, duration_us
from quickthorn.features.plan import plan
from quickthorn.features.velocity import Aggregate


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    risk: qt.Number | None
    foreign: qt.Boolean | None
    channel: qt.Category = qt.field(values=("web", "app"))
    country: qt.Category | None
    note: qt.Text | None
    terminal: qt.Entity | None


@qt.kernel
def ratio(amount, usual):  # type: ignore[no-untyped-def]
    return amount / usual


def refusal(declare: Callable[[], object]) -> str:
    with pytest.raises(FeatureError) as caught:
        declare()
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "us"),
    [
        ("0s", 0),
        ("1us", 1),
        ("2ms", 2_000),
        ("3s", 3_000_000),
        ("15m", 900_000_000),
        ("2h", 7_200_000_000),
        ("7d", 604_800_000_000),
        ("1w", 604_800_000_000),
        (timedelta(days=1, microseconds=1), 86_400_000_001),
        ("36600d", LONGEST_US),
    ],
)
def test_durations(written: str | timedelta, us: int) -> None:
    assert duration_us(written, "over") == us


@pytest.mark.parametrize("written", ["", "d", "1", "1x", "1.5d", "-1d", " 1d", "1D", "1d1h", 5, None, "1234567890s"])
def test_what_is_not_a_duration_is_refused(written: Any) -> None:
    message = refusal(lambda: duration_us(written, "count(over=)"))
    assert message == f'count(over=): expected a duration such as "15m", found {written!r}'


@pytest.mark.parametrize("written", ["36601d", timedelta(microseconds=-1), timedelta.max])
def test_a_duration_beyond_a_century_or_below_nothing_is_refused(written: Any) -> None:
    assert refusal(lambda: duration_us(written, "over")).startswith(
        "over: expected a duration from 0 to 100 years, found "
    )


def test_an_aggregate_needs_an_entity_and_a_field_it_can_add() -> None:
    wrong: Any
    for wrong in (Payment.amount, "customer", None):
        message = refusal(lambda by=wrong: qt.count(by=by, over="1d"))  # type: ignore[misc]
        assert message == f"count(by=): expected an Entity field of the event class, found {wrong!r}"
    for wrong in (Payment.customer, Payment.channel, Payment.at, Payment.note, "amount", 5):
        message = refusal(lambda field=wrong: qt.mean(field, by=Payment.customer, over="1d"))  # type: ignore[misc]
        assert message == f"mean: expected a Money, Number or Boolean field, found {wrong!r}"


def test_a_window_is_longer_than_nothing_and_a_delayed_one_never_holds_the_current_event() -> None:
    by = Payment.customer
    assert refusal(lambda: qt.count(by=by, over="0s")).startswith("count(over=): expected a window longer than 0")
    assert refusal(lambda: qt.sum(Payment.risk, by=by, over="yes")).startswith("sum(over=): expected a duration")
    assert refusal(lambda: qt.count(by=by, over="1d", delay="-1d")).startswith("count(delay=): expected a duration")
    message = refusal(lambda: qt.count(by=by, over="1d", delay="1d", include_current=True))
    assert message.startswith("count: include_current with delay='1d'")


def test_an_aggregate_says_what_it_is() -> None:
    made = qt.sum(Payment.foreign, by=Payment.customer, over="1m", delay=timedelta(seconds=1))
    assert made == Aggregate(
        by=(Payment.customer,),
        where=None,
        include_current=False,
        over_us=60_000_000,
        delay_us=1_000_000,
        kind="sum",
        field=Payment.foreign,
    )


def test_a_kernel_is_a_function_of_plain_arguments() -> None:
    assert refusal(lambda: qt.kernel(len)) == "@kernel: expected a Python function, found builtin_function_or_method"

    def with_default(a: float, b: float = 1.0) -> float:
        return a + b

    def with_many(*rest: float) -> float:
        return rest[0]

    def with_keyword(a: float, *, b: float) -> float:
        return a + b

    for function, parameter in ((with_default, "b"), (with_many, "*rest"), (with_keyword, "b")):
        message = refusal(lambda function=function: qt.kernel(function))  # type: ignore[misc]
        assert message.startswith(f"kernel {function.__name__} ({__file__}:")
        assert f"expected plain arguments, found {parameter}" in message


def test_a_kernel_takes_as_many_arguments_as_its_function_and_only_what_has_a_value() -> None:
    assert refusal(lambda: ratio(Payment.amount)) == "kernel ratio: expected 2 arguments, found 1"
    for wrong in ("amount", True, None, Payment):
        message = refusal(lambda wrong=wrong: ratio(Payment.amount, wrong))  # type: ignore[misc]
        assert message == f"kernel ratio: expected a field, a feature, an aggregate or a number, found {wrong!r}"


def test_a_feature_set_is_over_an_event_class_with_limits_in_range() -> None:
    for wrong in (qt.Event, dict, Payment.schema, None):
        assert refusal(lambda event=wrong: qt.FeatureSet(event)).startswith(  # type: ignore[misc]
            "FeatureSet: expected an event class, found "
        )
    for option, wrong_value in (
        ("row_limit", 0),
        ("row_limit", 2**20 + 1),
        ("row_limit", True),
        ("remembered_ids", -1),
        ("remembered_ids", 2**26 + 1),
        ("remembered_ids", 1.5),
    ):
        options: dict[str, Any] = {option: wrong_value}
        message = refusal(lambda options=options: qt.FeatureSet(Payment, **options))  # type: ignore[misc]
        assert message.startswith(f"FeatureSet({option}=): expected 1 to ")
        assert message.endswith(f"found {wrong_value!r}")
    assert refusal(lambda: qt.FeatureSet(Payment, lateness="soon")).startswith("FeatureSet(lateness=): expected a dur")


def test_feature_names_keep_their_order_and_are_given_once() -> None:
    features = qt.FeatureSet(Payment)
    features["b"] = Payment.amount
    features["a"] = qt.count(by=Payment.customer, over="1d")
    assert features.names == tuple(features) == ("b", "a")
    assert len(features) == 2
    assert refusal(lambda: features.__setitem__("b", Payment.risk)) == "features['b']: declared twice"
    assert refusal(lambda: features.__setitem__("", Payment.risk)) == "features['']: expected a non-empty name"
    assert refusal(lambda: features.expression("c")).startswith("features['c']: expected a declared feature")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (Payment.event_id, "expected a numeric field, found the id Payment.event_id"),
        (Payment.customer, "expected a numeric field, found the entity Payment.customer"),
        (Payment.note, "expected a numeric field, found the text Payment.note"),
        (Payment.country, "Payment.country needs field(values=(...)) before it can be a feature"),
        ("amount", "expected a field, a feature, an aggregate or a number, found 'amount'"),
        (True, "expected a field, a feature, an aggregate or a number, found True"),
    ],
)
def test_what_cannot_be_a_feature_is_refused_by_feature_and_field(value: object, sentence: str) -> None:
    features = qt.FeatureSet(Payment)
    assert refusal(lambda: features.__setitem__("some", value)) == f"features['some']: {sentence}"
    assert len(features) == 0


def test_a_key_is_one_entity_or_several_different_ones_in_either_order() -> None:
    pair = (Payment.customer, Payment.terminal)
    assert qt.count(by=pair, over="1d") == qt.count(by=pair[::-1], over="1d")
    for wrong in ((), (Payment.customer, Payment.customer)):
        message = refusal(lambda by=wrong: qt.count(by=by, over="1d"))  # type: ignore[misc]
        assert message.startswith("count(by=): expected 1 to 4 different entities, found (")
    message = refusal(lambda: qt.mean(Payment.risk, by=(Payment.customer, Payment.amount), over="1d"))  # type: ignore[arg-type]
    assert message == "mean(by=): expected an Entity field of the event class, found Payment.amount"


def test_a_condition_is_over_the_events_own_fields() -> None:
    def refused(where: Any) -> str:
        return refusal(lambda: qt.count(by=Payment.customer, over="1d", where=where))

    assert refused(ratio) == "count(where=): expected ratio(...) with the event's fields, found the bare kernel"
    for wrong in (True, "amount > 2", Payment.amount, qt.FeatureSet(Payment)["other"]):
        assert refused(wrong) == (
            f"count(where=): expected a Boolean field or a kernel of the event's fields, found {wrong!r}"
        )
    features = qt.FeatureSet(Payment)
    count = qt.count(by=Payment.customer, over="1d")
    for inner, found in ((features["other"], "the feature 'other'"), (count, repr(count))):
        assert refused(ratio(Payment.amount, inner)) == (
            f"count(where=): expected a condition over the event's own fields, found {found} in it"
        )


def test_a_spread_declares_its_degrees_of_freedom_and_an_extreme_its_field() -> None:
    wrong: Any
    for wrong in (-1, 2, True, 0.5, None):
        message = refusal(lambda ddof=wrong: qt.std(Payment.risk, by=Payment.customer, over="1d", ddof=ddof))  # type: ignore[misc]
        assert message == f"std(ddof=): expected 0 or 1, found {wrong!r}"
    for declare in (qt.variance, qt.min, qt.max):
        message = refusal(lambda declare=declare: declare(Payment.at, by=Payment.customer, over="1d"))  # type: ignore[misc]
        assert message == f"{declare.__name__}: expected a Money, Number or Boolean field, found Payment.at"


def test_what_outlives_windows_is_declared_within_its_limits() -> None:
    wrong: Any
    by = Payment.customer
    for wrong in (0, 65, True, 1.0, None):
        assert refusal(lambda k=wrong: qt.since_last(by=by, k=k)) == (  # type: ignore[misc]
            f"since_last(k=): expected 1 to 64, found {wrong!r}"
        )
        assert refusal(lambda k=wrong: qt.last(Payment.risk, by=by, k=k)) == (  # type: ignore[misc]
            f"last(k=): expected 1 to 64, found {wrong!r}"
        )
    for wrong in (0, 9, False):
        assert refusal(lambda order=wrong: qt.difference(Payment.risk, by=by, order=order)) == (  # type: ignore[misc]
            f"difference(order=): expected 1 to 8, found {wrong!r}"
        )
    assert refusal(lambda: qt.last(Payment.channel, by=by)).startswith(  # type: ignore[arg-type]
        "last: expected a Money, Number or Boolean field, found Payment.channel"
    )
    assert refusal(lambda: qt.changed(Payment.at, by=by)) == (
        "changed: expected an Entity, Category, Text, Money, Number or Boolean field, found Payment.at"
    )
    assert refusal(lambda: qt.decayed_sum(Payment.risk, by=by, half_life="0s")) == (
        "decayed_sum(half_life=): expected a half-life longer than 0, found '0s'"
    )
    assert refusal(lambda: qt.decayed_count(by=by, half_life=5)).startswith(  # type: ignore[arg-type]
        "decayed_count(half_life=): expected a duration"
    )
    assert refusal(lambda: qt.age(by=Payment.amount)).startswith("age(by=): expected an Entity field")  # type: ignore[arg-type]


def test_a_distinct_count_is_of_values_with_a_hash_and_declares_its_cap() -> None:
    wrong: Any
    by = Payment.customer
    assert refusal(lambda: qt.distinct(Payment.risk, by=by, over="1d")) == (  # type: ignore[arg-type]
        "distinct: expected an Entity, Category or Text field, found Payment.risk"
    )
    for wrong in (0, 1025, True, 2.0):
        assert refusal(lambda cap=wrong: qt.distinct(Payment.channel, by=by, over="1d", cap=cap)) == (  # type: ignore[misc]
            f"distinct(cap=): expected 1 to 1024, found {wrong!r}"
        )
    for wrong in (15, 2**28 + 1, None):
        assert refusal(lambda most=wrong: qt.distinct(Payment.note, by=by, over="1d", cap=16, up_to=most)) == (  # type: ignore[misc]
            f"distinct(up_to=): expected 16 to 268435456, found {wrong!r}"
        )
    message = refusal(lambda: qt.distinct_is_exact(Payment.note, by=by, over="0s"))
    assert message == "distinct_is_exact(over=): expected a window longer than 0, found '0s'"


def test_a_tile_divides_its_window_and_knows_no_delay() -> None:
    by = Payment.customer
    for tile in ("7h", "0s", "2d"):
        message = refusal(lambda tile=tile: qt.count(by=by, over="1d", tile=tile))  # type: ignore[misc]
        assert message == f"count(tile=): expected a tile that divides the window of 86400000000 µs, found {tile!r}"
        for declare in (qt.sum, qt.mean, qt.variance, qt.std, qt.min, qt.max):
            message = refusal(lambda declare=declare, tile=tile: declare(Payment.amount, by=by, over="1d", tile=tile))  # type: ignore[misc]
            assert message.startswith(f"{declare.__name__}(tile=): expected a tile that divides the window of ")
    message = refusal(lambda: qt.sum(Payment.risk, by=by, over="1d", tile="1m"))
    assert message == "sum(tile=): expected at most 1024 tiles, found 1440"
    message = refusal(lambda: qt.mean(Payment.risk, by=by, over="1d", delay="1d", tile="1h"))
    assert message.startswith("mean(tile=): expected a window without delay, found one of 86400000000")


def test_no_window_outlives_the_keys_it_is_kept_by() -> None:
    assert refusal(lambda: qt.FeatureSet(Payment, expire_after="0s")) == (
        "FeatureSet(expire_after=): expected more than 0, found '0s'"
    )
    for feature in (
        qt.count(by=Payment.customer, over="1d", delay="1us"),
        qt.fraud_rate(by=Payment.customer, over="1us", delay="1d"),
        qt.count(by=Payment.customer, over="25h", tile="1h"),
        qt.distinct(Payment.note, by=Payment.customer, over="2d"),
    ):
        features = qt.FeatureSet(Payment, expire_after="1d")
        features["fits"] = qt.count(by=Payment.customer, over="1d")
        plan(features)
        features["long"] = feature
        message = refusal(lambda features=features: plan(features))  # type: ignore[misc]
        assert message.startswith("features['long']: expected a window within expire_after, 86400000000 µs, found one")


@pytest.mark.parametrize("declare", [qt.fraud_rate, qt.fraud_count, qt.label_count])
def test_a_feature_of_labels_is_over_a_window_of_past_events(declare: Callable[..., Any]) -> None:
    name, by = declare.__name__, Payment.customer
    made = declare(by=(Payment.terminal, by), over="7d", delay="1d", where=Payment.foreign)
    assert (made.by, made.over_us, made.delay_us) == ((by, Payment.terminal), 7 * 86_400_000_000, 86_400_000_000)
    assert made == declare(by=(by, Payment.terminal), over="168h", delay="24h", where=Payment.foreign)
    assert refusal(lambda: declare(by=Payment.amount, over="1d")).startswith(f"{name}(by=): expected an Entity field")
    assert refusal(lambda: declare(by=by, over="0s")).startswith(f"{name}(over=): expected a window longer than 0")
    assert refusal(lambda: declare(by=by, over="1d", delay="soon")).startswith(f"{name}(delay=): expected a duration")
    assert refusal(lambda: declare(by=by, over="1d", where=1)).startswith(f"{name}(where=): expected a Boolean field")
    with pytest.raises(TypeError, match="include_current"):
        declare(by=by, over="1d", include_current=True)
