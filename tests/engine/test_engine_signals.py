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

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.errors import EventError, FeatureError, SchemaError, SignalError, StateError
from quickthorn.features.plan import plan
from quickthorn.reference import ReferenceEngine
from quickthorn.replay import replay

S = 1_000_000
KEY = bytes(range(16))


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    payer: qt.Entity
    payee: qt.Entity | None


class Bureau(qt.Signal):
    score: qt.Number
    person: qt.Entity
    band: qt.Category | None = qt.field(values=("a", "b"))
    debt: qt.Money | None = qt.field(signed=True)
    listed: qt.Boolean | None


class Device(qt.Signal):
    device: qt.Entity
    risk: qt.Number | None


def add_signals(features: qt.FeatureSet) -> qt.FeatureSet:
    """Every kind of value, status and age, by two entities and of two sources."""
    for by in (Payment.payer, Payment.payee):
        for ttl in ("3s", "10s"):
            for value in (Bureau.score, Bureau.band, Bureau.debt, Bureau.listed, Device.risk):
                features[f"{by!r}_{value!r}_{ttl}"] = qt.signal_value(value, by=by, ttl=ttl)
                features[f"{by!r}_{value!r}_{ttl}_status"] = qt.signal_status(value, by=by, ttl=ttl)
            features[f"{by!r}_{ttl}_status"] = qt.signal_status(Bureau, by=by, ttl=ttl)
        features[f"{by!r}_age"] = qt.signal_age(Bureau.debt, by=by)
        features[f"{by!r}_device_age"] = qt.signal_age(Device, by=by)
    return features


def signals() -> qt.FeatureSet:
    return add_signals(qt.FeatureSet(Payment, remembered_ids=100))


def forgetful_signals() -> qt.FeatureSet:
    features = add_signals(qt.FeatureSet(Payment, lateness="5s", expire_after="12s", remembered_ids=100))
    features["count"] = qt.count(by=Payment.payer, over="3s")
    return features


FEATURES = (signals, forgetful_signals)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("signals")
    for declare in FEATURES:
        compile_bundle(features=declare(), output=folder / declare.__name__, target="x86-64-v2")
    return {declare.__name__: folder / declare.__name__ for declare in FEATURES}


def loaded(path: Path, **options: Any) -> Any:
    return qt.Engine.load(
        path, **{"hash_key": KEY, "max_keys": 1000, "max_history_bytes": 1 << 22, **options}, allow_unsigned=True
    )


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
    bundles: dict[str, Path], declare: Any, history: list[tuple[int, Any]]
) -> None:
    native, reference = loaded(bundles[declare.__name__]), ReferenceEngine(declare())
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
def test_replay_with_signals_in_any_batches_is_one_after_the_other(bundles: dict[str, Path], name: str) -> None:
    path = bundles[name]
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


def payment(at: int, payer: object = "a", payee: object = None) -> dict[str, Any]:
    return {"event_id": f"{at}-{payer}", "at": at, "payer": payer, "payee": payee}


def read(engine: Any, at: int, name: str = "Payment.payer_Bureau.score_3s") -> tuple[float, float]:
    features = engine.features(payment(at))
    return features[name], features[f"{name}_status"]


def test_a_signal_goes_stale_at_its_time_to_live_and_none_is_seen_before_it_is_said(bundles: dict[str, Path]) -> None:
    engine = loaded(bundles["signals"])
    assert read(engine, 0)[1] == 1.0
    assert engine.signal(Bureau, "a", {"score": 7}, 10 * S) == "ok"
    assert read(engine, 10 * S) == (7.0, 0.0)
    assert read(engine, 13 * S - 1) == (7.0, 0.0)
    assert math.isnan(read(engine, 13 * S)[0])
    assert read(engine, 13 * S)[1] == 2.0
    assert read(engine, 10 * S - 1)[1] == 1.0
    assert read(engine, 11 * S, "Payment.payer_Bureau.band_3s")[1] == 3.0
    assert engine.features(payment(14 * S))["Payment.payer_age"] == 4.0


def test_the_latest_by_time_stays_and_of_one_time_the_last(bundles: dict[str, Path]) -> None:
    engine = loaded(bundles["signals"])
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


def test_keys_are_bounded_and_idle_ones_make_room(bundles: dict[str, Path]) -> None:
    engine = loaded(bundles["signals"], max_keys=2)
    assert [engine.signal(Bureau, key, {"score": 1}, 0) for key in "abca"] == ["ok", "ok", "capped", "ok"]
    assert engine.counters()["out_of_space"] == 1
    engine = loaded(bundles["forgetful_signals"], max_keys=2)
    for number in range(40):
        assert engine.signal(Bureau, f"k{number}", {"score": number}, number * 20 * S) == "ok"
        engine.observe(payment((number * 20 + 19) * S, payer="someone"))
    assert engine.counters()["reclaimed_keys"] >= 38
    assert engine.signal(Bureau, "late", {"score": 1}, 100 * S) == "late"  # what no event can see is not kept


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


def test_a_wrong_signal_is_one_sentence_and_changes_nothing(bundles: dict[str, Path]) -> None:
    engine = loaded(bundles["signals"])
    before = engine.counters()
    for arguments, expected in BAD:
        with pytest.raises(SignalError, match=expected) as caught:
            engine.signal(*arguments)
        assert "\n" not in str(caught.value)
    assert engine.counters() == before
    assert read(engine, 2)[1] == 1.0


def test_tables_of_signals(bundles: dict[str, Path]) -> None:
    engine = loaded(bundles["signals"])
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


def test_signals_are_part_of_the_saved_state(bundles: dict[str, Path], tmp_path: Path) -> None:
    engine = loaded(bundles["forgetful_signals"])
    for number in range(50):
        engine.signal(Bureau, f"k{number % 9}", {"score": number, "debt": "2.5"}, number * S)
        engine.observe(payment(number * S, payer=f"k{number % 4}"))
    engine.save_state(tmp_path / "state")
    other = loaded(bundles["forgetful_signals"], state=tmp_path / "state")
    for number in range(50, 80):
        for one in (engine, other):
            one.signal(Bureau, f"k{number % 9}", {"score": number}, number * S)
        assert repr(engine.features(payment(number * S, payer="k3"))) == repr(
            other.features(payment(number * S, payer="k3"))
        )
    assert engine.counters() == other.counters()
    with pytest.raises(StateError):
        loaded(bundles["signals"], state=tmp_path / "state")


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
