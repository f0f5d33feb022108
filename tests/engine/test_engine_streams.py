"""Whole streams: replayed in any batches they give what events give one by one, and estimates keep to their error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.replay import replay

S = 1_000_000
KEY = bytes(range(16))


def stream(events: int, seed: int) -> pa.Table:
    """Events of a few customers: ties, late ones, retries, missing keys and values."""
    random = np.random.default_rng(seed)
    at = np.cumsum(random.choice([0, 0, 1, S // 2, S, 3 * S], events)) - random.choice(
        [0, 0, 0, S, 4 * S, 9 * S], events
    )

    def some(values: list[Any]) -> list[Any]:
        return [values[index] for index in random.integers(0, len(values), events)]

    return pa.table(
        {
            "event_id": [f"{number - (number % 11 == 0)}" for number in range(events)],
            "at": at,
            "customer": some(["a", "a", "b", "c"]),
            "terminal": some(["t", "u", "v", None]),
            "amount": pa.array(random.integers(0, 100_000, events) / 100.0),
            "tip": pa.array(some(["1.5", "-2", "0.25", None]), pa.string()),
            "risk": pa.array([None if value < -1 else float(value) for value in random.normal(0, 1, events)]),
            "distance": random.normal(0, 1000, events),
            "foreign": pa.array(some([True, False, None])),
            "present": pa.array(some([True, False])),
            "channel": some(["web", "app", "pos"]),
            "country": some(["de", "fr", "xx", "yy", None]),
            "note": some(["x", "y", "", None]),
        }
    )


@pytest.mark.parametrize("name", ["windows", "spreads", "lifetimes", "brief_lifetimes", "forgetful", "tight"])
def test_replay_in_any_batches_is_one_event_after_the_other(specimens: Any, name: str) -> None:
    specimen, table = specimens[name], stream(400, seed=3)
    names = list(specimen.features.names)

    def replayed(size: int, threads: int = 1) -> Any:
        engine = qt.Engine.load(specimen.path, hash_key=KEY, allow_unsigned=True)
        parts = [replay(engine, table.slice(first, size), threads=threads) for first in range(0, table.num_rows, size)]
        return pa.concat_tables(parts)

    whole = replayed(table.num_rows)
    engine = qt.Engine.load(specimen.path, hash_key=KEY, allow_unsigned=True)
    rows = []
    for event in table.to_pylist():
        rows.append(list(engine.features(event).values()))
        engine.observe(event)
    expected = np.array(rows).T
    for found in (whole, replayed(37), replayed(1), *(replayed(table.num_rows, threads) for threads in (2, 3, 8))):
        assert found["status"].equals(whole["status"])
        for column, values in zip(names, expected, strict=True):
            np.testing.assert_array_equal(found[column].to_numpy(), values, err_msg=column)


@pytest.mark.parametrize("threads", [0, -1, 257, 1.0, True, "2", None])
def test_a_number_of_threads_that_is_none_is_refused(specimens: Any, threads: Any) -> None:
    with pytest.raises(ValueError, match=r"^threads: expected 1 to 256, found "):
        replay(qt.Engine.load(specimens["tight"].path, allow_unsigned=True), stream(1, seed=1), threads=threads)


class Login(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    device: qt.Entity
    user: qt.Entity
    country: qt.Category


def test_an_estimated_number_of_distinct_values_keeps_to_its_stated_error(tmp_path: Any) -> None:
    cap = 32
    features = qt.FeatureSet(Login)
    for over in ("1d", "10s"):
        features[f"n_{over}"] = qt.distinct(Login.user, by=Login.device, over=over, cap=cap, up_to=1024)
        features[f"exact_{over}"] = qt.distinct_is_exact(Login.user, by=Login.device, over=over, cap=cap, up_to=1024)
    compile_bundle(features=features, output=tmp_path / "logins.qt")
    engine: Any = qt.Engine.load(tmp_path / "logins.qt", hash_key=KEY, allow_unsigned=True)
    errors: dict[int, list[float]] = {}
    number = 0
    for device in range(150):
        for seen in range(1, 601):
            number += 1
            event = {
                "event_id": number,
                "at": number * S,
                "device": device,
                "user": f"{device}-{seen}",
                "country": "de",
            }
            engine.observe(event)
            if seen in (cap, 80, 300, 600):
                found = engine.features({**event, "event_id": "next"})
                # The short window is exact although the long one is not.
                assert (found["n_10s"], found["exact_10s"]) == (10.0, 1.0)
                assert found["exact_1d"] == float(seen <= cap)
                errors.setdefault(seen, []).append(found["n_1d"] / seen - 1.0)
    assert set(errors.pop(cap)) == {0.0}
    for relative in errors.values():
        # 150 draws say the error to about a twentieth of itself, and its mean to a twelfth of it.
        assert math.sqrt(np.mean(np.square(relative))) < math.sqrt(2.0 / cap) * 1.15
        assert abs(np.mean(relative)) < math.sqrt(2.0 / cap) / 3.0
