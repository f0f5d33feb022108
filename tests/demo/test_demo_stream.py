"""What holds for every simulated stream, whatever its size and seed."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from quickthorn.demo.features import Payment
from quickthorn.demo.payments import CHANNELS, DAY_US, ENTRIES, START_US
from quickthorn.demo.population import CATEGORIES, COUNTRIES
from quickthorn.demo.stream import (
    EVENT_COLUMNS,
    LABEL_MATURITY_DAYS,
    SHORTEST_CHARGEBACK_DAYS,
    TRUTH_COLUMNS,
    SimulationError,
    simulate,
)


def times_us(stream: pa.Table, column: str) -> np.ndarray:
    return stream[column].cast(pa.int64()).to_numpy()


def as_parquet_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def test_same_seed_gives_the_same_bytes() -> None:
    first = simulate(days=5, customers=80, terminals=20, seed=3)
    again = simulate(days=5, customers=80, terminals=20, seed=3)
    assert as_parquet_bytes(first) == as_parquet_bytes(again)


def test_another_seed_gives_another_stream() -> None:
    first = simulate(days=5, customers=80, terminals=20, seed=3)
    other = simulate(days=5, customers=80, terminals=20, seed=4)
    assert as_parquet_bytes(first) != as_parquet_bytes(other)


def test_the_global_random_state_plays_no_part() -> None:
    np.random.seed(1)
    first = simulate(days=3, customers=40, terminals=10, seed=3)
    np.random.seed(2)
    assert simulate(days=3, customers=40, terminals=10, seed=3).equals(first)


def test_columns_have_the_declared_types(stream: pa.Table) -> None:
    utc = pa.timestamp("us", tz="UTC")
    types = {
        "event_id": pa.string(),
        "at": utc,
        "customer": pa.string(),
        "terminal": pa.string(),
        "amount": pa.int64(),
        "channel": pa.string(),
        "entry": pa.string(),
        "category": pa.string(),
        "country": pa.string(),
        "card_country": pa.string(),
        "device_new": pa.bool_(),
        "distance_km": pa.float64(),
        "fraud": pa.int8(),
        "scenario": pa.string(),
        "label_available_at": utc,
    }
    assert {field.name: field.type for field in stream.schema} == types
    assert tuple(stream.column_names) == EVENT_COLUMNS + TRUTH_COLUMNS


def test_event_columns_are_the_fields_of_the_event_class(stream: pa.Table) -> None:
    # Truth columns must not be reachable by a feature.
    assert Payment.schema.names == EVENT_COLUMNS


def test_only_the_distance_is_ever_null(stream: pa.Table) -> None:
    nulls = {name: stream[name].null_count for name in stream.column_names if stream[name].null_count}
    assert set(nulls) == {"distance_km"}
    # Online merchants are nowhere: null exactly where the card was not at a terminal.
    assert pc.is_null(stream["distance_km"]).equals(pc.not_equal(stream["channel"], "pos"))


def test_rows_are_in_order_of_event_time_and_event_id(stream: pa.Table) -> None:
    keys = list(zip(times_us(stream, "at").tolist(), stream["event_id"].to_pylist(), strict=True))
    assert keys == sorted(keys)


def test_event_ids_are_unique(stream: pa.Table) -> None:
    assert len(stream["event_id"].unique()) == len(stream)


def test_event_times_lie_within_the_days_asked_for(stream: pa.Table) -> None:
    at_us = times_us(stream, "at")
    assert at_us.min() >= START_US
    assert at_us.max() < START_US + 60 * DAY_US


def test_every_day_has_payments_and_frauds(stream: pa.Table) -> None:
    day = (times_us(stream, "at") - START_US) // DAY_US
    fraud = stream["fraud"].to_numpy()
    assert np.bincount(day, minlength=60).min() > 1_000
    # Incidents that began before the stream keep its first week from being cleaner than the rest.
    weekly = np.bincount(day // 7, weights=fraud, minlength=9)[:8]
    assert weekly.min() > 0.4 * weekly.mean()


def test_amounts_are_positive_and_distances_are_on_the_map(stream: pa.Table) -> None:
    assert pc.min(stream["amount"]).as_py() >= 50
    reach = pc.min_max(stream["distance_km"]).as_py()
    assert reach["min"] >= 0.0
    assert reach["max"] < 3_000.0


def test_categories_hold_declared_values_only(stream: pa.Table) -> None:
    declared = {
        "channel": CHANNELS,
        "entry": ENTRIES,
        "category": CATEGORIES,
        "country": COUNTRIES,
        "card_country": COUNTRIES,
    }
    for name, values in declared.items():
        assert set(stream[name].unique().to_pylist()) == set(values), name


def test_a_card_keeps_its_country_and_a_terminal_its_country_and_category(stream: pa.Table) -> None:
    for key, value in (("customer", "card_country"), ("terminal", "country"), ("terminal", "category")):
        pairs = stream.group_by([key, value]).aggregate([])
        assert len(pairs) == len(stream[key].unique()), (key, value)


def test_fraud_share_is_between_half_a_percent_and_one(stream: pa.Table) -> None:
    assert 0.005 <= pc.mean(stream["fraud"]).as_py() <= 0.01


def test_scenario_names_say_which_payments_are_frauds(stream: pa.Table) -> None:
    assert pc.not_equal(stream["scenario"], "genuine").equals(pc.equal(stream["fraud"], 1))


def test_labels_come_late(stream: pa.Table) -> None:
    delay_days = (times_us(stream, "label_available_at") - times_us(stream, "at")) / DAY_US
    fraud = stream["fraud"].to_numpy() == 1
    assert np.all(delay_days[~fraud] == LABEL_MATURITY_DAYS)
    assert delay_days[fraud].min() >= SHORTEST_CHARGEBACK_DAYS
    assert delay_days[fraud].max() <= LABEL_MATURITY_DAYS
    assert 6.0 < np.median(delay_days[fraud]) < 12.0


def test_customers_pay_mostly_near_home_and_by_day(stream: pa.Table) -> None:
    genuine = stream.filter(pc.equal(stream["fraud"], 0))
    distance_km = genuine["distance_km"].drop_null().to_numpy()
    assert np.mean(distance_km < 25.0) > 0.85
    hour = (times_us(genuine, "at") // 3_600_000_000) % 24
    assert np.mean(hour < 5) < 0.06
    # Each customer goes back to the same terminals: far fewer of them than there are.
    visited = genuine.group_by("customer").aggregate([("terminal", "count_distinct")])
    assert np.median(visited["terminal_count_distinct"].to_numpy()) < 60


@pytest.mark.parametrize(("days", "customers", "terminals"), [(1, 1, 2), (1, 3, 5), (2, 1, 2), (40, 1, 2)])
def test_the_smallest_streams_keep_the_columns(days: int, customers: int, terminals: int) -> None:
    small = simulate(days=days, customers=customers, terminals=terminals, seed=0)
    assert small.schema == simulate(days=5, customers=50, terminals=20, seed=0).schema


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"days": 0}, "days: expected at least 1, got 0"),
        ({"customers": -4}, "customers: expected at least 1, got -4"),
        ({"terminals": 1}, r"terminals: expected at least 2 \(one shop and one online merchant\), got 1"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"days": 10**6, "customers": 10**6}, "days x customers: expected a stream of at most 50,000,000 payments"),
    ],
)
def test_sizes_that_make_no_stream_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(SimulationError, match=f"^{message}"):
        simulate(**({"days": 2, "customers": 5, "terminals": 4, "seed": 1} | sizes))
