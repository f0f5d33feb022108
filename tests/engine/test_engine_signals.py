"""Third-party signals: the native engine says what the specification says, live and replayed."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.engine.signal_sets import FEATURES, Bureau, Device, S, loaded, payment, read, signals

from quickthorn.errors import StateError
from quickthorn.reference import ReferenceEngine
from quickthorn.replay import replay


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


keys = st.sampled_from(["a", "b", 7, "7"])
steps = st.sampled_from([0, 0, 1, -1, S, S, 3 * S - 1, 3 * S, 10 * S, 12 * S, 17 * S, -S, -4 * S, -5 * S, -20 * S])
bureau = st.fixed_dictionaries(
    {"score": st.one_of(st.floats(-1e6, 1e6), st.integers(-5, 5))},
    optional={
        "band": optional(st.sampled_from(["a", "b", "unlisted"])),
        "debt": optional(st.sampled_from(["1.25", "-3", 4])),
        "listed": optional(st.booleans()),
    },
)
device = st.fixed_dictionaries({}, optional={"risk": optional(st.floats(0, 1))})
told = st.one_of(st.tuples(st.just(Bureau), keys, bureau), st.tuples(st.just(Device), keys, device))
event = st.fixed_dictionaries({"payer": keys, "payee": optional(keys)})


@pytest.mark.parametrize("declare", FEATURES)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.target],
    suppress_health_check=list(HealthCheck),
)
@given(history=st.lists(st.tuples(steps, st.one_of(told, told, event)), min_size=1, max_size=25))
def test_any_history_gives_what_the_specification_gives(
    signal_bundles: dict[str, Path], declare: Any, history: list[tuple[int, Any]]
) -> None:
    native, reference = loaded(signal_bundles[declare.__name__]), ReferenceEngine(declare())
    at = 1_785_000_000 * S
    for number, (step, what) in enumerate(history):
        at += step
        if isinstance(what, tuple):
            source, key, values = what
            assert native.signal(source, key, values, at) == reference.signal(source.__name__, key, values, at)
        for payer in ("a", 7):
            probe = {"event_id": f"probe-{number}", "at": at, "payer": payer, "payee": "b"}
            assert_same(native.features(probe), reference.features(probe))
        if isinstance(what, dict):
            happened = {"event_id": number, "at": at, **what}
            assert_same(native.features(happened), reference.features(happened))
            assert native.observe(happened) == reference.observe(happened)


def assert_same(found: dict[str, float], expected: dict[str, float]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name] == value or (math.isnan(found[name]) and math.isnan(value)), name


def logs(events: int, seed: int) -> tuple[pa.Table, dict[Any, pa.Table]]:
    """Payments in order with ties, and signals in no order, many at the very times of payments and of each other."""
    random = np.random.default_rng(seed)
    at = np.cumsum(random.choice([0, 0, 1, S, 3 * S], events))

    def some(values: list[Any], count: int) -> list[Any]:
        return [values[index] for index in random.integers(0, len(values), count)]

    table = pa.table(
        {
            "event_id": range(events),
            "at": at,
            "payer": some(["a", "b"], events),
            "payee": some(["a", "c", None], events),
        }
    )
    count = 2 * events
    times = random.choice(at, count) + random.choice([0, 0, 1, -1], count)
    scores = pa.table(
        {
            "person": some(["a", "b", "c"], count),
            "score": np.arange(count) * 1.0,
            "band": some(["a", "b", None], count),
            "debt": pa.array(some(["1.5", "-2", None], count), pa.string()),
            "at": times,
        }
    )
    risks = pa.table({"at": times[:events], "device": some(["a", "b"], events), "risk": random.random(events)})
    return table, {Bureau: scores, "Device": risks}


def one_by_one(path: Path, table: pa.Table, tables: dict[Any, pa.Table]) -> list[list[float]]:
    """Every signal told before the first event at or after its time, as a service would be told it."""
    engine, rows = loaded(path), []
    stream = [
        (row.pop("at"), 0, number, source, row)
        for source, signals in tables.items()
        for number, row in enumerate(signals.to_pylist())
    ]
    stream += [(row["at"], 1, number, None, row) for number, row in enumerate(table.to_pylist())]
    for at, _, _, source, row in sorted(stream, key=lambda entry: entry[:3]):
        if source is None:
            rows.append(list(engine.features(row).values()))
            engine.observe(row)
        else:
            engine.signal(source, row.pop("person" if source is Bureau else "device"), row, at)
    return rows


@pytest.mark.parametrize("name", ["signals", "forgetful_signals"])
def test_replay_with_signals_in_any_batches_is_one_after_the_other(signal_bundles: dict[str, Path], name: str) -> None:
    path = signal_bundles[name]
    table, tables = logs(150, seed=5)
    expected = np.array(one_by_one(path, table, tables)).T
    whole = replay(loaded(path), table, signals=tables)
    parts, engine = [], loaded(path)
    for size in [1] * 30 + [17] * 8:
        first = sum(part.num_rows for part in parts)
        events = table.slice(first, size)
        if events.num_rows == 0:
            break
        # Every batch brings the signals up to its last event; what was told before is told again, and changes nothing.
        last = events["at"][-1].as_py()
        due = {source: signals.filter(pa.compute.field("at") <= last) for source, signals in tables.items()}
        parts.append(replay(engine, events, signals=due))
    for found in (whole, pa.concat_tables(parts)):
        for column, values in zip(signals().names, expected, strict=False):
            np.testing.assert_array_equal(found[column].to_numpy()[: len(values)], values, err_msg=column)
    assert np.nanmax(whole["Payment.payer_Bureau.score_10s"].to_numpy()) > 0


def test_a_signal_goes_stale_at_its_time_to_live_and_none_is_seen_before_it_is_said(
    signal_bundles: dict[str, Path],
) -> None:
    engine = loaded(signal_bundles["signals"])
    assert read(engine, 0)[1] == 1.0
    assert engine.signal(Bureau, "a", {"score": 7}, 10 * S) == "ok"
    assert read(engine, 10 * S) == (7.0, 0.0)
    assert read(engine, 13 * S - 1) == (7.0, 0.0)
    assert math.isnan(read(engine, 13 * S)[0])
    assert read(engine, 13 * S)[1] == 2.0
    assert read(engine, 10 * S - 1)[1] == 1.0
    assert read(engine, 11 * S, "Payment.payer_Bureau.band_3s")[1] == 3.0
    assert engine.features(payment(14 * S))["Payment.payer_age"] == 4.0


def test_the_latest_by_time_stays_and_of_one_time_the_last(signal_bundles: dict[str, Path]) -> None:
    engine = loaded(signal_bundles["signals"])
    assert engine.signal("Bureau", "a", {"score": 1}, 10 * S) == "ok"
    assert engine.signal("Bureau", "a", {"score": 2}, 10 * S) == "ok"
    assert engine.signal("Bureau", "a", {"score": 3}, 10 * S - 1) == "late"
    assert read(engine, 10 * S)[0] == 2.0
    assert {name: engine.counters()[name] for name in ("signals", "signals_late", "keys")} == {
        "signals": 3,
        "signals_late": 1,
        "keys": 1,
    }
    assert engine.signal(Bureau, "a", {"score": 4}, datetime.fromtimestamp(11, UTC)) == "ok"
    assert engine.signal(Bureau, "a", {"score": 5}, "1970-01-01T00:00:12Z") == "ok"
    assert read(engine, 12 * S)[0] == 5.0


def test_keys_are_bounded_and_idle_ones_make_room(signal_bundles: dict[str, Path]) -> None:
    engine = loaded(signal_bundles["signals"], max_keys=2)
    assert [engine.signal(Bureau, key, {"score": 1}, 0) for key in "abca"] == ["ok", "ok", "capped", "ok"]
    assert engine.counters()["out_of_space"] == 1
    engine = loaded(signal_bundles["forgetful_signals"], max_keys=2)
    for number in range(40):
        assert engine.signal(Bureau, f"k{number}", {"score": number}, number * 20 * S) == "ok"
        engine.observe(payment((number * 20 + 19) * S, payer="someone"))
    assert engine.counters()["reclaimed_keys"] >= 38
    assert engine.signal(Bureau, "late", {"score": 1}, 100 * S) == "late"  # what no event can see is not kept


def test_signals_are_part_of_the_saved_state(signal_bundles: dict[str, Path], tmp_path: Path) -> None:
    engine = loaded(signal_bundles["forgetful_signals"])
    for number in range(50):
        engine.signal(Bureau, f"k{number % 9}", {"score": number, "debt": "2.5"}, number * S)
        engine.observe(payment(number * S, payer=f"k{number % 4}"))
    engine.save_state(tmp_path / "state")
    other = loaded(signal_bundles["forgetful_signals"], state=tmp_path / "state")
    for number in range(50, 80):
        for one in (engine, other):
            one.signal(Bureau, f"k{number % 9}", {"score": number}, number * S)
        assert repr(engine.features(payment(number * S, payer="k3"))) == repr(
            other.features(payment(number * S, payer="k3"))
        )
    assert engine.counters() == other.counters()
    with pytest.raises(StateError):
        loaded(signal_bundles["signals"], state=tmp_path / "state")
