"""Labels told at any time and in any order give what the executable specification gives, and the same when replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.engine.test_engine_parity import START_US, STEPS_US
from tests.engine.test_engine_streams import KEY, stream

import quickthorn as qt
from quickthorn.errors import LabelError
from quickthorn.replay import replay

S = 1_000_000
TIME_LIMIT_US = 2**61
WRONG: list[tuple[Any, Any, Any]] = [
    *((wrong, True, 0) for wrong in (None, "", 1.5, True, b"1", [1])),
    *((0, wrong, 0) for wrong in (None, 0, 1, 1.0, "true", "")),
    *((0, True, wrong) for wrong in (None, True, 1.5, "yesterday", 2**61 + 1, -(2**61) - 1, 2**70)),
]


def held(at: int) -> int:
    return max(-TIME_LIMIT_US, min(TIME_LIMIT_US, at))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Events, readings and labels: of ids old and new, available before and after their event and all that is read."""
    at = draw(st.sampled_from(START_US))
    times = {0: at}
    history: list[tuple[str, Any]] = []
    fields = st.fixed_dictionaries(
        {
            "customer": st.sampled_from(["c", "c", "c", "d"]),
            "terminal": st.sampled_from(["t", "t", "u", None]),
            "amount": st.integers(0, 1_000),
            "foreign": st.sampled_from([True, False, None]),
            "distance": st.just(0),
            "present": st.just(True),
            "channel": st.just("web"),
        }
    )
    for number in range(draw(st.integers(2, 30))):
        kind = draw(st.sampled_from(["observe", "observe", "label", "label", "read"]))
        if kind == "label":
            event_id = draw(st.sampled_from([*times, number]))
            base = draw(st.sampled_from([at, at, times.get(event_id, at), times.get(event_id, at), -TIME_LIMIT_US]))
            label = (event_id, draw(st.booleans()), held(base + draw(st.sampled_from(STEPS_US))))
            history.append((kind, draw(st.sampled_from(WRONG)) if draw(st.integers(0, 15)) == 15 else label))
            continue
        moment = held(at + draw(st.sampled_from(STEPS_US)))
        event = {"event_id": draw(st.sampled_from([number] * 5 + [number - 1, number - 2])), "at": moment}
        event.update(draw(fields))
        history.append((kind, event))
        if kind == "observe":
            at = moment
            times.setdefault(event["event_id"], moment)
    return history


@pytest.mark.parametrize("name", ["risks", "brief_risks"])
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.target],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(history=histories())
def test_any_history_with_labels_gives_what_the_specification_gives(
    new_pair: Callable[[str], Any], name: str, history: list[tuple[str, Any]]
) -> None:
    pair = new_pair(name)
    for kind, told in history:
        if kind == "label":
            pair.label(*told)
        else:
            pair.tell(kind, told)
    latest = max((told["at"] for kind, told in history if kind != "label"), default=0)
    for step_us in (0, 1, S, 5 * S, 10 * S):
        last = {"event_id": "last", "customer": "c", "terminal": "t", "amount": 0, "distance": 0, "present": True}
        pair.compare_features({**last, "channel": "web", "at": held(latest + step_us)})


def labels_of(events: pa.Table, seed: int) -> pa.Table:
    """Labels of most events, some of them changed, available from before the event to far behind the stream.

    At most two of an event, so that it does not matter how long before they count they are told.
    """
    random = np.random.default_rng(seed)
    chosen = [np.flatnonzero(random.random(events.num_rows) < share) for share in (0.8, 0.3)]
    rows = np.concatenate(chosen)
    rows = rows[rows % 11 != 0]  # a retry of the event before
    delays = random.choice([-S, 0, 1, S, 3 * S, 5 * S, 5 * S + 1, 40 * S, 10**6 * S], len(rows))
    return pa.table(
        {
            "event_id": events["event_id"].take(pa.array(rows)),
            "fraud": random.random(len(rows)) < 0.4,
            "available_at": events["at"].to_numpy()[rows] + delays,
        }
    )


def one_by_one(specimen: Any, events: pa.Table, labels: pa.Table) -> list[list[float]]:
    """Every event read, then observed; every label told before the first event that it is available for, or after its
    own."""
    engine: Any = qt.Engine.load(specimen.path, hash_key=KEY, allow_unsigned=True)
    waiting = sorted(labels.to_pylist(), key=lambda label: label["available_at"])
    seen: set[str] = set()
    rows = []
    for event in events.to_pylist():
        tell(engine, waiting, seen, event["at"])
        rows.append(list(engine.features(event).values()))
        engine.observe(event)
        seen.add(event["event_id"])
        tell(engine, waiting, seen, event["at"])
    return rows


def tell(engine: Any, waiting: list[dict[str, Any]], seen: set[str], now_us: int) -> None:
    for label in [label for label in waiting if label["available_at"] <= now_us and label["event_id"] in seen]:
        engine.label(**label)
        waiting.remove(label)


def assert_same_features(found: pa.Table, names: tuple[str, ...], expected: list[list[float]]) -> None:
    for column, values in zip(names, np.array(expected).T, strict=True):
        np.testing.assert_array_equal(found[column].to_numpy(), values, err_msg=column)


def assert_same_tables(found: pa.Table, expected: pa.Table) -> None:
    assert found.column_names == expected.column_names
    for name in expected.column_names:
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy(), err_msg=name)


@pytest.fixture(scope="module")
def wide(specimens: dict[str, Any]) -> Any:
    """The features of labels over a stream whose events are all remembered."""
    return specimens["wide_risks"]


def test_replay_with_labels_in_any_batches_is_one_after_the_other(wide: Any) -> None:
    events = stream(400, seed=4)
    labels = labels_of(events, seed=5)
    names = wide.features.names
    expected = one_by_one(wide, events, labels)
    assert any(value == 1.0 for value in np.array(expected)[:, names.index("frauds_10s")])
    assert_same_features(
        replay(qt.Engine.load(wide.path, hash_key=KEY, allow_unsigned=True), events, labels=labels), names, expected
    )
    for size in (37, 1):
        # Told with the batch of their event, long before they count.
        engine = qt.Engine.load(wide.path, hash_key=KEY, allow_unsigned=True)
        parts = []
        for first in range(0, events.num_rows, size):
            part = events.slice(first, size)
            new = pc.is_in(labels["event_id"], part["event_id"])
            parts.append(replay(engine, part, labels=labels.filter(new)))
        assert_same_features(pa.concat_tables(parts), names, expected)


def test_the_order_of_labels_changes_nothing(wide: Any) -> None:
    events = stream(300, seed=6)
    labels = labels_of(events, seed=7)
    # Of two labels from one time the later one counts, so that these are left out here.
    labels = (
        labels.group_by(["event_id", "available_at"])
        .aggregate([("fraud", "min")])
        .rename_columns({"fraud_min": "fraud"})
    )
    expected = replay(qt.Engine.load(wide.path, hash_key=KEY, allow_unsigned=True), events, labels=labels)
    for seed in range(3):
        shuffled = labels.take(pa.array(np.random.default_rng(seed).permutation(labels.num_rows)))
        assert_same_tables(
            replay(qt.Engine.load(wide.path, hash_key=KEY, allow_unsigned=True), events, labels=shuffled), expected
        )


def test_when_a_label_comes_within_the_delay_changes_nothing(wide: Any) -> None:
    events = stream(300, seed=8).sort_by("at")
    random = np.random.default_rng(9)
    first: dict[str, int] = {}
    for event in events.to_pylist():
        first.setdefault(event["event_id"], event["at"])
    ids, first_at = list(first), np.array(list(first.values()))
    fraud = random.random(len(ids)) < 0.5
    found = []
    for most_us in (0, S, 5 * S):
        available_at = first_at + random.integers(0, most_us + 1, len(ids))
        order = pa.array(random.permutation(len(ids)))
        labels = pa.table({"event_id": ids, "fraud": fraud, "available_at": available_at}).take(order)
        replayed = replay(qt.Engine.load(wide.path, hash_key=KEY, allow_unsigned=True), events, labels=labels)
        found.append(replayed.select(["rate_10s_after_5s", "frauds_10s_after_5s", "labels_10s_after_5s"]))
    assert_same_tables(found[1], found[0])
    assert_same_tables(found[2], found[0])
    assert pc.max(found[0]["frauds_10s_after_5s"]).as_py() > 1.0


def test_replay_refuses_labels_that_do_not_fit(wide: Any) -> None:
    events = stream(20, seed=10)
    one = {"event_id": ["1"], "fraud": [True], "available_at": [0]}
    for wrong, message in (
        ({**one, "fraud": [None]}, r"^labels\[0\]\.fraud: expected True or False, found nothing$"),
        (
            {**one, "event_id": ["?"]},
            r"^labels\[0\]\.event_id: expected the id of an event that is remembered, found '\?'$",
        ),
        (
            {"event_id": ["0"], "fraud": [True]},
            "^available_at: expected int microseconds .*, found no column of that name$",
        ),
        ({**one, "fraud": [1]}, '^fraud: expected True or False, found an Arrow column of format "l"$'),
    ):
        with pytest.raises(LabelError, match=message):
            replay(qt.Engine.load(wide.path, allow_unsigned=True), events, labels=pa.table(wrong))
    with pytest.raises(LabelError, match="labels: expected an object with the Arrow PyCapsule interface, found dict"):
        replay(qt.Engine.load(wide.path, allow_unsigned=True), events, labels=one)
    both = pa.table({"event_id": ["?", "1"], "fraud": [True, True], "available_at": [0, 0]})
    engine = qt.Engine.load(wide.path, allow_unsigned=True)
    replay(engine, events, labels=both, errors="keep")
    assert (engine.counters()["labels"], engine.counters()["unknown_labels"]) == (1, 1)


def test_a_batch_of_labels_says_what_it_refused_and_takes_the_rest(wide: Any) -> None:
    engine: Any = qt.Engine.load(wide.path, allow_unsigned=True)
    event = {"customer": "c", "amount": 1, "distance": 0, "present": True, "channel": "web", "at": 0}
    for number in range(3):
        engine.observe({**event, "event_id": number})
    labels = pa.table(
        {
            "event_id": ["0", "9", "1", "2"],
            "fraud": [True, True, None, False],
            "available_at": pa.array([0, 0, 0, 5], pa.timestamp("us", "UTC")),
        }
    )
    assert engine.label_batch(labels) == (
        (1, "event_id: expected the id of an event that is remembered, found '9'"),
        (2, "fraud: expected True or False, found nothing"),
    )
    found = engine.features({**event, "event_id": "next", "at": 5})
    assert (found["frauds_3s"], found["labels_3s"], found["rate_3s"]) == (1.0, 2.0, 0.5)
    assert engine.label_batch(labels.slice(1, 1).to_batches()[0])[0][0] == 0
    assert (engine.counters()["labels"], engine.counters()["unknown_labels"]) == (2, 2)


def test_an_engine_that_is_told_no_label_knows_of_no_fraud(wide: Any, specimens: dict[str, Any]) -> None:
    events = stream(50, seed=11)
    found = replay(qt.Engine.load(wide.path, allow_unsigned=True), events)
    for name in ("frauds_10s", "labels_10s"):
        assert not np.nan_to_num(found[name].to_numpy()).any()  # what is too late for its customer has no value at all
    assert np.isnan(found["rate_10s"].to_numpy()).all()
    without: Any = qt.Engine.load(specimens["tight"].path, allow_unsigned=True)
    for tell_it in (
        lambda: without.label("0", True, 0),
        lambda: without.label_batch(labels_of(events, 1)),
        lambda: replay(without, events, labels=labels_of(events, 1)),
    ):
        with pytest.raises(
            LabelError, match="label: expected a bundle with features of labels, found none in this one"
        ):
            tell_it()


def test_what_labels_changed_is_saved_and_restored(wide: Any, tmp_path: Any) -> None:
    events = stream(200, seed=12)
    labels = labels_of(events, seed=13)
    told: Any = qt.Engine.load(wide.path, hash_key=KEY, allow_unsigned=True)
    replay(told, events.slice(0, 100), labels=labels, errors="keep")
    told.save_state(tmp_path / "state")
    restored: Any = qt.Engine.load(wide.path, hash_key=KEY, allow_unsigned=True)
    restored.restore_state(tmp_path / "state")
    rest = events.slice(100)
    assert_same_tables(replay(restored, rest, labels=labels), replay(told, rest, labels=labels))
    assert restored.counters() == told.counters()
