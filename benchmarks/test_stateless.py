"""What each stateless feature costs: a set with it eight times, over different fields, beside one of raw fields."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import quickthorn as qt
from quickthorn.compiling import compile_bundle

COPIES = 8
# Short and many: the fastest of them was not interrupted.
ROWS, ROUNDS = 1_024, 300
NAMES = ("Anna Schmidt", "John Q. Public", "Maria da Silva", "Łukasz Nowak", "Li Wei")
START_US = 1_785_000_000_000_000


class Reading(qt.Event):
    """Eight numbers, eight times and eight texts."""

    event_id: qt.Id
    at: qt.EventTime
    amount: qt.Money
    x0: qt.Number
    x1: qt.Number
    x2: qt.Number
    x3: qt.Number
    x4: qt.Number
    x5: qt.Number
    x6: qt.Number
    x7: qt.Number
    t0: qt.Text
    t1: qt.Text
    t2: qt.Text
    t3: qt.Text
    t4: qt.Text
    t5: qt.Text
    t6: qt.Text
    t7: qt.Text


X = [Reading.schema.field(f"x{index}") for index in range(COPIES)]
T = [Reading.schema.field(f"t{index}") for index in range(COPIES)]
ZONE = {"zone": "Europe/Berlin"}
FITTED = [
    qt.Encoding("fitted", {f"{name} {number}": number for name in NAMES for number in range(2_000)}, unknown=index)
    for index in range(COPIES)
]


def later(values: list[Any], place: int) -> Any:
    """The next value but one, around the end."""
    return values[(place + 2) % COPIES]


# Local time takes microseconds; the numbers are small, so each copy looks up another zone's 1970.
ZONES = (
    "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Europe/London", "Asia/Kolkata", "Africa/Cairo", "Europe/Rome",
    "Australia/Sydney",
)  # fmt: skip
KINDS: dict[str, Callable[[int], Any]] = {
    "ratio": lambda i: qt.ratio(X[i], later(X, i)),
    "z_score": lambda i: qt.z_score(X[i], later(X, i), X[(i + 3) % COPIES]),
    "share": lambda i: qt.share(X[i], later(X, i)),
    "log1p": lambda i: qt.log1p(X[i]),
    "roundness": lambda i: qt.roundness(X[i], decimals=2),
    "decimal_part": lambda i: qt.decimal_part(X[i], decimals=2),
    "first_digit": lambda i: qt.first_digit(X[i], decimals=2),
    "time_of_day, each in its own zone": lambda i: qt.time_of_day(Reading.at, zone=ZONES[i]),
    "hour to month end, one zone (8 features)": lambda i: [
        qt.hour(Reading.at, **ZONE), qt.time_of_day(Reading.at, **ZONE), qt.weekday(Reading.at, **ZONE),
        qt.day_of_month(Reading.at, **ZONE), qt.days_to_month_end(Reading.at, **ZONE), qt.is_night(Reading.at, **ZONE),
        qt.is_month_end(Reading.at, **ZONE), qt.is_weekend(Reading.at, **ZONE),
    ][i],
    "cyclic, sine or cosine": lambda i: qt.cyclic(X[i], 24)[i % 2],
    "distance_km": lambda i: qt.distance_km(X[i], later(X, i), X[(i + 3) % COPIES], X[(i + 5) % COPIES]),
    "mismatch of two numbers": lambda i: qt.mismatch(qt.ratio(X[i], 1.0), qt.ratio(later(X, i), 1.0)),
    "text_length": lambda i: qt.text_length(T[i]),
    "mismatch of two texts": lambda i: qt.mismatch(T[i], later(T, i)),
    "hash_bucket": lambda i: qt.hash_bucket(T[i], 1_000),
    "encoded, 10,000 values": lambda i: qt.encoded(T[i], FITTED[i]),
    "digit_ratio": lambda i: qt.digit_ratio(T[i]),
    "entropy": lambda i: qt.entropy(T[i]),
    "edit_distance": lambda i: qt.edit_distance(T[i], later(T, i)),
    "jaro_winkler": lambda i: qt.jaro_winkler(T[i], later(T, i), ignore_case=True, letters_only=True),
}  # fmt: skip


# What a decision may well have: 40 features, none of them over text.
DERIVED = (
    *("ratio",) * 8, *("z_score",) * 6, *("share",) * 4, *("log1p",) * 2, *("roundness",) * 2, *("first_digit",) * 2,
    *("decimal_part",) * 2, *("hour to month end, one zone (8 features)",) * 8, *("cyclic, sine or cosine",) * 2,
    *("distance_km",) * 2, *("mismatch of two numbers",) * 2,
)  # fmt: skip


def readings(rows: int) -> pa.Table:
    """Rows of small positive numbers and of names, known to the encodings in half of the rows."""
    random = np.random.default_rng(11)
    columns: dict[str, Any] = {"event_id": np.arange(rows), "at": START_US + np.arange(rows) * 1_000_003}
    columns["amount"] = random.integers(1, 100_000, rows)
    for index in range(COPIES):
        columns[f"x{index}"] = np.round(random.exponential(30, rows), 2) + 0.01
        numbers, names = random.integers(0, 4_000, rows), random.integers(0, len(NAMES), rows)
        columns[f"t{index}"] = [f"{NAMES[name]} {number}" for name, number in zip(names, numbers, strict=True)]
    return pa.table(columns)


def engine_of(expressions: list[Any], path: Path) -> qt.Engine:
    features = qt.FeatureSet(Reading, remembered_ids=1)
    for index, expression in enumerate(expressions):
        features[f"f{index}"] = expression
    compile_bundle(features=features, output=path, target="x86-64-v2")
    return qt.Engine.load(path, allow_unsigned=True)


def test_the_cost_of_each_feature(tmp_path: Path, events_count: int, figure: Callable[[str], None]) -> None:
    events = readings(ROWS)
    kinds = KINDS if events_count > 2_000 else dict(list(KINDS.items())[::6])
    sets = {"": X, "forty": [KINDS[name](index % COPIES) for index, name in enumerate(DERIVED)]}
    sets |= {name: [declare(index) for index in range(COPIES)] for name, declare in kinds.items()}
    engines = {name: engine_of(each, tmp_path / f"{index}.qt") for index, (name, each) in enumerate(sets.items())}
    best = dict.fromkeys(engines, float("inf"))
    for _ in range(ROUNDS if events_count > 2_000 else 1):
        for name, engine in engines.items():
            found = np.empty((len(engine.manifest.features), events.num_rows))
            start_ns = time.perf_counter_ns()
            engine._run_batch(events, "replay", found)
            best[name] = min(best[name], (time.perf_counter_ns() - start_ns) / events.num_rows)
            assert np.isfinite(found).mean() > 0.4, name
    figure(f"an event of eight raw numbers, replayed: {best['']:.0f} ns; on top of that, for each feature:")
    figure(f"  all of 40 features, none over text          {best['forty'] - best['']:6.1f} ns")
    for name in kinds:
        figure(f"  {name:<44}{(best[name] - best['']) / COPIES:6.1f} ns")
